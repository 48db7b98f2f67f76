/** Asks a client for its token by OAUTHBEARER (RFC 7628), and refuses one in the same way. */
import type { OAuthAnnouncement } from '../contract/credential.ts';
import { GatewayError } from '../contract/errors.ts';
import {
  LONGEST_BEARER_MESSAGE,
  OAUTHBEARER,
  bearerStatus,
  parseBearerFarewell,
  parseBearerRequest,
} from '../wire/oauthbearer.ts';
import type { Reader } from './reader.ts';
import { SaslExchange } from './sasl.ts';

/** One login by OAUTHBEARER. A token that is good has no message of its own: AuthenticationOk follows. */
export class BearerExchange {
  readonly #exchange: SaslExchange;
  readonly #announcement: OAuthAnnouncement;

  constructor(reader: Reader, announcement: OAuthAnnouncement) {
    this.#exchange = new SaslExchange(reader, LONGEST_BEARER_MESSAGE);
    this.#announcement = announcement;
  }

  /**
   * Asks for the token; undefined from a client that has none, and asks where to get one. Call it once.
   * @throws GatewayError `protocol_violation` and `feature_not_supported` as `parseBearerRequest` does, `invalid_password` for
   * what is no bearer token
   * @throws ClientGone
   */
  async ask(): Promise<string | undefined> {
    const said = await this.#exchange.begin([OAUTHBEARER], parseBearerRequest);
    if (said.kind === 'discovery') return undefined;
    if (said.kind === 'token') return said.token;
    throw new GatewayError('invalid_password', 'password authentication failed', {
      cause: new Error(said.why),
    });
  }

  /**
   * Says that there was no good token, and where to get one; resolves when the client has heard it. An error has to follow.
   * @throws GatewayError `protocol_violation` for another answer than RFC 7628 §3.2.3 has
   * @throws ClientGone
   */
  async refuse(): Promise<void> {
    const { discovery, scope } = this.#announcement;
    await this.#exchange.continue(bearerStatus(discovery, scope), parseBearerFarewell);
  }
}
