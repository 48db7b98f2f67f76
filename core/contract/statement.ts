/** What `onQuery` sees: one protocol message that carries a statement. */

/** Column values as they are on the wire; null is SQL NULL. */
export type Row = readonly (Uint8Array | null)[];

interface Message {
  /** Counts within the session; a rewrite keeps it. */
  readonly id: number;
}

interface Text extends Message {
  /** The SQL text. Decoded on first use; empty where the plugin declared `reads: 'kind'` and no other reads more. */
  readonly sql: string;
  /** The same message with another text. */
  withSql(sql: string): Statement;
}

/** A statement by the protocol message that carries it (manual, 55.7 "Message Formats"). */
export type Statement =
  | (Text & { readonly kind: 'query' })
  | (Text & { readonly kind: 'parse'; readonly name: string })
  /** Told only to plugins with `reads: 'parameters'`. */
  | (Message & {
      readonly kind: 'bind';
      readonly sql: string;
      readonly name: string;
      readonly portal: string;
      readonly parameters: Row;
    })
  /** `sql` is the text of the prepared statement behind the portal, empty if the gateway did not see it. */
  | (Message & { readonly kind: 'execute'; readonly sql: string; readonly portal: string })
  | (Message & { readonly kind: 'function-call'; readonly function: number });
