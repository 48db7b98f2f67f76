/** Prepares an idle connection for one session: no state of another session, all settings of this one. */
import { GatewayError } from '../../errors.ts';
import type { ServerConnection } from '../connection.ts';
import { within } from '../deadline.ts';
import { valueOf } from '../parameter-map.ts';
import { unreachable } from '../refusals.ts';
import { SessionSettings } from '../session-settings.ts';
import type { Setting } from '../session-settings.ts';
import { applySettings, missingOn, noteWanted, settingsFor, withTakenBack } from '../settings.ts';
import type { SettingsRequest } from '../settings.ts';
import type { Owner, PooledServer } from './pooled-server.ts';
import { reset } from './reset.ts';

/** How long a reset may take, and how long settings may, in milliseconds. */
export const STEP_MS = 2_000;

/** The result, and the condition of the connection if it failed. */
export type Prepared =
  | { readonly kind: 'ready' }
  /** Another connection would be refused as well. */
  | { readonly kind: 'refused'; readonly error: unknown; readonly server: 'clean' | 'dirty' }
  /** The connection was dead or does not answer. */
  | { readonly kind: 'lost'; readonly error: unknown; readonly server: 'close' };

/**
 * Prepares a connection for `next`; its last owner, if it was not reset since, has the same fingerprint. For the same
 * session it stays as it is. Answers at once where the server need not be asked. Never rejects, and does not stop when
 * the session ends: half a message exchange would be left. `closing` is aborted when the pool ends.
 */
export function prepare(
  server: PooledServer,
  request: SettingsRequest,
  next: Owner,
  closing: AbortSignal,
): Prepared | Promise<Prepared> {
  const { connection, owner } = server;
  if (!connection) return lost(new Error('there is no connection'));
  let settings: SessionSettings;
  try {
    settings = wantedOn(connection, request);
  } catch (error) {
    return { kind: 'refused', error, server: owner ? 'dirty' : 'clean' };
  }
  if (owner && settings === server.applied && settings.policies === '' && inForceOn(server, settings)) {
    server.owner = next;
    return READY;
  }
  if (next.holder && owner?.holder === next.holder) {
    // It stays as the session left it; what the session has changed since, on other connections, follows.
    server.mixed ||= settings.policies !== server.applied.policies;
    const wanted = withTakenBack(connection, settings);
    const follows = wanted.all.filter(
      ({ name, from }) => from === 'policy' || valueOf(connection.parameters, name) !== undefined,
    );
    return settled(apply(connection, follows, closing), (ready) => {
      if (!ready) return;
      noteWanted(connection, settings);
      server.applied = server.applied.with(settings.chosen);
    });
  }
  const taken = { server, connection, settings, next, closing };
  if (!owner || (!server.mixed && settings.replaces(server.applied))) return take(taken);
  return reset(connection, { ms: STEP_MS, closing }).then(({ done }) => {
    if (!done) return lost(unreachable(new Error('the connection could not be reset')));
    // Nothing that was applied before is in force.
    server.owner = undefined;
    server.applied = SessionSettings.none;
    return take(taken);
  });
}

/** The settings of the session, and those that it believes in force where the connection reports other values. */
function wantedOn(connection: ServerConnection, request: SettingsRequest): SessionSettings {
  const { follows, upstream } = request;
  const settings = settingsFor(request, connection);
  return follows ? settings.withFollowing(follows, connection.parameters, upstream.settings) : settings;
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
function take({ server, connection, settings, next, closing }: Taken): Prepared | Promise<Prepared> {
  const known = server.owner ? server.applied.all : server.preset;
  const missing = settings.all.filter((setting) => !inForce(setting, known, connection));
  const all = [...withoutPreset(settings.all, server.preset), ...missing];
  server.owner = next;
  server.mixed = false;
  server.preset = [];
  return settled(apply(connection, all, closing), (ready) => {
    // Where one is refused, none is set.
    server.applied = ready ? settings : SessionSettings.none;
    if (ready) noteWanted(connection, settings);
  });
}

/** Calls `hear` with the result, at once where it is known. */
function settled(
  applied: Prepared | Promise<Prepared>,
  hear: (ready: boolean) => void,
): Prepared | Promise<Prepared> {
  const over = (prepared: Prepared): Prepared => {
    hear(prepared.kind === 'ready');
    return prepared;
  };
  return applied instanceof Promise ? applied.then(over) : over(applied);
}

/** A client's setting that no ParameterStatus shows is in force if it was applied last and no state was left since. */
function inForce(
  { name, value, from }: Setting,
  known: readonly Pick<Setting, 'name' | 'value'>[],
  { parameters }: ServerConnection,
): boolean {
  if (from === 'policy' || valueOf(parameters, name) !== undefined) return false;
  return known.some((one) => one.name.toLowerCase() === name.toLowerCase() && one.value === value);
}

/** Adds the previous values of settings that were applied in advance and that this session does not have. */
function withoutPreset(settings: readonly Setting[], preset: PooledServer['preset']): readonly Setting[] {
  const names = new Set(settings.map(({ name }) => name.toLowerCase()));
  const unwanted = preset.filter(({ name }) => !names.has(name.toLowerCase()));
  return unwanted.map(({ name, before }) => ({ name, value: before, from: 'client' as const }));
}

const READY: Prepared = { kind: 'ready' };

const lost = (error: unknown): Prepared => ({ kind: 'lost', error, server: 'close' });

function apply(
  connection: ServerConnection,
  settings: readonly Setting[],
  closing: AbortSignal,
): Prepared | Promise<Prepared> {
  const missing = missingOn(connection, settings);
  return missing.length === 0 ? READY : ask(connection, missing, closing);
}

async function ask(
  connection: ServerConnection,
  missing: readonly Setting[],
  closing: AbortSignal,
): Promise<Prepared> {
  const late = (): Error => unreachable(new Error(`settings were not confirmed within ${STEP_MS} ms`));
  try {
    await within(STEP_MS, closing, late, (signal) => applySettings(connection, missing, signal));
    return READY;
  } catch (error) {
    return isRefusal(error) ? { kind: 'refused', error, server: 'dirty' } : lost(error);
  }
}

/** True for a refusal by a working server, false for errors of {@link unreachable} and of the wire's decoders. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return false;
  return !['sqlclient_unable_to_establish_sqlconnection', 'protocol_violation'].includes(error.code);
}
