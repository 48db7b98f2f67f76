/** The functions of a database as a pool knows them: asked for together with a reset, and believed for a while. */
import type { Clock } from './clock.ts';
import { FunctionCatalog } from './function-catalog.ts';
import type { SchemaChanges } from './schema-changes.ts';

/** How long an answer is believed, in milliseconds: functions are made on connections that are not the gateway's, too. */
export const BELIEVED_MS = 10_000;
/** Where functions have not changed, the catalog is asked at most once in this time, in milliseconds. */
const ASK_MS = 1_000;

/** A question to a server. */
export interface Question {
  /** The count of changes when it began: they may not be in the answer. */
  readonly changes: number;
  /** By the pool's clock. */
  readonly at: number;
}

const NEVER: Question = { changes: -1, at: -Infinity };

/** One per pool and database. */
export class KnownFunctions {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #changes: SchemaChanges;
  #catalog = FunctionCatalog.unknown;
  /** The question that the catalog answers. */
  #answered = NEVER;
  /** The newest one. */
  #asked = NEVER;

  constructor(changes: SchemaChanges, clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
    this.#changes = changes;
  }

  /**
   * The catalog that is believed now: {@link FunctionCatalog.unknown} where the last answer is too old or out of date, or will be when
   * a transaction is over.
   */
  get catalog(): FunctionCatalog {
    const { changes: before, at } = this.#answered;
    const current = before === this.#changes.functions && this.#clock.now() < at + BELIEVED_MS;
    return current && !this.#changes.pending ? this.#catalog : FunctionCatalog.unknown;
  }

  /** The question for the caller to ask now, if one is due. */
  question(): Question | undefined {
    const at = this.#clock.now();
    const changed = this.#asked.changes !== this.#changes.functions;
    const late = at - this.#asked.at >= ASK_MS;
    if (!changed && !(late && this.catalog === FunctionCatalog.unknown)) return undefined;
    this.#asked = { changes: this.#changes.functions, at };
    return this.#asked;
  }

  /** The answer to a question; one to an older question than the last answer is dropped. */
  learn(question: Question, catalog: FunctionCatalog): void {
    if (question.changes < this.#answered.changes || question.at < this.#answered.at) return;
    this.#catalog = catalog;
    this.#answered = question;
  }
}
