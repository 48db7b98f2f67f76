/** What the process that coordinates the workers of an instance needs of the fleet. `core/fleet` implements it; the parent of workers or `SingleProcess` calls it. */
import type { FleetAnswer, FleetInstance, FleetProof, InstanceRecipient } from '../contract/fleet.ts';
import type { Recipient } from '../contract/post.ts';
import type { FleetState } from './fleet-state.ts';
import type { BoardEntry, ToldAnswer } from './messages.ts';

export type { FleetState };

/** The copy of a board of the fleet in this instance. Each resolves when all workers of the instance have it. */
export interface FleetBoardCopy {
  /** The values now, by this instance. */
  readonly entries: readonly BoardEntry[];
  /** One change, in the order of the store. */
  apply(entry: BoardEntry): Promise<void>;
  /** Takes the place of all that was there. */
  replace(entries: readonly BoardEntry[]): Promise<void>;
}

/** Changes a board of the fleet. */
export interface FleetBoardHome {
  /**
   * Without `expected`: in force in this instance at once, also while the store is away, and then told to the store until that has it. Resolves with true when this
   * instance and the store have it, or when the store has not answered in time.
   *
   * With `expected` (JSON of the value, or null for none) the store decides: false where it has another value, which this instance then has as well unless that takes
   * longer than the store may.
   * @throws Error with `expected`, where the store does not answer in time
   */
  change(entry: BoardEntry, expected: string | null | undefined): Promise<boolean>;
}

/** A key, how many this instance has now (absolute, never a difference), and the most that there may be over all instances; null: no limit. */
export type FleetPlace = readonly [key: string, mine: number, limit: number | null];

/** What this instance has told to the others, besides numbers that the member knows itself. */
export type OwnReading = Pick<FleetInstance, 'config' | 'sessions' | 'workers' | 'draining' | 'lagMs'>;

/** One instance's membership. */
export interface FleetMember {
  readonly state: FleetState;
  /** Made of the fleet's secret, and good for hashes only: all instances have the same. */
  readonly hashKey: string;
  /** Calls with each change of {@link state}. */
  watch(changed: (state: FleetState) => void): () => void;
  /** Sets where questions of other instances go: to workers of this one. */
  answersBy(
    answer: (to: Recipient, name: string, body: unknown, withinMs: number) => Promise<readonly ToldAnswer[]>,
  ): void;
  /** Sets where its reading comes from. */
  readsFrom(read: () => OwnReading): void;
  /** Connects and claims a number. Resolves when the store has answered, or has not in time: then it goes on trying. Never rejects for a store that is away. @throws ConfigError, or Error where the store can never be tried */
  start(): Promise<void>;
  /** Opens a board; once per name. Resolves when the copy has the values of the store, or the store has not answered in time. */
  board(name: string, copy: FleetBoardCopy): Promise<FleetBoardHome>;
  /**
   * Takes a place of each key or none: the first key that is full, or undefined. `mine` is what this instance has with them. Where the store does not answer in time,
   * `fleet.away.limits` decides: only this instance's own numbers count. Of places that were not taken tell by {@link count} how many there are then.
   * @throws Error where it does not answer in time and `away.limits` is `'refuse'`
   */
  take(places: readonly FleetPlace[]): Promise<string | undefined>;
  /** How long a login may wait for the store, in milliseconds: {@link take} waits no longer. */
  readonly timeoutMs: number;
  /** Tells how many this instance has now; not awaited, and told again until the store has it. */
  count(counts: readonly (readonly [key: string, mine: number])[]): void;
  /** Asks workers of instances. Never rejects. */
  ask(
    instances: InstanceRecipient,
    to: Recipient,
    name: string,
    body: unknown,
    withinMs: number,
  ): Promise<readonly FleetAnswer[]>;
  /** As `Fleet.proof`. */
  proof(board: string, withinMs: number): Promise<FleetProof>;
  /** Does what only one instance may do, while that one lives: runs it here once no other has the lock of the task. The function that it returns gives the lock back. */
  alone(task: string, run: () => void): () => void;
  /** Leaves the fleet: what this instance held is free at once. Resolves when told, or not in time. */
  close(): Promise<void>;
}
