/** The end of a session: its last hooks, its last line in the log, the close of its connection. */
import { describe } from '../client/refuse.ts';
import type { House } from '../gateway/house.ts';
import { tellClose } from './session-log.ts';
import type { Visit } from './visit.ts';

/** Runs `onClose` and releases the session's resources; `house` counts it until then. Never rejects. */
export async function depart({ session, hooks, reader }: Visit, house: House): Promise<void> {
  const reason = session.reason ?? { kind: 'lost' };
  try {
    await hooks.close(session, reason, (plugin, error) => {
      session.log.error({ plugin, error: describe(error) }, 'onClose failed');
    });
    await session.settle();
  } finally {
    house.sessions.delete(session);
    const used = house.statistics.leave(session);
    tellClose(session, hooks, reason, used);
    reader.channel.finish();
    house.leave();
  }
}
