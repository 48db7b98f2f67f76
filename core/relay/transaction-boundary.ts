/**
 * Whether a session stands between two transactions, and which reset its server connection needs then. The only place that
 * says so: check-in, drain, the end of a session, CancelRequest, and settings of policies read it.
 */

import type { LeftState } from '../sql/left-state.ts';
import type { SessionState } from '../contract/session.ts';

/** ReadyForQuery's status byte (manual, 55.7): idle, in a transaction, in a failed one. */
export const Status = { idle: 0x49, transaction: 0x54, failed: 0x45 } as const;

const STATES = new Map<number, SessionState>([
  [Status.idle, 'idle'],
  [Status.transaction, 'idle in transaction'],
  [Status.failed, 'idle in transaction (aborted)'],
]);

/** A session's state by the newest status byte, where no answer is outstanding. */
export const stateOf = (status: number): SessionState => STATES.get(status) ?? 'active';

/** Why the server is not at rest, whatever it last said of the transaction. */
export type Unfinished =
  | 'answers'
  /** Extended messages were answered, and their Sync has not come. */
  | 'unsynced'
  /** After an error the server discards all messages up to the next Sync. */
  | 'skipping'
  | 'copy'
  /** A COPY failed in a way that hides which answers are outstanding. */
  | 'uncertain';

/** Where the client's stream stands. */
export type ClientPosition =
  | 'boundary'
  /** Part of a message is here, and nothing of it was sent. */
  | 'partial'
  /** A message is being read, or a hook decides about one. */
  | 'deciding'
  /** A message was sent in part. */
  | 'midMessage';

/** Where the server's stream stands. */
export type ServerPosition =
  | 'boundary'
  /** Part of a message is here; the client has whole messages only. */
  | 'partial'
  /** A message is being read, or the client has one in part. */
  | 'midMessage';

/**
 * The state of a session's link to a server connection. `waiting`: in the pool's queue. `applying`: settings of policies are
 * being set. `probing`: the server is asked for state that ties the session to the connection.
 */
export type LinkState = 'unlinked' | 'waiting' | 'applying' | 'linked' | 'probing' | 'closed';

/** The state that the decision depends on. */
export interface BoundaryState {
  readonly outstanding: {
    readonly unfinished: Unfinished | undefined;
    /** The status byte of the newest ReadyForQuery: the only truth about the transaction. */
    readonly status: number;
    /** A FATAL error has passed to the client. */
    readonly fatal: boolean;
    /** The server answered out of order once. */
    readonly outOfSync: boolean;
    /** A Query stood in a batch without its Sync: see Batch. */
    readonly batch: { readonly unsafe: boolean };
  };
  /** A message of a batch was refused here: the rest of the batch is dropped up to its Sync. */
  readonly queryHook: { readonly discarding: boolean };
  readonly fromClient: { readonly position: ClientPosition };
  readonly fromServer: { readonly position: ServerPosition };
  readonly sessionEnd: {
    /** How the session ends is decided. */
    readonly decided: boolean;
    /** A CancelRequest is under way. */
    readonly cancelling: boolean;
    /** A CancelRequest did not end in time, and may still hit the server connection. */
    readonly lateCancelPossible: boolean;
  };
  /** Bytes for the server are still queued. */
  readonly pauses: { readonly full: boolean };
  readonly link: {
    /** Why the server connection stays with the session. */
    readonly pinned: string | undefined;
    /** `applying`: the gateway sets settings of policies on it. */
    readonly state: LinkState;
    readonly changes: {
      /** A command may have left state of the session. */
      readonly dirty: boolean;
      /** The state that functions may have left. */
      readonly left: LeftState;
    };
  };
}

/**
 * `clean`: the same identity may have the connection as it is. `sequences`: so may this session; others after DISCARD SEQUENCES.
 * `suspect`: so may this session; others after a reset. `dirty`: it needs a reset. `close`: no session may have it.
 */
export type ServerFitness = 'clean' | 'sequences' | 'suspect' | 'dirty' | 'close';

/** Why a session is not between two transactions. */
export type Obstacle =
  | Unfinished
  | 'open transaction'
  | 'refused batch'
  | 'client message'
  | 'server message'
  | 'server full'
  | 'pinned'
  | 'cancel'
  | 'end'
  | 'fatal';

/** The purpose of the question: each has obstacles of its own, see {@link OBSTACLE}. */
export type Reader = 'check-in' | 'drain' | 'end' | 'cancel' | 'next message';

