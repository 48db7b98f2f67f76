/** The boards as the parent process has them: it puts all changes into one order, and knows which worker has which. */
import { BoardCopy } from '../board-copy.ts';
import type { BoardRequest, BoardTold } from '../messages.ts';

type Tell = (worker: number, message: BoardTold) => void;

interface Pending {
  readonly worker: number;
  readonly q: number;
  readonly seq: number;
}

/** One board. */
class Board {
  readonly copy = new BoardCopy();
  /** The last change that each worker has, of those that have opened it. */
  readonly applied = new Map<number, number>();
  /** Changes that some worker does not have yet, in order. */
  pending: Pending[] = [];
  seq = 0;

  /** Removes the changes that every worker has, and returns them. */
  takeKept(): readonly Pending[] {
    const known = Math.min(...this.applied.values(), this.seq);
    const missing = this.pending.findIndex(({ seq }) => seq > known);
    return this.pending.splice(0, missing < 0 ? this.pending.length : missing);
  }
}

/** One per parent. */
export class Boards {
  readonly #boards = new Map<string, Board>();
  readonly #tell: Tell;

  constructor(tell: Tell) {
    this.#tell = tell;
  }

  hear(worker: number, message: BoardRequest): void {
    const name = message.board;
    const board = this.#boards.get(name) ?? new Board();
    this.#boards.set(name, board);
    if (message.t === 'open') {
      board.applied.set(worker, board.seq);
      this.#tell(worker, { t: 'board', board: name, seq: board.seq, entries: board.copy.entries });
      return;
    }
    if (message.t === 'change') this.#change(worker, board, message);
    else board.applied.set(worker, message.seq);
    this.#tellKept(board);
  }

  left(worker: number): void {
    for (const board of this.#boards.values()) {
      board.applied.delete(worker);
      board.pending = board.pending.filter((one) => one.worker !== worker);
      this.#tellKept(board);
    }
  }

  close(): void {
    for (const { copy } of this.#boards.values()) copy.close();
  }

  #change(
    worker: number,
    board: Board,
    { q, board: name, entry, expected }: Extract<BoardRequest, { readonly t: 'change' }>,
  ): void {
    if (expected !== undefined && !board.copy.has(entry.id, expected))
      return this.#tell(worker, { t: 'kept', q, done: false });
    board.seq += 1;
    const { seq } = board;
    board.copy.apply(entry);
    board.pending.push({ worker, q, seq });
    for (const member of board.applied.keys()) this.#tell(member, { t: 'changed', board: name, seq, entry });
  }

  #tellKept(board: Board): void {
    for (const { worker, q } of board.takeKept()) this.#tell(worker, { t: 'kept', q, done: true });
  }
}
