/** The run-time parameters of a session: what its client has sent, by the rules of the listener and of the database entry. */
import type { PoolOptions } from '../database.ts';
import { GatewayError } from '../errors.ts';
import type { Startup } from '../session.ts';
import type { StartupRules } from '../startup-rules.ts';
import { shown } from '../wire/text.ts';

/** The rules of the listener, then those of the entry, with names as PostgreSQL writes them; both apply. */
type Rules = readonly [listener: StartupRules | undefined, entry: StartupRules | undefined];

/**
 * The same object where no rule concerns it.
 * @throws GatewayError `protocol_violation` for a parameter that either refuses, with a hint for the pool's mode
 */
export function governedStartup(startup: Startup, rules: Rules, mode: PoolOptions['mode']): Startup {
  if (!rules[0] && !rules[1]) return startup;
  const { parameters } = startup;
  const governed: [name: string, value: string][] = [];
  let same = true;
  for (const [name, value] of Object.entries(parameters)) {
    if (rules.some((one) => one?.refuse?.includes(name))) throw refused(name, mode);
    if (rules.some((one) => one?.ignore?.includes(name))) same = false;
    else governed.push([name, value]);
  }
  const sent = new Set(governed.map(([name]) => name));
  for (const [name, value] of Object.entries({ ...rules[0]?.default, ...rules[1]?.default })) {
    if (sent.has(name)) continue;
    governed.push([name, value]);
    same = false;
  }
  return same ? startup : { ...startup, parameters: Object.fromEntries(governed) };
}

function refused(name: string, mode: PoolOptions['mode']): GatewayError {
  const hint =
    mode === 'transaction'
      ? 'The config refuses it. Use SET after the login, or SET LOCAL in each transaction: this pool is in transaction mode.'
      : 'The config refuses it. Use SET after the login.';
  return new GatewayError('protocol_violation', `unsupported startup parameter: ${shown(name)}`, { hint });
}
