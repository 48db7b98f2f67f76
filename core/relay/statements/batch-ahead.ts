/**
 * A batch of the extended protocol before the session has a server connection: hooks decide about its messages up to the first
 * Execute before a connection is requested, so that a held Execute holds none.
 */
import type { Statement } from '../../statement.ts';
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import type { HookCall } from './hook-call.ts';
import { isGatewayCommand } from './gateway-commands.ts';
import { isTooLong } from './message-mask.ts';
import type { Change } from './statement-observer.ts';
import type { StatementTexts } from './statement-texts.ts';

/** Messages that may stand in front of an Execute. */
const IN_FRONT: ReadonlySet<number> = new Set([
  Frontend.parse,
  Frontend.bind,
  Frontend.describe,
  Frontend.close,
]);

/** True for the types of messages by which {@link BatchAhead.read} may be called. */
export const beginsBatch = (type: number): boolean => IN_FRONT.has(type);

/** A message that has been read, and the decision about it. */
interface Decided {
  readonly frame: Buffer;
  /** Undefined where the message carries none. */
  readonly statement: Statement | undefined;
  /** The statement to send; undefined where no hook was asked. */
  readonly approved?: Statement | undefined;
  /** The error of a hook that refused it. */
  readonly refusal?: { readonly thrown: unknown } | undefined;
}

/** The session whose messages are read ahead. */
export interface BatchAheadHost {
  /** The received bytes behind the message that is decided about. */
  readonly fromClient: { readonly behind: Buffer | undefined };
  betweenTransactions(): boolean;
}

/** A copy of the messages up to the first Execute; undefined where it has not arrived, or another message stands in front of it. */
function upToExecute(received: Buffer): Buffer | undefined {
  for (let at = 0; received.length - at > HEADER_BYTES;) {
    const type = received[at] ?? 0;
    const word = received.readUInt32BE(at + 1);
    const end = at + 1 + word;
    if (word < 4 || end > received.length) return undefined;
    if (type === Frontend.execute) return Buffer.from(received.subarray(0, end));
    if (!IN_FRONT.has(type)) return undefined;
    at = end;
  }
  return undefined;
}

/** One per session whose server connections change, made for the first batch that a hook decides about. */
export class BatchAhead {
  readonly #host: BatchAheadHost;
  readonly #hooks: HookCall;
  readonly #longest: number;
  /** Behind the message that needs a connection, in their order. */
  #decided: Decided[] = [];

  /** `longest` message that is assembled, in bytes. */
  constructor(host: BatchAheadHost, hooks: HookCall, longest: number) {
    this.#host = host;
    this.#hooks = hooks;
    this.#longest = longest;
  }

  /** Messages have been decided about that have not been processed yet. */
  get any(): boolean {
    return this.#decided.length > 0;
  }

  /** The decision about the next message, once; undefined where there is none. */
  take(frame: Buffer): Decided | undefined {
    const next = this.#decided.shift();
    if (!next || next.frame.equals(frame)) return next;
    this.clear();
    return undefined;
  }

  /** The messages will not be processed. */
  clear(): void {
    if (this.#decided.length > 0) this.#decided = [];
  }

  /**
   * Asks the hooks about the received messages behind `frame`, up to the first Execute. Returns a promise where a hook answers
   * later; it never rejects. @throws GatewayError `program_limit_exceeded` for too many names
   */
  read(
    type: number,
    frame: Buffer,
    statement: Statement | undefined,
    texts: StatementTexts,
  ): Promise<void> | undefined {
    const { behind } = this.#host.fromClient;
    const batch = behind && upToExecute(behind);
    if (!batch) return undefined;
    if (texts.anyPortal && this.#host.betweenTransactions()) texts.transactionEnded();
    const first = texts.foreseen(type, frame, statement);
    const changes = first ? [first] : [];
    // The texts change when the messages are sent.
    const over = (): void => changes.toReversed().forEach((change) => change.undo());
    const asked = this.#read(batch, 0, changes, texts);
    if (asked) return asked.then(over, over);
    over();
    return undefined;
  }

  /** From the message at `from` on. */
  #read(batch: Buffer, from: number, changes: Change[], texts: StatementTexts): Promise<void> | undefined {
    for (let at = from; at < batch.length;) {
      const end = at + 1 + batch.readUInt32BE(at + 1);
      const next = this.#ask(batch.subarray(at, end), changes, texts);
      if (next instanceof Promise)
        return next.then((isLast) => (isLast ? undefined : this.#read(batch, end, changes, texts)));
      if (next) return undefined;
      at = end;
    }
    return undefined;
  }

  /** Asks about one message: true where no further one is asked about. */
  #ask(frame: Buffer, changes: Change[], texts: StatementTexts): boolean | Promise<boolean> {
    const type = frame[0] ?? 0;
    if (isGatewayCommand(type, frame) || isTooLong(type, frame, frame.length, this.#longest)) return true;
    const statement = opened(texts, type, frame);
    if (statement === 'malformed') return true;
    const refused = (thrown: unknown): boolean =>
      this.#decided.push({ frame, statement, refusal: { thrown } }) > 0;
    const passed = (approved?: Statement): boolean => {
      this.#decided.push({ frame, statement, approved });
      const change =
        type === Frontend.execute ? undefined : texts.foreseen(type, frame, approved ?? statement);
      if (change) changes.push(change);
      return type === Frontend.execute;
    };
    try {
      const answer = this.#hooks.wants(statement) ? this.#hooks.ask(statement) : undefined;
      return answer instanceof Promise ? answer.then(passed, refused) : passed(answer);
    } catch (thrown) {
      return refused(thrown);
    }
  }
}

/** The server refuses a message that cannot be read. */
function opened(texts: StatementTexts, type: number, frame: Buffer): Statement | undefined | 'malformed' {
  try {
    return texts.open(type, frame);
  } catch {
    return 'malformed';
  }
}
