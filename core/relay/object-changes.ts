/** Commands of one session that change objects of its database: a text may mean something else, or run other functions. */
import { changesObjects, definesFunctions } from './command-tags.ts';
import { TEMPORARY_OBJECTS } from './session-state-detection.ts';

/** The changes of all sessions to the objects of a database. */
export interface SchemaClock {
  /** Sessions rely on the time of changes: without any, commands need not be looked at for it. */
  readonly used: boolean;
  /** A command has changed objects, or a transaction with such a command is over. */
  changed(): void;
  /** Such a command may have changed functions, or the ways in which statements run them. */
  functionsChanged(): void;
  /** The transaction of such a command has begun, or is over: until then nobody else knows what it changes. */
  functionsPending(change: 1 | -1): void;
}

/** One per session. A change is noted twice: other sessions see it only when its transaction is over. */
export class ObjectChanges {
  readonly #schema: SchemaClock | undefined;
  #pending = false;
  #functionsPending = false;
  #makesLasting = false;

  constructor(schema: SchemaClock | undefined) {
    this.#schema = schema;
  }

  /** A transaction with such a command is not over: other sessions see the change later or never. */
  get pending(): boolean {
    return this.#pending;
  }

  /** A text may make an object that is not temporary. */
  makesLasting(): void {
    this.#makesLasting = true;
  }

  /** A command has ended. `pinned`: a session with temporary objects may make such a table in each transaction. */
  completed(tag: string, pinned: string | undefined): void {
    if (!changesObjects(tag)) return;
    this.begin();
    const isTemporary = tag === 'CREATE TABLE' && pinned === TEMPORARY_OBJECTS && !this.#makesLasting;
    if (!definesFunctions(tag) || isTemporary) return;
    if (!this.#functionsPending) this.#schema?.functionsPending(1);
    this.#functionsPending = true;
    this.#schema?.functionsChanged();
  }

  /** A statement is executed that may change objects although no tag shows it. */
  begin(): void {
    this.#pending = true;
    this.#schema?.changed();
  }

  /** The transaction is over, or its end is not known: it may have been committed. */
  over(): void {
    if (!this.#pending) return;
    this.#pending = false;
    this.#schema?.changed();
    if (!this.#functionsPending) return;
    this.#functionsPending = false;
    this.#schema?.functionsChanged();
    this.#schema?.functionsPending(-1);
  }
}
