/** Instances of a fleet in this process, of one worker each: boards and questions come later, in order and as JSON, as over a store. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Board } from '../../core/contract/board.ts';
import type { Fleet, FleetAnswer, FleetInstance } from '../../core/contract/fleet.ts';
import { BoardCopy } from '../../core/workers/board-copy.ts';
import { boardOf } from '../../core/workers/board-view.ts';
import type { CoordinatedFleet, Coordination } from '../../core/workers/coordination.ts';
import type { BoardEntry } from '../../core/workers/messages.ts';
import { SingleProcess } from '../../core/workers/single-process.ts';

/** One of them. */
export interface LinkedInstance extends Coordination {
  readonly fleet: CoordinatedFleet;
}

/** All of them, and what becomes of them. */
export interface LinkedInstances {
  /** One more begins, with what is on the boards. */
  readonly join: (name: string) => LinkedInstance;
  /** It hears nothing and answers nothing, until {@link mend}: the others still take it for alive. */
  readonly cut: (name: string) => void;
  readonly mend: (name: string) => void;
  /** It does not live any more, by the store. */
  readonly leave: (name: string) => void;
  /** The store does not answer, until {@link back}: then it has what it had, and what instances have that it lacks. */
  readonly away: () => void;
  readonly back: () => void;
  readonly close: () => void;
}

interface Life {
  readonly told: FleetInstance;
  readonly single: SingleProcess;
  readonly copies: Map<string, BoardCopy>;
  readonly fleet: CoordinatedFleet;
  isCut: boolean;
}

const asJson = <T>(value: T): T => (value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T));

/** Without an instance at first. */
export function linkInstances(): LinkedInstances {
  return new Linked();
}

class Linked implements LinkedInstances {
  readonly #lives = new Map<string, Life>();
  readonly #boards = new Map<string, BoardCopy>();
  #answers = true;

  join(name: string): LinkedInstance {
    const single = new SingleProcess();
    const copies = new Map<string, BoardCopy>();
    const fleet = this.#fleetOf(name);
    const since = Date.now();
    const told = { id: `id of ${name}`, name, version: '0', config: '', since, sessions: 0, workers: 1 };
    const life = { told: { ...told, draining: false, lagMs: 0 }, single, copies, fleet, isCut: false };
    this.#lives.set(name, life);
    return {
      worker: 1,
      workers: 1,
      parent: undefined,
      places: single.places,
      post: single.post,
      fleet,
      board: (board) => (board.startsWith('@') ? this.#board(life, board) : single.board(board)),
      whenLead: (lead) => single.whenLead(lead),
      whenAlone: (task, run) => single.whenAlone(task, run),
      close: () => single.close(),
    };
  }

  cut(name: string): void {
    this.#life(name).isCut = true;
  }

  mend(name: string): void {
    const life = this.#life(name);
    life.isCut = false;
    for (const [board, copy] of life.copies) copy.replace(this.#stored(board).entries);
  }

  away(): void {
    this.#answers = false;
  }

  back(): void {
    this.#answers = true;
    for (const { copies } of this.#lives.values())
      for (const [board, copy] of copies)
        for (const entry of copy.entries)
          if (this.#stored(board).has(entry.id, null)) this.#stored(board).apply(entry);
    for (const name of this.#lives.keys()) this.mend(name);
  }

  leave(name: string): void {
    this.#lives.delete(name);
  }

  close(): void {
    for (const copy of this.#boards.values()) copy.close();
    for (const { copies } of this.#lives.values()) for (const copy of copies.values()) copy.close();
  }

  #life(name: string): Life {
    const life = this.#lives.get(name);
    if (!life) throw new Error(`no instance ${name}`);
    return life;
  }

  #stored(board: string): BoardCopy {
    const copy = this.#boards.get(board) ?? new BoardCopy();
    this.#boards.set(board, copy);
    return copy;
  }

  async #board({ copies, told }: Life, name: string): Promise<Board> {
    await nextTurn();
    const copy = copies.get(name) ?? new BoardCopy();
    if (!copies.has(name) && this.#answers) copy.replace(this.#stored(name).entries);
    copies.set(name, copy);
    return boardOf(copy, (entry, expected) => this.#change({ from: told.name, name, entry }, expected));
  }

  async #change(
    { from, name, entry }: { from: string; name: string; entry: BoardEntry },
    expected: string | null | undefined,
  ): Promise<boolean> {
    await nextTurn();
    const isAway = !this.#answers || this.#life(from).isCut;
    if (isAway && expected !== undefined) throw new Error('the store does not answer');
    const stored = this.#stored(name);
    if (expected !== undefined && !stored.has(entry.id, expected)) return false;
    if (!isAway) stored.apply(entry);
    for (const life of isAway ? [this.#life(from)] : this.#lives.values())
      if (!life.isCut || life.told.name === from) this.#deliver(life, name, entry, from);
    return true;
  }

  /** At once where it was ordered. */
  #deliver({ copies, told }: Life, name: string, entry: BoardEntry, from: string): void {
    const apply = (): void => copies.get(name)?.apply(asJson(entry));
    if (told.name === from) apply();
    else setImmediate(apply);
  }

  #fleetOf(name: string): CoordinatedFleet {
    const lives = this.#lives;
    const ask = (life: Life, ...question: Parameters<Fleet['ask']>): Promise<readonly FleetAnswer[]> =>
      this.#ask(life, question);
    return {
      name: 'fleet',
      id: `id of ${name}`,
      instance: name,
      away: { revocations: 'refuse', limits: 'local' },
      get instances() {
        return [...lives.values()].map(({ told }) => told);
      },
      hashKey: 'a key',
      staleSince: undefined,
      isStale: false,
      limitsAwaySince: undefined,
      limitsAwayTimes: 0,
      watch: () => () => {},
      async ask(instances, ...question) {
        const asked = [...lives.values()].filter(({ told }) => {
          if (typeof instances === 'object') return told.id === instances.id;
          return instances === 'all' || told.name !== name;
        });
        const answers = await Promise.all(asked.map((life) => ask(life, instances, ...question)));
        return answers.flat();
      },
      async proof() {
        for (let turns = 0; turns < 3; turns += 1) await nextTurn();
        const cut = [...lives.values()].filter(({ isCut }) => isCut);
        return { live: lives.size, missing: cut.map(({ told }) => told.name) };
      },
    };
  }

  async #ask(
    { isCut, told, single }: Life,
    [, to, question, body, options]: Parameters<Fleet['ask']>,
  ): Promise<readonly FleetAnswer[]> {
    await nextTurn();
    if (isCut) return [];
    const answers = await single.post.ask(to, question, asJson(body), options);
    await nextTurn();
    return answers.map((answer) => ({ ...asJson(answer), instance: told.id }));
  }
}
