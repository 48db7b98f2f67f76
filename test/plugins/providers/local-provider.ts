/** Plays a provider on loopback: its documents at its paths, its tokens signed, and its addresses changed for the local ones. */
import type { KeyObject } from 'node:crypto';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Certificates } from '../../support/certificates.ts';
import { forge, makeKey, now } from '../../support/token.ts';
import type { Algorithm } from '../../support/token.ts';
import { SERVICE_ACCOUNT } from './provider.ts';
import type { KeyName, Members, Provider, PublicKeys, TokenCase } from './provider.ts';

/** The pairs that sign for all providers: none of them meets another. */
export class ProviderKeys {
  readonly #private: Readonly<Record<KeyName, KeyObject>> = {
    rsa: makeKey('RS256'),
    other: makeKey('RS256'),
    ec: makeKey('ES256'),
  };

  get public(): PublicKeys {
    const jwk = (name: KeyName): Members => {
      const { kty, n, e, crv, x, y } = this.#private[name].export({ format: 'jwk' });
      return kty === 'RSA' ? { kty, n, e } : { kty, crv, x, y };
    };
    return { rsa: jwk('rsa'), other: jwk('other'), ec: jwk('ec') };
  }

  sign(header: Members, claims: Members, key: KeyName): string {
    return forge(header, claims, header['alg'] as Algorithm, this.#private[key]);
  }
}

/** A provider that runs. */
export interface LocalProvider {
  /** The config with the local addresses and files. */
  readonly config: string;
  token(one: TokenCase): string;
  /** A text with the provider's own addresses again. */
  original(text: string): string;
  /** Answers so far that were refused for want of the bearer token. */
  readonly unauthorised: () => number;
  stop(): Promise<void>;
}

/** What it is made with. */
export interface LocalParts {
  readonly keys: ProviderKeys;
  /** A folder of its own. */
  readonly folder: string;
  readonly certificates: Certificates;
}

/** An address has other ones in it only where it ends: `https://kubernetes.default.svc` is not in `….svc.cluster.local`. */
function exactly(origin: string): RegExp {
  return new RegExp(`${origin.replaceAll('.', '\\.')}(?![\\w.-])`, 'g');
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
}

/** The files of a service account, as they are mounted in a pod. */
function mount({ folder, certificates }: LocalParts, bearer: string): void {
  mkdirSync(folder, { recursive: true });
  copyFileSync(certificates.ca.certFile, join(folder, 'ca.crt'));
  writeFileSync(join(folder, 'token'), `${bearer}\n`);
}

/** Starts a server for each of its origins. Stop it by `stop()`. */
export async function startProvider(provider: Provider, parts: LocalParts): Promise<LocalProvider> {
  const { keys, folder, certificates } = parts;
  const { bearer, key = 'rsa' } = provider;
  const documents = Object.entries(provider.serves(keys.public)).map(
    ([url, body]) => [new URL(url), body] as const,
  );
  let unauthorised = 0;
  let local = (text: string): string => text.replaceAll(SERVICE_ACCOUNT, folder);
  let original = (text: string): string => text;
  const servers: Server[] = [];
  for (const origin of new Set(documents.map(([{ origin: one }]) => one))) {
    const answer: RequestListener = (request, response) => {
      const found = documents.find(([url]) => url.origin === origin && url.pathname === request.url);
      const allowed = bearer === undefined || request.headers.authorization === `Bearer ${bearer}`;
      if (!allowed) unauthorised += 1;
      response.statusCode = allowed ? (found ? 200 : 404) : 401;
      response.setHeader('content-type', 'application/json');
      response.end(response.statusCode === 200 ? local(JSON.stringify(found?.[1])) : '{"kind":"Status"}');
    };
    const tls = { cert: certificates.server.cert, key: certificates.server.key };
    const server = bearer === undefined ? createHttp(answer) : createHttps(tls, answer);
    servers.push(server);
    const here = `${bearer === undefined ? 'http' : 'https'}://127.0.0.1:${await listening(server)}`;
    const [before, back] = [local, original];
    local = (text) => before(text).replace(exactly(origin), here);
    original = (text) => back(text.replaceAll(here, origin));
  }
  if (bearer !== undefined) mount(parts, bearer);
  return {
    config: local(provider.config),
    original,
    token({ header, claims, key: signer = key }) {
      const all = { ...provider.claims(now()), ...claims };
      const said = JSON.parse(local(JSON.stringify(all))) as Members;
      return keys.sign({ ...provider.header, ...header }, said, signer);
    },
    unauthorised: () => unauthorised,
    async stop() {
      for (const server of servers) {
        server.closeAllConnections();
        await new Promise((resolve) => {
          server.close(resolve);
        });
      }
    },
  };
}
