/** What workers share where this process is the only one: nothing is sent, and nothing waits. */
import type { Board } from '../contract/board.ts';
import type { Places } from '../contract/places.ts';
import type { Post } from '../contract/post.ts';
import { BoardCopy } from './board-copy.ts';
import { boardOf } from './board-view.ts';
import type { Coordination } from './coordination.ts';
import { PlaceCounts } from './place-counts.ts';
import { LATE, PostAnswers } from './post-answers.ts';

const ONLY = 1;
/** How long an answer is waited for, in milliseconds. */
export const ANSWER_MS = 1_000;

/** The coordination of a gateway without workers. */
export class SingleProcess implements Coordination {
  readonly worker = ONLY;
  readonly workers = 1;
  readonly parent = undefined;
  readonly places: Places;
  readonly post: Post;
  readonly #boards = new Map<string, Board>();
  readonly #copies: BoardCopy[] = [];

  constructor() {
    const counts = new PlaceCounts();
    this.places = {
      take: (places) =>
        counts.take(
          ONLY,
          places.map(({ key, limit = Infinity }) => [key, limit]),
        ),
      give: (keys) => counts.give(ONLY, keys),
    };
    const answers = new PostAnswers();
    this.post = {
      answer: (name, answer) => answers.add(name, answer),
      async ask(to, name, body, { withinMs = ANSWER_MS } = {}) {
        if (to === 'others' || (typeof to === 'number' && to !== ONLY)) return [];
        const answer = await inTime(answers.of(name, body, ONLY), withinMs);
        return [{ worker: ONLY, ...answer }];
      },
    };
  }

  board(name: string): Promise<Board> {
    const board = this.#boards.get(name) ?? this.#newBoard();
    this.#boards.set(name, board);
    return Promise.resolve(board);
  }

  whenLead(lead: () => void): void {
    lead();
  }

  close(): void {
    for (const copy of this.#copies) copy.close();
  }

  #newBoard(): Board {
    const copy = new BoardCopy();
    this.#copies.push(copy);
    return boardOf(copy, (entry, expected) => {
      const does = expected === undefined || copy.has(entry.id, expected);
      if (does) copy.apply(entry);
      return Promise.resolve(does);
    });
  }
}

async function inTime<T extends object>(answer: Promise<T>, ms: number): Promise<T | { error: string }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<{ error: string }>((resolve) => {
    timer = setTimeout(() => resolve({ error: LATE }), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
