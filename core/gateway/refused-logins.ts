/** Roles whose login a server refuses: as soon as one worker knows, no other one tries. */
import { randomBytes } from 'node:crypto';
import type { Board, BoardChange } from '../contract/board.ts';
import { makeFingerprintsWith } from '../upstream/credentials.ts';
import type { RefusedRole, RefusedRoles } from '../upstream/login-backoff.ts';
import type { Coordination } from '../workers/coordination.ts';

/** As it is on the board. Times are in milliseconds since the epoch, and `at` is that of the change. */
interface Told extends RefusedRole {
  readonly worker: number;
  readonly at: number;
}

/** The board's id of the key of fingerprints. */
const KEY = 'key';
/** How long after the last pause it is remembered, in milliseconds. */
const REMEMBERED_MS = 60_000;
/** A login of another worker that has not ended by then has died with its worker, in milliseconds. */
const LONGEST_LOGIN_MS = 60_000;

/** One per worker. */
export class RefusedLogins {
  readonly #coordination: Pick<Coordination, 'board' | 'worker'>;
  /** By pool, then by role. */
  readonly #known = new Map<string, Map<string, Told>>();
  #board: Board | undefined;

  constructor(coordination: Pick<Coordination, 'board' | 'worker'>) {
    this.#coordination = coordination;
  }

  /** Before the first client: takes over what is known. @throws Error where the gateway stops meanwhile */
  async begin(): Promise<void> {
    const board = await this.#coordination.board(':logins');
    this.#board = board;
    board.watch((change) => this.#follow(board, change));
    this.#takeOver(board);
    // The put waits for all workers, on which a successor must not depend.
    if (board.get(KEY) === undefined)
      await board.put(KEY, randomBytes(32).toString('base64'), { expected: undefined });
    makeFingerprintsWith(Buffer.from(String(board.get(KEY)), 'base64'));
  }

  /** What is known of the roles of a pool: pools of one key, in whichever worker, share it. */
  of(pool: string): RefusedRoles {
    const all = (): ReadonlyMap<string, Told> => this.#known.get(pool) ?? new Map<string, Told>();
    return {
      get: (role) => {
        const told = all().get(role);
        return told && this.#stateOf(told);
      },
      set: (role, state) => this.#set(pool, role, state),
      delete: (role) => this.#delete(pool, role),
      values: () => [...all().values()].map((told) => this.#stateOf(told)),
    };
  }

  #stateOf(told: Told): RefusedRole {
    const isDead = told.worker !== this.#coordination.worker && Date.now() - told.at > LONGEST_LOGIN_MS;
    const ahead = aheadOfClock();
    const { nextAsk, nextTry, trying } = told;
    return { ...told, trying: trying && !isDead, nextAsk: nextAsk - ahead, nextTry: nextTry - ahead };
  }

  #set(pool: string, role: string, state: RefusedRole): void {
    const ahead = aheadOfClock();
    const { worker } = this.#coordination;
    const [nextAsk, nextTry, at] = [state.nextAsk + ahead, state.nextTry + ahead, Date.now()];
    const told = { ...state, nextAsk, nextTry, worker, at };
    this.#remember(pool, role, told);
    const until = Math.max(nextAsk, nextTry, at) + REMEMBERED_MS;
    // It rejects where the gateway stops.
    this.#board?.put(idOf(pool, role), told, { until }).catch(() => {});
  }

  #delete(pool: string, role: string): boolean {
    const was = this.#forget(pool, role);
    if (was) this.#board?.drop(idOf(pool, role)).catch(() => {});
    return was;
  }

  #follow(board: Board, change: BoardChange<unknown>): void {
    if (change.kind === 'missed') return this.#takeOver(board);
    if (change.id === KEY) return;
    const [pool, role] = partsOf(change.id);
    if (change.kind === 'dropped') return void this.#forget(pool, role);
    const told = change.value as Told;
    // This worker knows its own already, or what came after it.
    if (told.worker !== this.#coordination.worker) this.#remember(pool, role, told);
  }

  #takeOver(board: Board): void {
    this.#known.clear();
    for (const [id, told] of board.all()) if (id !== KEY) this.#remember(...partsOf(id), told as Told);
  }

  #remember(pool: string, role: string, told: Told): void {
    const roles = this.#known.get(pool) ?? new Map<string, Told>();
    this.#known.set(pool, roles.set(role, told));
  }

  #forget(pool: string, role: string): boolean {
    const roles = this.#known.get(pool);
    const was = roles?.delete(role) === true;
    if (roles?.size === 0) this.#known.delete(pool);
    return was;
  }
}

const idOf = (pool: string, role: string): string => JSON.stringify([pool, role]);
const partsOf = (id: string): [pool: string, role: string] => JSON.parse(id) as [string, string];
/** What is added to times of the pools' clock to get those of the epoch. */
const aheadOfClock = (): number => Date.now() - performance.now();
