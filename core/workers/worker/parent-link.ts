/** What workers share, as a worker with a parent process has it. */
import type { Board } from '../../contract/board.ts';
import type { InstanceNumbers } from '../../contract/instance-numbers.ts';
import type { Places } from '../../contract/places.ts';
import type { Post } from '../../contract/post.ts';
import { BoardCopy } from '../board-copy.ts';
import { boardOf } from '../board-view.ts';
import type { CoordinatedFleet, Coordination, ParentOrders } from '../coordination.ts';
import type { FleetBegin } from '../fleet-state.ts';
import type { FromWorker, SharedTold, ToldAnswer } from '../messages.ts';
import type { Port } from '../port.ts';
import { ANSWER_MS, PostAnswers } from '../post-answers.ts';
import { FleetLink } from './fleet-link.ts';
import { SlotsLink } from './slots-link.ts';
import { ReloadSteps } from './reload-steps.ts';
import type { Reloadable } from './reload-steps.ts';
import { Replies } from './replies.ts';

/** Where this worker stands. */
interface ParentLinkOptions {
  readonly worker: number;
  readonly workers: number;
  readonly port: Port<FromWorker>;
  /** Undefined: the gateway is in no fleet. */
  readonly fleet?: FleetBegin | undefined;
}

/** A board that has been asked for. */
interface OpenBoard {
  readonly copy: BoardCopy;
  readonly board: Promise<Board>;
  readonly arrived: () => void;
  readonly lost: (error: Error) => void;
}

/** One per worker. The owner of the channel gives it each message by {@link hear}. */
export class ParentLink implements Coordination {
  readonly worker: number;
  readonly workers: number;
  readonly places: Places;
  readonly post: Post;
  readonly parent: ParentOrders;
  readonly slots: SlotsLink;
  readonly #fleet: FleetLink | undefined;
  readonly #send: (message: FromWorker) => void;
  readonly #boards = new Map<string, OpenBoard>();
  readonly #kept = new Replies<boolean>();
  readonly #taken = new Replies<string | undefined>();
  readonly #answers = new Replies<readonly ToldAnswer[]>();
  readonly #reloaded = new Replies<{ readonly error?: string }>();
  readonly #own = new PostAnswers();
  readonly #reloads: ReloadSteps;
  readonly #leads: (() => void)[] = [];
  #isLead = false;
  #over: Error | undefined;

