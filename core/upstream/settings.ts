/** Applies a session's settings to its server connection: they are in force before the client's first byte, or the check-out fails. */
import { GatewayError } from '../contract/errors.ts';
import type { Backend, SetByFunction, Startup, Upstream } from '../contract/session.ts';
import type { ServerConnection } from './connection.ts';
import { within } from './deadline.ts';
import { encodeExecutions, executeBetween, ownName } from './query.ts';
import type { Executions, Outcome } from './query.ts';
import { valueOf } from './parameter-map.ts';
import { parameterRefused, unreachable } from './refusals.ts';
import type { Parameters } from './parameter-map.ts';
import { SessionSettings } from './session-settings.ts';
import type { Setting } from './session-settings.ts';
import { AT_ONCE } from './settings-query.ts';
import { RESERVED } from './startup.ts';
import { WeakValues } from './weak-values.ts';

/** The session whose settings are needed. */
export interface SettingsRequest {
  readonly upstream: Upstream;
  readonly startup: Startup;
  /** The parameters that the client believes in force. Default: those of its startup packet. */
  readonly follows?: Parameters | undefined;
  /** The client's settings since its login. Default: none. */
  readonly session?: SessionSettings | undefined;
  /** Cached by {@link settingsFor} for sessions without policies, whose settings are the same on every connection. */
  settings?: SessionSettings | undefined;
}

/**
 * All settings of a session for this connection, each name once: the client's parameters that no plugin pins, then those of
 * each `onCheckout`, which win. client_encoding comes last, because names and values are sent in UTF-8.
 * @throws Error for a reserved name: a plugin's mistake; any error of an `onCheckout` passes
 */
export function settingsFor(request: SettingsRequest, backend: Backend): SessionSettings {
  if (request.settings) return request.settings;
  const { upstream, startup, session = SessionSettings.none } = request;
  if (upstream.onCheckout.length > 0) return withChosen(settingsOn(request, backend), session);
  const known = chosen.get(startup);
  const atLogin = known?.upstream === upstream ? known.settings : chosenAlike(request, backend);
  if (atLogin !== known?.settings) chosen.set(startup, { upstream, settings: atLogin });
  return (request.settings = withChosen(atLogin, session));
}

/** Policies win. */
function withChosen(settings: SessionSettings, session: SessionSettings): SessionSettings {
  return settings.with(session.all.filter(({ name }) => settings.get(name)?.from !== 'policy'));
}

const NO_NAMES: ReadonlySet<string> = new Set();

/** The names that plugins have in the startup packet, in lower case: a client's values for them are without effect. */
export function pinnedNames({ settings, schemas }: Upstream): ReadonlySet<string> {
  const names = Object.keys(settings).map((name) => name.toLowerCase());
  if (names.length + schemas.length === 0) return NO_NAMES;
  return new Set(schemas.length > 0 ? [...names, 'search_path'] : names);
}

/** By startup parameters and pinned names: most sessions come with those of an earlier one. */
const alike = new WeakValues<SessionSettings>();

function chosenAlike(request: SettingsRequest, backend: Backend): SessionSettings {
  const { upstream, startup } = request;
  const text = JSON.stringify([startup.parameters, [...pinnedNames(upstream)]]);
  return alike.of(text, () => settingsOn(request, backend));
}

/** Cached for a session's login and the transactions after it. */
const chosen = new WeakMap<Startup, { readonly upstream: Upstream; readonly settings: SessionSettings }>();

