/** The statements that connections of a pool have prepared without an error, as the server has described them. */
import type { Description } from './description.ts';

/** One of them. */
export interface KnownStatement {
  readonly description: Description;
  /** When its Parse was sent, by {@link KnownStatements.now}. */
  readonly at: number;
}

/** Those that sessions of one kind have in common. */
export interface KnownStatements {
  /** A time in milliseconds that is never given twice. */
  now(): number;
  /** A statement that was prepared before this time does not serve a Parse of now. */
  oldest(): number;
  /** By the key of its Parse; undefined if there is none that serves a Parse of now. */
  get(parsed: string): KnownStatement | undefined;
  set(parsed: string, known: KnownStatement): void;
  /** Its objects have changed. */
  delete(parsed: string): void;
}
