/** Settings for the hand-over of a server connection: in force before the client's first byte goes up, or no hand-over. */
import { GatewayError } from '../errors.ts';
import type { Backend, Upstream } from '../session.ts';
import type { Conversation } from './conversation.ts';
import { execute } from './query.ts';
import { RESERVED } from './startup.ts';

/**
 * `pg_catalog.` because a `set_config` of the user's own would see the values. They travel as bytes, because text in a
 * Bind would be read in the client's encoding.
 */
const SET = `/* the gateway sets what its policies rely on */
select pg_catalog.set_config($1, pg_catalog.convert_from($2, 'UTF8'), false)`;

/**
 * Asks every `onCheckout` for its settings and sets them, for the session and not only for a transaction; the server has
 * confirmed them when this resolves.
 * @throws GatewayError `internal_error` if one could not be set; what an `onCheckout` throws passes
 */
export async function applySettings(
  talk: Conversation,
  backend: Backend,
  onCheckout: Upstream['onCheckout'],
): Promise<void> {
  const settings = onCheckout.flatMap((ask) => Object.entries(ask(backend)));
  if (settings.length === 0) return;
  for (const [name] of settings) {
    if (RESERVED.test(name)) throw new Error(`"${name}" cannot be set by onCheckout`);
  }
  const executions = settings.map(([name, value]) => [name, Buffer.from(value)] as const);
  const outcome = await execute(talk, SET, executions);
  if ('rows' in outcome && outcome.rows.length === settings.length) return;
  // Names and SQLSTATE only: the server's text may repeat a value, and claims are nobody's business in a log.
  const why = 'error' in outcome ? outcome.error.code : 'too few rows';
  const cause = new Error(`setting ${settings.map(([name]) => name).join(', ')} failed: ${why}`);
  throw new GatewayError('internal_error', 'the session could not be prepared', { cause });
}
