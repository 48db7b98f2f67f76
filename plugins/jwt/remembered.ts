/** Tokens verified a moment ago, so that a client that opens many connections costs one signature check. */
import { hash } from 'node:crypto';
import type { Identity, TokenRules } from '../../core/index.ts';

/** What a good token says. */
export interface Verified {
  readonly identity: Identity;
  readonly rules: TokenRules;
}

interface Entry {
  /** SHA-256 of the whole text that was verified. */
  readonly digest: string;
  readonly verified: Verified;
  /** `exp` in milliseconds, where nobody can move it: a Date cannot be frozen. */
  readonly until: number;
  /** Whether the keys the token was verified with are still the issuer's. */
  readonly stillGood: () => boolean | Promise<boolean>;
}

/**
 * A bounded memory of tokens, the longest unused forgotten first. Never remembers beyond `exp`. Who has a token can make a
 * second text of it where an ECDSA signature has a twin, (r, n − s): the two share one place, and each is verified itself.
 */
export class RememberedTokens {
  /** By the SHA-256 of header and claims, which are what is signed (RFC 7515 §5.2). */
  readonly #entries = new Map<string, Entry>();
  readonly #limit: number;

  constructor(limit = 1_000) {
    this.#limit = limit;
  }

  /** Undefined for one that has to be verified; at once where nothing has to be asked for that. */
  find(token: string): Verified | undefined | Promise<Verified | undefined> {
    const key = digest(signedPart(token));
    const entry = this.#entries.get(key);
    if (entry?.digest !== digest(token)) return undefined;
    const good = entry.stillGood();
    if (good instanceof Promise) return good.then((late) => this.#found(key, entry, late));
    return this.#found(key, entry, good);
  }

  #found(key: string, entry: Entry, good: boolean): Verified | undefined {
    const fresh = good && entry.until > Date.now();
    if (fresh) this.#keep(key, entry);
    else this.#entries.delete(key);
    if (!fresh) return undefined;
    const { identity, rules } = entry.verified;
    return { identity: { ...identity, expiresAt: new Date(entry.until) }, rules };
  }

  add(token: string, verified: Verified, stillGood: Entry['stillGood']): void {
    const until = verified.identity.expiresAt.getTime();
    this.#keep(digest(signedPart(token)), { digest: digest(token), verified, until, stillGood });
  }

  #keep(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size <= this.#limit) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }
}

function signedPart(token: string): string {
  return token.slice(0, token.lastIndexOf('.'));
}

function digest(text: string): string {
  return hash('sha256', text, 'base64');
}
