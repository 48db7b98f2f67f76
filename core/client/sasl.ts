/** The messages of a SASL exchange with a client (manual, 54.3), whatever the mechanism: bounded in size, zeroed after use. */
import { GatewayError } from '../contract/errors.ts';
import { readSaslInitialResponse, readSaslResponse } from '../wire/frontend.ts';
import {
  authenticationSasl,
  authenticationSaslContinue,
  authenticationSaslFinal,
} from '../wire/to-client.ts';
import { readAuthResponse } from './auth-response.ts';
import type { ExpectedResponse } from './auth-response.ts';
import type { Reader } from './reader.ts';

/**
 * One login by SASL. Responses are given to a function, and zeroed when it returns: it must keep no view of them.
 * Has no deadline of its own. Its methods throw ClientGone, and GatewayError `protocol_violation` for another message or
 * one that is too long.
 */
export class SaslExchange {
  readonly #reader: Reader;
  readonly #response: ExpectedResponse;

  /** @param longest the greatest length word of a message of the client */
  constructor(reader: Reader, longest: number) {
    this.#reader = reader;
    this.#response = { kind: 'SASL', longest, wrongLength: 'invalid message length' };
  }

  /**
   * Sends AuthenticationSASL and reads the initial response: of a client that sends none with SASLInitialResponse, it is what
   * that says to an empty challenge (RFC 4422 §3).
   * @param mechanisms in the order of preference
   * @throws GatewayError `protocol_violation` for a mechanism that is not one of these
   */
  async begin<T>(
    mechanisms: readonly string[],
    read: (response: Buffer, mechanism: string) => T,
  ): Promise<T> {
    this.#reader.channel.write(authenticationSasl(mechanisms));
    const said = await readAuthResponse(this.#reader, this.#response, (body) => {
      const { mechanism, response } = readSaslInitialResponse(body);
      if (!mechanisms.includes(mechanism)) {
        const text = 'client selected an invalid SASL authentication mechanism';
        throw new GatewayError('protocol_violation', text);
      }
      return response ? { mechanism, value: read(response, mechanism) } : { mechanism };
    });
    if ('value' in said) return said.value;
    return this.continue(Buffer.alloc(0), (response) => read(response, said.mechanism));
  }

  /** Sends AuthenticationSASLContinue and reads the SASLResponse. */
  continue<T>(challenge: Uint8Array, read: (response: Buffer) => T): Promise<T> {
    this.#reader.channel.write(authenticationSaslContinue(challenge));
    return readAuthResponse(this.#reader, this.#response, (body) => read(readSaslResponse(body)));
  }

  /** Sends AuthenticationSASLFinal, the additional data of a success; mechanisms without any, as OAUTHBEARER, have none. */
  final(data: Uint8Array): void {
    this.#reader.channel.write(authenticationSaslFinal(data));
  }
}
