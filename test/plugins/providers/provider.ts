/** What a test knows of a provider of tokens: its addresses, keys and tokens as its documents describe them, and a config for them. */

/** Members of a JSON object. */
export type Members = Readonly<Record<string, unknown>>;

/** A key pair of the test that plays a provider's. */
export type KeyName = 'rsa' | 'other' | 'ec';

/** The public members of a key, as a JWK. */
export type PublicKeys = Readonly<Record<KeyName, Members>>;

/** A token by what makes it different from the usual one. */
export interface TokenCase {
  readonly name: string;
  /** Replace claims or, where undefined, remove them. */
  readonly claims?: Members;
  /** Replace parameters of the header or, where undefined, remove them. */
  readonly header?: Members;
  /** Who signs. Default: the usual key. */
  readonly key?: KeyName;
}

/** One kind of token of one provider. */
export interface Provider {
  readonly name: string;
  /** What to know, in Markdown. */
  readonly about: string;
  /** `plugins` as a user writes it, in TypeScript; the addresses are the provider's own. */
  readonly config: string;
  /** What it answers with, by address. */
  readonly serves: (keys: PublicKeys) => Readonly<Record<string, unknown>>;
  /** Answers to whoever shows this bearer token only, over TLS with an authority of its own. Default: to everybody, on loopback. */
  readonly bearer?: string;
  /** Default `'rsa'`. */
  readonly key?: KeyName;
  readonly header: Members;
  /** The usual token's, issued at this time. */
  readonly claims: (iat: number) => Members;
  readonly granted: readonly (TokenCase & { readonly role: 'reader' | 'writer' })[];
  readonly refused: readonly TokenCase[];
}

/** Where a service account's files are in a pod. */
export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** A certificate chain as it stands in `x5c`: nothing here reads it. */
export const X5C = ['MIIC/jCCAeagAwIBAgIJAMhF2jGkw9RUMA0GCSqGSIb3DQEBCwUAMC0xKzApBgNVBAMTIg=='];
/** A thumbprint as it stands in `x5t`. */
export const X5T = 'eBZ_cn3sXYAd0ch4THBKHIgOwOE';

/** A key for RS256 with the members that providers give it, some of which nobody here reads; `more` replaces and adds. */
export function signingKey(key: Members, kid: string, more: Members = {}): Members {
  return { ...key, kid, alg: 'RS256', use: 'sig', x5c: X5C, x5t: X5T, ...more };
}

/** An issuer's discovery document, with the members that matter here and some that do not. */
export function discovery(issuer: string, keys: string): Members {
  return {
    issuer,
    jwks_uri: keys,
    response_types_supported: ['code', 'id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
  };
}
