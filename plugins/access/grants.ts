/** What has been granted and has not expired: kept in memory, over reloads. */
import type { Caller } from './callers.ts';
import { Refused } from './refused.ts';

/** One grant. Times are in milliseconds since the epoch. The token is not in it. */
export interface Grant {
  /** The token's `jti`. */
  readonly id: string;
  readonly caller: Pick<Caller, 'issuer' | 'subject' | 'name'>;
  readonly database: string;
  readonly role: string;
  readonly reason: string | undefined;
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** Absent while it is good. */
  revokedAt?: number;
}

/** More at a time are refused: they are forgotten when they expire. */
const MOST = 100_000;

/** One per gateway. */
export class Grants {
  readonly #byId = new Map<string, Grant>();

  /** @throws Refused when there are too many */
  add(grant: Grant): void {
    if (this.#byId.size >= MOST) this.#forget();
    if (this.#byId.size >= MOST) throw new Refused('busy', 'too many grants at a time', { retryAfter: 60 });
    this.#byId.set(grant.id, grant);
  }

  /** Those of one caller, or all; the newest first. */
  list(caller?: Caller): readonly Grant[] {
    this.#forget();
    const all = [...this.#byId.values()].toReversed();
    return caller ? all.filter((grant) => isOf(grant, caller)) : all;
  }

  /** With a caller only if it is theirs. */
  find(id: string, caller?: Caller): Grant | undefined {
    const grant = this.#byId.get(id);
    if (!grant || grant.expiresAt <= Date.now()) return undefined;
    return caller && !isOf(grant, caller) ? undefined : grant;
  }

  #forget(): void {
    const now = Date.now();
    for (const [id, { expiresAt }] of this.#byId) if (expiresAt <= now) this.#byId.delete(id);
  }
}

function isOf(grant: Grant, { issuer, subject }: Caller): boolean {
  return grant.caller.issuer === issuer && grant.caller.subject === subject;
}
