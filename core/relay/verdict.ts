/** What to do with a message of the server, as the ledger sees it. */

/** The relay's four ways with an answer. */
export const Verdict = {
  pass: 0,
  /** It answers a message of ours. */
  hide: 1,
  /** An error whose text is ours: the entry's note has it. */
  mask: 2,
  /** It fits nothing that was sent: the connection cannot be trusted any more. */
  broken: 3,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];
