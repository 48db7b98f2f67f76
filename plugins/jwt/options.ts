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
  /**
   * With keys in the config: JSON Web Keys. Those that cannot verify a signature are skipped.
   *
   * @example keys: [{ kty: 'OKP', crv: 'Ed25519', kid: '2026-01', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }]
   */
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
  /**
   * The scope that clients ask the issuer for (RFC 6749 §3.3). With it the token's `aud` has to be the gateway's.
   *
   * @example scope: 'openid postern'
   */
  readonly scope: string;
  /**
   * The issuer's discovery document, by https. libpq must find this issuer in it.
   *
   * @defaultValue `<issuer>/.well-known/openid-configuration`
   * @example discovery: 'https://id.example/.well-known/oauth-authorization-server'
   */
  readonly discovery?: string;
}

/** One issuer: its tokens are verified with its own keys and no others. */
export interface IssuerOptions {
  /**
   * The token's `iss`, compared character by character (RFC 7519 §4.1.1). With `{tenantid}` it stands for one issuer per entry of `tenants`. With
   * `spiffe://trust.domain` it takes JWT-SVIDs, which have no `iss`.
   *
   * @example issuer: 'https://id.example'
   */
  readonly issuer: string;
  /**
   * With `{tenantid}` in `issuer`: the ids of the tenants of Microsoft Entra ID that may come. Each is an issuer of its own; all have one key set.
   *
   * @defaultValue none
   * @example tenants: ['8d1ad8ae-9c1c-4c05-9ae9-7a1d9f4ac2a5']
   */
  readonly tenants?: readonly string[];
  /**
   * What the token's `aud` must contain: one of these (RFC 7519 §4.1.3).
   *
   * @example audience: 'postern'
   */
  readonly audience: string | readonly string[];
  /**
   * The claim that names the audience of tokens without an `aud`, such as `'client_id'`. An `aud` that is there must contain one of `audience` as well.
   *
   * @defaultValue `'aud'`
   * @example audienceClaim: 'client_id'
   */
  readonly audienceClaim?: string;
  /**
   * The issuer's keys: an `https://…` URL, a file relative to the config, `{ keys: […] }`, or a function. `http://` serves loopback only.
   *
   * @defaultValue by `discovery`
   * @example jwks: 'https://id.example/jwks.json'
   */
  readonly jwks?: KeysFrom;
  /**
   * Whether the keys are where `<issuer>/.well-known/openid-configuration` says (OpenID Connect Discovery 1.0 §4). The `issuer` of that document
   * must be this one, and https leads to https only.
   *
   * @defaultValue `true` without `jwks`, else `false`
   * @example discovery: true
   */
  readonly discovery?: boolean;
  /**
   * PEM file of the authorities that certify an https issuer or `jwks`, relative to the config.
   *
   * @defaultValue those of the system
   * @example ca: 'tls/issuer-ca.crt'
   */
  readonly ca?: string;
  /**
   * File with a token that is sent where keys are fetched (RFC 6750 §2.1), relative to the config and read each time. It goes to the origin of `jwks` or
   * of the issuer, and nowhere else.
   *
   * @defaultValue none
   * @example bearerFile: '/var/run/secrets/kubernetes.io/serviceaccount/token'
   */
  readonly bearerFile?: string;
  /**
   * What the token's `azp`, the client it was issued to, must be: one of these (OpenID Connect Core 1.0 §2).
   *
   * @defaultValue none: `azp` does not count
   * @example azp: 'psql'
   */
  readonly azp?: string | readonly string[];
  /**
   * The signature algorithms of the issuer's tokens. `EdDSA` and `Ed25519` are one; `none` and HMAC are never accepted.
   *
   * @defaultValue `EdDSA`, `Ed25519`, `ES256`, `ES384`, `ES512`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384` and `PS512`
   * @example algorithms: ['ES256']
   */
  readonly algorithms?: readonly Algorithm[];
  /**
   * How far a token's `nbf` and `iat` may be ahead of the gateway's clock; at most 60 s. `exp` gets no tolerance, since the session ends at it.
   *
   * @defaultValue `'5s'`
   * @example clockTolerance: '30s'
   */
  readonly clockTolerance?: Duration;
  /**
   * The longest `exp - iat` of a token, or `exp` minus now where it has no `iat`.
   *
   * @defaultValue `'24h'`
   * @example maxLifetime: '1h'
   */
  readonly maxLifetime?: Duration;
  /**
   * What the header's `typ` must be: one of these. `'at+jwt'` (RFC 9068 §2.1) refuses ID tokens.
   *
   * @defaultValue `JWT`, `at+jwt`, `JOSE` or none
   * @example typ: 'at+jwt'
   */
  readonly typ?: string | readonly string[];
  /**
   * Claims that a token must have besides `iss`, `aud`, `exp` and `sub`, by name or path. With a value, the claim is that value or contains it; of a list of
   * values one is enough. A name alone, in a list, asks for a claim that is neither null nor false.
   *
   * @defaultValue none
   * @example requiredClaims: ['iat', { email_verified: true, hd: 'acme.example' }]
   */
  readonly requiredClaims?: RequiredValues | readonly (string | RequiredValues)[];
  /**
   * What ends a session: with `'until-exp'` its token's `exp`; with `'check-at-login'` the end of `maxSession`, for tokens that live for minutes and
   * jobs that take hours.
   *
   * @defaultValue `'until-exp'`
   * @example sessions: 'check-at-login'
   */
  readonly sessions?: 'until-exp' | 'check-at-login';
  /**
   * With `'check-at-login'`, where it is required: the longest session, from the login or the last renewal.
   *
   * @defaultValue none
   * @example maxSession: '8h'
   */
  readonly maxSession?: Duration;
  /**
   * Announces this issuer to clients of OAUTHBEARER that have no token yet. One issuer of a `jwt` at most. See [OAUTHBEARER](#oauthbearer).
   *
   * @defaultValue none: it is not announced
   * @example oauth: { scope: 'openid postern' }
   */
  readonly oauth?: OAuthOptions;
  /**
   * How long the last good keys serve while the issuer cannot be reached. A withdrawn key may live as long.
   *
   * @defaultValue `'24h'`
   * @example maxStale: '4h'
   */
  readonly maxStale?: Duration;
}

