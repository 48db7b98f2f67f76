/** What has been granted and has not expired: kept in the memory of all workers and instances, over reloads. */
import type { Board, BoardChange } from '../../core/index.ts';
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
  readonly revokedAt?: number;
}

/** More at a time are refused: they are forgotten when they expire. */
const MOST = 100_000;

/** One per worker, the same in all. */
export class Grants {
  readonly #board: Board<Grant>;
  readonly #byId = new Map<string, Grant>();

  constructor(board: Board<Grant>) {
    this.#board = board;
    this.#hear({ kind: 'missed' });
    board.watch((change) => this.#hear(change));
  }

  /** @throws Refused when there are too many */
  async add(grant: Grant): Promise<void> {
    if (this.#byId.size >= MOST) this.#forget();
    if (this.#byId.size >= MOST) throw new Refused('busy', 'too many grants at a time', { retryAfter: 60 });
    await this.#board.put(grant.id, grant, { until: grant.expiresAt });
  }

  /** It is good no longer. Of two that say so at once, the first counts. */
  async revoked({ id }: Grant): Promise<void> {
    const grant = this.#board.get(id);
    if (!grant || grant.revokedAt !== undefined) return;
    const revoked = { ...grant, revokedAt: Date.now() };
    const until = grant.expiresAt;
    // The store of a fleet may be away: its token is revoked all the same, and the others hear of it later.
    await this.#board
      .put(id, revoked, { until, expected: grant })
      .catch(() => this.#board.put(id, revoked, { until }));
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

  #hear(change: BoardChange<Grant>): void {
    if (change.kind === 'put') this.#byId.set(change.id, change.value);
    else if (change.kind === 'dropped') this.#byId.delete(change.id);
    else for (const [id, grant] of this.#board.all()) this.#byId.set(id, grant);
  }

  #forget(): void {
    const now = Date.now();
    for (const [id, { expiresAt }] of this.#byId) if (expiresAt <= now) this.#byId.delete(id);
  }
}

function isOf(grant: Grant, { issuer, subject }: Caller): boolean {
  return grant.caller.issuer === issuer && grant.caller.subject === subject;
}
