/** Removes all state of a session from its connection, and verifies that each step succeeded. */
import { randomInt } from 'node:crypto';
import { readCommandComplete, readReadyForQuery } from '../wire/backend.ts';
import { Backend } from '../wire/frames.ts';
import { encodeQuery } from '../wire/to-server.ts';
import type { ServerConnection } from './connection.ts';
import { Conversation, errorIn } from './conversation.ts';
import { within } from './deadline.ts';
import { queryFunctions } from './function-catalog.ts';
import type { FunctionCatalog } from './function-catalog.ts';
import { queryUnresettable } from './unresettable-state.ts';
import { readOutcome } from './query.ts';
import { encodeSettings } from './settings.ts';
import type { Setting } from './session-settings.ts';

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

const DISCARD_SEQUENCES = encodeQuery('DISCARD SEQUENCES');

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
  /** Whether the session may have set the seed of `random()`, which DISCARD ALL leaves as it is. Default false. */
  readonly seeds?: boolean;
  /** Whether to ask which functions may leave state. Default false. */
  readonly asksFunctions?: boolean;
}

/** A setting that is applied in advance for the next session. */
export interface Preset {
  readonly name: string;
  readonly value: Setting['value'];
  /** The value without the setting; null where the server does not report it. */
  readonly before: string | null;
}

/** The result of a reset. */
export interface ResetOutcome {
  /** False: it must be closed. */
  readonly done: boolean;
  /** The settings that were applied in advance. */
  readonly preset: readonly Preset[];
  /** The answer to `asks`, if there is one. */
  readonly unresettable?: boolean | undefined;
  /** The answer to `asksFunctions`, if there is one. */
  readonly functions?: FunctionCatalog | undefined;
}

/**
 * Resets an idle connection within `ms` milliseconds, or gives up when `closing` is aborted. A step that hung has then been
 * cancelled, and that cancel is over. Never rejects. `wanted` is set in advance for the next session, which will very
 * likely want the same and has no round trip to wait for then.
 */
export async function reset(
  connection: ServerConnection,
  { ms, closing, ...rest }: ResetOptions,
): Promise<ResetOutcome> {
  try {
    return await within(
      ms,
      closing,
      () => LATE,
      (signal) => run(connection, rest, signal),
    );
  } catch (error) {
    if (error === LATE) await connection.cancel();
    return FAILED;
  }
}

const FAILED: ResetOutcome = { done: false, preset: [] };

async function run(
  { channel, parameters, prepared }: ServerConnection,
  { wanted = [], seeds = false, asks = false, asksFunctions = false }: Omit<ResetOptions, 'ms' | 'closing'>,
  signal: AbortSignal,
): Promise<ResetOutcome> {
  const talk = new Conversation(channel, signal, parameters);
  try {
    // In one write: whichever of them fails, the connection is closed.
    talk.send(
      Buffer.concat([
        QUERIES,
        ...(seeds
          ? [encodeQuery(`/* the gateway sets a new seed */ SET seed TO 0.${randomInt(2 ** 47)}`)]
          : []),
        ...(wanted.length > 0 ? [encodeSettings(wanted)] : []),
      ]),
    );
    for (const [, tag] of STEPS) if (!(await confirmed(talk, tag))) return FAILED;
    if (seeds && !(await confirmed(talk, 'SET'))) return FAILED;
    // DISCARD ALL has dropped them.
    prepared.clear();
    const preset = wanted.map(({ name, value }) => ({ name, value, before: parameters.get(name) ?? null }));
    const refused = wanted.length > 0 && (await readOutcome(talk)).error !== undefined;
    const unresettable = asks ? await queryUnresettable(talk) : undefined;
    const functions = asksFunctions ? await queryFunctions(talk) : undefined;
    return { done: true, preset: refused ? [] : preset, unresettable, functions };
  } finally {
    talk.end();
  }
}

/**
 * Removes the session's values of sequences, and leaves all else: for another session of the same identity. As
 * {@link reset}; false: the connection must be closed.
 */
export async function discardSequences(
  connection: ServerConnection,
  { ms, closing }: Pick<ResetOptions, 'ms' | 'closing'>,
): Promise<boolean> {
  const step = async (signal: AbortSignal): Promise<boolean> => {
    const talk = new Conversation(connection.channel, signal, connection.parameters);
    try {
      talk.send(DISCARD_SEQUENCES);
      return await confirmed(talk, 'DISCARD SEQUENCES');
    } finally {
      talk.end();
    }
  };
  try {
    return await within(ms, closing, () => LATE, step);
  } catch (error) {
    if (error === LATE) await connection.cancel();
    return false;
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
