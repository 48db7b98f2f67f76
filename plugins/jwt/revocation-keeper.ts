/** Keeps the revocations in force over reloads: in memory for every login of every worker, and in a store for the next start. */
import { ConfigError } from '../../core/index.ts';
import type { Board, BoardChange, Identity, Logger } from '../../core/index.ts';
import type { EndedSessions } from './ended-sessions.ts';
import { RevocationFileOfLead } from './revocation-file-of-lead.ts';
import { RevocationList } from './revocation-list.ts';
import type { RevocationPolicy } from './revocation-policy.ts';
import { reviveRevocation } from './revocation.ts';
import type { Revocation } from './revocation.ts';
import type { RevocationChange, RevocationStore } from './revocation-store.ts';

/** How often a store is asked again that could not be read, in milliseconds. */
const RETRY_MS = 30_000;
/** How long a store may take, in milliseconds: an operator waits for it. */
const STORE_MS = 10_000;

/** Ends the sessions that a new revocation is about; says how many. */
export type EndSessions = (revocation: Revocation) => number;

/** One that the store may not have yet, or that it may still have. */
export type RevocationTold = Revocation | { readonly removed: true };

/** What a keeper is made of. */
export interface RevocationKeeperOptions {
  readonly policy: RevocationPolicy;
  /** Default: the board keeps them. */
  readonly store?: RevocationStore | undefined;
  /** By it all workers have a change before it is answered, and a worker that starts has those that its look at the store missed. */
  readonly board: Board<RevocationTold>;
  /** The board is that of a fleet: it has all that are in force, and a store of this instance has them besides. */
  readonly ofFleet: boolean;
  readonly ended: EndedSessions;
}

/** One per worker and store. */
export class RevocationKeeper {
  readonly #list: RevocationList;
  readonly #store: RevocationStore | undefined;
  readonly #board: Board<RevocationTold>;
  readonly #ofFleet: boolean;
  readonly #ended: EndedSessions;
  readonly #failOpen: boolean;
  readonly #users = new Set<EndSessions>();
  /** On their way to all workers, or into the store. */
  readonly #arriving = new Set<string>();
  /** Of those the ones that are not on the list yet, and have a place there. */
  readonly #announced = new Set<string>();
  /** Changed while the store is read: what it says of them is not the last word. */
  #changed: Set<string> | undefined;
  #log: Logger | undefined;
  #loaded = false;
  #leads = false;
  #retry: NodeJS.Timeout | undefined;
  #close: (() => void) | undefined;
  #over = false;

  constructor(options: RevocationKeeperOptions) {
    const { store, board, ofFleet, ended } = options;
    const { failOpen, limit } = options.policy;
    this.#list = new RevocationList(limit);
    this.#store = store;
    this.#board = board;
    this.#ofFleet = ofFleet;
    this.#ended = ended;
    this.#failOpen = failOpen;
  }

