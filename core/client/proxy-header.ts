/** What both versions of the PROXY header come to. */

/** Where a proxy says that a client comes from. */
export interface Origin {
  /** As `addressText` gives it. */
  readonly address: string;
  readonly port: number;
}

/** A header that a receiver has to refuse. Its message is for the operator. */
export class ProxyHeaderWrong extends Error {
  override readonly name = 'ProxyHeaderWrong';
}
