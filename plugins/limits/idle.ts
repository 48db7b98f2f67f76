/** Ends sessions that do nothing for too long: whatever a client sets on the server, this clock is not its own. */
import { GatewayError } from '../../core/index.ts';
import type { Session } from '../../core/index.ts';
import type { Limits } from './options.ts';

/** Milliseconds between two looks: a session may be idle for that much longer. */
const LOOK_MS = 500;

function overdue(
  session: Session,
  limits: Pick<Limits, 'idleMs' | 'idleInTransactionMs'>,
): GatewayError | undefined {
  const { idleMs = Infinity, idleInTransactionMs = Infinity } = limits;
  const forMs = Date.now() - session.stateSince;
  if (session.state === 'idle') {
    return forMs >= idleMs
      ? new GatewayError('idle_session_timeout', 'terminating connection due to idle-session timeout')
      : undefined;
  }
  if (!session.state.startsWith('idle in transaction') || forMs < idleInTransactionMs) return undefined;
  return new GatewayError(
    'idle_in_transaction_session_timeout',
    'terminating connection due to idle-in-transaction timeout',
  );
}

/** Looks after `sessions` until the returned function is called; costs nothing where there is no limit. */
export function endIdle(
  sessions: ReadonlySet<Session>,
  limits: Pick<Limits, 'idleMs' | 'idleInTransactionMs'>,
): () => void {
  if (limits.idleMs === undefined && limits.idleInTransactionMs === undefined) return () => {};
  const timer = setInterval(() => {
    for (const session of sessions) {
      const error = overdue(session, limits);
      if (error) session.end(error);
    }
  }, LOOK_MS).unref();
  return () => clearInterval(timer);
}
