/** Prepares an idle connection for one session: no state of another session, all settings of this one. */
import { GatewayError } from '../../contract/errors.ts';
import type { ServerConnection } from '../connection.ts';
import { areEqual, valueOf } from '../parameter-map.ts';
import { unreachable } from '../refusals.ts';
import { SessionSettings } from '../session-settings.ts';
import type { Setting } from '../session-settings.ts';
import { DEFERRABLE, missingOn, noteWanted, pinnedNames, settingsFor, withTakenBack } from '../settings.ts';
import type { SettingsRequest } from '../settings.ts';
import { exchangeSettings } from '../settings-exchange.ts';
import type { Owner } from './checkout-request.ts';
import type { PooledServer } from './pooled-servers.ts';
import { reset } from '../reset.ts';

/** How long a reset may take, and how long settings may, in milliseconds. */
export const STEP_MS = 2_000;

/** The result, and the condition of the connection if it failed. */
export type Prepared =
  | { readonly kind: 'ready' }
  /** Another connection would be refused as well. */
  | { readonly kind: 'refused'; readonly error: unknown; readonly server: 'clean' | 'dirty' }
  /** The connection was dead or does not answer. */
  | { readonly kind: 'lost'; readonly error: unknown; readonly server: 'close' };

/** Hears the result once, in the call that reads the server's last answer. */
export type PreparedTold = (outcome: Prepared) => void;

/**
 * Prepares a connection for `next`; its last owner, if it was not reset since, has the same fingerprint. Only the difference
 * between the settings in force and those of the session is sent. Returns the result where the server need not be asked, else
 * `told` is called later. Does not stop when the session ends: half a message exchange would be left. `closing` is aborted when
 * the pool ends. Never throws.
 */
export function prepare(
  server: PooledServer,
  request: SettingsRequest,
  next: Owner,
  closing: AbortSignal,
  told: PreparedTold,
): Prepared | undefined {
  const { connection, owner, applied } = server;
  if (!connection) return lost(new Error('there is no connection'));
  // A replication connection takes no extended query, and its startup packet has the client's choices.
  if (!server.key.pooled) {
    server.owner = next;
    return READY;
  }
  let settings: SessionSettings;
  try {
    settings = wantedOn(server, connection, request);
  } catch (error) {
    return { kind: 'refused', error, server: owner ? 'dirty' : 'clean' };
  }
  if (owner && settings === applied && settings.policies === '' && inForceOn(server, settings)) {
    server.owner = next;
    return READY;
  }
  const taken = { server, connection, settings, next, closing };
  const same = next.holder !== undefined && owner?.holder === next.holder;
  const others = settings.policies !== applied.policies;
  if (owner && !same && (server.mixed || others)) {
    void takeReset(taken, told);
    return undefined;
  }
  if (same) server.mixed ||= others;
  // What is in force may itself be in the way of a change, such as a time-out.
  if (!owner || applied.chosen.length === 0) return take(taken, told);
  return take(taken, (outcome) => (outcome.kind === 'refused' ? void takeReset(taken, told) : told(outcome)));
}

/** Takes it after a reset. */
async function takeReset(taken: Taken, told: PreparedTold): Promise<void> {
  const { server, connection, closing } = taken;
  const { done } = await reset(connection, { ms: STEP_MS, closing, seeds: server.left === 'state' });
  if (!done) return told(lost(unreachable(new Error('the connection could not be reset'))));
  server.owner = undefined;
  server.applied = SessionSettings.none;
  server.left = 'nothing';
  server.mixed = false;
  server.preset = [];
  const outcome = take(taken, told);
  if (outcome) told(outcome);
}

/** The settings of the session, and those that it believes in force where the connection reports other values. */
function wantedOn(
  { applied }: PooledServer,
  connection: ServerConnection,
  request: SettingsRequest,
): SessionSettings {
  const { follows, upstream } = request;
  const settings = settingsFor(request, connection);
  // The common case.
  if (!follows || (settings === applied && areEqual(follows, connection.parameters))) return settings;
  return settings.withFollowing(follows, connection.parameters, pinnedNames(upstream), applied);
}

/** No setting has changed since the last use: the common case. Compared again only when the server has reported a parameter. */
function inForceOn(server: PooledServer, settings: SessionSettings): boolean {
  const { connection, mixed, preset, inForce } = server;
  if (!connection || mixed || preset.length > 0) return false;
  const { parameters } = connection;
  const { content } = parameters;
  if (inForce && inForce.settings === settings && inForce.content === content) return true;
  for (const { name, value } of settings.all) {
    const reported = valueOf(parameters, name);
    if (reported !== undefined && reported !== value) return false;
  }
  server.inForce = content === undefined ? undefined : { settings, content };
  return true;
}

