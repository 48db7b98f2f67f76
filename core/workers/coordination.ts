/** What the workers of a gateway share, as one of them sees it: in this process alone, or through the parent process. */
import type { Board } from '../contract/board.ts';
import type { Fleet } from '../contract/fleet.ts';
import type { InstanceNumbers } from '../contract/instance-numbers.ts';
import type { ShutdownAfter } from '../contract/operations.ts';
import type { Places } from '../contract/places.ts';
import type { Post } from '../contract/post.ts';
import type { ReloadBy } from './messages.ts';
import type { ConnectionSlots, ServerProcess, SlotLimits } from '../upstream/pool/connection-slots.ts';

/** Server connections that the workers have together. */
export interface SharedSlots {
  /** The slots of a pool: pools of one key, in whichever worker, share them. */
  of(pool: string, limits: SlotLimits): ConnectionSlots;
  /** Sets the function that sends a CancelRequest for a connection of a dead worker: true once it has been delivered. */
  cancelsBy(cancel: (pool: string, process: ServerProcess) => Promise<boolean>): void;
}

/** What the parent process does with all workers at once, on the order of an operator who has come to one of them. */
export interface ParentOrders {
  /** Has all workers load the config anew. `by`: default an operator. Rejects with the reason where one cannot: the config in force stays with all. */
  reload(by?: ReloadBy): Promise<void>;
  /** Has all workers take no new logins, drain, and end. */
  shutDown(after: ShutdownAfter | undefined): void;
}

/** The fleet as far as it does not stand in the config: secrets that functions give do not travel. */
export interface CoordinatedFleet extends Omit<Fleet, 'store' | 'hash'> {
  /** For `Fleet.hash`. */
  readonly hashKey: string;
}

/** The name of the board that all instances of a fleet share under a name; where there is no fleet it is one like others. */
export const fleetBoard = (name: string): string => `@${name}`;

/** Whether a board is one that all instances share. */
export const isFleetBoard = (board: string): boolean => board.startsWith('@');

/** One worker's view. Names of boards, places and questions that begin with `:` are the gateway's own; those of a plugin begin with its name and a slash. Boards of the fleet have a `@` in front. */
export interface Coordination {
  /** The number of this worker, from 1; the successor of a dead worker has its number. */
  readonly worker: number;
  /** How many workers there are to be. */
  readonly workers: number;
  readonly places: Places;
  readonly post: Post;
  /** Undefined: the gateway is in no fleet. The same from the beginning to the end. */
  readonly fleet?: CoordinatedFleet | undefined;
  /** The numbers of its instances now, for cancel keys; undefined where there is no fleet. Read anew each time: they change. */
  readonly instanceNumbers?: InstanceNumbers | undefined;
  /** Undefined: there is none, and this process does it for itself. */
  readonly parent: ParentOrders | undefined;
  /** Undefined: this process is the only one that opens connections. */
  readonly slots?: SharedSlots | undefined;
  /** The same board for the same name, once this worker has its values. @throws Error where the gateway stops meanwhile */
  board(name: string): Promise<Board>;
  /** Calls once, now or later, when this worker is the lead: the one that does what only one may do. */
  whenLead(lead: () => void): void;
  /**
   * Runs it once, now or later, when this worker is the lead and no other instance of the fleet does a task of this name. Without a fleet as {@link whenLead}. The function that it
   * returns leaves the task to the others; one of this instance may do it as well.
   */
  whenAlone(task: string, run: () => void): () => void;
  /** The config that this worker serves under, as a number that rises. Undefined: it does not serve yet, or it is the only one. */
  readonly generation?: number | undefined;
  /** Ends timers, and rejects what waits. */
  close(): void;
}
