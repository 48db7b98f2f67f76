/** All connections of a pool, counted by state, role and key. */
import type { ServerConnection } from '../connection.ts';
import { Member } from './member.ts';
import type { Counts, MemberState, Owner } from './member.ts';
import type { EndSignal } from './wanted.ts';
import type { PoolKey } from './key.ts';
import type { Sharing } from './sharing.ts';

const none = (): Counts => ({ opening: 0, idle: 0, resetting: 0, lent: 0, closing: 0 });

/** How many there are in all states together. */
export const total = (counts: Readonly<Counts>): number =>
  counts.opening + counts.idle + counts.resetting + counts.lent + counts.closing;

/** The only place that changes a member's state, so that the counts stay right. */
export class Members {
  /** Called when the last session in transaction mode has ended, see {@link attend}. */
  abandoned: () => void = () => {};
  #patrons = 0;
  /** How many have had to stay with their session so far. */
  pins = 0;
  readonly #counts = none();
  readonly #all = new Set<Member>();
  readonly #roles = new Map<string, Counts>();
  readonly #keys = new Map<string, Counts>();
  /** By key; the longest idle first. */
  readonly #idle = new Map<string, Member[]>();

  get size(): number {
    return this.#all.size;
  }

  get counts(): Readonly<Counts> {
    return this.#counts;
  }

  /** How many there are of a role. */
  ofRole(role: string): Readonly<Counts> {
    return this.#roles.get(role) ?? none();
  }

  /** How many there are of a key. */
  ofKey(key: Pick<PoolKey, 'text'>): Readonly<Counts> {
    return this.#keys.get(key.text) ?? none();
  }

  /** A copy. */
  all(state?: MemberState): readonly Member[] {
    return [...this.#all].filter((member) => state === undefined || member.state === state);
  }

  add(key: PoolKey, expiresAt: number): Member {
    const counts = [this.#counts, countsIn(this.#roles, key.role), countsIn(this.#keys, key.text)];
    const idle = this.#idle.get(key.text) ?? [];
    this.#idle.set(key.text, idle);
    const member = new Member(key, expiresAt, counts, idle);
    this.#all.add(member);
    for (const each of counts) each[member.state] += 1;
    return member;
  }

  remove(member: Member): void {
    if (!this.#all.delete(member)) return;
    const { role, text } = member.key;
    this.#unlist(member);
    for (const each of member.counts) each[member.state] -= 1;
    if (total(this.ofRole(role)) === 0) this.#roles.delete(role);
    if (total(this.ofKey(member.key)) > 0) return;
    this.#keys.delete(text);
    this.#idle.delete(text);
  }

  become(member: Member, state: MemberState): void {
    this.#unlist(member);
    for (const each of member.counts) {
      count(each, member.state, -1);
      count(each, state, 1);
    }
    member.state = state;
    if (state === 'idle') member.idleOnes.push(member);
  }

  /** A session in transaction mode uses the pool until `signal` is aborted. */
  attend(signal: EndSignal): void {
    if (signal.aborted) return;
    this.#patrons += 1;
    const leave = (): void => {
      this.#patrons -= 1;
      if (this.#patrons === 0) this.abandoned();
    };
    signal.addEventListener('abort', leave, { once: true });
  }

  /** The number of sessions in transaction mode. */
  get patrons(): number {
    return this.#patrons;
  }

  /** A lent one has to stay with its session until that ends; once per session. */
  stays(connection: ServerConnection, why: string): void {
    this.pins += 1;
    for (const member of this.#all) if (member.connection === connection) member.stays = why;
  }

  /** The idle one of a key that suits best: of the same session, of the same identity, or a clean one; the latest used. */
  suiting(key: PoolKey, next: Owner, sharing: Sharing): Member | undefined {
    const idle = this.#idle.get(key.text);
    if (!idle) return undefined;
    const { fingerprint, holder } = next;
    const last = (suits: (owner: Owner | undefined) => boolean): Member | undefined =>
      idle.findLast((member) => suits(member.owner) && sharing.fits(member, next));
    return (
      (holder && last((owner) => owner?.holder === holder)) ??
      (sharing.resetsAlways ? undefined : last((owner) => owner?.fingerprint === fingerprint)) ??
      last((owner) => owner === undefined)
    );
  }

  /** The idle one of a key that has carried another session's state for longest, and may serve `next` after a reset. */
  usedLongestAgo(key: PoolKey, next: Owner, sharing: Sharing): Member | undefined {
    return this.#idle.get(key.text)?.find((member) => member.owner && sharing.fits(member, next));
  }

  /** The idle one that has been unused for longest, of a role or of all. */
  idleLongest(role?: string): Member | undefined {
    let oldest: Member | undefined;
    for (const [first] of this.#idle.values()) {
      if (!first || (role !== undefined && first.key.role !== role)) continue;
      if (!oldest || first.idleSince < oldest.idleSince) oldest = first;
    }
    return oldest;
  }

  #unlist(member: Member): void {
    if (member.state !== 'idle') return;
    const { idleOnes } = member;
    if (idleOnes.at(-1) === member) idleOnes.pop();
    else idleOnes.splice(idleOnes.indexOf(member), 1);
  }
}

/** By name each: a member that is chosen by a variable is looked up in a table, and this is done four times per transaction. */
function count(counts: Counts, state: MemberState, by: 1 | -1): void {
  switch (state) {
    case 'idle':
      counts.idle += by;
      break;
    case 'lent':
      counts.lent += by;
      break;
    case 'resetting':
      counts.resetting += by;
      break;
    case 'opening':
      counts.opening += by;
      break;
    case 'closing':
      counts.closing += by;
  }
}

function countsIn(where: Map<string, Counts>, name: string): Counts {
  const counts = where.get(name) ?? none();
  where.set(name, counts);
  return counts;
}
