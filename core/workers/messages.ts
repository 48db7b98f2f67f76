/** Messages between a worker and its parent process: JSON, on the channel of `child_process.fork`, each kind by its `t`. `q` numbers questions: the answer has the same. */
import type { FleetAnswer, FleetProof, InstanceRecipient } from '../contract/fleet.ts';
import type { ShutdownAfter } from '../contract/operations.ts';
import type { Recipient } from '../contract/post.ts';
import type { Address } from '../net/listening.ts';
import type { FleetBegin, FleetState } from './fleet-state.ts';
import type { ServerProcess, SlotLimits } from '../upstream/pool/connection-slots.ts';

/** An id of a board with its value; without a value it is taken off. */
export interface BoardEntry {
  readonly id: string;
  readonly value?: unknown;
  /** When it leaves by itself, in milliseconds since the epoch. */
  readonly until?: number;
}

/** Of boards, to the parent. */
export type BoardRequest =
  /** It wants a copy of the board, and its changes from then on. */
  | { readonly t: 'open'; readonly board: string }
  /** `expected` is there where the change depends on the value of now: its JSON, or null for none. */
  | {
      readonly t: 'change';
      readonly q: number;
      readonly board: string;
      readonly entry: BoardEntry;
      readonly expected?: string | null;
    }
  /** Its copy has the changes up to `seq`. */
  | { readonly t: 'applied'; readonly board: string; readonly seq: number };

/** Of boards, to a worker. */
export type BoardTold =
  | {
      readonly t: 'board';
      readonly board: string;
      readonly seq: number;
      readonly entries: readonly BoardEntry[];
    }
  | { readonly t: 'changed'; readonly board: string; readonly seq: number; readonly entry: BoardEntry }
  /** Every worker has the change, or `done` is false: the value was not the expected one. `error`: that could not be found out. */
  | { readonly t: 'kept'; readonly q: number; readonly done: boolean; readonly error?: string };

/** Of places, to the parent. A limit of null is none. */
export type PlacesRequest =
  | {
      readonly t: 'take';
      readonly q: number;
      readonly places: readonly (readonly [key: string, limit: number | null])[];
    }
  | { readonly t: 'give'; readonly keys: readonly string[] };

/** Of places, to a worker. */
export interface PlacesTold {
  readonly t: 'taken';
  readonly q: number;
  /** The first key that is full; absent: all are taken. */
  readonly full?: string;
  /** None is taken, and why that could not be found out. */
  readonly error?: string;
}

/** Of questions, to the parent. */
export type PostRequest =
  | {
      readonly t: 'ask';
      readonly q: number;
      readonly to: Recipient;
      readonly name: string;
      readonly body?: unknown;
      readonly withinMs: number;
    }
  | { readonly t: 'answer'; readonly q: number; readonly body?: unknown; readonly error?: string };

/** One answer as the worker that asked hears it. */
export interface ToldAnswer {
  readonly worker: number;
  readonly body?: unknown;
  readonly error?: string;
}

/** Of questions, to a worker. */
export type PostTold =
  | {
      readonly t: 'asked';
      readonly q: number;
      readonly from: number;
      readonly name: string;
      readonly body?: unknown;
    }
  | { readonly t: 'answers'; readonly q: number; readonly answers: readonly ToldAnswer[] };

/** Of the fleet, to the parent. */
export type FleetRequest =
  | {
      readonly t: 'ask-fleet';
      readonly q: number;
      readonly instances: InstanceRecipient;
      readonly to: Recipient;
      readonly name: string;
      readonly body?: unknown;
      readonly withinMs: number;
    }
  | { readonly t: 'prove'; readonly q: number; readonly board: string; readonly withinMs: number }
  /** It is the lead, and does this where no other instance does. */
  | { readonly t: 'alone'; readonly q: number; readonly task: string }
  /** It does the task of this question no longer, nor waits for it. */
  | { readonly t: 'alone-over'; readonly q: number };

/** Of the fleet, to a worker. */
export type FleetTold =
  | { readonly t: 'fleet'; readonly state: FleetState }
  | { readonly t: 'fleet-answers'; readonly q: number; readonly answers: readonly FleetAnswer[] }
  | { readonly t: 'proven'; readonly q: number; readonly proof: FleetProof }
  /** No other instance does the task of this question. */
  | { readonly t: 'alone'; readonly q: number };

