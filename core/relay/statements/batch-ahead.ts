/**
 * Decisions of hooks about messages before these are processed: about a batch of the extended protocol up to its first Execute, while
 * the session has no server connection, so that a held Execute holds none.
 */
import type { Statement } from '../../contract/statement.ts';
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import type { HookCall } from './hook-call.ts';
import { isGatewayCommand } from './gateway-commands.ts';
import { isTooLong } from './message-mask.ts';
import type { MessageMask } from './message-mask.ts';
import type { Change } from './statement-observer.ts';
import { isUnnamedExecute } from './statement-texts.ts';
import type { StatementTexts } from './statement-texts.ts';

/** Messages that may stand in front of an Execute. */
const IN_FRONT: ReadonlySet<number> = new Set([
  Frontend.parse,
  Frontend.bind,
  Frontend.describe,
  Frontend.close,
]);

/** True for the types of messages that {@link BatchAhead.read} reads ahead of. */
export const beginsBatch = (type: number): boolean => IN_FRONT.has(type);

/** A decision about a message that has not been processed. */
export interface Decided {
  readonly statement: Statement;
  /** The message; undefined for a plain Execute of the unnamed portal. */
  readonly frame: Buffer | undefined;
  /** The statement to send, or the promise of it; undefined where the hook has refused it. */
  answer: Statement | Promise<Statement> | undefined;
  /** The error of a hook that refused it. */
  refusal: { readonly thrown: unknown } | undefined;
}

/** The session whose messages are read ahead. */
export interface BatchAheadHost {
  /** The received bytes behind the message that is decided about. */
  readonly fromClient: { readonly behind: Buffer | undefined };
  betweenTransactions(): boolean;
}

/** Where the first Execute begins of the batch that begins at `from`; -1 where it has not arrived, or another message stands in front of it. */
export function firstExecute(received: Buffer, from: number): number {
  for (let at = from; received.length - at > HEADER_BYTES;) {
    const type = received[at] ?? 0;
    const word = received.readUInt32BE(at + 1);
    if (word < 4 || at + 1 + word > received.length) return -1;
    if (type === Frontend.execute) return at;
    if (!IN_FRONT.has(type)) return -1;
    at += 1 + word;
  }
  return -1;
}

/** A copy of the messages up to the first Execute; undefined where there is none. */
function upToExecute(received: Buffer): Buffer | undefined {
  const at = firstExecute(received, 0);
  return at < 0 ? undefined : Buffer.from(received.subarray(0, at + 1 + received.readUInt32BE(at + 1)));
}

/** What the decisions depend on. */
export interface BatchAheadParts {
  readonly texts: StatementTexts;
  /** It says which types of messages hooks are asked about. */
  readonly mask: Pick<MessageMask, 'asks'>;
  /** Longest message that is assembled, in bytes. */
  readonly longest: number;
}

/** One per session, made for the first decision of a hook. */
export class BatchAhead {
  readonly #host: BatchAheadHost;
  readonly #hooks: HookCall;
  readonly #parts: BatchAheadParts;
  /** In the order of their messages. */
  #decided: Decided[] = [];
  #isRead = false;
  /** While the batch is read: the decisions that its messages have had so far. */
  #passed = 0;

  constructor(host: BatchAheadHost, hooks: HookCall, parts: BatchAheadParts) {
    this.#host = host;
    this.#hooks = hooks;
    this.#parts = parts;
  }

  /** The decision about the next message that hooks are asked about. */
  get next(): Decided | undefined {
    return this.#decided[0];
  }

  /** The batch has been read, and a decision about it is left. */
  get isRead(): boolean {
    return this.#isRead && this.#decided.length > 0;
  }

  /** The decision about the next message, once; undefined where there is none, and where that is another message. */
  take(frame: Buffer): Decided | undefined {
    if (this.isNext(frame, 0, frame.length)) return this.#decided.shift();
    this.clear();
    return undefined;
  }

  /** The next decision is about the message in `data` from `at` to `end`. */
  isNext(data: Buffer, at: number, end: number): boolean {
    const { next } = this;
    return next !== undefined && this.#isAbout(next, data, at, end);
  }

