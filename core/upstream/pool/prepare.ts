/** Makes a connection that was idle a moment ago the connection of one session: nobody else's state, all of its own settings. */
import { GatewayError } from '../../errors.ts';
import type { ServerConnection } from '../connection.ts';
import { within } from '../deadline.ts';
import { unreachable } from '../refusals.ts';
import { applySettings, missingOn, noteWanted, settingsFor, withTakenBack } from '../settings.ts';
import type { Setting, SettingsRequest } from '../settings.ts';
import type { Member, Owner } from './member.ts';
import { reset } from './reset.ts';

/** How long a reset may take, and how long settings may, in milliseconds. */
export const STEP_MS = 2_000;

/** How it went, and what the connection is good for if it did not. */
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
  member: Member,
  request: SettingsRequest,
  next: Owner,
  closing: AbortSignal,
): Prepared | Promise<Prepared> {
  const { connection, owner } = member;
  if (!connection) return lost(new Error('there is no connection'));
  let settings: readonly Setting[];
  try {
    settings = settingsFor(request, connection);
  } catch (error) {
    return { kind: 'refused', error, server: owner ? 'dirty' : 'clean' };
  }
  if (next.holder && owner?.holder === next.holder) {
    // It stays as the session left it; what the session has changed since, on other connections, follows.
    member.mixed ||= settings !== member.settings && policies(settings) !== policies(member.settings);
    const wanted = withTakenBack(connection, settings);
    const follows = wanted.filter(({ name, from }) => from === 'policy' || connection.parameters.has(name));
    return settled(apply(connection, follows, closing), (ready) => {
      if (ready) noteWanted(connection, settings);
    });
  }
  const taken = { member, connection, settings, next, closing };
  if (!owner || (!member.mixed && replaces(settings, member.settings))) return take(taken);
  return reset(connection, { ms: STEP_MS, closing }).then(({ done }) =>
    done ? take(taken) : lost(unreachable(new Error('the connection could not be reset'))),
  );
}

interface Taken {
  readonly member: Member;
  readonly connection: ServerConnection;
  readonly settings: readonly Setting[];
  readonly next: Owner;
  readonly closing: AbortSignal;
}

/** From here on it carries the state of `next`. */
function take({ member, connection, settings, next, closing }: Taken): Prepared | Promise<Prepared> {
  const known = member.owner ? member.settings : member.preset;
  const missing = settings.filter((setting) => !inForce(setting, known, connection));
  const all = [...withoutPreset(settings, member.preset), ...missing];
  member.owner = next;
  member.mixed = false;
  member.preset = [];
  return settled(apply(connection, all, closing), (ready) => {
    // Where one is refused, none is set.
    member.settings = ready ? settings : [];
    if (ready) noteWanted(connection, settings);
  });
}

/** Hears how it went, at once where that is known. */
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

/** What a client chooses and no ParameterStatus shows is in force if it was set last, and nothing has been left since. */
function inForce(
  { name, value, from }: Setting,
  known: readonly Pick<Setting, 'name' | 'value'>[],
  { parameters }: ServerConnection,
): boolean {
  if (from === 'policy' || parameters.has(name)) return false;
  return known.some((one) => one.name.toLowerCase() === name.toLowerCase() && one.value === value);
}

/** Takes back what was set in advance for somebody who would choose it. */
function withoutPreset(settings: readonly Setting[], preset: Member['preset']): readonly Setting[] {
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

/** What a healthy server says no to, as against what {@link unreachable} and the wire's decoders make. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return false;
  return !['sqlclient_unable_to_establish_sqlconnection', 'protocol_violation'].includes(error.code);
}

/**
 * Whether settings put on top of others leave nothing of these: none may stay behind, and what policies rely on must be
 * the same, because it may have got into what the last session left.
 */
function replaces(next: readonly Setting[], last: readonly Setting[]): boolean {
  if (textOf(next) === textOf(last)) return true;
  const names = new Set(next.map(({ name }) => name.toLowerCase()));
  return last.every(({ name }) => names.has(name.toLowerCase())) && policies(next) === policies(last);
}

const texts = new WeakMap<readonly Setting[], string>();

/** Equal for equal settings. */
function textOf(settings: readonly Setting[]): string {
  const text = texts.get(settings) ?? JSON.stringify(settings);
  texts.set(settings, text);
  return text;
}

/** Equal for settings in which policies want the same. */
function policies(settings: readonly Setting[]): string {
  return JSON.stringify(settings.filter(({ from }) => from === 'policy'));
}