function settingsOn({ upstream, startup }: SettingsRequest, backend: Backend): SessionSettings {
  const all: Setting[] = [];
  const add = (name: string, value: Setting['value'], from: Setting['from']): void => {
    if (RESERVED.test(name)) throw new Error(`"${name}" cannot be set by onCheckout`);
    if (value !== null && typeof value === 'object') callOf(value);
    all.push({ name, value, from });
  };
  const fixed = pinnedNames(upstream);
  for (const [name, value] of Object.entries(startup.parameters)) {
    if (!fixed.has(name.toLowerCase())) add(name, value, 'client');
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
const WRITABLE: Executions = {
  sql: '/* the gateway lets policies write */ set transaction_read_only = off',
  values: [[]],
};

/** Where it is set, a snapshot may have to wait for others. */
export const DEFERRABLE = 'default_transaction_deferrable';

/** The batch that sets them, in one transaction: `OutcomeReader` reads its answers, a row for each. @throws Error as onCheckout's mistakes */
export function encodeSettings(
  settings: readonly Pick<Setting, 'name' | 'value'>[],
  statement?: string,
): Buffer {
  const batch: Executions[] = [];
  if (settings.some(({ name }) => name.toLowerCase() === DEFERRABLE)) batch.push(AT_ONCE);
  if (settings.some(({ value }) => typeof value === 'object' && value)) batch.push(WRITABLE);
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

/** How long that may take, in milliseconds. */
const BETWEEN_MS = 2_000;

/**
 * One statement for all: `pg_settings` knows where each value came from, and one that was reset is not from the session any more.
 * A custom setting that was reset is empty (manual, 20.16).
 */
const RESTORE = `/* the gateway sets what the client asked for at login */
select pg_catalog.count(pg_catalog.set_config(w.name, w.value, false))
from (select pg_catalog.convert_from(pg_catalog.decode(h.name, 'hex'), 'UTF8') as name,
    pg_catalog.convert_from(pg_catalog.decode(h.value, 'hex'), 'UTF8') as value
  from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) as h(name, value)) as w
left join pg_catalog.pg_settings as s on pg_catalog.lower(s.name) operator(pg_catalog.=) pg_catalog.lower(w.name)
where case when s.name is null
  then coalesce(pg_catalog.current_setting(w.name, true), '') operator(pg_catalog.=) ''
  else s.source operator(pg_catalog.<>) 'session' end`;

const hexArray = (texts: readonly string[]): string =>
  `{${texts.map((text) => `"${Buffer.from(text).toString('hex')}"`).join(',')}}`;

/** What RESET returns to, where the connection by itself has another value: the client's startup packet, and the defaults of its login. */
function returnsTo(
  { parameters }: ServerConnection,
  { upstream, follows }: SettingsRequest,
  settings: SessionSettings,
): readonly Setting[] {
  const fixed = pinnedNames(upstream);
  const others = (follows?.defaults?.missingOn(parameters.defaults) ?? []).filter(
    ({ name }) => !settings.get(name) && !fixed.has(name),
  );
  return [...settings.chosen, ...others.map(({ name, value }): Setting => ({ name, value, from: 'client' }))];
}

/**
 * Sets the settings of policies again on the idle connection of a session, and after a RESET what it returns to and is not in force
 * any more: the settings of the client's startup packet, and the defaults of its login. Where the server does not answer in time, the
 * connection is cut.
 * @throws as {@link checkOutcome}; GatewayError if the connection is lost, or is cut because there was no answer in time
 */
export async function applyAgain(
  connection: ServerConnection,
  request: SettingsRequest,
  afterReset: boolean,
): Promise<void> {
  const settings = settingsFor(request, connection);
  const atLogin = afterReset ? returnsTo(connection, request, settings) : [];
  if (atLogin.length > 0) {
    const columns = [
      atLogin.map(({ name }) => name),
      atLogin.map(({ value }) => (typeof value === 'string' ? value : '')),
    ];
    const batch = encodeExecutions(
      { ...AT_ONCE, name: ownName() },
      { sql: RESTORE, values: [columns.map(hexArray)], name: ownName() },
    );
    const { error } = await executeWithin(connection, batch);
    if (error) throw parameterRefused(error);
  }
  const policies = withTakenBack(connection, settings).all.filter(({ from }) => from === 'policy');
  if (policies.length === 0) return;
  checkOutcome(policies, await executeWithin(connection, encodeSettings(policies, ownName())));
  noteWanted(connection, settings);
}

/** @throws as {@link Conversation.next} if the connection is lost, or is cut because there was no answer in time */
async function executeWithin(connection: ServerConnection, batch: Buffer): Promise<Outcome> {
  const late = unreachable(new Error(`no answer within ${BETWEEN_MS} ms to settings that are set again`));
  try {
    return await within(
      BETWEEN_MS,
      // A signal of its own: Node takes many listeners of one for a leak.
      new AbortController().signal,
      () => late,
      (signal) => executeBetween(connection, batch, signal),
    );
  } catch (error) {
    if (error === late) connection.channel.destroy();
    throw error;
  }
}

/** query_canceled. */
const CANCELED = '57014';

/**
 * Every setting is confirmed by a row of the server's answers.
 * @throws GatewayError with the server's words where it has refused what the client chose, as it does at a login;
 * `query_canceled` where a time-out that the session has set, or its cancel, has hit it; `internal_error` where the server has
 * refused what a policy relies on
 */
export function checkOutcome(settings: readonly Setting[], { rows, error }: Outcome): void {
  if (!error && rows.length === settings.length) return;
  const culprit = settings[rows.length];
  if (error && culprit?.from === 'client') throw parameterRefused(error);
  if (error?.code === CANCELED) throw new GatewayError('query_canceled', error.message);
  // Names and SQLSTATE only: the server's text may repeat a value, and claims must not appear in a log.
  const why = error ? error.code : 'too few rows';
  const cause = new Error(`setting ${settings.map(({ name }) => name).join(', ')} failed: ${why}`);
  throw new GatewayError('internal_error', 'the session could not be prepared', { cause });
}
