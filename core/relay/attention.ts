/** Which messages of a client are looked at: only what somebody has a reason to see. */
import { Frontend } from '../wire/frames.ts';

/** Who has a reason. */
export interface AttentionOptions {
  /** Somebody looks at every statement. */
  readonly statements: boolean;
  /** Somebody is told how they ended, and so whether their Sync failed. */
  readonly ends: boolean;
  /** Somebody looks at statements from the first text on that contains this one. Default: nobody does. */
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
  /** Statements are looked at. */
  looks: boolean;
  /** By type byte: 1 where a message needs more than a place in the ledger. */
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

  /** True for the message from which on statements are looked at; `frame` is its beginning. */
  wakes(type: number, frame: Buffer): boolean {
    if (this.#from === undefined || (type !== Frontend.query && type !== Frontend.parse)) return false;
    if (!frame.includes(this.#from)) return false;
    this.#from = undefined;
    this.looks = true;
    mark(this.#base, this.#watched);
    return true;
  }

  /** `all`: whatever comes is looked at; `own`: there are names of ours that messages may mean. */
  update(all: boolean, own: boolean): void {
    this.wants.set(this.#base);
    if (all) this.wants.fill(1);
    else if (own) mark(this.wants, OWN);
  }
}
