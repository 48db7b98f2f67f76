/** Keeps the revocations in force over reloads: in memory for every login, and in a store for the next start. */
import { ConfigError } from '../../core/index.ts';
import type { Identity, Logger } from '../../core/index.ts';
import { RevocationList } from './revocation-list.ts';
import type { RevocationPolicy } from './revocation-policy.ts';
import type { Revocation } from './revocation.ts';
import type { RevocationStore } from './revocation-store.ts';

/** How often a store is asked again that could not be read, in milliseconds. */
const RETRY_MS = 30_000;
/** How long a store may take, in milliseconds: an operator waits for it. */
const STORE_MS = 10_000;

/** Ends the sessions that a new revocation is about; says how many. */
export type EndSessions = (revocation: Revocation) => number;

/** One per gateway and store. */
export class RevocationKeeper {
  readonly #list: RevocationList;
  readonly #store: RevocationStore | undefined;
  readonly #failOpen: boolean;
  readonly #users = new Set<EndSessions>();
  #log: Logger | undefined;
  #loaded = false;
  #retry: NodeJS.Timeout | undefined;
  #unwatch: (() => void) | undefined;
  #over = false;

  constructor({ failOpen, limit }: RevocationPolicy, store: RevocationStore | undefined) {
    this.#list = new RevocationList(limit);
    this.#store = store;
    this.#failOpen = failOpen;
  }

  /**
   * Reads the store unless that has been. `end` hears of each revocation until the function that it returns is called.
   * @throws ConfigError if the store cannot be read, unless it may fail open
   */
  async open(log: Logger, end: EndSessions): Promise<() => void> {
    this.#log = log;
    this.#over = false;
    if (!this.#loaded) await this.#loadFirst();
    this.#users.add(end);
    this.#unwatch ??= this.#store?.watch?.((change) => {
      if (change === 'missed') void this.#loadAgain();
      else if ('added' in change) this.#put(change.added);
      else this.#list.remove(change.removed);
    });
    return () => {
      this.#users.delete(end);
      if (this.#users.size > 0) return;
      this.#over = true;
      clearTimeout(this.#retry);
      this.#unwatch?.();
      this.#unwatch = undefined;
    };
  }

  /** Those in force. */
  get all(): readonly Revocation[] {
    return this.#list.all;
  }

  find(identity: Identity): Revocation | undefined {
    return this.#list.find(identity);
  }

  /**
   * Puts one in force, and ends sessions, before this returns; `kept` settles as the store does.
   * @throws ListFull
   */
  add(revocation: Revocation): { readonly ended: number; readonly kept: Promise<void> } {
    const ended = this.#put(revocation);
    return { ended, kept: this.#keep((store) => store.add(revocation)) };
  }

  /** False if there is none with this id. @throws what the store throws: then it may be back after a restart */
  async remove(id: string): Promise<boolean> {
    const removed = this.#list.remove(id);
    if (removed) await this.#keep((store) => store.remove(id));
    return removed !== undefined;
  }

  #put(revocation: Revocation): number {
    this.#list.add(revocation);
    return Math.max(0, ...[...this.#users].map((end) => end(revocation)));
  }

  async #keep(work: (store: RevocationStore) => Promise<void>): Promise<void> {
    if (this.#store) await inTime(work(this.#store));
  }

  async #load(): Promise<void> {
    const found = this.#store ? await inTime(this.#store.load()) : [];
    const known = new Set(found.map(({ id }) => id));
    // Made while the store could not be read.
    const missing = this.#loaded ? [] : this.#list.all.filter(({ id }) => !known.has(id));
    for (const revocation of found) if (revocation.until > Date.now()) this.#put(revocation);
    this.#loaded = true;
    for (const revocation of missing) await this.#keep((store) => store.add(revocation));
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
