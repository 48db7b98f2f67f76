/** How one client is asked who it is, in the way that was decided for it, and refused in the same. */
import type { Credential, OAuthAnnouncement } from '../contract/credential.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Client } from '../contract/session.ts';
import { BearerExchange } from './bearer.ts';
import { checkShown } from './client-certificate.ts';
import { askPassword } from './password.ts';
import type { Reader } from './reader.ts';
import { askScram } from './scram.ts';
import type { ScramRequest } from './scram.ts';

/** How long a client may take to answer a status before it gets its error anyway, in milliseconds. */
const FAREWELL_MS = 5_000;

/** The options of an exchange. */
export interface CredentialExchangeOptions {
  readonly reader: Reader;
  readonly credential: Credential;
  /** Undefined: no plugin announces an issuer, so OAUTHBEARER cannot be spoken. */
  readonly announcement: OAuthAnnouncement | undefined;
}

/** One per session. Nothing is sent before a plugin asks for the credential. */
export class CredentialExchange {
  readonly credential: Credential;
  readonly #reader: Reader;
  readonly #announcement: OAuthAnnouncement | undefined;
  #bearer: BearerExchange | undefined;
  /** The client has asked where to get a token, or has presented something in place of one: it expects a status. */
  #presented: 'nothing' | 'token' | undefined;

  constructor({ reader, credential, announcement }: CredentialExchangeOptions) {
    this.#reader = reader;
    this.credential = credential;
    this.#announcement = announcement;
  }

  /**
   * Looks at what the client has shown already, before any plugin asks for the credential.
   * @throws GatewayError `invalid_authorization_specification` for a client without a certificate where that is the credential
   */
  begin(client: Client): void {
    if (this.credential === 'certificate') checkShown(client);
  }

  /**
   * Asks for the token; undefined from a client that has none, and asks where to get one. Call it once.
   * @throws Error where the credential is no token
   * @throws GatewayError as {@link askPassword} and {@link BearerExchange.ask} do, and `feature_not_supported` for OAUTHBEARER
   * without an announcement
   * @throws ClientGone
   */
  async token(): Promise<string | undefined> {
    if (this.credential === 'password') return askPassword(this.#reader);
    if (this.credential === 'oauthbearer') return this.#bearerToken();
    throw new Error(
      `session.token() is for 'password' and 'oauthbearer': this client is asked for '${this.credential}'`,
    );
  }

  /**
   * Resolves when the client has proven its password. Call it once.
   * @throws Error where the credential is another
   * @throws GatewayError as {@link askScram} does
   * @throws ClientGone
   */
  async scram(request: ScramRequest): Promise<void> {
    if (this.credential === 'scram') return askScram(this.#reader, request);
    throw new Error(`session.scram() is for 'scram': this client is asked for '${this.credential}'`);
  }

  /**
   * Says what the client must hear before its FATAL; undefined where that is nothing. Takes at most {@link FAREWELL_MS}.
   * @returns the FATAL to say then: `error`, or that the client has broken the protocol. Never rejects
   */
  refuse(error: GatewayError): Promise<GatewayError> | undefined {
    // A token that is good, in a login that is refused for another reason, has nothing wrong with it.
    const owed = this.#presented === 'nothing' || error.code === 'invalid_password';
    return this.#bearer && this.#presented && owed ? heard(this.#bearer, error) : undefined;
  }

  async #bearerToken(): Promise<string | undefined> {
    if (!this.#announcement) {
      const text = 'OAuth bearer authentication is not available for this database';
      throw new GatewayError('feature_not_supported', text, {
        cause: new Error('no plugin announces an issuer for it'),
      });
    }
    this.#bearer = new BearerExchange(this.#reader, this.#announcement);
    try {
      const token = await this.#bearer.ask();
      this.#presented = token === undefined ? 'nothing' : 'token';
      return token;
    } catch (error) {
      // After any other error the exchange is over.
      if (error instanceof GatewayError && error.code === 'invalid_password') this.#presented = 'token';
      throw error;
    }
  }
}

/** Resolves when the client has heard that it is refused, is gone, or has taken its time. */
async function heard(bearer: BearerExchange, error: GatewayError): Promise<GatewayError> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<GatewayError>((resolve) => {
    timer = setTimeout(() => resolve(error), FAREWELL_MS);
  });
  const answered = bearer.refuse().then(
    () => error,
    (broken: unknown) => (broken instanceof GatewayError ? broken : error),
  );
  try {
    return await Promise.race([answered, late]);
  } finally {
    clearTimeout(timer);
  }
}
