/** What operators have paused, disabled and suspended: the same in all workers, and in one that starts later. */
import { randomUUID } from 'node:crypto';
import type { Board, BoardChange } from '../contract/board.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Channel } from '../net/channel.ts';
import { fleetBoard } from '../workers/coordination.ts';
import type { Coordination } from '../workers/coordination.ts';
import { FleetOrders } from './fleet-orders.ts';
import type { Pools } from './pools.ts';
import type { Suspension } from './suspension.ts';
import { heldIn, holdId } from './holds.ts';
import type { Held } from './holds.ts';

/** What it is kept in, and what it applies to. */
export interface OperatorStateParts {
  readonly coordination: Pick<Coordination, 'board' | 'worker' | 'fleet'>;
  readonly pools: Pools;
  readonly suspension: Suspension;
  /** What a suspension stops: all but sessions that plugins answer. */
  readonly channels: () => Iterable<Channel>;
}

/** The value of {@link SUSPENDED}. */
interface SuspendedBy {
  readonly id: string;
  /** The worker of the operator with whom it ends. Absent: it does not end by itself. */
  readonly worker?: number;
}

const SUSPENDED = 'suspended';
/** The board of this gateway, and of the fleet. */
export const OPERATORS_BOARD = ':operators';

/** A board, and what of it this worker has followed: only that may end when it is gone. */
interface Followed {
  readonly board: Board;
  readonly taken: Set<string>;
}

/** Hears that less is paused than before: by an order to this gateway or to the fleet. */
export type Resumed = (entry: string | undefined, by: 'gateway' | 'fleet') => void;

/** One per gateway. Orders go to a board; it is the boards, of this gateway and of the fleet, that pools and suspension follow. */
export class OperatorState {
  readonly #parts: OperatorStateParts;
  readonly #watching = new Set<Resumed>();
  /** Resolve when no connection is left, by the id of the pause. */
  readonly #emptied = new Map<string, Promise<void>>();
  #own: Followed | undefined;
  /** Undefined: the gateway is in no fleet. */
  #fleet: Followed | undefined;
  /** Orders to the fleet. Undefined: there is none, or the gateway has not started. */
  fleetOrders: FleetOrders | undefined;

  constructor(parts: OperatorStateParts) {
    this.#parts = parts;
  }

  /** Before the first client: takes over what is in force. @throws Error where the gateway stops meanwhile */
  async begin(): Promise<void> {
    const { coordination, pools } = this.#parts;
    const board = await coordination.board(OPERATORS_BOARD);
    this.#own = this.#followed(board);
    if (coordination.fleet) {
      const ofFleet = await coordination.board(fleetBoard(OPERATORS_BOARD));
      this.fleetOrders = new FleetOrders(ofFleet);
      this.#fleet = this.#followed(ofFleet);
    }
    pools.watchPauses(async () => this.#afterReload());
    const { worker } = (board.get(SUSPENDED) ?? {}) as Partial<SuspendedBy>;
    // The operator was connected to the predecessor, which has died.
    if (worker === coordination.worker) await board.drop(SUSPENDED);
  }

  /** Resolves when it is so in all workers. */
  async hold(kind: Held, entry: string | undefined): Promise<void> {
    await this.#started.put(holdId(kind, entry), true);
  }

  /** Resolves when it is so in no worker any more, unless the fleet holds it. */
  async release(kind: Held, entry: string | undefined): Promise<void> {
    await this.#started.drop(holdId(kind, entry));
  }

  /** Resolves when no connection of this worker to what is paused is left; at once where it is not paused. */
  async emptied(entry: string | undefined): Promise<void> {
    await this.#emptied.get(holdId('paused', entry));
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

  /** Calls when a pause has been taken back, on whichever worker or instance that was ordered. */
  watchResumes(resumed: Resumed): void {
    this.#watching.add(resumed);
  }

  get #started(): Board {
    if (!this.#own) throw new Error('the gateway has not started');
    return this.#own.board;
  }

  #followed(board: Board): Followed {
    const followed = { board, taken: new Set<string>() };
    board.watch((change) => this.#follow(followed, change));
    this.#takeOver(followed);
    return followed;
  }

  #follow(followed: Followed, change: BoardChange<unknown>): void {
    if (change.kind === 'put') this.#begin(followed, change.id);
    else if (change.kind === 'dropped') this.#end(followed, change.id);
    else this.#takeOver(followed);
  }

  #begin({ taken }: Followed, id: string): void {
    const { pools, suspension, channels } = this.#parts;
    const { kind, entry } = heldIn(id);
    taken.add(id);
    if (id === SUSPENDED) {
      if (!suspension.on) suspension.begin(channels);
    } else if (kind === 'paused') this.#emptied.set(id, pools.pause(entry));
    else if (kind === 'disabled' && entry !== undefined) pools.disable(entry);
  }

  #end(followed: Followed, id: string): void {
    if (!followed.taken.delete(id)) return;
    const { kind, entry } = heldIn(id);
    const isHeld = [this.#own, this.#fleet].some((other) => other?.taken.has(id));
    if (!isHeld) this.#release(id);
    if (kind !== 'paused') return;
    for (const resumed of this.#watching) resumed(entry, followed === this.#fleet ? 'fleet' : 'gateway');
  }

  /** Nobody holds it any more. */
  #release(id: string): void {
    const { pools, suspension } = this.#parts;
    const { kind, entry } = heldIn(id);
    if (id === SUSPENDED) suspension.end();
    else if (kind === 'paused') {
      this.#emptied.delete(id);
      pools.resume(entry);
    } else if (kind === 'disabled' && entry !== undefined) pools.enable(entry);
  }

  /** Whatever has changed meanwhile. */
  #takeOver(followed: Followed): void {
    const ids = new Set(followed.board.all().keys());
    for (const id of ids) this.#begin(followed, id);
    for (const id of followed.taken) if (!ids.has(id)) this.#end(followed, id);
  }

  /** A reload has removed entries: the pools do not hold them any more. Other instances may have them still, and this one again later: what the fleet holds stays. */
  #afterReload(): void {
    const { pools } = this.#parts;
    const held = new Set([
      ...pools.pausedEntries.map((entry) => holdId('paused', entry)),
      ...pools.disabledEntries.map((entry) => holdId('disabled', entry)),
    ]);
    const removed = (id: string): boolean => heldIn(id).entry !== undefined && !held.has(id);
    const { board, taken = new Set<string>() } = this.#own ?? {};
    for (const id of [...taken].filter(removed)) board?.drop(id).catch(() => {});
    const fleet = this.#fleet;
    if (fleet) for (const id of [...fleet.taken].filter(removed)) this.#begin(fleet, id);
  }
}
