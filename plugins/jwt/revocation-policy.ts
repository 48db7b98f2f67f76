/** The options of `jwt({ revocations })`, checked once at boot. */
import { badOption, readFlag, readInteger, readObject, readText } from '../../core/index.ts';
import type { RevocationsOptions } from './options.ts';
import type { RevocationStore } from './revocation-store.ts';

/** Where revocations are kept, and how many. */
export interface RevocationPolicy {
  /** As it stands in the config. */
  readonly file?: string;
  readonly store?: RevocationStore;
  readonly failOpen: boolean;
  readonly limit: number;
}

const PATH = 'jwt.revocations';

/** Reads the options. @throws ConfigError */
export function parseRevocations(given: RevocationsOptions = {}): RevocationPolicy {
  const options = readObject<RevocationsOptions>(PATH, given, ['file', 'store', 'failOpen', 'limit']);
  const { file, store, failOpen = false, limit = 100_000 } = options;
  if (file !== undefined && store !== undefined)
    badOption(`${PATH}.store`, 'file and store exclude each other');
  if (store !== undefined && typeof (store as Partial<RevocationStore> | null)?.load !== 'function') {
    badOption(`${PATH}.store`, 'an object with load, add and remove is needed');
  }
  return {
    ...(file === undefined ? {} : { file: readText(`${PATH}.file`, file) }),
    ...(store === undefined ? {} : { store }),
    failOpen: readFlag(`${PATH}.failOpen`, failOpen),
    limit: readInteger(`${PATH}.limit`, limit, { most: 1_000_000, of: 'revocations' }),
  };
}
