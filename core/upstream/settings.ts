/** Applies a session's settings to its server connection: they are in force before the client's first byte, or the check-out fails. */
import { GatewayError } from '../errors.ts';
import type { Backend, SetByFunction, Startup, Upstream } from '../session.ts';
import type { ServerConnection } from './connection.ts';
import { Conversation } from './conversation.ts';
import { within } from './deadline.ts';
import { encodeExecutions, executeBetween, ownName, readOutcome } from './query.ts';
import type { Executions, Outcome } from './query.ts';
import { valueOf } from './parameter-map.ts';
import { parameterRefused, unreachable } from './refusals.ts';
import type { Parameters } from './parameter-map.ts';
import { SessionSettings } from './session-settings.ts';
import type { Setting } from './session-settings.ts';
import { RESERVED } from './startup.ts';

/** The session whose settings are needed. */
export interface SettingsRequest {
  readonly upstream: Upstream;
  readonly startup: Startup;
  /** The parameters that the client believes in force. Default: those of its startup packet. */
  readonly follows?: Parameters | undefined;
  /** Cached by {@link settingsFor} for sessions without policies, whose settings are the same on every connection. */
  settings?: SessionSettings | undefined;
}

/**
 * All settings of a session for this connection, each name once: the client's parameters that no plugin pins, then those of
 * each `onCheckout`, which win. client_encoding comes last, because names and values are sent in UTF-8.
 * @throws Error for a reserved name: a plugin's mistake; what an `onCheckout` throws passes
 */
export function settingsFor(request: SettingsRequest, backend: Backend): SessionSettings {
  if (request.settings) return request.settings;
  const { upstream, startup } = request;
  if (upstream.onCheckout.length > 0) return settingsOn(request, backend);
  const known = chosen.get(startup);
  request.settings = known?.upstream === upstream ? known.settings : chosenAlike(request, backend);
  if (request.settings !== known?.settings) chosen.set(startup, { upstream, settings: request.settings });
  return request.settings;
}

/** By startup parameters and pinned names: most sessions come with those of an earlier one. */
const alike = new Map<string, SessionSettings>();
const MOST_ALIKE = 1_000;
/** In characters: a client may send 10 kB of parameters, other ones at each login. */
const LONGEST_ALIKE = 2_000;

function chosenAlike(request: SettingsRequest, backend: Backend): SessionSettings {
  const { upstream, startup } = request;
  const text = JSON.stringify([startup.parameters, [...pinnedBy(upstream)]]);
  const known = alike.get(text) ?? settingsOn(request, backend);
  if (text.length > LONGEST_ALIKE) return known;
  alike.set(text, known);
  const [oldest] = alike.keys();
  if (alike.size > MOST_ALIKE && oldest !== undefined) alike.delete(oldest);
  return known;
}

/** Cached for a session's login and the transactions after it. */
const chosen = new WeakMap<Startup, { readonly upstream: Upstream; readonly settings: SessionSettings }>();

/** The names that plugins have in the startup packet, in lower case: what a client sends for them is without effect. */
function pinnedBy({ settings, schemas }: Upstream): ReadonlySet<string> {
  const names = Object.keys(settings).map((name) => name.toLowerCase());
  return new Set(schemas.length > 0 ? [...names, 'search_path'] : names);
}

function settingsOn({ upstream, startup }: SettingsRequest, backend: Backend): SessionSettings {
  const all: Setting[] = [];
  const add = (name: string, value: Setting['value'], from: Setting['from']): void => {
    if (RESERVED.test(name)) throw new Error(`"${name}" cannot be set by onCheckout`);
    if (value !== null && typeof value === 'object') callOf(value);
    all.push({ name, value, from });
  };
  const pinned = pinnedBy(upstream);
  for (const [name, value] of Object.entries(startup.parameters)) {
    if (!pinned.has(name.toLowerCase())) add(name, value, 'client');
  }
  const { pid, host, role } = backend;
  for (const ask of upstream.onCheckout) {
    for (const [name, value] of Object.entries(ask({ pid, host, role }))) add(name, value, 'policy');
  }
  return SessionSettings.of(all);
}

/** The names of the policies' last settings on a connection, by their lower case. */
const lastWanted = new WeakMap<object, ReadonlyMap<string, string>>();
const NOTHING: ReadonlyMap<string, string> = new Map();

/**
 * The settings for the next transaction of the same session on a connection. Settings that policies had there and have no longer
 * return to the client's value, or to the server's.
 */
export function withTakenBack(connection: object, settings: SessionSettings): SessionSettings {
  const before = lastWanted.get(connection) ?? NOTHING;
  if (before.size === 0) return settings;
  const byName = new Map(settings.all.map((setting) => [setting.name.toLowerCase(), setting]));
  const back = [...before].flatMap(([key, name]): Setting[] => {
    const now = byName.get(key);
    return now?.from === 'policy' ? [] : [{ name, value: now?.value ?? null, from: 'policy' }];
  });
  return settings.with(back);
}

/** The settings, as {@link settingsFor} gave them, are in force on a connection. */
export function noteWanted(connection: object, { all, policies }: SessionSettings): void {
  if (policies === '' && !lastWanted.has(connection)) return;
  const wanted = all.filter(({ from }) => from === 'policy');
  lastWanted.set(connection, new Map(wanted.map(({ name }) => [name.toLowerCase(), name])));
}

