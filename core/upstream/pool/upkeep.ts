/** What a pool does when nobody asks: ends what is old or unused, and opens what is to be kept warm. */
import type { Clock } from './clock.ts';
import type { Limits } from './limits.ts';
import type { Member } from './member.ts';
import { total } from './members.ts';
import type { Members } from './members.ts';
import type { Openings } from './openings.ts';
import type { Sharing } from './sharing.ts';
import type { Wanted } from './wanted.ts';

/** What upkeep looks after. */
export interface UpkeepParts {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly members: Members;
  readonly sharing: Sharing;
  readonly openings: Openings;
  close(member: Member): void;
  /** Somebody is in the queue. */
  readonly waiting: () => boolean;
  /** Called at each look, for what depends on time alone. */
  looked(): void;
}

/** Times between two looks, in milliseconds. */
const [SHORTEST, LONGEST] = [10, 1_000];

/** One per pool. Its timer runs while there is something to look at. */
export class Upkeep {
  /** False: {@link Limits.min} does not count. */
  keepsWarm = true;
  readonly #parts: UpkeepParts;
  /** By key, the latest used last. */
  readonly #warm = new Map<string, Wanted>();
  #stop: (() => void) | undefined;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  /** A connection is opened for a session: its key will be kept warm, and the timer runs. */
  used(wanted: Wanted): void {
    const { min, size, idleMs, lifetimeMs } = this.#parts.limits;
    const ms = Math.min(Math.max(Math.min(idleMs, lifetimeMs) / 4, SHORTEST), LONGEST);
    this.#stop ??= this.#parts.clock.every(ms, () => this.look());
    if (min === 0 || !wanted.key.pooled) return;
    this.#warm.delete(wanted.key.text);
    this.#warm.set(wanted.key.text, withoutSession(wanted));
    const most = Math.max(1, Math.floor(size / min));
    for (const text of this.#warm.keys()) if (this.#warm.size > most) this.#warm.delete(text);
  }

  /** Looks after everything once. */
  look(): void {
    const { limits, clock, members, sharing, waiting } = this.#parts;
    const now = clock.now();
    for (const member of members.all('idle')) {
      const spare = this.#alive(member.key.text) > (this.#keepsWarm(member) ? limits.min : 0);
      if (
        now >= member.expiresAt ||
        sharing.spent(member) ||
        (spare && now - member.idleSince >= limits.idleMs)
      )
        this.#parts.close(member);
    }
    if (this.keepsWarm) for (const wanted of this.#warm.values()) this.#warmUp(wanted);
    this.#parts.looked();
    if (members.size === 0 && !waiting() && (!this.keepsWarm || this.#warm.size === 0)) this.stop();
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #keepsWarm({ key }: Member): boolean {
    return this.keepsWarm && this.#warm.has(key.text);
  }

  #warmUp(wanted: Wanted): void {
    const { limits, members, openings } = this.#parts;
    const { role, text } = wanted.key;
    while (
      this.#alive(text) < limits.min &&
      members.size < limits.size &&
      total(members.ofRole(role)) < limits.perRole &&
      !openings.busy &&
      !openings.refusal(role) &&
      openings.begin(wanted)
    );
  }

  #alive(text: string): number {
    const counts = this.#parts.members.ofKey({ text });
    return total(counts) - counts.closing;
  }
}

/** A session that is over must not be held for the sake of a connection. */
function withoutSession({ key, owner, request }: Wanted): Wanted {
  const { database, upstream } = request;
  const nobody = { user: '', database: '', parameters: {} };
  return {
    key,
    owner: { ...owner, holder: undefined },
    request: { database, upstream: { ...upstream, onCheckout: [] }, startup: nobody, signal: NEVER },
  };
}

const NEVER = new AbortController().signal;
