/** The options of `jwt({ revocations })`, checked once at boot. */
import { bad, checkNames, flag, text, whole } from './option-readers.ts';
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
export function parseRevocations(options: RevocationsOptions = {}): RevocationPolicy {
  checkNames(PATH, options, ['file', 'store', 'failOpen', 'limit']);
  const { file, store } = options;
  if (file !== undefined && store !== undefined) bad(`${PATH}.store`, 'file and store exclude each other');
  if (store !== undefined && typeof (store as Partial<RevocationStore> | null)?.load !== 'function') {
    bad(`${PATH}.store`, 'an object with load, add and remove is needed');
  }
  return {
    ...(file === undefined ? {} : { file: text(`${PATH}.file`, file) }),
    ...(store === undefined ? {} : { store }),
    failOpen: flag(`${PATH}.failOpen`, options.failOpen),
    limit: whole(`${PATH}.limit`, options.limit, 100_000, [1, 1_000_000], 'revocations'),
  };
}
