/** Which message types of a client are inspected: only those that a plugin, an observer or the gateway needs. */
import { Frontend } from '../wire/frames.ts';

/** The reasons to inspect messages. */
export interface AttentionOptions {
  /** A plugin or an observer sees every statement. */
  readonly statements: boolean;
  /** An observer learns how statements ended, and so whether their Sync failed. */
  readonly ends: boolean;
  /** Statements are inspected from the first text on that contains this one. Default: they are not. */
  readonly statementsFrom: string | undefined;
  /** Server connections change between transactions. */
  readonly shared: boolean;
}

const ALWAYS = [Frontend.query, Frontend.parse, Frontend.terminate];
const LOOKED_AT = [Frontend.execute, Frontend.functionCall, Frontend.bind, Frontend.close];
const ENDS = [Frontend.sync];
const SHARED = [Frontend.bind, Frontend.describe, Frontend.close, Frontend.functionCall];
const OWN = [Frontend.bind, Frontend.describe, Frontend.execute, Frontend.close];

function mark(table: Uint8Array, types: readonly number[]): void {
  for (const type of types) table[type] = 1;
}

/** One per session. */
export class Attention {
  /** Statements are inspected. */
  looks: boolean;
  /** By type byte: 1 where a message needs more than an entry in the ledger. */
  readonly wants = new Uint8Array(256);
  readonly #base = new Uint8Array(256);
  readonly #watched: readonly number[];
  #from: string | undefined;

  constructor({ statements, ends, statementsFrom, shared }: AttentionOptions) {
    this.looks = statements;
    this.#watched = ends ? [...LOOKED_AT, ...ENDS] : LOOKED_AT;
    this.#from = statements ? undefined : statementsFrom;
    mark(this.#base, ALWAYS);
    if (statements) mark(this.#base, this.#watched);
    if (shared) mark(this.#base, SHARED);
    this.wants.set(this.#base);
  }

  /** True for the message from which on statements are inspected; `frame` is its beginning. */
  wakes(type: number, frame: Buffer): boolean {
    if (this.#from === undefined || (type !== Frontend.query && type !== Frontend.parse)) return false;
    if (!frame.includes(this.#from)) return false;
    this.#from = undefined;
    this.looks = true;
    mark(this.#base, this.#watched);
    return true;
  }

  /** `all`: every message is inspected; `own`: the gateway has statements or portals of its own that messages may name. */
  update(all: boolean, own: boolean): void {
    this.wants.set(this.#base);
    if (all) this.wants.fill(1);
    else if (own) mark(this.wants, OWN);
  }
}
