/** Questions of the gateway on the idle connection of a session, between two of its transactions: a server under load may take its time. */
import type { ServerConnection } from './connection.ts';
import { executeBetween } from './query.ts';
import type { Outcome } from './query.ts';
import { unreachable } from './refusals.ts';

/** How long the server may take in all, in milliseconds. Default 2000. */
const ANSWER_MS = 2_000;

/** The question. */
export interface IdleQuery {
  /** Its statements have names of their own: see {@link executeBetween}. */
  readonly batch: Buffer;
  /** Its object, for the error. */
  readonly about: string;
  /** How long the server may take before the question is cancelled, in milliseconds; and how long after that. Default 2000. */
  readonly ms?: number | undefined;
}

/**
 * Asks. A question that takes too long is cancelled, and ends with the server's error as one that a time-out of the session has ended: the
 * connection, and what the session has left on it, is not lost.
 * @throws GatewayError `sqlclient_unable_to_establish_sqlconnection` if the server does not answer then either or the connection
 * is lost: no cancel is under way then, and the connection must be closed
 */
export async function askIdle(
  connection: ServerConnection,
  { batch, about, ms = ANSWER_MS }: IdleQuery,
): Promise<Outcome> {
  const late = unreachable(new Error(`no answer within ${ms} ms to ${about}`));
  const silence = new AbortController();
  let cancel: Promise<boolean> | undefined;
  let timer = setTimeout(() => {
    cancel = connection.cancel();
    timer = setTimeout(() => silence.abort(late), ms);
  }, ms);
  try {
    const outcome = await executeBetween(connection, batch, silence.signal);
    // It would hit the session's next statement.
    if (cancel && !(await cancel)) throw late;
    return outcome;
  } catch (error) {
    await cancel;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
