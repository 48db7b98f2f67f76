/** What `jwt()` may be told. A reload applies every option here but `revocations`, which need a restart. */
import type { Duration, MaybePromise } from '../../core/index.ts';
import type { RevocationStore } from './revocation-store.ts';

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

/** Two names of one algorithm (RFC 9864 §2.2): keys, tokens and configs need not use the same. */
export const ED25519: readonly Algorithm[] = ['EdDSA', 'Ed25519'];

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

/** A value that a claim can be compared with. */
export type ClaimValue = string | number | boolean;

/** Claims, each by its name or path, with the value that it must be or contain, or a list of values of which one is enough. */
export type RequiredValues = Readonly<Record<string, ClaimValue | readonly ClaimValue[]>>;

/** What clients of OAUTHBEARER are told. */
export interface OAuthOptions {
  /** What their tokens have to be good for (RFC 6749 §3.3), such as `'openid postern'`: with it the token's `aud` has to be ours. */
  readonly scope: string;
  /**
   * Where the issuer says what it is, by https; libpq must find this issuer in it. Default: the issuer and
   * `/.well-known/openid-configuration`.
   */
  readonly discovery?: string;
}

/** One issuer: its tokens are verified with its own keys and no others. */
export interface IssuerOptions {
  /** The token's `iss`, compared character by character (RFC 7519 §4.1.1); with `{tenantid}` one issuer per entry of `tenants`. */
  readonly issuer: string;
  /** Which tenants of Microsoft Entra ID may come, by their ids: those, and no other. Default: none, with an issuer without `{tenantid}`. */
  readonly tenants?: readonly string[];
  /** The token's `aud` must contain one of these (RFC 7519 §4.1.3). */
  readonly audience: string | readonly string[];
  /**
   * The claim that names the audience, such as `'client_id'` where tokens have no `aud`. An `aud` that is there must contain one of
   * `audience` as well. Default `'aud'`.
   */
  readonly audienceClaim?: string;
  /** Default: where the issuer says, see `discovery`. */
  readonly jwks?: KeysFrom;
  /**
   * The keys are where the document at `<issuer>/.well-known/openid-configuration` says (OpenID Connect Discovery 1.0 §4).
   * Default: true without `jwks`, else false.
   */
  readonly discovery?: boolean;
  /** PEM file of the authorities that certify an https issuer or `jwks`, relative to the config file. Default: the system's. */
  readonly ca?: string;
  /**
   * File with a token that is sent where keys are fetched (RFC 6750 §2.1), relative to the config file and read each time: to the
   * origin of `jwks` or of the issuer, and nowhere else. Default: none is sent.
   */
  readonly bearerFile?: string;
  /** The token's `azp`, the client it was issued to, must be one of these (OpenID Connect Core 1.0 §2). Default: not looked at. */
  readonly azp?: string | readonly string[];
  /** Default: every one of {@link ALGORITHMS}. */
  readonly algorithms?: readonly Algorithm[];
  /** How far a token's `nbf` and `iat` may be ahead of this clock; `exp` gets no grace. At most 60 s. Default `'5s'`. */
  readonly clockTolerance?: Duration;
  /** Longest `exp - iat`, or `exp` minus now where a token has no `iat`. Default `'24h'`. */
  readonly maxLifetime?: Duration;
  /** The header's `typ`, or a list of them, say `'at+jwt'` (RFC 9068 §2.1). Default: `JWT`, `at+jwt`, `JOSE` or none. */
  readonly typ?: string | readonly string[];
  /**
   * Claims a token must have besides `iss`, `aud`, `exp` and `sub`: with a value, as `{ email_verified: true, hd: 'acme.example' }`,
   * or in a list, as `['iat', { hd: 'acme.example' }]`, where a name means present, and neither null nor false. Default none.
   */
  readonly requiredClaims?: RequiredValues | readonly (string | RequiredValues)[];
  /**
   * `'until-exp'`: a session ends at its token's `exp`. `'check-at-login'`: the token has to be good when it is presented, and
   * the session lasts for `maxSession`, for tokens of minutes whose work takes hours. Default `'until-exp'`.
   */
  readonly sessions?: 'until-exp' | 'check-at-login';
  /** Longest session with `'check-at-login'`, from the login or the last renewal; needed there. Default: none. */
  readonly maxSession?: Duration;
  /**
   * Announces this issuer to clients of OAUTHBEARER (`listen.auth`) that have no token yet; one issuer of a `jwt` at most.
   * Default: it is not announced.
   */
  readonly oauth?: OAuthOptions;
  /** How long the last good keys serve while the issuer is unreachable: also how long a withdrawn key may live. Default `'24h'`. */
  readonly maxStale?: Duration;
}

/** Options of the `jwt` plugin. */
export interface JwtOptions {
  /** At least one; each `issuer` once. */
  readonly issuers: readonly IssuerOptions[];
  /** The private claim that holds a token's own rules (RFC 7519 §4.3). Default `'postern'`. */
  readonly rulesClaim?: string;
  /** Longest token in bytes, at a login, a renewal or over HTTP; from 128 to 65536. Default 16384. */
  readonly maxTokenBytes?: number;
  /**
   * Folder, relative to the config file, where the last good keys of each issuer are kept for a start while the issuer is
   * down. Nobody but the gateway's user may be able to write there. Default: they are kept in memory only.
   */
  readonly cache?: string;
  /** At the token's `exp`: end the session at once, or let an open transaction finish within `grace`. Default `'end'`. */
  readonly onExpiry?: 'end' | 'finish-transaction';
  /** How long a transaction may go on beyond `exp` with `'finish-transaction'`; at most an hour. Default `'30s'`. */
  readonly grace?: Duration;
  /** How long before `exp` the client gets a NOTICE; `'0s'` for none. Default `'60s'`. */
  readonly notice?: Duration;
  /** How people get a fresh token: said in the notice and at the end. Default: only how to present one. */
  readonly hint?: string;
  /** Where it is kept which tokens are good no longer. Default: in memory. */
  readonly revocations?: RevocationsOptions;
}

/** Where revocations are kept. */
export interface RevocationsOptions {
  /** File of one gateway process, relative to the config file, that a restart reads again. Default: in memory, so a restart forgets. */
  readonly file?: string;
  /** Another place, for instance one that many gateways share; excludes `file`. Default: `file`, or none. */
  readonly store?: RevocationStore;
  /** Start although the file or store cannot be read: revoked tokens would be accepted until it can. Default false. */
  readonly failOpen?: boolean;
  /** Most revocations at a time; more are refused, none is forgotten for them. Default 100000. */
  readonly limit?: number;
}
