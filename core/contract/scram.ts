/** Passwords that clients prove by SCRAM-SHA-256: what a plugin that knows their users says of them. */

/**
 * What a server keeps of a password (RFC 5803): it verifies the password and does not log in with it. A secret nevertheless, since
 * passwords can be guessed with it.
 */
export interface ScramVerifier {
  readonly iterations: number;
  readonly salt: Uint8Array;
  /** 32 bytes: the hash of the ClientKey. */
  readonly storedKey: Uint8Array;
  /** 32 bytes: shows the client that we know its verifier. */
  readonly serverKey: Uint8Array;
}

/** The verifier of a user's password; undefined where there is none. */
export type ScramLookup = (user: string) => ScramVerifier | undefined | Promise<ScramVerifier | undefined>;

/** What a user without a verifier looks like. */
export interface ScramMock {
  /** Makes its salt; the same in all gateways, or two of them tell a mock from a user. Default: one of this process. */
  readonly secret?: Uint8Array | undefined;
  /** As other users have it. Default 4096, PostgreSQL's own. */
  readonly iterations?: number | undefined;
}
