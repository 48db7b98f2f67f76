/** Which message types of a client are inspected: only those that a plugin, an observer or the gateway needs. */
import { Frontend } from '../wire/frames.ts';
import type { Reads } from './statement-book.ts';

/** The reasons to inspect messages. */
export interface AttentionOptions {
  /** Present where a plugin decides about every statement: what it reads of them. */
  readonly asked: Reads | undefined;
  /** An observer learns how statements ended, and so whether their Sync failed. */
  readonly observed: boolean;
  /** Statements are observed from the first text on that contains this one. Default: all of them. */
  readonly statementsFrom: string | undefined;
  /** Server connections change between transactions. */
  readonly shared: boolean;
  /** It is of interest whether the session leaves state on its server connection. */
  readonly watched: boolean;
}

const ALWAYS = [Frontend.query, Frontend.parse, Frontend.terminate];
const LOOKED_AT = [Frontend.execute, Frontend.functionCall, Frontend.bind, Frontend.close];
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
const Reason = { looks: 1, ends: 2, shared: 4, own: 8, all: 16, watched: 32 } as const;
const TYPES: readonly (readonly [reason: number, types: readonly number[]])[] = [
  [Reason.looks, LOOKED_AT],
  [Reason.ends, ENDS],
  [Reason.shared, SHARED],
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

/** One per session. */
export class Attention {
  /** Statements are inspected. */
  looks: boolean;
  /** By type byte: 1 where a message needs more than an entry in the ledger. Shared with other sessions: never write to it. */
  wants: Uint8Array;
  /** Messages about prepared statements are inspected for the names in them only. */
  namesOnly: boolean;
  /** The reasons that last for the rest of the session. */
  #base: number;
  readonly #ends: boolean;
  readonly #asked: Reads | undefined;
  #from: string | undefined;

  constructor({ asked, observed, statementsFrom, shared, watched }: AttentionOptions) {
    this.#asked = asked;
    this.looks = asked !== undefined || (observed && statementsFrom === undefined);
    this.#ends = observed;
    this.#from = this.looks ? undefined : statementsFrom;
    this.#base =
      (shared ? Reason.shared : 0) | (watched ? Reason.watched : 0) | (this.looks ? this.#looking : 0);
    this.wants = tableOf(this.#base);
    this.namesOnly = this.#base === Reason.shared;
  }

  /** True for types of messages with statements that a plugin decides about. */
  asks(type: number): boolean {
    if (this.#asked === undefined) return false;
    return ASKED.has(type) || (type === Frontend.bind && this.#asked === 'parameters');
  }

  /** True for the message from which on statements are inspected; `frame` is its beginning. */
  wakes(type: number, frame: Buffer): boolean {
    if (this.#from === undefined || (type !== Frontend.query && type !== Frontend.parse)) return false;
    if (!frame.includes(this.#from)) return false;
    this.#from = undefined;
    this.looks = true;
    this.#base |= this.#looking;
    return true;
  }

  /** `all`: every message is inspected; `own`: the gateway has statements or portals of its own that messages may name. */
  update(all: boolean, own: boolean): void {
    const reasons = this.#base | (all ? Reason.all : 0) | (own ? Reason.own : 0);
    this.wants = tableOf(reasons);
    this.namesOnly = reasons === Reason.shared;
  }

  get #looking(): number {
    return Reason.looks | (this.#ends ? Reason.ends : 0);
  }
}

const tableOf = (reasons: number): Uint8Array => TABLES[reasons] ?? new Uint8Array(256).fill(1);
