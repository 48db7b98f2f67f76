/** The run-time parameters of a session: what its client has sent, by the rules of the listener and of the database entry. */
import { GatewayError } from '../contract/errors.ts';
import type { Startup } from '../contract/session.ts';
import type { StartupRules } from '../contract/startup-rules.ts';
import { shown } from '../wire/text.ts';

/** The rules of the listener, then those of the entry, with names as PostgreSQL writes them; both apply. */
type Rules = readonly [listener: StartupRules | undefined, entry: StartupRules | undefined];

/** A checked config has rules for each listener and entry, mostly such. */
function isEmpty({ ignore = [], refuse = [], default: values = {} }: StartupRules = {}): boolean {
  return ignore.length + refuse.length === 0 && Object.keys(values).length === 0;
}

/**
 * The same object where no rule concerns it.
 * @throws GatewayError `protocol_violation` for a parameter that either refuses
 */
export function applyStartupRules(startup: Startup, rules: Rules): Startup {
  if (rules.every((one) => isEmpty(one))) return startup;
  const { parameters } = startup;
  const kept: [name: string, value: string][] = [];
  let same = true;
  for (const [name, value] of Object.entries(parameters)) {
    if (rules.some((one) => one?.refuse?.includes(name))) throw refused(name);
    if (rules.some((one) => one?.ignore?.includes(name))) same = false;
    else kept.push([name, value]);
  }
  const sent = new Set(kept.map(([name]) => name));
  for (const [name, value] of Object.entries({ ...rules[0]?.default, ...rules[1]?.default })) {
    if (sent.has(name)) continue;
    kept.push([name, value]);
    same = false;
  }
  return same ? startup : { ...startup, parameters: Object.fromEntries(kept) };
}

function refused(name: string): GatewayError {
  const hint = 'The config refuses it. Use SET after the login.';
  return new GatewayError('protocol_violation', `unsupported startup parameter: ${shown(name)}`, { hint });
}

/** `PGC_BACKEND` and `PGC_SU_BACKEND` (guc_parameters.dat): in force from the start of a connection, or not at all. */
const AT_CONNECTION_START: ReadonlySet<string> = new Set([
  'ignore_system_indexes',
  'jit_debugging_support',
  'jit_profiling_support',
  // PostgreSQL lets these two be set at any time, and heeds them here alone.
  'local_preload_libraries',
  'log_connections',
  'log_disconnections',
  'post_auth_delay',
  'session_preload_libraries',
]);

/**
 * Refuses, before a connection is opened, what other clients cannot have either. For replication, where the parameters go into
 * the startup packet: one such delays the server, which keeps the connection although its client is gone.
 * @throws GatewayError `cant_change_runtime_param` in PostgreSQL's words
 */
export function refuseConnectionParameters({ parameters }: Startup): void {
  const name = Object.keys(parameters).find((one) => AT_CONNECTION_START.has(one.toLowerCase()));
  if (name === undefined) return;
  const message = `parameter "${name}" cannot be set after connection start`;
  throw new GatewayError('cant_change_runtime_param', message);
}
