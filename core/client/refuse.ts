/** The errors that a refused client reads, and the reasons that only the operator reads. */
import { randomBytes } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import type { Channel } from '../net/channel.ts';
import type { Logger } from '../session.ts';
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

/** The operator's reason: the messages of an error and its causes. */
export function reasonOf(error: Error): string {
  const texts: string[] = [];
  for (let at: unknown = error; at instanceof Error && texts.length < 5; at = at.cause)
    texts.push(textOf(at));
  return texts.join(': ');
}

/** A name with several addresses fails with an error that has no message of its own. */
function textOf(error: Error): string {
  if (error.message !== '' || !(error instanceof AggregateError)) return error.message;
  return (error.errors as unknown[])
    .map((one) => (one instanceof Error ? one.message : typeof one))
    .join(', ');
}