/** Of the life of a worker, to the parent. */
export type LifeRequest =
  /** It serves: its config is loaded and its plugins are set up. */
  | { readonly t: 'ready' }
  /** Every 250 ms, from its begin on. `accepted`: connections so far. */
  | {
      readonly t: 'beat';
      readonly connections: number;
      readonly accepted: number;
      readonly lagMs: number;
    }
  /** It accepts from the socket of this number, if it was to confirm that. */
  | { readonly t: 'listens'; readonly n: number }
  /**
   * It has accepted so many connections from the socket of this number, and accepts no more. `address`: where the only one came from; `full`: no
   * descriptor is left; `closed`: it lets none in any more; `error`: it cannot listen, by the name of the system's error.
   */
  | {
      readonly t: 'accepted';
      readonly n: number;
      readonly count: number;
      readonly address?: string;
      readonly full?: true;
      readonly closed?: true;
      readonly error?: string;
    }
  /** It has been asked, and has not got the socket of this number. */
  | { readonly t: 'missed'; readonly n: number }
  /** It has heard that it is to end. `withinMs`: how long its config lets it drain. */
  | { readonly t: 'ending'; readonly withinMs: number }
  /** It cannot start, and ends. */
  | { readonly t: 'failed'; readonly reason: string };

/** How many more connections a worker wants now as a role. */
export interface WantedSlots {
  readonly role: string;
  readonly n: number;
  /** How long its oldest request has waited, in milliseconds; null: no session waits, and no other worker has to return a slot for it. */
  readonly waitedMs: number | null;
  /** How many slots of the role it has been granted so far: later ones are not in `n`. */
  readonly seen: number;
}

/** Of connection slots, to the parent. */
export type SlotsRequest =
  /** All that the worker wants of a pool now: it replaces what it wanted before. */
  | {
      readonly t: 'want';
      readonly pool: string;
      /** Numbers that JSON has: those without a limit are very large. */
      readonly limits: SlotLimits;
      readonly wants: readonly WantedSlots[];
      /** Of its connections, those that serve no other session for long. Default 0. */
      readonly held?: number;
    }
  /** The connection of a slot is ready. No `process`: the server cannot cancel. */
  | { readonly t: 'opened'; readonly pool: string; readonly slot: number; readonly process?: ServerProcess }
  /** The connection is gone; `unused`: none was opened; `down`: nor could it, since the server is down or full. */
  | {
      readonly t: 'returned';
      readonly pool: string;
      readonly slot: number;
      readonly how?: 'unused' | 'down';
    }
  /** It has nothing spare. */
  | { readonly t: 'none-spare'; readonly pool: string }
  /** The worker has no such pool any more. */
  | { readonly t: 'unpool'; readonly pool: string }
  /** Whether a CancelRequest for a connection of a dead worker has been delivered. */
  | { readonly t: 'cancelled'; readonly slot: number; readonly done: boolean };

/**
 * Which slot a worker is to return: `spare`, one whose connection has been idle for a while, or it says that there is none;
 * `next`, as soon as a session has returned one; `none`, not any more.
 */
export type Recall = 'spare' | 'next' | 'none';

/** Of connection slots, to a worker. */
export type SlotsTold =
  | { readonly t: 'granted'; readonly pool: string; readonly role: string; readonly slot: number }
  /** No slot is free: because of `size`, or of `perRole`. */
  | { readonly t: 'full'; readonly pool: string; readonly role: string; readonly why: 'size' | 'role' }
  /** `role`: it has to be one of this role. */
  | { readonly t: 'recall'; readonly pool: string; readonly recall: Recall; readonly role?: string }
  /** Sends a CancelRequest for a connection of a dead worker. */
  | {
      readonly t: 'cancel-dead';
      readonly pool: string;
      readonly slot: number;
      readonly process: ServerProcess;
    };

/** Who wants a reload: an operator, or a worker that has seen a file change. The latter is not told of where all have the new files already. */
export type ReloadBy = 'operator' | 'change';

/** Of orders that an operator has given to one worker and that concern the parent, to the parent. */
export type OrderRequest =
  | { readonly t: 'reload'; readonly q: number; readonly by: ReloadBy }
  | { readonly t: 'shutDown'; readonly after?: ShutdownAfter };

/** Of such orders, to a worker: all workers have the new config, or it failed. */
export interface OrderTold {
  readonly t: 'reloaded';
  readonly q: number;
  readonly error?: string;
}

