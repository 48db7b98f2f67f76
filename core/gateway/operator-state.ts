/** What operators have paused, disabled and suspended: the same in all workers, and in one that starts later. */
import { randomUUID } from 'node:crypto';
import type { Board, BoardChange } from '../contract/board.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Channel } from '../net/channel.ts';
import type { Coordination } from '../workers/coordination.ts';
import type { Pools } from './pools.ts';
import type { Suspension } from './suspension.ts';

/** What it is kept in, and what it applies to. */
export interface OperatorStateParts {
  readonly coordination: Pick<Coordination, 'board' | 'worker'>;
  readonly pools: Pools;
  readonly suspension: Suspension;
  /** What a suspension stops: all but sessions that plugins answer. */
  readonly channels: () => Iterable<Channel>;
}

/** What an entry may be; of all entries only `paused`. */
type Kind = 'paused' | 'disabled';

/** The value of {@link SUSPENDED}. */
interface SuspendedBy {
  readonly id: string;
  /** The worker of the operator with whom it ends. Absent: it does not end by itself. */
  readonly worker?: number;
}

const SUSPENDED = 'suspended';
const SEPARATOR = ' ';

const idOf = (kind: Kind, entry: string | undefined): string =>
  entry === undefined ? kind : `${kind}${SEPARATOR}${entry}`;

/** `orders` of `paused orders`; undefined: all of them. */
function entryOf(id: string): string | undefined {
  const at = id.indexOf(SEPARATOR);
  return at < 0 ? undefined : id.slice(at + 1);
}

/** One per gateway. Orders go to a board; it is the board that pools and suspension follow. */
export class OperatorState {
  readonly #parts: OperatorStateParts;
  readonly #watching = new Set<() => void>();
  /** Resolve when no connection is left, by the id of the pause. */
  readonly #emptied = new Map<string, Promise<void>>();
  /** What this worker has followed: only that may be dropped for an entry that is gone. */
  readonly #taken = new Set<string>();
  #board: Board | undefined;

  constructor(parts: OperatorStateParts) {
    this.#parts = parts;
  }

  /** Before the first client: takes over what is in force. @throws Error where the gateway stops meanwhile */
  async begin(): Promise<void> {
    const { coordination, pools } = this.#parts;
    const board = await coordination.board(':operators');
    this.#board = board;
    board.watch((change) => this.#follow(change));
    this.#takeOver(board);
    pools.watchPauses(async () => this.#dropRemoved(board));
    const { worker } = (board.get(SUSPENDED) ?? {}) as Partial<SuspendedBy>;
    // The operator was connected to the predecessor, which has died.
    if (worker === coordination.worker) await board.drop(SUSPENDED);
  }

  /** Resolves when it is so in all workers. */
  async hold(kind: Kind, entry: string | undefined): Promise<void> {
    await this.#started.put(idOf(kind, entry), true);
  }

  /** Resolves when it is so in no worker any more. */
  async release(kind: Kind, entry: string | undefined): Promise<void> {
    await this.#started.drop(idOf(kind, entry));
  }

  /** Resolves when no connection of this worker to what is paused is left; at once where it is not paused. */
  async emptied(entry: string | undefined): Promise<void> {
    await this.#emptied.get(idOf('paused', entry));
  }

  /**
   * Stops all workers. The function that it gives ends this suspension, and none that comes later. `bound`: the suspension ends with this worker.
   *
   * @throws GatewayError `object_not_in_prerequisite_state` if it is suspended already
   */
  async suspend(bound: boolean): Promise<() => void> {
    const board = this.#started;
    const id = randomUUID();
    const by = { id, ...(bound && { worker: this.#parts.coordination.worker }) };
    if (!(await board.put(SUSPENDED, by, { expected: undefined })))
      throw new GatewayError('object_not_in_prerequisite_state', 'already suspended');
    return () => {
      const { id: now } = (board.get(SUSPENDED) ?? {}) as Partial<SuspendedBy>;
      if (now === id) board.drop(SUSPENDED).catch(() => {});
    };
  }

  /** Takes back whatever suspension there is. */
  async resume(): Promise<void> {
    await this.#started.drop(SUSPENDED);
  }

  /** Calls when less is paused than before, on whichever worker that was ordered. */
  watchResumes(resumed: () => void): void {
    this.#watching.add(resumed);
  }

  get #started(): Board {
    if (!this.#board) throw new Error('the gateway has not started');
    return this.#board;
  }

  #follow(change: BoardChange<unknown>): void {
    if (change.kind === 'put') this.#begin(change.id);
    else if (change.kind === 'dropped') this.#end(change.id);
    else if (this.#board) this.#takeOver(this.#board);
  }

  #begin(id: string): void {
    const { pools, suspension, channels } = this.#parts;
    const entry = entryOf(id);
    if (id === SUSPENDED) {
      if (!suspension.on) suspension.begin(channels);
    } else if (id.startsWith('paused')) this.#emptied.set(id, pools.pause(entry));
    else if (entry !== undefined) pools.disable(entry);
    this.#taken.add(id);
  }

  #end(id: string): void {
    const { pools, suspension } = this.#parts;
    const entry = entryOf(id);
    this.#taken.delete(id);
    if (id === SUSPENDED) suspension.end();
    else if (id.startsWith('paused')) {
      this.#emptied.delete(id);
      pools.resume(entry);
      for (const resumed of this.#watching) resumed();
    } else if (entry !== undefined) pools.enable(entry);
  }

  /** Whatever has changed meanwhile. */
  #takeOver(board: Board): void {
    const { pools, suspension } = this.#parts;
    const held = [
      ...(pools.isPaused() ? [idOf('paused', undefined)] : []),
      ...pools.pausedEntries.map((entry) => idOf('paused', entry)),
      ...pools.disabledEntries.map((entry) => idOf('disabled', entry)),
      ...(suspension.on ? [SUSPENDED] : []),
    ];
    const ids = new Set(board.all().keys());
    for (const id of ids) this.#begin(id);
    for (const id of held) if (!ids.has(id)) this.#end(id);
  }

  /** A reload has removed entries: the pools do not hold them any more. */
  #dropRemoved(board: Board): void {
    const { pools } = this.#parts;
    const held = new Set([
      ...pools.pausedEntries.map((entry) => idOf('paused', entry)),
      ...pools.disabledEntries.map((entry) => idOf('disabled', entry)),
    ]);
    for (const id of this.#taken)
      if (entryOf(id) !== undefined && !held.has(id)) board.drop(id).catch(() => {});
  }
}
