/** The store of a fleet in memory, as Redis is one: its clock is given, and it can lose what it has. */
import { INSTANCE_NUMBERS } from '../../core/contract/instance-numbers.ts';
import type {
  Beat,
  FleetStore,
  LoggedChange,
  Read,
  Snapshot,
  StoredChange,
  StoredEntry,
  StoredInstance,
  StoredPlace,
  Taken,
} from '../../core/fleet/store.ts';
import type { Timers } from '../../core/workers/timers.ts';

const { first, last } = INSTANCE_NUMBERS;
const NUMBERS = last - first + 1;
/** Milliseconds: how long a number is kept for one that does not live, and how long post is. */
const [NUMBER_KEPT_MS, POST_KEPT_MS] = [30_000, 60_000];

interface Instance {
  readonly text: string;
  readonly number: number | undefined;
  readonly until: number;
}
interface StoredBoard {
  readonly entries: Map<string, StoredEntry>;
  readonly log: LoggedChange[];
  seq: number;
}
interface Held {
  readonly by: string;
  readonly until: number;
}
interface Letter {
  readonly n: number;
  readonly text: string;
  readonly until: number;
}

/** All that it keeps: plain, so that it can be copied. */
interface Kept {
  epoch: string;
  readonly instances: Map<string, Instance>;
  readonly numbers: Map<number, Held>;
  readonly totals: Map<string, number>;
  readonly counts: Map<string, Map<string, number>>;
  readonly boards: Map<string, StoredBoard>;
  readonly post: Map<string, Letter[]>;
  readonly locks: Map<string, Held>;
}

const nothing = (epoch: string): Kept => ({
  epoch,
  instances: new Map(),
  numbers: new Map(),
  totals: new Map(),
  counts: new Map(),
  boards: new Map(),
  post: new Map(),
  locks: new Map(),
});

/** How it is made. */
export interface MemoryStoreOptions {
  readonly timers: Timers;
  /** Its clock, in milliseconds since the epoch. Default: that of the timers. */
  readonly wall?: () => number;
  /** How long its clients wait for an answer. Default 200. */
  readonly timeoutMs?: number;
  /** How many changes a log keeps. Default 10 000. */
  readonly logLength?: number;
  /** Chooses numbers of instances. Default `Math.random`. */
  readonly random?: () => number;
}

/** One store; each instance reaches it through a `MemoryClient` of its own. */
export class MemoryStore {
  readonly timers: Timers;
  readonly timeoutMs: number;
  readonly #wall: () => number;
  readonly #logLength: number;
  readonly #random: () => number;
  #epochs = 1;
  /** Goes on after a flush, as positions by a clock do. */
  #letters = 0;
  #kept = nothing('epoch 1');
  /** Look whether there is something to read now. */
  readonly #readers = new Set<() => void>();

  constructor({ timers, wall = timers.now, timeoutMs = 200, ...rest }: MemoryStoreOptions) {
    this.timers = timers;
    this.timeoutMs = timeoutMs;
    this.#wall = wall;
    this.#logLength = rest.logLength ?? 10_000;
    this.#random = rest.random ?? Math.random;
  }

  /** Loses everything. */
  flush(): void {
    this.#kept = nothing(this.#nextEpoch());
  }

