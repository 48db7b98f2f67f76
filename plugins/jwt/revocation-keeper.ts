/** Keeps the revocations in force over reloads: in memory for every login of every worker, and in a store for the next start. */
import { ConfigError } from '../../core/index.ts';
import type { Board, BoardChange, Identity, Logger } from '../../core/index.ts';
import type { EndedSessions } from './ended-sessions.ts';
import { RevocationFileOfLead } from './revocation-file-of-lead.ts';
import { RevocationList } from './revocation-list.ts';
import type { RevocationPolicy } from './revocation-policy.ts';
import { reviveRevocation } from './revocation.ts';
import type { Revocation } from './revocation.ts';
import type { RevocationStore } from './revocation-store.ts';

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
  readonly ended: EndedSessions;
}

/** One per worker and store. */
export class RevocationKeeper {
  readonly #list: RevocationList;
  readonly #store: RevocationStore | undefined;
  readonly #board: Board<RevocationTold>;
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

  constructor({ policy: { failOpen, limit }, store, board, ended }: RevocationKeeperOptions) {
    this.#list = new RevocationList(limit);
    this.#store = store;
    this.#board = board;
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
    void this.#settle();
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
   * Puts one in force in all workers, and ends their sessions, before it resolves; `kept` settles as the store does.
   * @throws ListFull
   */
  async add(revocation: Revocation): Promise<{ readonly ended: number; readonly kept: Promise<void> }> {
    const longest = this.#list.longest(revocation);
    const { id, until } = longest;
    this.#list.admit(longest, this.#announced.size);
    this.#arriving.add(id);
    if (!this.#list.has(id)) this.#announced.add(id);
    try {
      await this.#board.put(id, longest, { until });
      const ended = await this.#ended.total(id);
      const kept = this.#keep(id, longest);
      kept.catch(() => {}).finally(() => this.#arriving.delete(id));
      return { ended, kept };
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
    await this.#board.put(id, { removed: true }, { until: found.until });
    await this.#keep(id, { removed: true });
    return true;
  }

  #open(): () => void {
    const closing = [
      this.#ended.open(),
      this.#store instanceof RevocationFileOfLead ? this.#store.open() : undefined,
      this.#board.watch((change) => this.#hear(change)),
      this.#store?.watch?.((change) => {
        if (change === 'missed') void this.#loadAgain();
        else if ('added' in change) this.#admit(change.added);
        else this.#take(change.removed, { removed: true });
      }),
    ];
    this.#hear({ kind: 'missed' });
    return () => {
      for (const close of closing) close?.();
    };
  }

  /** A value leaves the board when it is kept, or over. */
  #hear(change: BoardChange<RevocationTold>): void {
    if (change.kind === 'put') this.#take(change.id, change.value);
    if (change.kind === 'missed') for (const [id, told] of this.#board.all()) this.#take(id, told);
  }

  #take(id: string, told: RevocationTold): void {
    this.#changed?.add(id);
    if ('removed' in told) this.#list.remove(id);
    else this.#ended.add(id, this.#put(reviveRevocation(told)));
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
    const since = JSON.stringify(this.#board.get(id));
    // Where the gateway stops, the board goes as well.
    if (since === JSON.stringify(told)) void this.#board.drop(id).catch(() => {});
  }

  async #load(): Promise<void> {
    this.#changed = new Set(this.#board.all().keys());
    try {
      const found = this.#store ? await inTime(this.#store.load()) : [];
      for (const revocation of found)
        if (revocation.until > Date.now() && !this.#changed.has(revocation.id)) this.#admit(revocation);
    } finally {
      this.#changed = undefined;
    }
    this.#loaded = true;
    await this.#settle();
  }

  /** Keeps what is on the board since it could not be kept. */
  async #settle(): Promise<void> {
    if (!this.#leads || !this.#loaded || !this.#store) return;
    for (const [id, told] of this.#board.all()) {
      if (this.#arriving.has(id)) continue;
      const kept = 'removed' in told ? told : reviveRevocation(told);
      await this.#keep(id, kept).catch((error: unknown) => this.#tellFailed(id, error));
    }
  }

  #tellFailed(id: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : 'the store failed';
    this.#log?.error({ id, reason }, 'revocation not kept');
  }

  async #loadFirst(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      const why = error instanceof Error ? error.message : 'the store failed';
      if (!this.#failOpen) throw new ConfigError(`jwt.revocations: they cannot be read: ${why}`);
      void this.#loadAgain();
    }
  }

  /** Until it works. */
  async #loadAgain(): Promise<void> {
    clearTimeout(this.#retry);
    try {
      await this.#load();
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'the store failed';
      this.#log?.error({ reason }, 'revocations cannot be read: revoked tokens may be accepted');
      if (this.#over) return;
      this.#retry = setTimeout(() => void this.#loadAgain(), RETRY_MS).unref();
    }
  }
}

function inTime<T>(work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${STORE_MS / 1_000} s`)), STORE_MS);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
