/** Tokens verified a moment ago, so that a client that opens many connections costs one signature check. */
import { hash } from 'node:crypto';
import type { Identity, TokenRules } from '../../core/index.ts';

/** What a good token says. */
export interface Verified {
  readonly identity: Identity;
  readonly rules: TokenRules;
}

interface Entry {
  readonly verified: Verified;
  /** `exp` in milliseconds, where nobody can move it: a Date cannot be frozen. */
  readonly until: number;
  /** Whether the keys the token was verified with are still the issuer's. */
  readonly stillGood: () => Promise<boolean>;
}

/** A bounded memory of tokens by their SHA-256, the longest unused forgotten first. Never remembers beyond `exp`. */
export class RememberedTokens {
  readonly #entries = new Map<string, Entry>();
  readonly #limit: number;

  constructor(limit = 1_000) {
    this.#limit = limit;
  }

  async find(token: string): Promise<Verified | undefined> {
    const key = digest(token);
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    const fresh = (await entry.stillGood()) && entry.until > Date.now();
    if (fresh) this.#keep(key, entry);
    else this.#entries.delete(key);
    if (!fresh) return undefined;
    const { identity, rules } = entry.verified;
    return { identity: { ...identity, expiresAt: new Date(entry.until) }, rules };
  }

  add(token: string, verified: Verified, stillGood: () => Promise<boolean>): void {
    this.#keep(digest(token), { verified, until: verified.identity.expiresAt.getTime(), stillGood });
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

function digest(token: string): string {
  return hash('sha256', token, 'base64');
}