interface Taken {
  readonly server: PooledServer;
  readonly connection: ServerConnection;
  readonly settings: SessionSettings;
  readonly next: Owner;
  readonly closing: AbortSignal;
}

/** From here on it carries the state of `next`. */
function take(taken: Taken, told: PreparedTold): Prepared | undefined {
  const { server, connection, settings, next, closing } = taken;
  const missing = missingOn(connection, difference(server, connection, settings));
  server.mixed &&= server.owner !== undefined;
  server.owner = next;
  server.preset = [];
  if (missing.length === 0) return settled(taken, READY);
  try {
    exchangeSettings(connection, missing, { ms: STEP_MS, closing }, (error) =>
      told(settled(taken, outcomeOf(error))),
    );
  } catch (error) {
    // A mistake of a plugin, with which no other connection would help.
    return settled(taken, refusedFor(error));
  }
  return undefined;
}

/** Where one is refused, none is set. */
function settled({ server, connection, settings }: Taken, outcome: Prepared): Prepared {
  const ready = outcome.kind === 'ready';
  server.applied = ready ? settings : SessionSettings.none;
  if (ready) noteWanted(connection, settings);
  return outcome;
}

/** The settings that have to be sent; null takes one back. */
function difference(
  { owner, applied, preset }: PooledServer,
  connection: ServerConnection,
  settings: SessionSettings,
): readonly Setting[] {
  if (!owner) {
    const lookUp = (name: string): InForce | undefined =>
      preset.find((one) => one.name.toLowerCase() === name.toLowerCase());
    const missing = settings.all.filter((setting) => !inForce(setting, lookUp, connection));
    return [...withoutPreset(settings.all, preset), ...missing];
  }
  const wanted = withTakenBack(connection, settings);
  const back = applied.chosen
    .filter(({ name }) => !wanted.get(name))
    .map(({ name, from }) => ({ name, value: null, from }));
  const lookUp = (name: string): InForce | undefined => {
    const one = applied.get(name);
    return one?.from === 'client' ? one : undefined;
  };
  const missing = wanted.all.filter((setting) => !inForce(setting, lookUp, connection));
  const all = [...back, ...missing];
  if (missingOn(connection, all).length === 0) return all;
  const deferrable = settings.get(DEFERRABLE);
  const role = applied.get(ROLE);
  return [
    // Policies' functions do not run as a role that the session has chosen.
    ...(role ? [{ ...role, value: null }] : []),
    ...(deferrable && !all.includes(deferrable) ? [deferrable] : []),
    ...all.filter(({ name, value }) => name !== ROLE || value !== null),
    ...(role && settings.get(ROLE) && !all.some(({ name, value }) => name === ROLE && value !== null)
      ? [role]
      : []),
  ];
}

const ROLE = 'role';

/** A setting on a connection. */
type InForce = Pick<Setting, 'value'>;

/** A client's setting that no ParameterStatus shows is in force if it was applied last and no state was left since. */
function inForce(
  { name, value, from }: Setting,
  lookUp: (name: string) => InForce | undefined,
  { parameters }: ServerConnection,
): boolean {
  if (from === 'policy' || valueOf(parameters, name) !== undefined) return false;
  return lookUp(name)?.value === value;
}

/** Adds the previous values of settings that were applied in advance and that this session does not have. */
function withoutPreset(settings: readonly Setting[], preset: PooledServer['preset']): readonly Setting[] {
  const names = new Set(settings.map(({ name }) => name.toLowerCase()));
  const unwanted = preset.filter(({ name }) => !names.has(name.toLowerCase()));
  return unwanted.map(({ name, before }) => ({ name, value: before, from: 'client' as const }));
}

const READY: Prepared = { kind: 'ready' };

/** A value that cannot be sent is none that the server has seen. */
const refusedFor = (cause: unknown): Prepared => ({
  kind: 'refused',
  error: new GatewayError('internal_error', 'the session could not be prepared', { cause }),
  server: 'dirty',
});

const lost = (error: unknown): Prepared => ({ kind: 'lost', error, server: 'close' });

function outcomeOf(error: unknown): Prepared {
  if (error === undefined) return READY;
  return isRefusal(error) ? { kind: 'refused', error, server: 'dirty' } : lost(error);
}

/** True for a refusal by a working server, false for errors of {@link unreachable} and of the wire's decoders. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return false;
  return !['sqlclient_unable_to_establish_sqlconnection', 'protocol_violation'].includes(error.code);
}
