/** Periodic work of a pool: closes connections that are old or unused, and keeps the configured minimum open. */
import type { Clock } from './clock.ts';
import type { Limits } from './limits.ts';
import type { Member } from './member.ts';
import { total } from './members.ts';
import type { Members } from './members.ts';
import type { Openings } from './openings.ts';
import type { Sharing } from './sharing.ts';
import type { Wanted } from './wanted.ts';

/** The parts of the pool that upkeep uses. */
export interface UpkeepParts {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly members: Members;
  readonly sharing: Sharing;
  readonly openings: Openings;
  close(member: Member): void;
  /** A request is queued. */
  readonly waiting: () => boolean;
  /** Called at each run, for work that depends on time alone. */
  looked(): void;
}

/** Times between two runs, in milliseconds. */
const [SHORTEST, LONGEST] = [10, 1_000];

/** One per pool. Its timer runs while there are connections. */
export class Upkeep {
  /** False: {@link Limits.min} does not apply. */
  keepsWarm = true;
  readonly #parts: UpkeepParts;
  /** Keys with connections to keep open, the latest used last. */
  readonly #warm = new Map<string, Wanted>();
  #stop: (() => void) | undefined;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  /** A connection is opened for a session: from now on connections of its key are kept open, and the timer runs. */
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

  /** One run. */
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

/** Without references to the session, which may end before the connection. */
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