/**
 * `pg_catalog.` because a `set_config` of the user's own would see the values. They travel as bytes, because text in a
 * Bind would be read in the client's encoding.
 */
const SET = `/* the gateway sets what its policies rely on */
select pg_catalog.set_config($1, pg_catalog.convert_from($2, 'UTF8'), false)`;

/** The only text that becomes part of a call. */
const FUNCTION = /^([a-z_][a-z0-9_]{0,62})\.([a-z_][a-z0-9_]{0,62})$/;

/** @throws Error for a name that is none: a plugin's mistake */
function callOf({ function: called, arguments: given }: SetByFunction): Executions {
  const [, schema, name] = FUNCTION.exec(called) ?? [];
  if (schema === undefined || name === undefined) throw new Error(`onCheckout: "${called}" is no function`);
  const places = given.map((_, index) => `pg_catalog.convert_from($${index + 1}, 'UTF8')`);
  const sql = `/* the gateway sets what its policies rely on */ select "${schema}"."${name}"(${places.join(', ')})`;
  return { sql, values: [given.map((text) => Buffer.from(text))] };
}

function executionsOf({ name, value }: Pick<Setting, 'name' | 'value'>): Executions {
  if (value !== null && typeof value === 'object') return callOf(value);
  return { sql: SET, values: [[name, value === null ? null : Buffer.from(value)]] };
}

/** Has to come first: a function may write although the role's transactions are read-only. */
const WRITABLE: Executions = { sql: 'set transaction_read_only = off', values: [[]] };

/** The batch that sets them, in one transaction: {@link readOutcome} reads its answers, a row for each. @throws Error as onCheckout's mistakes */
export function encodeSettings(
  settings: readonly Pick<Setting, 'name' | 'value'>[],
  statement?: string,
): Buffer {
  const batch: Executions[] = settings.some(({ value }) => typeof value === 'object' && value)
    ? [WRITABLE]
    : [];
  for (const { sql, values } of settings.map(executionsOf)) {
    const last = batch.at(-1);
    if (last?.sql === sql) batch[batch.length - 1] = { sql, values: [...last.values, ...values] };
    else batch.push({ sql, values });
  }
  if (statement === undefined) return encodeExecutions(...batch);
  return encodeExecutions(...batch.map((one, index) => ({ ...one, name: `${statement}_${index}` })));
}

/** The settings that have to be sent: all but the client's that ParameterStatus shows in force already. */
export function missingOn(
  { parameters }: Pick<ServerConnection, 'parameters'>,
  settings: readonly Setting[],
): readonly Setting[] {
  return settings.filter(({ name, value, from }) => from === 'policy' || valueOf(parameters, name) !== value);
}

/**
 * Sets them, for the session and not only for a transaction, in one round trip; the server has confirmed every one when
 * this resolves; only those of {@link missingOn} are sent. Where the server refuses one, none is set.
 * @throws GatewayError with the server's words where it refuses what the client chose, as it does at a login;
 * `internal_error` where it refuses what a policy relies on; as {@link Conversation.next} if the connection is lost
 */
export async function applySettings(
  { channel, parameters }: ServerConnection,
  settings: readonly Setting[],
  signal: AbortSignal,
): Promise<void> {
  const missing = missingOn({ parameters }, settings);
  if (missing.length === 0) return;
  const talk = new Conversation(channel, signal, parameters);
  try {
    talk.send(encodeSettings(missing));
    check(missing, await readOutcome(talk));
  } finally {
    talk.end();
  }
}

/** How long that may take, in milliseconds. */
const BETWEEN_MS = 2_000;
const NEVER = new AbortController().signal;

/**
 * Sets the settings of policies again on the idle connection of a session. Where the server does not answer in time, the
 * connection is cut.
 * @throws as {@link applySettings}
 */
export async function applyPolicies(connection: ServerConnection, request: SettingsRequest): Promise<void> {
  const settings = settingsFor(request, connection);
  const policies = withTakenBack(connection, settings).all.filter(({ from }) => from === 'policy');
  if (policies.length === 0) return;
  const late = unreachable(new Error(`no answer within ${BETWEEN_MS} ms to what policies want to be set`));
  const batch = encodeSettings(policies, ownName());
  try {
    const outcome = await within(
      BETWEEN_MS,
      NEVER,
      () => late,
      (signal) => executeBetween(connection, batch, signal),
    );
    check(policies, outcome);
    noteWanted(connection, settings);
  } catch (error) {
    if (error === late) connection.channel.destroy();
    throw error;
  }
}

function check(settings: readonly Setting[], { rows, error }: Outcome): void {
  if (!error && rows.length === settings.length) return;
  const culprit = settings[rows.length];
  if (error && culprit?.from === 'client') throw parameterRefused(error);
  // Names and SQLSTATE only: the server's text may repeat a value, and claims must not appear in a log.
  const why = error ? error.code : 'too few rows';
  const cause = new Error(`setting ${settings.map(({ name }) => name).join(', ')} failed: ${why}`);
  throw new GatewayError('internal_error', 'the session could not be prepared', { cause });
}
