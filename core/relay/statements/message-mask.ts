/**
 * Which messages of a client are inspected: only the types that a plugin, an observer or the gateway needs; and how long
 * an inspected statement may be.
 */
import { GatewayError } from '../../contract/errors.ts';
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import type { HookCallOptions } from './hook-call.ts';
import { isGatewayCommand } from './gateway-commands.ts';
import { needsText } from './statement-texts.ts';
import type { Reads } from './statement-texts.ts';

/** Behind a text in a Parse: its zero byte, a number of types, and types of four bytes each. */
const [TAIL_BYTES, MOST_TYPES_BYTES] = [3, 4 * 65_535];
/** A command for the gateway may hold a token of 64 KiB, whatever the limit for statements is. */
const OWN_BYTES = 131_072;

/**
 * Whether the text in a message, or the body of a Bind, has more than `limit` bytes. `frame` has the first 64 KiB of the
 * message at least, which is `bytes` long: for a Parse whose text does not end there, the answer is final once all of it has arrived.
 */
export function isTooLong(type: number, frame: Buffer, bytes: number, configured: number): boolean {
  const limit = isGatewayCommand(type, frame) ? Math.max(configured, OWN_BYTES) : configured;
  if (bytes - HEADER_BYTES - 1 <= limit) return false;
  if (type !== Frontend.parse) return type === Frontend.query || bytes - HEADER_BYTES > limit;
  const from = frame.indexOf(0, HEADER_BYTES) + 1;
  const end = from === 0 ? -1 : frame.indexOf(0, from);
  if (end >= 0) return end - from > limit;
  return frame.length >= bytes || bytes - from - TAIL_BYTES - MOST_TYPES_BYTES > limit;
}

/** What decides how much of a message is assembled. */
interface LongestOptions extends HookCallOptions {
  readonly maxStatementBytes: number;
}

/** True for a message of `bytes` bytes that has to be assembled; `moves`: its Parse may have to be sent again elsewhere. */
export function needsWhole(type: number, bytes: number, moves: boolean, options: LongestOptions): boolean {
  const { query, reads, maxStatementBytes } = options;
  if (type === Frontend.query || type === Frontend.parse) {
    if (query !== undefined && needsText(reads)) return true;
    // A longer Parse is not remembered.
    return type === Frontend.parse && moves && bytes <= maxStatementBytes;
  }
  return type === Frontend.bind ? reads === 'parameters' : type !== Frontend.functionCall;
}

/** The refusal of what {@link isTooLong}. */
export function tooLong(limit: number): GatewayError {
  return new GatewayError('program_limit_exceeded', `statement is longer than ${limit} bytes`, {
    hint: 'A plugin of the gateway reads statements: maxStatementBytes of its configuration says how long they may be.',
  });
}

/** The reasons to inspect messages. */
export interface MessageMaskOptions {
  /** Present where a plugin decides about every statement: what it reads of them. */
  readonly asked: Reads | undefined;
  /** An observer learns how statements ended, and so whether their Sync failed. */
  readonly observed: boolean;
  /** Statements are observed from the first text on that contains this one. Default: all of them. */
  readonly statementsFrom: string | undefined;
  /** Server connections change between transactions. */
  readonly prepared: boolean;
  /** It is of interest whether the session leaves state on its server connection. */
  readonly watched: boolean;
}

const ALWAYS = [Frontend.query, Frontend.parse, Frontend.terminate];
const OBSERVED_TYPES = [Frontend.execute, Frontend.functionCall, Frontend.bind, Frontend.close];
const ASKED: ReadonlySet<number> = new Set([
  Frontend.query,
  Frontend.parse,
  Frontend.execute,
  Frontend.functionCall,
]);
const ENDS = [Frontend.sync];
const SHARED = [Frontend.bind, Frontend.describe, Frontend.close, Frontend.functionCall];
const OWN = [Frontend.bind, Frontend.describe, Frontend.execute, Frontend.close];

/** Reasons to inspect messages, as bits, and the message types of each. */
const Reason = { looks: 1, ends: 2, prepared: 4, own: 8, all: 16, watched: 32 } as const;
/** The reasons of observers. */
const OBSERVING = Reason.looks | Reason.ends;
const TYPES: readonly (readonly [reason: number, types: readonly number[]])[] = [
  [Reason.looks, OBSERVED_TYPES],
  [Reason.ends, ENDS],
  [Reason.prepared, SHARED],
  [Reason.own, OWN],
  [Reason.watched, [Frontend.functionCall]],
];

