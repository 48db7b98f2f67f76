/** The ways in which a client says who it is. */

/**
 * Every one there is. `'password'`: a token in clear text (AuthenticationCleartextPassword), inside TLS. `'oauthbearer'`: a
 * token by SASL (RFC 7628), for clients that fetch it themselves. `'scram'`: the client proves a password by SCRAM-SHA-256 or
 * SCRAM-SHA-256-PLUS (RFC 7677). `'certificate'`: the client is asked for nothing, its verified TLS certificate says who it is.
 *
 * @example const known = CREDENTIALS.some((one) => one === word);
 */
export const CREDENTIALS = ['password', 'oauthbearer', 'scram', 'certificate'] as const;

/** A way in which a client says who it is. */
export type Credential = (typeof CREDENTIALS)[number];

/**
 * The credentials that are tokens.
 *
 * @example const credentials = TOKEN_CREDENTIALS;
 */
export const TOKEN_CREDENTIALS = ['password', 'oauthbearer'] as const satisfies readonly Credential[];

/** Says whether a client that is asked for it presents a token. */
export function isToken(credential: Credential): boolean {
  return (TOKEN_CREDENTIALS as readonly Credential[]).includes(credential);
}

/** What chooses another credential than the default of a listener. The parameter counts most, then the server name, then the user. */
export interface CredentialSigns {
  /**
   * Clients that ask for one of these server names (SNI) are asked for this credential. `*.example.com` covers one label. The listener's
   * certificate has to be good for the name, see `listen.tls.servernames`.
   *
   * @defaultValue none
   * @example servernames: ['machines.gateway.example']
   */
  readonly servernames?: readonly string[];
  /**
   * Clients may ask for this credential by the startup parameter `postern.auth` with its name:
   * `options='-c postern.auth=oauthbearer'`.
   *
   * @defaultValue `false`
   * @example parameter: true
   */
  readonly parameter?: boolean;
  /**
   * Users of the startup packet who are asked for this credential, compared character by character.
   *
   * @defaultValue none
   * @example users: ['_']
   */
  readonly users?: readonly string[];
}

/** The credential of clients that choose none. */
export interface DefaultCredential {
  /**
   * The credential of clients that choose no other.
   *
   * @example default: 'scram'
   */
  readonly default: Credential;
}

/** A default, and what clients may choose instead. */
export type CredentialChoice = DefaultCredential & {
  readonly [C in Credential]?: CredentialSigns;
};

/** The credentials that may be chosen instead of the default, with what chooses each. */
export function chosenBySigns(
  auth: CredentialChoice,
): readonly (readonly [credential: Credential, signs: CredentialSigns])[] {
  return CREDENTIALS.flatMap((credential) => {
    const signs = credential === auth.default ? undefined : auth[credential];
    return signs ? [[credential, signs] as const] : [];
  });
}

/** Every credential that a listener takes, its default first. Default `'password'`, as `listen.auth` has it. */
export function credentialsOf(auth: Credential | CredentialChoice = 'password'): readonly Credential[] {
  if (typeof auth === 'string') return [auth];
  return [auth.default, ...chosenBySigns(auth).map(([credential]) => credential)];
}

/**
 * Issuers of identities that come without a token begin with one of these: no token's issuer may.
 *
 * @example const reserved = RESERVED_ISSUERS.some((prefix) => word.startsWith(prefix));
 */
export const RESERVED_ISSUERS = ['password:', 'certificate:'] as const;

/** Where clients of OAUTHBEARER that have no token get one: sent to whoever asks. */
export interface OAuthAnnouncement {
  /** The address (https) at which the issuer says what it is, such as `https://id.example/.well-known/openid-configuration`. */
  readonly discovery: string;
  /** What tokens have to be good for (RFC 6749 §3.3), separated by spaces. */
  readonly scope: string;
}