/**
 * Options of the `jwt` plugin.
 *
 * @reload new sessions
 */
export interface JwtOptions {
  /**
   * The issuers whose tokens are verified: at least one, each `issuer` once.
   *
   * @example issuers: [{ issuer: 'https://id.example', audience: 'postern' }]
   */
  readonly issuers: readonly IssuerOptions[];
  /**
   * The private claim with the token's own rules (RFC 7519 §4.3). A token with a rule that is not understood is refused.
   *
   * @defaultValue `'postern'`
   * @example rulesClaim: 'https://id.example/postern'
   */
  readonly rulesClaim?: string;
  /**
   * The longest token in bytes, from 128 to 65536: at a login, a renewal, and over HTTP.
   *
   * @defaultValue `16384`
   * @example maxTokenBytes: 8_192
   */
  readonly maxTokenBytes?: number;
  /**
   * Folder, relative to the config, where the last good keys of each URL are kept for a start while the issuer is down. `maxStale` counts from their fetch. The
   * keys are used only if no user but the gateway's own and root can write to the file and the folders above it.
   *
   * @defaultValue none: keys are in memory only
   * @example cache: 'keys'
   */
  readonly cache?: string;
  /**
   * What happens at `exp`: with `'end'` a running statement is cancelled and the session ends; with `'finish-transaction'` an open transaction may
   * go on for `grace`.
   *
   * @defaultValue `'end'`
   * @example onExpiry: 'finish-transaction'
   */
  readonly onExpiry?: 'end' | 'finish-transaction';
  /**
   * With `'finish-transaction'`: how long a transaction may go on after `exp`; at most an hour.
   *
   * @defaultValue `'30s'`
   * @example grace: '5m'
   */
  readonly grace?: Duration;
  /**
   * How long before `exp` the client gets a NOTICE; at once for a token that has less left; `'0s'` for none.
   *
   * @defaultValue `'60s'`
   * @example notice: '5m'
   */
  readonly notice?: Duration;
  /**
   * How people get a fresh token: said in the notice and at the end.
   *
   * @defaultValue none: only how to present one is said
   * @example hint: 'Run `company login`.'
   */
  readonly hint?: string;
  /**
   * Where revocations are kept.
   *
   * @defaultValue the store of the fleet; without one in memory: a restart forgets them
   * @reload needs a restart
   * @example revocations: { file: 'revocations.json' }
   */
  readonly revocations?: RevocationsOptions;
}

/** Where revocations are kept. */
export interface RevocationsOptions {
  /**
   * File of this gateway process, relative to the config, that a restart reads again.
   *
   * @defaultValue none: the store of the fleet, or memory
   * @example file: 'revocations.json'
   */
  readonly file?: string;
  /**
   * A place of your own instead of `file`, which many gateways may share: a [`RevocationStore`](revocation-store.ts).
   *
   * @defaultValue `file`, the store of the fleet, or memory
   * @example store: sharedRevocations
   */
  readonly store?: RevocationStore;
  /**
   * Whether the gateway starts although file or store cannot be read, and tries again every 30 s. Until then revoked tokens are accepted.
   *
   * @defaultValue `false`: the gateway does not start
   * @example failOpen: true
   */
  readonly failOpen?: boolean;
  /**
   * The most revocations at a time. Further ones are refused; none is forgotten for them.
   *
   * @defaultValue `100000`
   * @example limit: 10_000
   */
  readonly limit?: number;
}
