/** The configured issuers with their key stores: made once, kept over reloads, let go at the end. */
import { ConfigError } from '../../core/index.ts';
import type { Disposer, GatewayHandle } from '../../core/index.ts';
import { keySource } from './key-source.ts';
import type { KeySource } from './key-source.ts';
import { KeyStore } from './key-store.ts';
import type { IssuerPolicy, Policy } from './policy.ts';
import type { KnownIssuer } from './verify.ts';

/** Open issuers by their exact `iss`. */
export interface OpenIssuers {
  readonly issuers: ReadonlyMap<string, KnownIssuer>;
  /** Stops the stores' background work. */
  readonly close: Disposer;
}

function storeFor(policy: IssuerPolicy, source: KeySource, gateway: GatewayHandle): KeyStore {
  const { issuer, maxStaleMs } = policy;
  const create = () => new KeyStore({ issuer, source, maxStaleMs });
  // A reload must not throw good keys away while the issuer is down.
  return source.id === undefined
    ? create()
    : gateway.keep(`keys ${issuer} ${maxStaleMs} ${source.id}`, create);
}

async function open(
  path: string,
  policy: IssuerPolicy,
  gateway: GatewayHandle,
): Promise<[KnownIssuer, Disposer]> {
  const source = keySource(policy.jwks, gateway.directory, policy.ca);
  const store = storeFor(policy, source, gateway);
  const close = store.open(gateway.log);
  gateway.ready(() => store.problem());
  const local = source.kind === 'file' || source.kind === 'inline';
  if (local) await store.refresh();
  const problem = local ? store.problem() : undefined;
  if (problem !== undefined) {
    await close();
    throw new ConfigError(`${path}.jwks: ${problem}`);
  }
  return [{ policy, store }, close];
}

/**
 * Opens a store per issuer: files are read before this returns, URLs in the background.
 * @throws ConfigError if a file cannot be read or has no usable key
 */
export async function openIssuers(policy: Policy, gateway: GatewayHandle): Promise<OpenIssuers> {
  const issuers = new Map<string, KnownIssuer>();
  const closers: Disposer[] = [];
  const close = async () => {
    for (const closer of closers) await closer();
  };
  for (const [index, item] of [...policy.issuers.values()].entries()) {
    try {
      const [known, closer] = await open(`jwt.issuers[${index}]`, item, gateway);
      issuers.set(item.issuer, known);
      closers.push(closer);
    } catch (error) {
      await close();
      throw error;
    }
  }
  return { issuers, close };
}
