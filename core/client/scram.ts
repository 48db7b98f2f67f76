/** Asks a client to prove its password by SCRAM-SHA-256, or -PLUS inside of our TLS. */
import { randomBytes } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import { GatewayError } from '../contract/errors.ts';
import type { ScramLookup, ScramMock } from '../contract/scram.ts';
import { serverEndPoint } from '../wire/channel-binding.ts';
import { LONGEST_SCRAM_MESSAGE, ScramServer, scramMechanisms } from '../wire/scram-server.ts';
import type { ScramMechanism } from '../wire/scram.ts';
import { DEFAULT_ITERATIONS, mockScramVerifier } from '../wire/scram-verifier.ts';
import type { Reader } from './reader.ts';
import { SaslExchange } from './sasl.ts';

/** The client that is asked. */
export interface ScramRequest {
  /** The user of the startup packet. */
  readonly user: string;
  readonly lookup: ScramLookup;
  readonly mock?: ScramMock | undefined;
}

/** As long as the process: a user that there is not has the same salt whenever it is asked for. */
const OWN_SECRET = randomBytes(32);

/**
 * Resolves when the client has proven its password and knows that we know its verifier. The proof is not kept: with what it
 * gives, anybody could log in where the verifier is the same. A user without verifier takes the same way, to the same error.
 * Call it once.
 * @throws GatewayError `invalid_password` for a wrong proof, as {@link ScramServer} and {@link SaslExchange} do, what `lookup` throws
 * @throws ClientGone
 */
export async function askScram(reader: Reader, { user, lookup, mock = {} }: ScramRequest): Promise<void> {
  const endPoint = endPointOf(reader);
  const exchange = new SaslExchange(reader, LONGEST_SCRAM_MESSAGE);
  const server = await exchange.begin(scramMechanisms(endPoint), (response, mechanism) => {
    const begun = new ScramServer({ mechanism: mechanism as ScramMechanism, endPoint });
    begun.first(response);
    return begun;
  });
  const found = await lookup(user);
  const { secret = OWN_SECRET, iterations = DEFAULT_ITERATIONS } = mock;
  // Also for a user that there is: the time tells nothing.
  const mocked = mockScramVerifier(secret, user, iterations);
  const challenge = server.challenge(found ?? mocked, !found);
  const last = await exchange.continue(challenge, (response) => server.final(response));
  if (last) return exchange.final(last);
  throw new GatewayError('invalid_password', 'password authentication failed', {
    cause: new Error(found ? 'wrong password' : 'no password for this user'),
  });
}

/** By the certificate that SNI has chosen. None where a proxy ends TLS: the client is bound to another certificate. */
function endPointOf({ channel: { socket } }: Reader): Buffer | undefined {
  const certificate = socket instanceof TLSSocket ? socket.getX509Certificate() : undefined;
  return certificate && serverEndPoint(certificate.raw);
}
