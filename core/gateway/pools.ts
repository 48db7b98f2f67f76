/** The pool for a database entry, however the config says it: by name, by `'*'`, or by a function. */
import type { DatabaseOptions } from '../contract/database.ts';
import type { Disposer, Logger } from '../contract/session.ts';
import { Pool } from '../upstream/pool/pool.ts';
import type { SlotLimits } from '../upstream/pool/connection-slots.ts';
import type { SharedSlots } from '../workers/coordination.ts';
import { databaseText } from './same-database.ts';
import type { OutdatedReports } from './outdated-reports.ts';
import type { RefusedLogins } from './refused-logins.ts';
import { entryOfKey, slotKey } from './slot-key.ts';

/** A pool with the entry it is for. */
export interface EntryPool {
  /** The key of `databases`, or the name that `'*'` or the function served. */
  readonly entry: string;
  readonly pool: Pool;
}

/** What the pools of several workers share. */
export interface SharedWithPools {
  /** Their connections together. */
  readonly slots: SharedSlots;
  /** Default: each pool knows its own. */
  readonly refusedLogins?: RefusedLogins | undefined;
  /** Default: as `refusedLogins`. */
  readonly outdatedReports?: OutdatedReports | undefined;
}

/** All pools of the gateway. A function that gives equal entries for a name gives one pool. */
export class Pools {
  readonly #log: Logger;
  readonly #shared: SharedWithPools | undefined;
  readonly #inUse: () => ReadonlySet<Pool>;
  /** By the key of `databases`, then by what the entry says. */
  readonly #byEntry = new Map<string, Map<string, Pool>>();
  /** What an entry says: those of a config are the same objects at each login. */
  readonly #texts = new WeakMap<DatabaseOptions, string>();
  /** Pools of removed entries: they close their connections, and stay while a session may request one. */
  readonly #retired = new Map<Pool, string>();
  /** Entries that an operator has paused, pools or not. */
  readonly #paused = new Set<string>();
  #allPaused = false;
  #connected = false;
  readonly #watching = new Set<() => Promise<void>>();
  /** Entries that an operator lets no new session to, pools or not. */
  readonly #disabled = new Set<string>();

