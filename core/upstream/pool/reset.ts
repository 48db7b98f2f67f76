/** Removes all state of a session from its connection, and verifies that each step succeeded. */
import { readCommandComplete, readReadyForQuery } from '../../wire/backend.ts';
import { Backend } from '../../wire/frames.ts';
import { encodeQuery } from '../../wire/to-server.ts';
import type { ServerConnection } from '../connection.ts';
import { Conversation, errorIn } from '../conversation.ts';
import { within } from '../deadline.ts';
import { queryUnresettable } from '../unresettable-state.ts';
import { readOutcome } from '../query.ts';
import { encodeSettings } from '../settings.ts';
import type { Setting } from '../session-settings.ts';
import type { Preset } from './pooled-server.ts';

/**
 * Texts with the tags that confirm them. RESET ALL comes first: time-outs and deferrable defaults that a session left make
 * DISCARD ALL fail or hang. RESET ROLE comes last: where another role logs in, neither of them returns to the mapped one
 * on every version (`role` is not part of RESET ALL, and DISCARD ALL resets the session's user).
 */
const STEPS = [
  ['RESET ALL', 'RESET'],
  ['DISCARD ALL', 'DISCARD ALL'],
  ['RESET ROLE', 'RESET'],
] as const;

const QUERIES = Buffer.concat(STEPS.map(([text]) => encodeQuery(text)));

/** Known by its identity, and made once: a stack costs more than the reset. */
const LATE = new Error('the reset took too long');

/** The options of a reset. */
export interface ResetOptions {
  readonly ms: number;
  /** Aborted when the pool ends. */
  readonly closing: AbortSignal;
  /** Default: nothing. */
  readonly wanted?: readonly Setting[];
  /** Whether to ask if the database has state that no reset undoes. Default false. */
  readonly asks?: boolean;
}

/** The result of a reset. */
export interface ResetOutcome {
  /** False: it must be closed. */
  readonly done: boolean;
  /** The settings that were applied in advance. */
  readonly preset: readonly Preset[];
  /** The answer to `asks`, if there is one. */
  readonly unresettable?: boolean | undefined;
}

/**
 * Resets an idle connection within `ms` milliseconds, or gives up when `closing` is aborted. What hung has then been
 * cancelled, and that cancel is over. Never rejects. `wanted` is set in advance for the next session, which will very
 * likely want the same and has no round trip to wait for then.
 */
export async function reset(
  connection: ServerConnection,
  { ms, closing, wanted = [], asks = false }: ResetOptions,
): Promise<ResetOutcome> {
  try {
    return await within(
      ms,
      closing,
      () => LATE,
      (signal) => run(connection, { wanted, asks }, signal),
    );
  } catch (error) {
    if (error === LATE) await connection.cancel();
    return FAILED;
  }
}

const FAILED: ResetOutcome = { done: false, preset: [] };

async function run(
  { channel, parameters, prepared }: ServerConnection,
  { wanted, asks }: Required<Pick<ResetOptions, 'wanted' | 'asks'>>,
  signal: AbortSignal,
): Promise<ResetOutcome> {
  const talk = new Conversation(channel, signal, parameters);
  try {
    // In one write: whichever of the three fails, the connection is closed.
    talk.send(wanted.length > 0 ? Buffer.concat([QUERIES, encodeSettings(wanted)]) : QUERIES);
    for (const [, tag] of STEPS) if (!(await confirmed(talk, tag))) return FAILED;
    // DISCARD ALL has dropped them.
    prepared.clear();
    const preset = wanted.map(({ name, value }) => ({ name, value, before: parameters.get(name) ?? null }));
    const refused = wanted.length > 0 && (await readOutcome(talk)).error !== undefined;
    const unresettable = asks ? await queryUnresettable(talk) : undefined;
    return { done: true, preset: refused ? [] : preset, unresettable };
  } finally {
    talk.end();
  }
}

/** Reads to ReadyForQuery. */
async function confirmed(talk: Conversation, tag: string): Promise<boolean> {
  let done = false;
  for (;;) {
    const message = await talk.reply();
    if (message.type === Backend.readyForQuery) return done && readReadyForQuery(message.body) === 'I';
    if (errorIn(message)) return false;
    // Notifications come until UNLISTEN, which is part of DISCARD ALL.
    if (message.type === Backend.notificationResponse) continue;
    if (message.type !== Backend.commandComplete || readCommandComplete(message.body) !== tag) return false;
    done = true;
  }
}
