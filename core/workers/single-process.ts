/** What workers share where this process is the only one: nothing is sent but to the other instances of a fleet, and nothing waits but for its store. */
import type { Board } from '../contract/board.ts';
import type { InstanceNumbers } from '../contract/instance-numbers.ts';
import type { Places } from '../contract/places.ts';
import type { Post } from '../contract/post.ts';
import { BoardCopy } from './board-copy.ts';
import { boardOf } from './board-view.ts';
import { isFleetBoard } from './coordination.ts';
import type { CoordinatedFleet, Coordination } from './coordination.ts';
import type { FleetMember } from './fleet-member.ts';
import { FleetPlaces } from './fleet-places.ts';
import { FleetView } from './fleet-view.ts';
import type { ToldAnswer } from './messages.ts';
import { PlaceCounts } from './place-counts.ts';
import type { CountedPlaces } from './place-counts.ts';
import { ANSWER_MS, LATE, PostAnswers } from './post-answers.ts';

const ONLY = 1;
/** The number of no worker: another instance asks. */
const ELSEWHERE = 0;

/** The coordination of a gateway without workers. */
export class SingleProcess implements Coordination {
  readonly worker = ONLY;
  readonly workers = 1;
  readonly parent = undefined;
  readonly places: Places;
  readonly post: Post;
  readonly #member: FleetMember | undefined;
  readonly #fleet: FleetView | undefined;
  readonly #answers = new PostAnswers();
  readonly #boards = new Map<string, Promise<Board>>();
  readonly #copies: BoardCopy[] = [];
  readonly #leaves: (() => void)[] = [];

  /** `member`: of the fleet; it starts before and closes after. Default: the gateway is in none. */
  constructor(member?: FleetMember) {
    this.#member = member;
    this.places = placesOf(member ? new FleetPlaces(member) : new PlaceCounts());
    this.post = {
      answer: (name, answer) => this.#answers.add(name, answer),
      ask: (to, name, body, { withinMs = ANSWER_MS } = {}) =>
        this.#ask(to, name, body, { withinMs, from: ONLY }),
    };
    this.#fleet = member && this.#join(member);
  }

  get fleet(): CoordinatedFleet | undefined {
    return this.#fleet;
  }

  get instanceNumbers(): InstanceNumbers | undefined {
    return this.#fleet?.numbers;
  }

  board(name: string): Promise<Board> {
    const board = this.#boards.get(name) ?? this.#newBoard(name);
    this.#boards.set(name, board);
    return board;
  }

  whenLead(lead: () => void): void {
    lead();
  }

  whenAlone(task: string, run: () => void): () => void {
    if (this.#member) return this.#member.alone(task, run);
    run();
    return () => {};
  }

  close(): void {
    for (const copy of this.#copies) copy.close();
    for (const leave of this.#leaves.splice(0)) leave();
  }

  #join(member: FleetMember): FleetView {
    const view = new FleetView(member, member);
    this.#leaves.push(member.watch((state) => view.update(state)));
    member.answersBy((to, name, body, withinMs) => this.#ask(to, name, body, { withinMs, from: ELSEWHERE }));
    return view;
  }

  async #ask(
    to: Parameters<Post['ask']>[0],
    name: string,
    body: unknown,
    { withinMs, from }: { readonly withinMs: number; readonly from: number },
  ): Promise<readonly ToldAnswer[]> {
    const isOther = to === 'others' && from === ONLY;
    if (isOther || (typeof to === 'number' && to !== ONLY)) return [];
    const answer = await inTime(this.#answers.of(name, body, from), withinMs);
    return [{ worker: ONLY, ...answer }];
  }

  async #newBoard(name: string): Promise<Board> {
    const copy = new BoardCopy();
    this.#copies.push(copy);
    if (!this.#member || !isFleetBoard(name))
      return boardOf(copy, (entry, expected) => {
        const does = expected === undefined || copy.has(entry.id, expected);
        if (does) copy.apply(entry);
        return Promise.resolve(does);
      });
    const home = await this.#member.board(name, {
      get entries() {
        return copy.entries;
      },
      apply: async (entry) => copy.apply(entry),
      replace: async (entries) => copy.replace(entries),
    });
    return boardOf(copy, (entry, expected) => home.change(entry, expected));
  }
}

function placesOf(counts: CountedPlaces): Places {
  return {
    take: (places) =>
      counts.take(
        ONLY,
        places.map(({ key, limit = Infinity }) => [key, limit]),
      ),
    give: (keys) => counts.give(ONLY, keys),
  };
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
