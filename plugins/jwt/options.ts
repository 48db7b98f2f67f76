/** What `jwt()` may be told. A reload applies every option here. */
import type { Duration, MaybePromise } from '../../core/index.ts';

/** Every signature algorithm accepted: asymmetric ones only (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2). */
export const ALGORITHMS = [
  'EdDSA',
  'Ed25519',
  'ES256',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
] as const;

/** A value of the header's `alg` that may be configured. */
export type Algorithm = (typeof ALGORITHMS)[number];

/** A JSON Web Key Set (RFC 7517 §5). Keys that cannot verify a signature are skipped, so a mixed set does no harm. */
export interface KeySetDocument {
  readonly keys: readonly object[];
}

/** Where an issuer's keys come from. */
export type KeysFrom =
  /**
   * `https://…` is fetched at the start and every 5 minutes; `http://` serves loopback only.
   * Any other text is a file relative to the config file, read again when a login comes and a second has passed.
   */
  | string
  /** The keys themselves. */
  | KeySetDocument
  /** Asked at every login: remember inside what is costly to make. */
  | (() => MaybePromise<KeySetDocument>);

/** One issuer: its tokens are verified with its own keys and no others. */
export interface IssuerOptions {
  /** The token's `iss`, compared character by character (RFC 7519 §4.1.1). */
  readonly issuer: string;
  /** The token's `aud` must contain one of these (RFC 7519 §4.1.3). */
  readonly audience: string | readonly string[];
  readonly jwks: KeysFrom;
  /** PEM file of the authorities that certify an https `jwks`, relative to the config file. Default: the system's. */
  readonly ca?: string;
  /** Default: every one of {@link ALGORITHMS}. */
  readonly algorithms?: readonly Algorithm[];
  /** How far a token's `nbf` and `iat` may be ahead of this clock; `exp` gets no grace. At most 60 s. Default `'5s'`. */
  readonly clockTolerance?: Duration;
  /** Longest `exp - iat`, or `exp` minus now where a token has no `iat`. Default `'24h'`. */
  readonly maxLifetime?: Duration;
  /** The header's `typ`, say `'at+jwt'` (RFC 9068 §2.1). Default: `JWT`, `at+jwt` or none. */
  readonly typ?: string;
  /** Claims a token must have besides `iss`, `aud`, `exp` and `sub`. Default none. */
  readonly requiredClaims?: readonly string[];
  /** How long the last good keys serve while the issuer is unreachable: also how long a withdrawn key may live. Default `'24h'`. */
  readonly maxStale?: Duration;
}

/** Options of the `jwt` plugin. */
export interface JwtOptions {
  /** At least one; each `issuer` once. */
  readonly issuers: readonly IssuerOptions[];
  /** The private claim that holds a token's own rules (RFC 7519 §4.3). Default `'postern'`. */
  readonly rulesClaim?: string;
  /** Longest token in bytes; at most 65536. Default 16384. */
  readonly maxTokenBytes?: number;
}
