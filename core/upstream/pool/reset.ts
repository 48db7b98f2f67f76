/** Takes everything off a connection that a session may have left there, and makes sure that it is off. */
import { readCommandComplete, readReadyForQuery } from '../../wire/backend.ts';
import { Backend } from '../../wire/frames.ts';
import { encodeQuery } from '../../wire/to-server.ts';
import type { ServerConnection } from '../connection.ts';
import { Conversation, errorIn } from '../conversation.ts';
import { within } from '../deadline.ts';

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

/**
 * Resets an idle connection within `ms` milliseconds, or gives up when `closing` is aborted. False: it must be closed.
 * What hung has then been cancelled, and that cancel is over. Never rejects.
 */
export async function reset(
  connection: ServerConnection,
  ms: number,
  closing: AbortSignal,
): Promise<boolean> {
  const late = new Error('the reset took too long');
  try {
    return await within(
      ms,
      closing,
      () => late,
      (signal) => run(connection, signal),
    );
  } catch (error) {
    if (error === late) await connection.cancel();
    return false;
  }
}

async function run(connection: ServerConnection, signal: AbortSignal): Promise<boolean> {
  const talk = new Conversation(connection.channel, signal, connection.parameters);
  try {
    // In one write: whichever fails, the connection is closed.
    talk.send(QUERIES);
    for (const [, tag] of STEPS) if (!(await confirmed(talk, tag))) return false;
    connection.prepared.clear();
    return true;
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
