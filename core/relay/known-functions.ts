/** Statements by the functions that they run: the state that one may leave although neither its tag nor its text shows it. */
import type { LeftState } from '../left-state.ts';

/** The functions of a database at one time. */
export interface Functions {
  /** The state that a statement with this text may leave, besides that which is seen by its tag and its words. */
  leaves(text: string): LeftState;
}

/** The functions of the session's database as the gateway knows them. */
export interface KnownFunctions {
  /** What is known now: the same object as long as that does not change. */
  readonly catalog: Functions;
  /** A command may have changed the functions, or the ways in which statements run them. */
  outdate(): void;
}

/** What a statement may leave that is executed more than once: its text is read again only when functions have changed. */
export class StatementCalls {
  readonly text: string;
  #catalog: Functions | undefined;
  #leaves: LeftState = 'state';

  constructor(text: string) {
    this.text = text;
  }

  leaves({ catalog }: KnownFunctions): LeftState {
    if (catalog !== this.#catalog) {
      this.#catalog = catalog;
      this.#leaves = catalog.leaves(this.text);
    }
    return this.#leaves;
  }
}

/** Commands that make or change functions or what runs them; a DO or CALL may. Those that drop some are left out. */
const DEFINES = /^(?:CREATE|ALTER|IMPORT|DO|CALL|COMMIT PREPARED)\b/;

/** Notices commands that may change functions; one per session. */
export class Definitions {
  readonly #functions: KnownFunctions;
  #pending = false;

  constructor(functions: KnownFunctions) {
    this.#functions = functions;
  }

  /** A command has ended. `pinned`: a session with temporary objects may make such a table in each transaction. */
  completed(tag: string, pinned: string | undefined): void {
    if (!DEFINES.test(tag) || (tag === 'CREATE TABLE' && pinned === 'temporary objects')) return;
    this.#pending = true;
    this.#functions.outdate();
  }

  /** The transaction in which there was one is not over. */
  get pending(): boolean {
    return this.#pending;
  }

  /** It is over: other sessions see the change only now. */
  over(): void {
    if (!this.#pending) return;
    this.#pending = false;
    this.#functions.outdate();
  }
}
