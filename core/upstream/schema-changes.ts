/** Commands that have passed the gateway and changed objects of a database: when the last one did, and how many changed functions. */
import { monotonicTime } from './clock.ts';

/** The changes of one database. */
export class SchemaChanges {
  #last = 0;
  #functions = 0;
  #pending = 0;
  #used = false;

  /** A command has changed objects, or a transaction with such a command is over. */
  changed(): void {
    this.#last = monotonicTime();
  }

  /** Functions, or the ways in which statements run them, may be others from now on. */
  functionsChanged(): void {
    this.#functions += 1;
  }

  /** A transaction that changes them has begun, or is over. */
  functionsPending(change: 1 | -1): void {
    this.#pending += change;
  }

  /** Transactions that change functions are not over: other sessions' statements may wait for them, and run what they have made. */
  get pending(): boolean {
    return this.#pending > 0;
  }

  /** The time of the last change, by the monotonic clock; 0: none. */
  get last(): number {
    return this.#last;
  }

  /** How often functions may have changed. */
  get functions(): number {
    return this.#functions;
  }

  /** Sessions in transaction mode rely on {@link last}: without any the others need not look at their commands for it. */
  get used(): boolean {
    return this.#used;
  }

  /** A session in transaction mode relies on it from here on. */
  use(): void {
    this.#used = true;
  }
}

/** Databases that are told apart; the names of all others may come from clients, and one object stands for them. */
export const MOST_DATABASES = 10_000;
const databases = new Map<string, SchemaChanges>();
const others = new SchemaChanges();

/**
 * Those of the databases with this name, shared by all pools and sessions of the process: whichever entry a session uses and by
 * whichever name of its host it reaches the server. Databases of one name on two servers pay for each other's changes.
 */
export function schemaChangesOf(name: string): SchemaChanges {
  const known = databases.get(name);
  if (known || databases.size >= MOST_DATABASES) return known ?? others;
  const made = new SchemaChanges();
  databases.set(name, made);
  return made;
}
