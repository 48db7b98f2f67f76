/** What to do with a message of the server, as the ledger sees it. */

/** The four ways to treat an answer. */
export const Verdict = {
  pass: 0,
  /** It answers a message of the gateway. */
  hide: 1,
  /** An error whose text the gateway replaces: the entry's note has the text. */
  mask: 2,
  /** It answers no request: the connection cannot be used any more. */
  broken: 3,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];
