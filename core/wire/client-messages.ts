/** Messages of clients as values, without bytes (manual, 55.7). */

/** Parse. */
export interface ParseMessage {
  /** Empty for the unnamed statement. */
  readonly name: string;
  readonly sql: string;
  /** Object ids of parameter types; 0 leaves one open. */
  readonly types: readonly number[];
}

/** The object of a Describe or Close: a prepared statement (`S`) or a portal (`P`). */
export interface Target {
  readonly kind: 'S' | 'P';
  readonly name: string;
}