/** One table per combination of reasons, shared by all sessions: a table of its own would cost each session 400 bytes. */
const TABLES: readonly Uint8Array[] = Array.from({ length: 64 }, (_, reasons) => {
  const table = new Uint8Array(256).fill((reasons & Reason.all) === 0 ? 0 : 1);
  for (const type of ALWAYS) table[type] = 1;
  for (const [reason, types] of TYPES)
    if ((reasons & reason) !== 0) for (const type of types) table[type] = 1;
  return table;
});

/**
 * Which message types of a client are inspected: only those that a plugin, an observer or the gateway needs. One per
 * session.
 */
export class MessageMask {
  /** Statements are inspected. */
  observesStatements: boolean;
  /** By type byte: 1 where a message needs more than an entry in the queue. Shared with other sessions: never write to it. */
  wants: Uint8Array;
  /** Messages about prepared statements are inspected for the names in them, and for nothing else but observers. */
  namesOnly: boolean;
  /** Statements are inspected for observers, and no plugin decides about them. */
  observesOnly: boolean;
  /** Messages may be decided about where they stand in the chunk: a plugin decides, and nothing but statements matters to it. */
  decides: boolean;
  /** Server connections change, and no text of a Query is read but for what it does to its connection. */
  readsNoQuery: boolean;
  /** The reasons that last for the rest of the session. */
  #base: number;
  readonly #ends: boolean;
  readonly #asked: Reads | undefined;
  #from: string | undefined;

  constructor({ asked, observed, statementsFrom, prepared, watched }: MessageMaskOptions) {
    this.#asked = asked;
    this.observesStatements = asked !== undefined || (observed && statementsFrom === undefined);
    this.#ends = observed;
    this.#from = this.observesStatements ? undefined : statementsFrom;
    this.#base =
      (prepared ? Reason.prepared : 0) |
      (watched ? Reason.watched : 0) |
      (this.observesStatements ? this.#looking() : 0);
    this.wants = tableOf(this.#base);
    this.namesOnly = this.#namesOnly(this.#base);
    this.readsNoQuery = this.#readsNoQuery(this.#base);
    this.observesOnly = this.#observesOnly(this.#base);
    this.decides = this.#decides(this.#base);
  }

  /** A plugin decides about statements. */
  get asksAny(): boolean {
    return this.#asked !== undefined;
  }

  /** True for types of messages with statements that a plugin decides about. */
  asks(type: number): boolean {
    if (this.#asked === undefined) return false;
    return ASKED.has(type) || (type === Frontend.bind && this.#asked === 'parameters');
  }

  /** True for the message from which on statements are inspected; `frame` is its beginning. */
  startsObserving(type: number, frame: Buffer): boolean {
    if (this.#from === undefined || (type !== Frontend.query && type !== Frontend.parse)) return false;
    if (!frame.includes(this.#from)) return false;
    this.#from = undefined;
    this.observesStatements = true;
    this.#base |= this.#looking();
    return true;
  }

  /** `all`: every message is inspected; `own`: the gateway has statements or portals of its own that messages may name. */
  update(all: boolean, own: boolean): void {
    const reasons = this.#base | (all ? Reason.all : 0) | (own ? Reason.own : 0);
    this.wants = tableOf(reasons);
    this.namesOnly = this.#namesOnly(reasons);
    this.readsNoQuery = this.#readsNoQuery(reasons);
    this.observesOnly = this.#observesOnly(reasons);
    this.decides = this.#decides(reasons);
  }

  /** Messages about portals and statements are inspected from here on. */
  inspectPortals(): void {
    this.#base |= Reason.own;
    this.update(false, true);
  }

  #namesOnly(reasons: number): boolean {
    return this.#asked === undefined && (reasons & ~OBSERVING) === Reason.prepared;
  }

  #readsNoQuery(reasons: number): boolean {
    return this.#from === undefined && reasons === Reason.prepared;
  }

  #observesOnly(reasons: number): boolean {
    return this.#asked === undefined && (reasons & ~(Reason.watched | Reason.prepared)) === OBSERVING;
  }

  #decides(reasons: number): boolean {
    if (this.#asked === undefined || this.#asked === 'parameters') return false;
    return (reasons & (Reason.all | Reason.own)) === 0;
  }

  #looking(): number {
    return Reason.looks | (this.#ends ? Reason.ends : 0);
  }
}

const tableOf = (reasons: number): Uint8Array => TABLES[reasons] ?? new Uint8Array(256).fill(1);
