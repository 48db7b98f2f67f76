/** An OAuth 2.0 authorization server with the device flow (RFC 8628) on loopback, and a browser that logs in there. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Certificates } from './certificates.ts';

/** One that runs. */
export interface AuthorizationServer {
  readonly issuer: string;
  /** Requests that it has got, as `POST /token`. */
  readonly requests: readonly string[];
  /** Types in a code and logs in, as a person does in a browser; rejects where the last page does not say success. */
  approve(address: string, code: string, login: string): Promise<void>;
  close(): void;
}

/** The public client of psql. */
export const CLIENT_ID = 'psql';

const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';

/** Access tokens are JWTs for `audience` with the claim `role: 'reader'`, and last five minutes. */
function configuration(audience: string): object {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const info = { audience, scope: 'postern', accessTokenFormat: 'jwt', accessTokenTTL: 300 };
  return {
    clients: [
      {
        client_id: CLIENT_ID,
        token_endpoint_auth_method: 'none',
        id_token_signed_response_alg: 'ES256',
        grant_types: [DEVICE_CODE],
        redirect_uris: [],
        response_types: [],
      },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256', use: 'sig' }] },
    cookies: { keys: ['of a test'] },
    scopes: ['openid', 'postern'],
    features: {
      deviceFlow: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:postern',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({ ...info, jwt: { sign: { alg: 'ES256' } } }),
      },
    },
    findAccount: (_: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id }) }),
    extraTokenClaims: () => ({ role: 'reader' }),
  };
}

/** Starts one with the certificate of `localhost`. */
export async function startAuthorizationServer(
  files: Certificates,
  audience = 'postern',
): Promise<AuthorizationServer> {
  const requests: string[] = [];
  const server = https.createServer({ cert: files.server.cert, key: files.server.key });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `https://localhost:${(server.address() as AddressInfo).port}`;
  // It says something of itself when it is loaded, which only its own tests should see.
  const { default: Provider } = await import('oidc-provider');
  const answer = new Provider(issuer, configuration(audience)).callback();
  server.on('request', (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  return {
    issuer,
    requests,
    approve: (address, code, login) => new Browser(files.ca.cert).approve(address, code, login),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

interface Page {
  readonly url: URL;
  readonly html: string;
}

/** As much of a browser as forms and cookies need. */
class Browser {
  readonly #ca: string;
  readonly #cookies = new Map<string, string>();

  constructor(ca: string) {
    this.#ca = ca;
  }

  async approve(address: string, code: string, login: string): Promise<void> {
    let page = await this.#open(new URL(address));
    // The code, its confirmation, the login, the consent.
    for (let forms = 0; forms < 4; forms += 1) {
      page = await this.#submit(page, { user_code: code, login, password: 'any', confirm: 'yes' });
    }
    if (!/success/i.test(page.html)) throw new Error(`the last page is ${page.url.href}: ${page.html}`);
  }

  /** Fills the first form of a page in and sends it. */
  async #submit({ url, html }: Page, values: Readonly<Record<string, string>>): Promise<Page> {
    const [form = '', action = ''] = /<form[^>]*action="([^"]*)".*?<\/form>/s.exec(html) ?? [];
    if (form === '') throw new Error(`no form at ${url.href}: ${html}`);
    const fields = [...form.matchAll(/<input[^>]*>/g)].flatMap(([input]) => {
      const name = /name="([^"]*)"/.exec(input)?.[1];
      if (name === undefined) return [];
      return [[name, values[name] ?? /value="([^"]*)"/.exec(input)?.[1] ?? ''] as const];
    });
    // A button that is pressed has its name and value sent as well.
    const pressed = /<button[^>]*name="([^"]*)"[^>]*value="([^"]*)"/.exec(form);
    if (pressed) fields.push([pressed[1] ?? '', pressed[2] ?? '']);
    return this.#open(new URL(action, url), new URLSearchParams(Object.fromEntries(fields)));
  }

  async #open(url: URL, form?: URLSearchParams): Promise<Page> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = {
      cookie,
      ...(form && { 'content-type': 'application/x-www-form-urlencoded', origin: url.origin }),
    };
    const request = https.request(url, { ca: this.#ca, method: form ? 'POST' : 'GET', headers });
    request.end(form?.toString());
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    for (const set of response.headers['set-cookie'] ?? []) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(set) ?? [];
      if (value === '') this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    const chunks = (await response.toArray()) as Buffer[];
    const { location } = response.headers;
    if (location !== undefined) return this.#open(new URL(location, url));
    return { url, html: Buffer.concat(chunks).toString() };
  }
}
