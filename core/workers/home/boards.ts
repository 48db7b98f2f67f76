/** The boards of all workers: each has one order of its changes, and it is known which worker has which. Those of a fleet are a copy, whose changes the store orders. */
import { BoardCopy } from '../board-copy.ts';
import { isFleetBoard } from '../coordination.ts';
import type { FleetBoardCopy, FleetBoardHome, FleetMember } from '../fleet-member.ts';
import type { BoardEntry, BoardRequest, BoardTold } from '../messages.ts';
import { reasonOf } from '../reason-of.ts';
import { Lives } from './lives.ts';

type Tell = (worker: number, message: BoardTold) => void;

interface Pending {
  readonly seq: number;
  readonly kept: () => void;
}

/** One board of the workers. */
class Board implements FleetBoardCopy {
  readonly copy = new BoardCopy();
  readonly #name: string;
  readonly #tell: Tell;
  /** The last change that each worker has, of those that have opened it. */
  readonly #applied = new Map<number, number>();
  /** Changes that some worker does not have yet, in order. */
  #pending: Pending[] = [];
  #seq = 0;
  /** What decides about changes; undefined until it is there. */
  #home: FleetBoardHome | undefined;
  #waiting: ((home: FleetBoardHome) => void)[] = [];

  constructor(name: string, tell: Tell) {
    this.#name = name;
    this.#tell = tell;
  }

  get entries(): readonly BoardEntry[] {
    return this.copy.entries;
  }

  /** Runs what needs its values, in order, once they are there. */
  whenOpen(run: (home: FleetBoardHome) => void): void {
    if (this.#home) run(this.#home);
    else this.#waiting.push(run);
  }

  open(home: FleetBoardHome): void {
    this.#home = home;
    for (const run of this.#waiting.splice(0)) run(home);
  }

  /** Changes it where nobody else has to be asked. */
  async change(entry: BoardEntry, expected: string | null | undefined): Promise<boolean> {
    if (expected !== undefined && !this.copy.has(entry.id, expected)) return false;
    await this.apply(entry);
    return true;
  }

  apply(entry: BoardEntry): Promise<void> {
    this.copy.apply(entry);
    return this.#changed((seq) => ({ t: 'changed', board: this.#name, seq, entry }));
  }

  replace(entries: readonly BoardEntry[]): Promise<void> {
    this.copy.replace(entries);
    return this.#changed((seq) => ({ t: 'board', board: this.#name, seq, entries }));
  }

  /** It has a copy from now on. */
  join(worker: number): void {
    this.#applied.set(worker, this.#seq);
    this.#tell(worker, { t: 'board', board: this.#name, seq: this.#seq, entries: this.entries });
  }

  has(worker: number, seq: number): void {
    if (this.#applied.has(worker)) this.#applied.set(worker, seq);
    this.#tellKept();
  }

  left(worker: number): void {
    this.#applied.delete(worker);
    this.#tellKept();
  }

  #changed(message: (seq: number) => BoardTold): Promise<void> {
    const seq = (this.#seq += 1);
    for (const worker of this.#applied.keys()) this.#tell(worker, message(seq));
    return new Promise((kept) => {
      this.#pending.push({ seq, kept });
      this.#tellKept();
    });
  }

  #tellKept(): void {
    const known = Math.min(...this.#applied.values(), this.#seq);
    const missing = this.#pending.findIndex(({ seq }) => seq > known);
    const kept = this.#pending.splice(0, missing < 0 ? this.#pending.length : missing);
    for (const one of kept) one.kept();
  }
}

/** One for all workers. */
export class Boards {
  readonly #boards = new Map<string, Board>();
  readonly #tell: Tell;
  readonly #member: FleetMember | undefined;
  readonly #lives = new Lives();

  constructor(tell: Tell, member?: FleetMember) {
    this.#tell = tell;
    this.#member = member;
  }

  hear(worker: number, message: BoardRequest): void {
    const board = this.#board(message.board);
    if (message.t === 'applied') return board.has(worker, message.seq);
    const isThere = this.#lives.of(worker);
    board.whenOpen((home) => {
      if (!isThere()) return;
      if (message.t === 'open') return board.join(worker);
      const { q, entry, expected } = message;
      home.change(entry, expected).then(
        (done) => isThere() && this.#tell(worker, { t: 'kept', q, done }),
        (error: unknown) =>
          isThere() && this.#tell(worker, { t: 'kept', q, done: false, error: reasonOf(error) }),
      );
    });
  }

  left(worker: number): void {
    this.#lives.left(worker);
    for (const board of this.#boards.values()) board.left(worker);
  }

  close(): void {
    for (const { copy } of this.#boards.values()) copy.close();
  }

  #board(name: string): Board {
    const known = this.#boards.get(name);
    if (known) return known;
    const board = new Board(name, this.#tell);
    this.#boards.set(name, board);
    // Where it closes before, its workers do as well.
    if (this.#member && isFleetBoard(name))
      this.#member.board(name, board).then(
        (home) => board.open(home),
        () => {},
      );
    else board.open(board);
    return board;
  }
}
