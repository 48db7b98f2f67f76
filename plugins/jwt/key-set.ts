/** A JSON Web Key Set (RFC 7517 §5) reduced to the public keys that can verify a signature. */
import type { CryptoKey } from 'jose';
import { shown } from '../../core/index.ts';
import type { KeyHint } from './header.ts';
import { TokenRefused } from './refusal.ts';
import { isKeyOf } from './tenants.ts';
import { VerificationKey } from './verification-key.ts';

/** More keys than any issuer rotates through. */
const MAX_KEYS = 100;
/** How many keys may share one `kid`, or have none: each of them costs a signature check. */
const MAX_SAME_KID = 16;
/** Keys and reasons that one line of the log names. */
const MOST_NAMED = 10;

/** A key that is not used, as a line of the log names it: its `kid`, and why. */
export type Skipped = string;

/** The usable keys of an issuer at one moment. */
export class KeySet {
  /** Equal texts are equal sets. */
  readonly text: string;
  /** Every key that is not used. */
  readonly skipped: readonly Skipped[];
  readonly #keys: readonly VerificationKey[];

  constructor(keys: readonly VerificationKey[], skipped: readonly Skipped[]) {
    this.text = `[${keys.map(({ text }) => text).join(',')}]`;
    this.skipped = skipped;
    this.#keys = keys;
  }

  get size(): number {
    return this.#keys.length;
  }

  /** Whether a key has this `kid`, for whatever algorithm. */
  knows(kid: string): boolean {
    return this.#keys.some((key) => key.kid === kid);
  }

  /**
   * The keys a token with this header may be signed with, none included. Where no key has its `kid`, those without any: an
   * issuer with one key need not name it (RFC 7517 §4.5).
   * @throws TokenRefused if the token names no key and there is more than one
   */
  async match({ kid, alg, issuer }: KeyHint): Promise<readonly CryptoKey[]> {
    // Not guessed by the algorithm: it is the token's choice, and the next key may have the same.
    if (kid === undefined && this.size > 1) {
      throw new TokenRefused(`names no key (kid is absent), and the issuer has ${this.size}`);
    }
    const named = kid === undefined || this.knows(kid) ? kid : undefined;
    const fit = this.#keys.filter(
      (key) =>
        (kid === undefined || key.kid === named) &&
        key.algorithms.includes(alg) &&
        isKeyOf(key.issuer, issuer),
    );
    return Promise.all(fit.map((key) => key.for(alg)));
  }

  /** Why no key fits, with those that there are. */
  misfit({ kid, alg, issuer }: KeyHint): string {
    const have = this.#keys.map((key) => {
      const whose = isKeyOf(key.issuer, issuer) ? '' : ` of issuer ${shown(key.issuer)}`;
      return `${nameOf(key.kid)} for ${key.algorithms.join(' ')}${whose}`;
    });
    return `no key of the issuer fits kid ${shown(kid)} and alg ${alg}; it has ${some(have)}`;
  }

  /** How many there are, and which were skipped, for the log. */
  get summary(): object {
    const { size, skipped } = this;
    if (skipped.length === 0) return { keys: size };
    return { keys: size, skipped: skipped.length, skippedKeys: skipped.slice(0, MOST_NAMED) };
  }
}

function nameOf(kid: unknown): string {
  return kid === undefined || kid === null ? 'a key without kid' : shown(kid);
}

function some(texts: readonly string[]): string {
  const more = texts.length - MOST_NAMED;
  return texts.slice(0, MOST_NAMED).join(', ') + (more > 0 ? `, and ${more} more` : '');
}

function entriesOf(document: unknown): readonly unknown[] {
  const known = (typeof document === 'object' && document !== null ? document : {}) as Readonly<
    Record<string, unknown>
  >;
  const { keys, kty } = known;
  if (!Array.isArray(keys)) {
    const single = kty === undefined ? '' : ', and not a key alone';
    throw new Error(`not a key set: an object with a list "keys" is needed${single}`);
  }
  if (keys.length > MAX_KEYS) throw new Error(`more than ${MAX_KEYS} keys`);
  return keys;
}

/** Why a key cannot be used. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : 'not a valid key';
}

/**
 * Reads a key set; keys that are of no use here are skipped. Foreign keys are normal in a set: encryption keys, new kinds.
 * @throws Error with a short reason if it is none, has more than 100 keys, or none of use
 */
export function parseKeySet(document: unknown): KeySet {
  const keys = new Map<string, VerificationKey>();
  const skipped: { readonly kid: unknown; readonly why: string }[] = [];
  for (const jwk of entriesOf(document)) {
    const { kid } = (jwk ?? {}) as { kid?: unknown };
    try {
      const key = new VerificationKey(jwk);
      const same = [...keys.values()].filter((one) => one.kid === key.kid).length;
      if (same >= MAX_SAME_KID && !keys.has(key.text))
        throw new Error(`more than ${MAX_SAME_KID} keys share its kid`);
      keys.set(key.text, key);
    } catch (error) {
      skipped.push({ kid, why: reasonOf(error) });
    }
  }
  if (keys.size === 0) {
    const reasons = [...new Set(skipped.map(({ why }) => why))];
    throw new Error(`no usable key (${reasons.length > 0 ? some(reasons) : 'the set is empty'})`);
  }
  return new KeySet(
    [...keys.values()],
    skipped.map(({ kid, why }) => `${nameOf(kid)}: ${why}`),
  );
}