/** Of reloads, to the parent. A digest is that of all files that a config was loaded from. */
export type ReloadRequest =
  /** Its first config is loaded: it waits for `serve`. */
  | { readonly t: 'loaded'; readonly digest: string }
  | {
      readonly t: 'prepared';
      readonly generation: number;
      readonly digest: string;
      /** For the log. */
      readonly changes: object;
    }
  /** It cannot, and has left nothing. `changed`: since its files changed while they were read. */
  | {
      readonly t: 'unprepared';
      readonly generation: number;
      readonly reason: string;
      readonly changed: boolean;
    }
  /** What it was told to put in force is in force. */
  | { readonly t: 'committed'; readonly generation: number };

/** Of reloads, to a worker. */
export type ReloadTold =
  /** It is to load its config and set it up. */
  | { readonly t: 'prepare'; readonly generation: number }
  /** All have prepared it: it is in force from now on. */
  | { readonly t: 'commit'; readonly generation: number }
  /** It is to drop it. `failed`: it is not tried again. */
  | { readonly t: 'abort'; readonly generation: number; readonly failed: boolean }
  /** The config that it has loaded at its begin is in force. */
  | { readonly t: 'serve'; readonly generation: number };

/** Of the life of a worker, to it. */
export type LifeTold =
  /** The first message. */
  | {
      readonly t: 'start';
      readonly worker: number;
      readonly workers: number;
      /** Absolute. */
      readonly config: string;
      /** Where the parent listens, by the listener's name. */
      readonly listeners: Readonly<Record<string, Address>>;
      readonly admin?: Address;
      /** Absent: there is none. */
      readonly fleet?: FleetBegin;
      /** Whether a change of the config's files reloads it. */
      readonly watch: boolean;
    }
  /**
   * Comes with the handle of a listening socket, from which it accepts `accepts` connections; absent: without limit. Without a listener it is
   * that of `admin`. Connections from the addresses `held` wait for ten seconds.
   */
  | {
      readonly t: 'lend';
      readonly n: number;
      readonly listener?: string | undefined;
      readonly accepts?: number | undefined;
      readonly held?: readonly string[];
      readonly confirm?: boolean;
    }
  /** It accepts no more from the socket of this number. */
  | { readonly t: 'reclaim'; readonly n: number }
  /** Whether it has got the socket of this number, which was sent before: Node loses a handle for which the worker has no descriptor left, and its message. */
  | { readonly t: 'has'; readonly n: number }
  | { readonly t: 'shutDown'; readonly after?: ShutdownAfter }
  | { readonly t: 'drain' }
  /** Another process is to take its place: it gets no more connections, and ends when those that it has are served. */
  | { readonly t: 'retire' }
  | { readonly t: 'stop'; readonly withinMs: number };

/** Of what the workers share, to the parent. */
export type SharedRequest =
  BoardRequest | PlacesRequest | PostRequest | FleetRequest | OrderRequest | ReloadRequest | SlotsRequest;

/** From a worker. */
export type FromWorker = SharedRequest | LifeRequest;

/** A record, so that the compiler asks for every kind, and allows none whose name another kind has. */
const LIFE_REQUESTS: Readonly<Record<Exclude<LifeRequest['t'], SharedRequest['t']>, true>> = {
  ready: true,
  beat: true,
  listens: true,
  accepted: true,
  missed: true,
  ending: true,
  failed: true,
};

/** Whether it is about the life of the worker. */
export const isLifeRequest = (message: FromWorker): message is LifeRequest =>
  Object.hasOwn(LIFE_REQUESTS, message.t);

/** Of what the workers share, to a worker. */
export type SharedTold =
  | BoardTold
  | PlacesTold
  | PostTold
  | FleetTold
  | OrderTold
  | SlotsTold
  | ReloadTold
  /** From now on it does what only one worker may do. */
  | { readonly t: 'lead' };

/** To a worker. */
export type FromParent = SharedTold | LifeTold;

/** A record, as above. */
const LIFE_TOLD: Readonly<Record<Exclude<LifeTold['t'], SharedTold['t']>, true>> = {
  start: true,
  lend: true,
  reclaim: true,
  has: true,
  shutDown: true,
  drain: true,
  retire: true,
  stop: true,
};

/** Whether it is about the life of the worker. */
export const isLifeTold = (message: FromParent): message is LifeTold => Object.hasOwn(LIFE_TOLD, message.t);
