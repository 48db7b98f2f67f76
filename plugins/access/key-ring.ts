/** Signing keys that follow one another: each is published before it signs, and until all it has signed has expired. */
import { createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** The one algorithm here (RFC 7518 §3.4). */
export const ALGORITHM = 'ES256';

/** One key. */
export interface SigningKey {
  /** Its `kid` (RFC 7517 §4.5). */
  readonly kid: string;
  readonly privateKey: KeyObject;
  /** When it begins to sign, in milliseconds since the epoch. */
  readonly from: number;
}

/** When keys change; in milliseconds. */
export interface Schedule {
  /** How long each one signs. */
  readonly rotateMs: number;
  /** How long it is published before. */
  readonly aheadMs: number;
  /** How long what it signs may live. */
  readonly lifetimeMs: number;
}

/** How far clocks may be apart, in milliseconds. */
const SKEW_MS = 60_000;

function made(from: number): SigningKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { kid: randomUUID(), privateKey, from };
}

/** Times are in milliseconds since the epoch. */
export class KeyRing {
  #keys: readonly SigningKey[];

  /** @param keys those of an earlier run. Default: none */
  constructor(keys: readonly SigningKey[] = []) {
    this.#keys = keys.toSorted((a, b) => a.from - b.from);
  }

  /** The oldest first. */
  get keys(): readonly SigningKey[] {
    return this.#keys;
  }

  /** Makes the key that is due, and drops those whose tokens have expired. True if that changed anything. */
  turn({ rotateMs, aheadMs, lifetimeMs }: Schedule, now: number): boolean {
    const newest = this.#keys.at(-1);
    const next: SigningKey[] = [];
    if (!newest) next.push(made(now));
    // After a long rest the old one goes on until the new one has been published long enough.
    else if (now >= newest.from + rotateMs - aheadMs)
      next.push(made(Math.max(newest.from + rotateMs, now + aheadMs)));
    const all = [...this.#keys, ...next];
    const left = all.filter((_, index) => {
      const end = all[index + 1]?.from ?? Infinity;
      return now < end + lifetimeMs + SKEW_MS;
    });
    const changed = next.length > 0 || left.length < all.length;
    if (changed) this.#keys = left;
    return changed;
  }

  /** The key that signs now. @throws Error before the first {@link turn} */
  current(now: number): SigningKey {
    const key = this.#keys.findLast(({ from }) => from <= now) ?? this.#keys[0];
    if (!key) throw new Error('there is no signing key');
    return key;
  }

  /** The public keys as a JSON Web Key Set (RFC 7517 §5). */
  published(): { readonly keys: readonly object[] } {
    return {
      keys: this.#keys.map(({ kid, privateKey }) => ({
        ...createPublicKey(privateKey).export({ format: 'jwk' }),
        kid,
        alg: ALGORITHM,
        use: 'sig',
      })),
    };
  }
}