  /**
   * Reads the store unless that has been. `end` hears of each revocation until the function that it returns is called.
   * @throws ConfigError if the store cannot be read, unless it may fail open
   */
  async open(log: Logger, end: EndSessions): Promise<() => void> {
    this.#log = log;
    this.#over = false;
    this.#users.add(end);
    const close = (): void => {
      this.#users.delete(end);
      if (this.#users.size > 0) return;
      this.#over = true;
      clearTimeout(this.#retry);
      this.#close?.();
      this.#close = undefined;
    };
    this.#close ??= this.#open();
    try {
      if (!this.#loaded) await this.#loadFirst();
    } catch (error) {
      close();
      throw error;
    }
    return close;
  }

  /** This worker does what only one may do: it keeps what one that has ended could not. */
  lead(): void {
    this.#leads = true;
    if (!this.#ofFleet) void this.#settle();
    else if (this.#loaded && this.#store) void this.#loadAgain();
  }

  /** Those in force. */
  get all(): readonly Revocation[] {
    return this.#list.all;
  }

  /** The one in force with this id. */
  get(id: string): Revocation | undefined {
    return this.#list.get(id);
  }

  find(identity: Identity): Revocation | undefined {
    return this.#list.find(identity);
  }

  /**
   * Puts one in force in all workers, and ends their sessions, before it resolves; `kept` settles as the store does. `proven` is awaited
   * before sessions are counted: other instances may not have it before.
   * @throws ListFull
   */
  async add(
    revocation: Revocation,
    proven?: () => Promise<unknown>,
  ): Promise<{ readonly ended: number; readonly kept: Promise<void> }> {
    const longest = this.#list.longest(revocation);
    const { id, until } = longest;
    this.#list.admit(longest, this.#announced.size);
    this.#arriving.add(id);
    if (!this.#list.has(id)) this.#announced.add(id);
    try {
      await this.#board.put(id, longest, { until });
      const kept = this.#keep(id, longest);
      kept.catch(() => {}).finally(() => this.#arriving.delete(id));
      await proven?.();
      return { ended: await this.#ended.total(id), kept };
    } catch (error) {
      this.#arriving.delete(id);
      this.#announced.delete(id);
      throw error;
    }
  }

  /** False if there is none with this id. @throws what the store throws: then it may be back after a restart */
  async remove(id: string): Promise<boolean> {
    const found = this.#list.get(id);
    if (!found) return false;
    this.#arriving.add(id);
    try {
      await this.#board.put(id, { removed: true }, { until: found.until });
      await this.#keep(id, { removed: true });
    } finally {
      this.#arriving.delete(id);
    }
    return true;
  }

  #open(): () => void {
    const closing = [
      this.#ended.open(),
      this.#store instanceof RevocationFileOfLead ? this.#store.open() : undefined,
      this.#board.watch((change) => this.#hear(change)),
      this.#store?.watch?.((change) => this.#hearStore(change)),
    ];
    this.#hear({ kind: 'missed' });
    return () => {
      for (const close of closing) close?.();
    };
  }

  /** A value leaves the board when it is kept, or over; that of a fleet when it is over. */
  #hear(change: BoardChange<RevocationTold>): void {
    if (change.kind === 'put') {
      this.#take(change.id, change.value);
      if (this.#ofFleet && this.#leads && this.#loaded) void this.#keepOther(change.id, change.value);
    }
    if (change.kind !== 'missed') return;
    for (const [id, told] of this.#board.all()) this.#take(id, told);
    if (this.#ofFleet && this.#leads && this.#loaded && this.#store) void this.#loadAgain();
  }

  #hearStore(change: RevocationChange | 'missed'): void {
    if (change === 'missed') void this.#loadAgain();
    else if ('added' in change) this.#admit(change.added);
    // Of what a fleet has in force the board is the last word: the store may be late.
    else if (!this.#ofFleet || !this.#board.get(change.removed))
      this.#take(change.removed, { removed: true });
  }

  #take(id: string, told: RevocationTold): void {
    this.#changed?.add(id);
    if ('removed' in told) this.#list.remove(id);
    else if (this.#isInForce(id, told)) this.#ended.add(id, 0);
    else {
      const revocation = this.#read(id, told);
      if (revocation) this.#ended.add(id, this.#put(revocation));
    }
  }

  /** Undefined: another version of the gateway has made it, and this one cannot read it. The others still are in force. */
  #read(id: string, told: Revocation): Revocation | undefined {
    try {
      return reviveRevocation(told);
    } catch (error) {
      this.#log?.error(
        { id, reason: whyOf(error) },
        'a revocation cannot be read: its tokens may be accepted',
      );
      return undefined;
    }
  }

  /** There may be very many on a board that is read anew. */
  #isInForce(id: string, { until }: Revocation): boolean {
    return (this.#list.get(id)?.until ?? -Infinity) >= until;
  }

  /** @throws ListFull */
  #admit(revocation: Revocation): void {
    this.#list.admit(revocation);
    this.#put(revocation);
  }

  #put(revocation: Revocation): number {
    this.#announced.delete(revocation.id);
    this.#list.add(revocation);
    return Math.max(0, ...[...this.#users].map((end) => end(revocation)));
  }

  /** Without a store the board is the only place, and only what is taken back leaves it. */
  async #keep(id: string, told: RevocationTold): Promise<void> {
    const removed = 'removed' in told;
    if (this.#store) await inTime(removed ? this.#store.remove(id) : this.#store.add(told));
    else if (!removed) return;
    // An instance that was away is told by the board what was taken back.
    if (this.#ofFleet) return;
    const since = JSON.stringify(this.#board.get(id));
    // Where the gateway stops, the board goes as well.
    if (since === JSON.stringify(told)) void this.#board.drop(id).catch(() => {});
  }

  async #load(): Promise<void> {
    this.#changed = new Set(this.#board.all().keys());
    let found: readonly Revocation[] = [];
    try {
      if (this.#store) found = await inTime(this.#store.load());
      for (const revocation of found)
        if (revocation.until > Date.now() && !this.#changed.has(revocation.id)) this.#admit(revocation);
    } finally {
      this.#changed = undefined;
    }
    this.#loaded = true;
    if (this.#ofFleet) await this.#join(found);
    else await this.#settle();
  }

  /** Keeps what is on the board since it could not be kept. */
  async #settle(): Promise<void> {
    if (!this.#leads || !this.#loaded || !this.#store) return;
    for (const [id, told] of this.#board.all()) await this.#keepOther(id, told);
  }

  /** Gives the store what the fleet has, and the fleet what the store has. */
  async #join(found: readonly Revocation[]): Promise<void> {
    if (!this.#leads || !this.#store) return;
    const stored = new Map(found.map(({ id, until }) => [id, until]));
    const told = this.#board.all();
    for (const [id, value] of told)
      if ('removed' in value ? stored.has(id) : stored.get(id) !== value.until)
        await this.#keepOther(id, value);
    await this.#tellFleet(found.filter(({ id, until }) => !told.has(id) && until > Date.now()));
  }

  /** Unless the fleet knows better: one may have been taken back while this instance was away. */
  async #tellFleet(revocations: readonly Revocation[]): Promise<void> {
    try {
      for (const revocation of revocations)
        await this.#board.put(revocation.id, revocation, { until: revocation.until, expected: undefined });
    } catch (error) {
      this.#log?.error({ reason: whyOf(error) }, 'revocations not told to the fleet yet');
      this.#loadLater();
    }
  }

  /** What another worker has changed. */
  async #keepOther(id: string, told: RevocationTold): Promise<void> {
    if (this.#arriving.has(id)) return;
    const kept = 'removed' in told ? told : this.#read(id, told);
    if (!kept) return;
    await this.#keep(id, kept).catch((error: unknown) => this.#tellFailed(id, error));
  }

  #tellFailed(id: string, error: unknown): void {
    this.#log?.error({ id, reason: whyOf(error) }, 'revocation not kept');
  }

  async #loadFirst(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      if (!this.#failOpen) throw new ConfigError(`jwt.revocations: they cannot be read: ${whyOf(error)}`);
      void this.#loadAgain();
    }
  }

  /** Until it works. */
  async #loadAgain(): Promise<void> {
    clearTimeout(this.#retry);
    try {
      await this.#load();
    } catch (error) {
      this.#log?.error(
        { reason: whyOf(error) },
        'revocations cannot be read: revoked tokens may be accepted',
      );
      this.#loadLater();
    }
  }

  #loadLater(): void {
    clearTimeout(this.#retry);
    if (!this.#over) this.#retry = setTimeout(() => void this.#loadAgain(), RETRY_MS).unref();
  }
}

const whyOf = (error: unknown): string => (error instanceof Error ? error.message : 'the store failed');

function inTime<T>(work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${STORE_MS / 1_000} s`)), STORE_MS);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
