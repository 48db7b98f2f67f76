/** The ways in which a client says who it is. */

/**
 * Every one there is. `'password'`: a token in clear text (AuthenticationCleartextPassword), inside TLS. `'oauthbearer'`: a
 * token by SASL (RFC 7628), for clients that fetch it themselves.
 */
export const CREDENTIALS = ['password', 'oauthbearer'] as const;

/** A way in which a client says who it is. */
export type Credential = (typeof CREDENTIALS)[number];

/** What chooses another credential than the default of a listener; the parameter counts more than the server name. */
export interface CredentialSigns {
  /** Server names (SNI) with which clients ask for it; `*.example.com` covers one label. Default: none. */
  readonly servernames?: readonly string[];
  /** The startup parameter `postern.auth` with its name asks for it. Default false. */
  readonly parameter?: boolean;
}

/** A default, and what clients may choose instead. */
export type CredentialChoice = { readonly default: Credential } & {
  readonly [C in Credential]?: CredentialSigns;
};

/** Where clients of OAUTHBEARER that have no token get one: sent to whoever asks. */
export interface OAuthAnnouncement {
  /** The address (https) at which the issuer says what it is, such as `https://id.example/.well-known/openid-configuration`. */
  readonly discovery: string;
  /** What tokens have to be good for (RFC 6749 §3.3), separated by spaces. */
  readonly scope: string;
}