/** The answer; `server` says which reset the server connection needs before another session gets it. */
export type Boundary =
  { readonly free: false; readonly why: Obstacle } | { readonly free: true; readonly server: ServerFitness };

/** Asked after every step of a session: made once. */
const CLEAN: Boundary = { free: true, server: 'clean' };
const SEQUENCES: Boundary = { free: true, server: 'sequences' };
const SUSPECT: Boundary = { free: true, server: 'suspect' };
const DIRTY: Boundary = { free: true, server: 'dirty' };
const CLOSE: Boundary = { free: true, server: 'close' };
const NOT_FREE = new Map<Obstacle, Boundary>();

/** Says whether the session is between two transactions, as far as `reader` depends on it. */
export function boundary(state: BoundaryState, reader: Reader): Boundary {
  const why = OBSTACLE[reader](state);
  return why === undefined ? free(state) : notFree(why);
}

/** The first obstacle, by reader. */
const OBSTACLE: Readonly<Record<Reader, (state: BoundaryState) => Obstacle | undefined>> = {
  /** Another session may get the server connection. */
  'check-in': (state) =>
    heldBy(state) ?? inTransaction(state) ?? refusedBatch(state) ?? streamOf(state) ?? ownedBy(state),
  /** The session may read a FATAL of the gateway: nothing is lost. */
  drain: (state) => inTransaction(state) ?? refusedBatch(state) ?? messageUnderWay(state),
  /** The session is over, and its server connection is not. */
  end: (state) => inTransaction(state) ?? partialMessage(state),
  /** No statement runs that a CancelRequest would stop. */
  cancel: ({ outstanding }) =>
    outstanding.unfinished === 'answers' || outstanding.unfinished === 'uncertain'
      ? outstanding.unfinished
      : undefined,
  /** The client's next message begins a transaction: settings may change, and a refusal needs no server. */
  'next message': inTransaction,
};

/** No answer is outstanding, no batch or COPY is open, and ReadyForQuery said that no transaction is open. */
function inTransaction({ outstanding }: BoundaryState): Obstacle | undefined {
  return outstanding.unfinished ?? (outstanding.status === Status.idle ? undefined : 'open transaction');
}

function refusedBatch({ queryHook }: BoundaryState): Obstacle | undefined {
  return queryHook.discarding ? 'refused batch' : undefined;
}

/** The session keeps its server connection, or its end decides about it. */
function heldBy({ link, sessionEnd }: BoundaryState): Obstacle | undefined {
  if (link.pinned !== undefined) return 'pinned';
  return sessionEnd.decided ? 'end' : undefined;
}

/** A cancel under way would hit the next session. A client that has read FATAL sends nothing that shall run elsewhere. */
function ownedBy({ outstanding, sessionEnd }: BoundaryState): Obstacle | undefined {
  if (sessionEnd.cancelling) return 'cancel';
  return outstanding.fatal ? 'fatal' : undefined;
}

/** Both streams stand between two messages for the server; a beginning of the client's next one may be here. */
function streamOf({ fromClient, fromServer, pauses }: BoundaryState): Obstacle | undefined {
  if (fromClient.position === 'deciding' || fromClient.position === 'midMessage') return 'client message';
  if (fromServer.position !== 'boundary') return 'server message';
  // Only this session is notified when the server can take more bytes.
  return pauses.full ? 'server full' : undefined;
}

/** A client that has begun a message gets the answer to it. */
function messageUnderWay({ fromClient, fromServer }: BoundaryState): Obstacle | undefined {
  if (fromClient.position !== 'boundary') return 'client message';
  return fromServer.position === 'midMessage' ? 'server message' : undefined;
}

/** The server has part of a message, or has sent part of one. */
function partialMessage({ fromClient, fromServer }: BoundaryState): Obstacle | undefined {
  if (fromClient.position === 'midMessage') return 'client message';
  return fromServer.position === 'boundary' ? undefined : 'server message';
}

function free({ outstanding, sessionEnd, link }: BoundaryState): Boundary {
  if (
    outstanding.outOfSync ||
    outstanding.batch.unsafe ||
    sessionEnd.lateCancelPossible ||
    link.state === 'applying'
  )
    return CLOSE;
  if (link.changes.dirty) return DIRTY;
  const { left } = link.changes;
  if (left === 'nothing') return CLEAN;
  return left === 'sequences' ? SEQUENCES : SUSPECT;
}

function notFree(why: Obstacle): Boundary {
  const known = NOT_FREE.get(why);
  if (known) return known;
  const made = { free: false, why } as const;
  NOT_FREE.set(why, made);
  return made;
}
