/** A source of keys that one worker asks at a time, for all: the answer is on a board. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Board, GatewayHandle } from '../../core/index.ts';
import { ServerBusy } from './download.ts';
import type { KeySource } from './key-source.ts';
import { ask, reasonOf } from './question.ts';

/** How a question ended. */
interface Outcome {
  /** When, in milliseconds of {@link machineMs}. */
  readonly at: number;
  readonly document?: unknown;
  readonly reason?: string;
  readonly busyMs?: number;
}

/** What a board has of one source. Empty: its keys were dropped by an operator. */
export interface KeysTold {
  /** The question under way, and who asks it. */
  readonly asking?: { readonly by: number; readonly at: number };
  readonly last?: Outcome;
}

/** A question, and one more by this worker where another one has ended or hangs, in milliseconds. */
const MOST_MS = 10_000;
/** How often the worker that asks is asked whether it still does, in milliseconds. */
const LOOK_MS = 250;
const QUESTION = 'asking for keys';
const DROPPED = 'dropped by an operator';

/** The monotonic clock of this machine: the same in all processes, and nobody sets it. */
function machineMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** What is asked of the gateway here. */
export type SharedSourceParts = Pick<GatewayHandle, 'post' | 'worker'>;

/** One per worker and source. */
export class SharedSource implements KeySource {
  readonly mostMs = MOST_MS;
  readonly kind: KeySource['kind'];
  readonly pace: KeySource['pace'];
  readonly id: string;
  readonly #source: KeySource;
  readonly #board: Board<KeysTold>;
  readonly #gateway: SharedSourceParts;
  readonly #name: string;
  #asks = false;
  /** Whether this worker has asked for the last document itself: then it keeps it on disk. */
  isOwn = false;

  constructor(source: KeySource, name: string, board: Board<KeysTold>, gateway: SharedSourceParts) {
    this.kind = source.kind;
    this.pace = source.pace;
    this.id = source.id ?? '';
    this.#source = source;
    this.#name = name;
    this.#board = board;
    this.#gateway = gateway;
  }

  /** The last document that a worker got, and its age in milliseconds; undefined where there is none. */
  get last(): { readonly document: unknown; readonly ageMs: number } | undefined {
    const { document, at } = this.#told?.last ?? {};
    if (document === undefined || at === undefined) return undefined;
    return { document, ageMs: Math.max(0, machineMs() - at) };
  }

  /** Hears of questions that other workers begin, and of dropped keys. The function that it returns ends that. */
  open(heard: { readonly asked: () => void; readonly dropped: () => void }): () => void {
    const question = `${QUESTION} ${this.#name}`;
    const closing = [
      this.#gateway.post.answer(question, () => this.#asks),
      this.#board.watch((change) => {
        if (change.kind !== 'put' || change.id !== this.#name) return;
        const { asking, last } = change.value;
        if (asking && asking.by !== this.#gateway.worker.number) heard.asked();
        if (!asking && !last) heard.dropped();
      }),
    ];
    return () => {
      for (const close of closing) close();
    };
  }

  /** Resolves when no worker has the keys any more. */
  async drop(): Promise<void> {
    await this.#board.put(this.#name, {});
  }

  async load(signal: AbortSignal): Promise<unknown> {
    for (;;) {
      signal.throwIfAborted();
      const told = this.#told;
      const { asking, last } = told ?? {};
      const outcome = asking && (await this.#outcomeOf(asking, signal));
      if (outcome) return documentOf(outcome);
      const now = this.#told;
      if (JSON.stringify(now) !== JSON.stringify(told)) continue;
      const claim = {
        ...(last && { last }),
        asking: { by: this.#gateway.worker.number, at: machineMs() },
      };
      const own = await this.#claim(claim, told, signal);
      if (own) return documentOf(own);
    }
  }

  get #told(): KeysTold | undefined {
    return this.#board.get(this.#name);
  }

  /** Undefined where another worker was first, or the answer is not wanted any more: keys were dropped, or another did not wait for it. */
  async #claim(
    claim: KeysTold,
    expected: KeysTold | undefined,
    signal: AbortSignal,
  ): Promise<Outcome | undefined> {
    // Before the others hear of it: they ask at once whether it is so.
    this.#asks = true;
    try {
      if (!(await this.#board.put(this.#name, claim, { expected }))) return undefined;
      const last = await this.#answer(signal);
      this.isOwn = await this.#board.put(this.#name, { last }, { expected: claim });
      return this.isOwn ? last : undefined;
    } finally {
      this.#asks = false;
    }
  }

  async #answer(signal: AbortSignal): Promise<Outcome> {
    try {
      const document = await ask(this.#source, signal);
      return { at: machineMs(), document };
    } catch (error) {
      const busyMs = error instanceof ServerBusy ? error.retryAfterMs : undefined;
      return { at: machineMs(), reason: reasonOf(error), ...(busyMs !== undefined && { busyMs }) };
    }
  }

  /** Undefined where that worker has ended, hangs, or has no say any more. */
  async #outcomeOf(
    asking: NonNullable<KeysTold['asking']>,
    signal: AbortSignal,
  ): Promise<Outcome | undefined> {
    const question = `${QUESTION} ${this.#name}`;
    const isIt = (): boolean => {
      const now = this.#told?.asking;
      return now?.by === asking.by && now.at === asking.at;
    };
    while (isIt()) {
      signal.throwIfAborted();
      const [answer] =
        asking.by === this.#gateway.worker.number
          ? []
          : await this.#gateway.post.ask(asking.by, question, undefined, { withinMs: 1_000 });
      if (answer?.body !== true && isIt()) return undefined;
      if (isIt()) await sleep(LOOK_MS, undefined, { ref: false });
    }
    const { last, asking: next } = this.#told ?? {};
    this.isOwn = false;
    return next || !last || last.at < asking.at ? undefined : last;
  }
}

/** @throws Error as the question failed */
function documentOf({ document, reason = DROPPED, busyMs }: Outcome): unknown {
  if (document !== undefined) return document;
  if (busyMs === undefined) throw new Error(reason);
  throw new ServerBusy(503, busyMs, reason);
}