  constructor({ worker, workers, port, fleet }: ParentLinkOptions) {
    this.worker = worker;
    this.workers = workers;
    this.#send = (message) => port.send(message);
    this.slots = new SlotsLink(workers, this.#send);
    this.#fleet = fleet && new FleetLink(fleet, this.#send);
    this.#reloads = new ReloadSteps(this.#send);
    this.places = {
      take: (places) => {
        const wanted = places.map(({ key, limit }): readonly [string, number | null] => [
          key,
          limit === undefined || limit === Infinity ? null : limit,
        ]);
        const { q, reply } = this.#taken.next();
        this.#send({ t: 'take', q, places: wanted });
        // Without a limit it is counted, and nothing can be full.
        return wanted.every(([, limit]) => limit === null) ? undefined : reply;
      },
      give: (keys) => this.#send({ t: 'give', keys }),
    };
    this.post = {
      answer: (name, answer) => this.#own.add(name, answer),
      ask: (to, name, body, { withinMs = ANSWER_MS } = {}) => {
        const { q, reply } = this.#answers.next();
        this.#send({ t: 'ask', q, to, name, body, withinMs });
        return reply.catch(() => []);
      },
    };
    this.parent = {
      reload: async (by = 'operator') => {
        const { q, reply } = this.#reloaded.next();
        this.#send({ t: 'reload', q, by });
        const { error } = await reply;
        if (error !== undefined) throw new Error(error);
      },
      shutDown: (after) => this.#send({ t: 'shutDown', ...(after && { after }) }),
    };
  }

  board(name: string): Promise<Board> {
    if (this.#over) return Promise.reject(this.#over);
    const open = this.#boards.get(name) ?? this.#open(name);
    this.#boards.set(name, open);
    return open.board;
  }

  whenLead(lead: () => void): void {
    if (this.#isLead) lead();
    else this.#leads.push(lead);
  }

  whenAlone(task: string, run: () => void): () => void {
    let leave: (() => void) | undefined;
    let isOver = false;
    this.whenLead(() => {
      if (isOver) return;
      if (this.#fleet) leave = this.#fleet.alone(task, run);
      else run();
    });
    return () => {
      isOver = true;
      leave?.();
    };
  }

  get fleet(): CoordinatedFleet | undefined {
    return this.#fleet?.view;
  }

  get instanceNumbers(): InstanceNumbers | undefined {
    return this.#fleet?.view.numbers;
  }

  /** The gateway has loaded a config with files of this digest. Resolves when it may serve: the others have the same. */
  loaded(digest: string, reloadable: Reloadable): Promise<void> {
    return this.#reloads.loaded(digest, reloadable);
  }

  get generation(): number | undefined {
    return this.#reloads.generation;
  }

  hear(message: SharedTold): void {
    switch (message.t) {
      case 'board':
      case 'changed':
        return this.#changed(message);
      case 'kept':
        return settle(this.#kept, message, message.done);
      case 'taken':
        return settle(this.#taken, message, message.full);
      case 'asked':
        return void this.#asked(message);
      case 'answers':
        return this.#answers.reply(message.q, message.answers);
      case 'fleet':
      case 'fleet-answers':
      case 'proven':
      case 'alone':
        return this.#fleet?.hear(message);
      case 'reloaded':
        return this.#reloaded.reply(message.q, message);
      case 'granted':
      case 'full':
      case 'recall':
      case 'cancel-dead':
        return this.slots.hear(message);
      case 'lead':
        return this.#becomeLead();
      case 'prepare':
      case 'commit':
      case 'abort':
      case 'serve':
        return this.#reloads.hear(message);
    }
  }

  /** The channel is lost, or the gateway stops: rejects what waits, and what is asked for later. */
  close(): void {
    const error = (this.#over = new Error('the parent process is gone, or the gateway stops'));
    for (const { copy, lost } of this.#boards.values()) {
      copy.close();
      lost(error);
    }
    for (const replies of [this.#kept, this.#taken, this.#answers, this.#reloaded]) replies.rejectAll(error);
    this.#fleet?.close(error);
    this.#reloads.close(error);
  }

  #open(name: string): OpenBoard {
    const copy = new BoardCopy();
    const board = boardOf(copy, (entry, expected) => {
      const { q, reply } = this.#kept.next();
      this.#send({ t: 'change', q, board: name, entry, ...(expected !== undefined && { expected }) });
      return reply;
    });
    let arrived: () => void = () => {};
    let lost: (error: Error) => void = () => {};
    const opened = new Promise<Board>((resolve, reject) => {
      arrived = () => resolve(board);
      lost = reject;
    });
    opened.catch(() => {});
    this.#send({ t: 'open', board: name });
    return { copy, board: opened, arrived, lost };
  }

  #changed(message: Extract<SharedTold, { readonly t: 'board' | 'changed' }>): void {
    const { board, seq } = message;
    const open = this.#boards.get(board);
    if (!open) return;
    if (message.t === 'board') open.copy.replace(message.entries);
    else open.copy.apply(message.entry);
    open.arrived();
    this.#send({ t: 'applied', board, seq });
  }

  async #asked({ q, name, body, from }: Extract<SharedTold, { readonly t: 'asked' }>): Promise<void> {
    this.#send({ t: 'answer', q, ...(await this.#own.of(name, body, from)) });
  }

  #becomeLead(): void {
    this.#isLead = true;
    for (const lead of this.#leads.splice(0)) lead();
  }
}

/** With the value, or with why there is none. */
function settle<T>(
  replies: Replies<T>,
  { q, error }: { readonly q: number; readonly error?: string },
  value: T,
): void {
  if (error === undefined) replies.reply(q, value);
  else replies.reject(q, new Error(error));
}
