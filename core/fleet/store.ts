/**
 * What the instances of a fleet keep in common. Redis or Valkey implements it, and a memory of tests. All text is sealed by the caller, and keys of places and fields of
 * boards are hashed by the caller: a store knows nobody.
 * Methods reject where the store does not answer within `fleet.store.timeout`, except {@link FleetStore.read}, which waits as long as it is told.
 */

/** What one instance says of itself, for the others: text of the caller. */
export interface StoredInstance {
  readonly id: string;
  readonly text: string;
}

/** What the store answers to a beat. */
export interface Beat {
  /** False: it had not lived any more, and what it held was taken off: it has to tell all counts anew. */
  readonly lived: boolean;
  /** This instance's number, of `INSTANCE_NUMBERS`. Undefined: all are taken. */
  readonly number: number | undefined;
  /** Random, and another one after the store may have lost changes: it was flushed, its server has started anew, or another one has taken over. */
  readonly epoch: string;
  /** Those that live, and their numbers. The same list as with the beat before only where nothing has changed. */
  readonly live: readonly (StoredInstance & { readonly number: number | undefined })[];
  /** The place of the last change of each board that was asked for; 0 for one without changes. */
  readonly latest: Readonly<Record<string, number>>;
}

/** A value of a board: `field` is its hashed id, `tag` is equal for equal values, `text` has id and value sealed. */
export interface StoredEntry {
  readonly field: string;
  readonly tag: string;
  readonly text: string;
  /** When it leaves, in milliseconds since the epoch, by the store's clock. Default: never. */
  readonly until?: number;
}

/** A change of a board; without a value the field is dropped. `text` of a drop has the id sealed. */
export interface StoredChange {
  readonly field: string;
  readonly text: string;
  /** Of a put. */
  readonly tag?: string;
  readonly until?: number;
}

/** A change, and its place in the log of its board: 1, 2, 3 … without gaps. */
export interface LoggedChange extends StoredChange {
  readonly seq: number;
}

/** All values of a board, as of the change `seq`. */
export interface Snapshot {
  readonly seq: number;
  readonly entries: readonly StoredEntry[];
}

/** What came behind the positions that were given. A log that was cut begins later than asked for: the reader sees the gap. */
export interface Read {
  readonly changes: Readonly<Record<string, readonly LoggedChange[]>>;
  /** Messages to this instance, and the position behind the last of them. */
  readonly post: readonly string[];
  readonly postPosition: string;
}

/** One place to take: `mine` is how many this instance has with it. */
export interface StoredPlace {
  readonly key: string;
  readonly mine: number;
  /** Undefined: it is only counted. */
  readonly limit: number | undefined;
}

/** Whether places were taken. */
export interface Taken {
  /** The index of the first that is full; undefined: all are taken. */
  readonly full: number | undefined;
  /** False: this instance had not lived any more, nothing is taken, and it has to beat and tell all counts first. */
  readonly lived: boolean;
}

/** One fleet in one store. */
export interface FleetStore {
  /** Lives on for `livesMs`; reaps what instances held that do not; keeps or claims a number. */
  beat(own: StoredInstance, boards: readonly string[], livesMs: number): Promise<Beat>;
  /** It does not live any more, and what it held is free. */
  leave(id: string): Promise<void>;
  /** All or none, in one step. */
  take(id: string, places: readonly StoredPlace[]): Promise<Taken>;
  /** How many an instance has of each key now. @returns false: it does not live */
  count(id: string, counts: readonly (readonly [key: string, mine: number])[]): Promise<boolean>;
  /** Changes a board and its log in one step: the place of the change, or undefined where the value is not the expected one (its tag, or null for none). */
  change(
    board: string,
    change: StoredChange,
    expected: string | null | undefined,
  ): Promise<number | undefined>;
  snapshot(board: string): Promise<Snapshot>;
  /** Waits for what comes behind these positions, for so long at most; `post` is `'0'` at first. */
  read(
    id: string,
    after: { readonly boards: Readonly<Record<string, number>>; readonly post: string },
    withinMs: number,
  ): Promise<Read>;
  /** Puts a message into the post of an instance. At most once. */
  post(to: string, text: string): Promise<void>;
  /** Takes the lock of a task, or keeps it. @returns whether this instance has it for `livesMs` */
  lock(task: string, id: string, livesMs: number): Promise<boolean>;
  unlock(task: string, id: string): Promise<void>;
  /** Resolves when it is connected or has tried once. @throws ConfigError, or Error, where it can never be tried: a package is missing */
  connect(): Promise<void>;
  close(): void;
}
