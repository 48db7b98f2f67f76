/** Commands of one session that change objects of its database, after which a text may mean something else. */
import { changesObjects } from './command-tags.ts';

/** When objects of a database were changed. */
export interface SchemaClock {
  /** Sessions rely on it: without any, commands need not be looked at for it. */
  readonly used: boolean;
  /** A command has changed objects, or a transaction with such a command is over. */
  changed(): void;
}

/** One per session. */
export class ObjectChanges {
  readonly #schema: SchemaClock | undefined;
  #pending = false;

  constructor(schema: SchemaClock | undefined) {
    this.#schema = schema;
  }

  /** A transaction with such a command is not over: other sessions see the change later or never. */
  get pending(): boolean {
    return this.#pending;
  }

  /** A command has ended. */
  completed(tag: string): void {
    if (changesObjects(tag)) this.begin();
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
  }
}
