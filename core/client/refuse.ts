/** The errors that a refused client reads, and those that only the operator reads. */
import { randomBytes } from 'node:crypto';
import { GatewayError } from '../contract/errors.ts';
import type { Channel } from '../net/channel.ts';
import type { Logger } from '../contract/session.ts';
import { oldRefusal, refusal } from '../wire/to-client.ts';

/**
 * Sends FATAL `error` and closes.
 * @param old the client speaks protocol 1 or 2. Default false
 */
export function refuse(channel: Channel, error: GatewayError, old = false): void {
  channel.finish(old ? oldRefusal(error) : refusal('FATAL', error));
}

/**
 * What a client may read of a failed login. Every failed authentication has PostgreSQL's own text and nothing else,
 * so that a client cannot tell a wrong signature from an unknown user.
 */
export function uniform(error: GatewayError, user: string): GatewayError {
  if (error.code !== 'invalid_password') return error;
  return new GatewayError('invalid_password', `password authentication failed for user "${user}"`, {
    cause: error.cause,
  });
}

/** The error that a client may read for any thrown value: a value that is no GatewayError becomes XX000 with an id that is in the log. */
export function asGatewayError(thrown: unknown, log: Logger): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  const errorId = randomBytes(4).toString('hex');
  log.error({ errorId, error: describe(thrown) }, 'internal error');
  return new GatewayError('internal_error', `internal error, id ${errorId}`, {
    hint: 'The id stands in the log of the gateway.',
    cause: thrown,
  });
}

/** Name, message and place of anything thrown; never its other properties, which libraries fill with payloads. */
export function describe(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? `${thrown.name}: ${thrown.message}`) : typeof thrown;
}
