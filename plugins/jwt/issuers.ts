/** The configured issuers with their key stores: made once, kept over reloads, let go at the end. */
import path from 'node:path';
import { ConfigError } from '../../core/index.ts';
import type { Disposer, GatewayHandle, KeySetReading } from '../../core/index.ts';
import { KeyCache, openCacheFolder } from './key-cache.ts';
import { keyNote } from './key-note.ts';
import { keySource } from './key-source.ts';
import type { KeySource } from './key-source.ts';
import { KeyStore } from './key-store.ts';
import type { PurgedKeys } from './purged-keys.ts';
import { SharedSource } from './shared-source.ts';
import type { KeysTold } from './shared-source.ts';
import type { IssuerPolicy, Policy } from './policy.ts';
import type { KnownIssuer } from './verify.ts';

/** Open issuers by their exact `iss`. */
export interface OpenIssuers {
  readonly issuers: ReadonlyMap<string, KnownIssuer>;
  /** Stops the stores' background work. */
  readonly close: Disposer;
  /** The keys of every store. */
  readonly readings: () => readonly KeySetReading[];
}

async function storeFor(
  policy: IssuerPolicy,
  source: KeySource,
  gateway: GatewayHandle,
  folder?: string,
): Promise<KeyStore> {
  const { keysOf: issuer, maxStaleMs } = policy;
  const remote = source.kind === 'url' || source.kind === 'discovery';
  const cache = folder !== undefined && remote ? new KeyCache(folder, issuer, source.id ?? '') : undefined;
  const name = `keys ${issuer} ${maxStaleMs} ${folder ?? ''} ${source.id ?? ''}`;
  const board = remote && gateway.worker.of > 1 ? await gateway.board<KeysTold>('fetched keys') : undefined;
  const shared = board ? new SharedSource(source, name, board, gateway) : source;
  const create = () => new KeyStore({ issuer, source: shared, maxStaleMs, cache });
  // A reload must not throw good keys away while the issuer is down.
  return source.id === undefined ? create() : gateway.keep(name, create);
}

async function open(
  place: string,
  policy: IssuerPolicy,
  gateway: GatewayHandle,
  purged: PurgedKeys,
  folder?: string,
): Promise<[KeyStore, Disposer]> {
  const source = keySource({ ...policy, issuer: policy.keysOf }, gateway.directory);
  const store = await storeFor(policy, source, gateway, folder);
  await store.seed(gateway.log, (ageMs) => purged.isOf(store.issuer, ageMs));
  const close = store.open(gateway.log);
  const local = source.kind === 'file' || source.kind === 'inline';
  if (local) await store.refresh();
  const problem = local ? store.problem() : undefined;
  if (problem !== undefined) {
    await close();
    throw new ConfigError(`${place}.jwks: ${problem}`);
  }
  return [store, close];
}

/**
 * Opens a store per issuer: files are read before this returns, URLs in the background.
 * @throws ConfigError if a file cannot be read or has no usable key, or the folder of kept keys cannot be used
 */
export async function openIssuers(
  policy: Policy,
  gateway: GatewayHandle,
  purged: PurgedKeys,
): Promise<OpenIssuers> {
  const folder = policy.cache === undefined ? undefined : path.resolve(gateway.directory, policy.cache);
  if (folder !== undefined) await openCacheFolder(folder);
  const all = gateway.keep('open key stores', () => new Map<KeyStore, number>());
  const issuers = new Map<string, KnownIssuer>();
  /** Those of earlier configs as well. */
  const storesOf = (issuer: string): readonly KeyStore[] => {
    const keysOf = policy.issuers.get(issuer)?.keysOf ?? issuer;
    return [...all.keys()].filter((store) => store.issuer === keysOf);
  };
  const closers: Disposer[] = [];
  const close = async () => {
    for (const closer of closers) await closer();
  };
  const stores = new Map<string, KeyStore>();
  for (const item of policy.issuers.values()) {
    try {
      let store = stores.get(item.keysOf);
      if (!store) {
        // One store for each entry of the config, in its order.
        const [opened, closer] = await open(`jwt.issuers[${stores.size}]`, item, gateway, purged, folder);
        closers.push(closer, counted(all, opened));
        stores.set(item.keysOf, opened);
        store = opened;
      }
      issuers.set(item.issuer, { policy: item, store });
    } catch (error) {
      await close();
      throw error;
    }
  }
  const opened = [...stores.values()];
  for (const store of opened) gateway.ready(() => readiness(store, opened));
  closers.push(purged.open(storesOf));
  const readings = (): readonly KeySetReading[] => [...all.keys()].map(({ reading }) => reading);
  return { issuers, close, readings };
}

/** Whoever comes with a token of another issuer can log in: while one of `all` has keys, this one's problem is a note. */
function readiness(store: KeyStore, all: readonly KeyStore[]): string | { readonly note: string } {
  const problem = store.problem();
  const none = all.every((one) => one.problem() !== undefined);
  if (problem === undefined) return { note: keyNote(store.reading) };
  return none ? problem : { note: problem };
}

/** One more user of the store; the function that it returns takes that back. */
function counted(all: Map<KeyStore, number>, store: KeyStore): Disposer {
  all.set(store, (all.get(store) ?? 0) + 1);
  return () => {
    const left = (all.get(store) ?? 1) - 1;
    if (left > 0) all.set(store, left);
    else all.delete(store);
  };
}