  /** For an Execute also with the text that its portal has now. */
  #isAbout({ statement, frame }: Decided, data: Buffer, at: number, end: number): boolean {
    if (frame ? frame.compare(data, at, end) !== 0 : !isUnnamedExecute(data, at, end)) return false;
    return statement.kind !== 'execute' || statement.sql === this.#parts.texts.portalText(statement.portal);
  }

  /** The next message is processed. */
  shift(): void {
    this.#decided.shift();
  }

  /** The messages will not be processed. */
  clear(): void {
    if (this.#decided.length > 0) this.#decided = [];
    this.#isRead = false;
  }

  /** Asks the hooks about a message that has no decision. `frame` as in {@link Decided}. */
  decide(statement: Statement, frame: Buffer | undefined): Decided {
    const decided: Decided = { statement, frame, answer: undefined, refusal: undefined };
    this.#decided.push(decided);
    const refused = (thrown: unknown): void => {
      decided.answer = undefined;
      decided.refusal = { thrown };
    };
    try {
      const answer = this.#hooks.ask(statement);
      decided.answer = answer;
      if (answer instanceof Promise) answer.then((approved) => (decided.answer = approved), refused);
    } catch (thrown) {
      refused(thrown);
    }
    return decided;
  }

  /**
   * Asks the hooks, unless it has, about the received messages behind `frame`, up to the first Execute. Returns a promise where a hook answers
   * later; it never rejects. @throws GatewayError `program_limit_exceeded` for too many names
   */
  read(type: number, frame: Buffer, statement: Statement | undefined): Promise<void> | undefined {
    if (this.isRead || !beginsBatch(type)) return undefined;
    const { texts } = this.#parts;
    const { behind } = this.#host.fromClient;
    const batch = behind && upToExecute(behind);
    if (!batch) return undefined;
    if (texts.anyPortal && this.#host.betweenTransactions()) texts.transactionEnded();
    this.#passed = 0;
    const first = texts.foreseen(type, frame, statement);
    const changes = first ? [first] : [];
    // The texts change when the messages are sent.
    const over = (): void => {
      this.#isRead = true;
      changes.toReversed().forEach((change) => change.dropped());
    };
    const asked = this.#read(batch, 0, changes);
    if (asked) return asked.then(over, over);
    over();
    return undefined;
  }

  /** From the message at `from` on. */
  #read(batch: Buffer, from: number, changes: Change[]): Promise<void> | undefined {
    for (let at = from; at < batch.length;) {
      const end = at + 1 + batch.readUInt32BE(at + 1);
      const next = this.#ask(batch.subarray(at, end), changes);
      if (next instanceof Promise)
        return next.then((isLast) => (isLast ? undefined : this.#read(batch, end, changes)));
      if (next) return undefined;
      at = end;
    }
    return undefined;
  }

  /** Asks about one message: true where no further one is asked about. */
  #ask(frame: Buffer, changes: Change[]): boolean | Promise<boolean> {
    const type = frame[0] ?? 0;
    const { mask, longest } = this.#parts;
    if (isGatewayCommand(type, frame) || isTooLong(type, frame, frame.length, longest)) return true;
    try {
      const decided = mask.asks(type) ? this.#decisionAbout(type, frame) : undefined;
      if (!(decided?.answer instanceof Promise)) return this.#foresee(frame, decided, changes);
      const settled = (): boolean => this.#foresee(frame, decided, changes);
      return decided.answer.then(settled, settled);
    } catch {
      // The server refuses a message that cannot be read.
      return true;
    }
  }

  /** One that has been made before, or a new one. @throws GatewayError for a message that cannot be read */
  #decisionAbout(type: number, frame: Buffer): Decided | undefined {
    const made = this.#decided[this.#passed];
    this.#passed += 1;
    if (made && this.#isAbout(made, frame, 0, frame.length)) return made;
    this.#decided.length = this.#passed - 1;
    const statement = this.#parts.texts.open(type, frame);
    return statement && this.decide(statement, frame);
  }

  /** The texts change as they will when the message is sent: true where no further message is asked about. */
  #foresee(frame: Buffer, decided: Decided | undefined, changes: Change[]): boolean {
    const type = frame[0] ?? 0;
    if (type === Frontend.execute || decided?.refusal) return true;
    const { answer } = decided ?? {};
    const change = this.#parts.texts.foreseen(type, frame, answer instanceof Promise ? undefined : answer);
    if (change) changes.push(change);
    return false;
  }
}
