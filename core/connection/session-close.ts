/** The end of a session: its last hooks, its last line in the log, the close of its connection. */
import { describe } from '../client/refuse.ts';
import type { GatewayContext } from './gateway-context.ts';
import { tellClose } from './session-log.ts';
import type { SessionContext } from './session-context.ts';

/** Runs `onClose` and releases the session's resources; `context` counts it until then. Never rejects. */
export async function closeSession(sessionContext: SessionContext, context: GatewayContext): Promise<void> {
  const { session, hooks, reader } = sessionContext;
  const reason = session.reason ?? { kind: 'lost' };
  try {
    const closed = hooks.close(session, reason, (plugin, error) => {
      session.log.error({ plugin, error: describe(error) }, 'onClose failed');
    });
    if (closed) await closed;
    const settled = session.settle();
    if (settled) await settled;
  } finally {
    context.sessions.delete(session);
    const used = context.statistics.leave(session);
    tellClose(session, hooks, reason, used);
    if (sessionContext.farewell) await sessionContext.farewell;
    reader.channel.finish();
    context.leave();
  }
}