  /** What it has now; call what is given to lose all that came later, as a failover does. */
  save(): () => void {
    const saved = structuredClone(this.#kept);
    return () => {
      this.#kept = structuredClone(saved);
      this.#kept.epoch = this.#nextEpoch();
    };
  }

  /** How many are counted of a place, over all instances. */
  total(key: string): number {
    return this.#kept.totals.get(key) ?? 0;
  }

  /** How many places have a total. */
  get places(): number {
    return this.#kept.totals.size;
  }

  beat({ id, text }: StoredInstance, boards: readonly string[], livesMs: number, wish?: number): Beat {
    this.#reap();
    const { instances, epoch } = this.#kept;
    const lived = instances.has(id);
    const number = this.#claim(id, instances.get(id)?.number ?? wish);
    instances.set(id, { text, number, until: this.#wall() + livesMs });
    return {
      lived,
      number,
      epoch,
      live: [...instances].map(([id, { text, number }]) => ({ id, text, number })),
      latest: Object.fromEntries(boards.map((board) => [board, this.#board(board).seq])),
    };
  }

  leave(id: string): void {
    this.#forget(id);
    for (const [number, { by }] of this.#kept.numbers) if (by === id) this.#kept.numbers.delete(number);
    this.#kept.post.delete(id);
  }

  take(id: string, places: readonly StoredPlace[]): Taken {
    if (!this.#lives(id)) return { full: undefined, lived: false };
    const after = ({ key, mine }: StoredPlace): number => this.total(key) + mine - this.#count(id, key);
    const full = places.findIndex((place) => place.limit !== undefined && after(place) > place.limit);
    if (full !== -1) return { full, lived: true };
    for (const { key, mine } of places) this.#setCount(id, key, mine);
    return { full: undefined, lived: true };
  }

  count(id: string, counts: readonly (readonly [key: string, mine: number])[]): boolean {
    if (!this.#lives(id)) return false;
    for (const [key, mine] of counts) this.#setCount(id, key, mine);
    return true;
  }

  change(name: string, change: StoredChange, expected: string | null | undefined): number | undefined {
    const board = this.#board(name);
    const { field, tag, text, until } = change;
    if (expected !== undefined && (board.entries.get(field)?.tag ?? null) !== expected) return undefined;
    if (tag === undefined) board.entries.delete(field);
    else board.entries.set(field, { field, tag, text, ...(until !== undefined && { until }) });
    board.seq += 1;
    board.log.push({ ...change, seq: board.seq });
    if (board.log.length > this.#logLength) board.log.shift();
    this.#wake();
    return board.seq;
  }

  snapshot(name: string): Snapshot {
    const { seq, entries } = this.#board(name);
    return { seq, entries: [...entries.values()] };
  }

  /** What there is now; undefined where there is nothing. */
  unread(id: string, after: Parameters<FleetStore['read']>[1]): Read | undefined {
    const logs = Object.entries(after.boards).map(
      ([name, seq]) => [name, this.#board(name).log.filter((change) => change.seq > seq)] as const,
    );
    const news = logs.filter(([, changes]) => changes.length > 0);
    const letters = (this.#kept.post.get(id) ?? []).filter(
      ({ n, until }) => n > Number(after.post) && until > this.#wall(),
    );
    if (news.length === 0 && letters.length === 0) return undefined;
    return {
      changes: Object.fromEntries(news),
      post: letters.map(({ text }) => text),
      postPosition: String(letters.at(-1)?.n ?? after.post),
    };
  }

  /** Calls with each change and each letter. */
  whenChanged(look: () => void): () => void {
    this.#readers.add(look);
    return () => this.#readers.delete(look);
  }

  post(to: string, text: string): void {
    const { post } = this.#kept;
    const letters = post.get(to) ?? [];
    post.set(to, letters);
    this.#letters += 1;
    letters.push({ n: this.#letters, text, until: this.#wall() + POST_KEPT_MS });
    while ((letters[0]?.until ?? Infinity) <= this.#wall()) letters.shift();
    this.#wake();
  }

  lock(task: string, id: string, livesMs: number): boolean {
    const { locks } = this.#kept;
    const held = locks.get(task);
    if (held && held.by !== id && held.until > this.#wall()) return false;
    locks.set(task, { by: id, until: this.#wall() + livesMs });
    return true;
  }

  unlock(task: string, id: string): void {
    const { locks } = this.#kept;
    if (locks.get(task)?.by === id) locks.delete(task);
  }

  #nextEpoch(): string {
    this.#epochs += 1;
    return `epoch ${this.#epochs}`;
  }

  #wake(): void {
    for (const look of this.#readers) look();
  }

  #lives(id: string): boolean {
    return (this.#kept.instances.get(id)?.until ?? 0) > this.#wall();
  }

  #reap(): void {
    for (const id of this.#kept.instances.keys()) if (!this.#lives(id)) this.#forget(id);
  }

  #forget(id: string): void {
    for (const key of this.#kept.counts.get(id)?.keys() ?? []) this.#setCount(id, key, 0);
    this.#kept.counts.delete(id);
    this.#kept.instances.delete(id);
  }

  #claim(id: string, wish: number | undefined): number | undefined {
    const { numbers } = this.#kept;
    const now = this.#wall();
    const isFree = (number: number): boolean => {
      const held = numbers.get(number);
      return !held || held.by === id || held.until <= now;
    };
    const start = Math.floor(this.#random() * NUMBERS);
    const all = Array.from({ length: NUMBERS }, (_, i) => first + ((start + i) % NUMBERS));
    const number = wish !== undefined && isFree(wish) ? wish : all.find(isFree);
    if (number !== undefined) numbers.set(number, { by: id, until: now + NUMBER_KEPT_MS });
    return number;
  }

  #count(id: string, key: string): number {
    return this.#kept.counts.get(id)?.get(key) ?? 0;
  }

  #setCount(id: string, key: string, mine: number): void {
    const total = this.total(key) + mine - this.#count(id, key);
    if (total === 0) this.#kept.totals.delete(key);
    else this.#kept.totals.set(key, total);
    const own = this.#kept.counts.get(id) ?? new Map<string, number>();
    this.#kept.counts.set(id, own);
    if (mine === 0) own.delete(key);
    else own.set(key, mine);
  }

  /** Without what has left it by itself. */
  #board(name: string): StoredBoard {
    const board: StoredBoard = this.#kept.boards.get(name) ?? { entries: new Map(), log: [], seq: 0 };
    this.#kept.boards.set(name, board);
    for (const { field, until = Infinity } of board.entries.values())
      if (until <= this.#wall()) board.entries.delete(field);
    return board;
  }
}