  /**
   * `inUse`: pools that sessions may come to, whatever there is in them now. Default: none. `shared`: with other workers. Default: there is
   * one worker.
   */
  constructor(log: Logger, inUse: () => ReadonlySet<Pool> = () => new Set(), shared?: SharedWithPools) {
    this.#log = log;
    this.#shared = shared;
    this.#inUse = inUse;
    shared?.outdatedReports?.hear((key, what) => this.#ofKey(key)?.reported.drop(what));
  }

  /** Before the first client. @throws Error where the gateway stops meanwhile */
  async begin(): Promise<void> {
    await this.#shared?.refusedLogins?.begin();
  }

  /** Finds or makes the pool. A pool whose entry has changed stays until its last connection is closed. */
  for(entry: string, database: DatabaseOptions): Pool {
    const text = this.#textOf(database);
    const known = this.#byEntry.get(entry)?.get(text);
    if (known) {
      known.keepMinimum(true);
      return known;
    }
    this.#forgetUnused();
    return this.#make(entry, database, text);
  }

  /** Every pool in use, for those who watch them. */
  all(): readonly Pool[] {
    return [...this.#each()].map(({ pool }) => pool);
  }

  /** Every pool there is with its entry, the retired ones as well. */
  everyOne(): readonly EntryPool[] {
    this.#forgetRetired();
    const retired = [...this.#retired].map(([pool, entry]) => ({ entry, pool }));
    return [...this.#each(), ...retired];
  }

  /** Whether any of them has had a server connection since the start. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Whether an operator has paused the entry; without a name, whether all of them are paused. */
  isPaused(entry?: string): boolean {
    return this.#allPaused || (entry !== undefined && this.#paused.has(entry));
  }

  /** Entries that were paused by their name. */
  get pausedEntries(): readonly string[] {
    return [...this.#paused];
  }

  /** Whether an operator lets no new session to the entry. */
  isDisabled(entry: string): boolean {
    return this.#disabled.has(entry);
  }

  /** Entries that are so. */
  get disabledEntries(): readonly string[] {
    return [...this.#disabled];
  }

  /** Lets no new session to an entry; those that are open go on. */
  disable(entry: string): void {
    this.#disabled.add(entry);
  }

  /** Takes that back. */
  enable(entry: string): void {
    this.#disabled.delete(entry);
  }

  /** Pauses an entry, or all of them, pools that are made later included. Resolves when no connection is left. */
  async pause(entry?: string): Promise<void> {
    if (entry === undefined) this.#allPaused = true;
    else this.#paused.add(entry);
    await Promise.all([...this.#of(entry).map(({ pool }) => pool.pause()), this.#told()]);
  }

  /** Takes a pause back; an entry that was paused by its name stays so when all are resumed. */
  resume(entry?: string): void {
    if (entry === undefined) this.#allPaused = false;
    else this.#paused.delete(entry);
    for (const one of this.#of(entry)) if (!this.isPaused(one.entry)) one.pool.resume();
    void this.#told();
  }

  /**
   * Whoever has connections of their own to an entry is told when another one may be paused ({@link isPaused}). `changed` resolves
   * when its connections to paused entries are closed, and never rejects.
   */
  watchPauses(changed: () => Promise<void>): Disposer {
    this.#watching.add(changed);
    return () => void this.#watching.delete(changed);
  }

  /** Has every connection of an entry, or of all, replaced once it is free. */
  reconnect(entry?: string): void {
    for (const { pool } of this.#of(entry)) pool.reconnect();
  }

  /** Resolves when every connection of an entry, or of all, that has to be closed is. Rejects with the signal's reason. */
  async replaced(entry: string | undefined, signal: AbortSignal): Promise<void> {
    await Promise.all(this.#of(entry).map(({ pool }) => pool.pendingCloses.ofReplaced(signal)));
  }

  /**
   * Retires the pools whose entry `find` does not know any more, or knows as another one: idle connections are closed now, lent
   * ones at check-in. A changed entry stays paused or disabled, a removed one does not. Resolves when the pools have been
   * retired. Never rejects.
   */
  async retain(find: (entry: string) => Promise<DatabaseOptions | undefined>): Promise<void> {
    for (const held of [this.#paused, this.#disabled]) {
      for (const entry of held) if (await isGone(find, entry)) held.delete(entry);
    }
    void this.#told();
    for (const { entry, text, pool } of this.#each()) {
      const now = await find(entry).catch(() => undefined);
      if (now && this.#textOf(now) === text) continue;
      // It may have been removed meanwhile, and replaced by another one.
      if (this.#byEntry.get(entry)?.get(text) !== pool) continue;
      this.#forget(entry, text);
      this.#retired.set(pool, entry);
      void pool.retire().then(() => this.#forgetRetired());
    }
  }

  /** Closes every connection of every pool. */
  async close(): Promise<void> {
    await Promise.all(this.everyOne().map(({ pool }) => pool.close()));
  }

  async #told(): Promise<void> {
    await Promise.all([...this.#watching].map((changed) => changed()));
  }

  #of(entry: string | undefined): readonly EntryPool[] {
    return this.everyOne().filter((one) => entry === undefined || one.entry === entry);
  }

  #textOf(database: DatabaseOptions): string {
    const text = this.#texts.get(database) ?? databaseText(database);
    this.#texts.set(database, text);
    return text;
  }

  *#each(): Generator<{ readonly entry: string; readonly text: string; readonly pool: Pool }> {
    for (const [entry, pools] of this.#byEntry) for (const [text, pool] of pools) yield { entry, text, pool };
  }

  #make(entry: string, database: DatabaseOptions, text: string): Pool {
    const pools = this.#byEntry.get(entry) ?? new Map<string, Pool>();
    // No session may use their idle connections any more: a function gives another entry now.
    for (const former of pools.values()) former.keepMinimum(false);
    const connected = (): void => void (this.#connected = true);
    const shared = this.#shared && sharedBy(entry, text, this.#shared);
    const pool = new Pool({ entry, database, log: this.#log, connected, ...shared });
    this.#byEntry.set(entry, pools.set(text, pool));
    if (this.isPaused(entry)) void pool.pause();
    return pool;
  }

  #ofKey(key: string): Pool | undefined {
    const entry = entryOfKey(key);
    const found = [...(this.#byEntry.get(entry) ?? [])].find(([text]) => slotKey(entry, text) === key);
    return found?.[1];
  }

  #forget(entry: string, text: string): void {
    const pools = this.#byEntry.get(entry);
    pools?.delete(text);
    if (pools?.size === 0) this.#byEntry.delete(entry);
  }

  #forgetRetired(): void {
    if (this.#retired.size === 0) return;
    const inUse = this.#inUse();
    for (const pool of this.#retired.keys()) {
      if (!pool.unused || inUse.has(pool)) continue;
      this.#retired.delete(pool);
      void pool.close();
    }
  }

  /** Functions may serve any number of names. */
  #forgetUnused(): void {
    const inUse = this.#inUse();
    for (const { entry, text, pool } of this.#each()) {
      if (!pool.unused || inUse.has(pool)) continue;
      this.#forget(entry, text);
      void pool.close();
    }
  }
}

/** What a pool shares with those of other workers for the same entry. */
function sharedBy(entry: string, text: string, { slots, refusedLogins, outdatedReports }: SharedWithPools) {
  const key = slotKey(entry, text);
  return {
    slots: (limits: SlotLimits) => slots.of(key, limits),
    sessionSlots: (limits: SlotLimits) => slots.of(slotKey(entry, text, 'sessions'), limits),
    refusedRoles: refusedLogins?.of(key),
    outdated: outdatedReports?.of(key),
  };
}

/** An entry that cannot be looked up now may still be there. */
async function isGone(
  find: (entry: string) => Promise<DatabaseOptions | undefined>,
  entry: string,
): Promise<boolean> {
  return find(entry).then(
    (found) => found === undefined,
    () => false,
  );
}
