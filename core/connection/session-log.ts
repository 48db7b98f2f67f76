/** Reports a session to operators and observers: one line and one event at its login, refusal and close. */
import { hostsOf } from '../contract/database.ts';
import type { DatabaseOptions } from '../contract/database.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Ended, SessionCounts } from '../contract/events.ts';
import type { Hooks } from '../hooks.ts';
import type { OpenSession } from './open-session.ts';
import { reasonOf } from '../contract/reason.ts';
import type { CloseReason } from '../contract/session.ts';
import type { ConnectTold } from './session-servers.ts';
import { addressOf } from '../upstream/connection.ts';
import type { Queued } from '../upstream/pool/checkout-request.ts';

type Observed = Pick<Hooks, 'observed'>;

function ended(session: OpenSession, error?: GatewayError): Ended {
  const { startedAt } = session;
  const durationMs = Date.now() - startedAt;
  return { session, startedAt, durationMs, ...(error && { error, sqlstate: error.sqlstate }) };
}

function who(session: OpenSession): object {
  const { client, startup, upstream } = session;
  return {
    user: startup.user,
    database: startup.database,
    ...(upstream?.role === undefined ? {} : { role: upstream.role }),
    address: client.address,
    listener: client.listener,
    credential: session.credential,
  };
}

/** ReadyForQuery has been sent. */
export function tellLogin(session: OpenSession, { observed }: Observed): void {
  const event = ended(session);
  if (session.log.tellsInfo) session.log.info({ ...who(session), durationMs: event.durationMs }, 'login');
  observed.login?.(event);
}

/** The login was refused with `error`. */
export function tellRefusal(session: OpenSession, { observed }: Observed, error: GatewayError): void {
  const event = ended(session, error);
  const { sqlstate, durationMs } = event;
  session.log.warn({ ...who(session), durationMs, sqlstate, reason: reasonOf(error) }, 'login refused');
  observed.login?.(event);
}

/** The client had no token, and is told where to get one. */
export function tellDiscovery(session: OpenSession, { observed }: Observed): void {
  const event = ended(session);
  if (session.log.tellsInfo) session.log.info({ ...who(session), durationMs: event.durationMs }, 'discovery');
  observed.discovery?.(event);
}

/** The session has ended, and its hooks have settled. */
export function tellClose(
  session: OpenSession,
  { observed }: Observed,
  reason: CloseReason,
  used?: SessionCounts,
): void {
  const toldAlready = reason.kind === 'refused' || reason.kind === 'discovery';
  // A discovery request is answered with an error, and nothing has failed.
  const error = 'error' in reason && reason.kind !== 'discovery' ? reason.error : undefined;
  const event = ended(session, error);
  if (!toldAlready && session.log.tellsInfo) {
    const why = error ? { sqlstate: error.sqlstate, message: error.message } : {};
    session.log.info({ ...who(session), durationMs: event.durationMs, reason: reason.kind, ...why }, 'close');
  }
  const { close } = observed;
  if (close) close({ ...event, reason, ...(used && { used: { ...used } }) });
}

/** Reports how the wait for the first server connection of a session ends, which begins now; observers hear of it once per session. */
export function tellConnect(
  session: OpenSession,
  { observed }: Observed,
  database: DatabaseOptions,
): ConnectTold {
  const startedAt = Date.now();
  return (server, error, goesOn = false) => {
    if (!server && !(error instanceof GatewayError)) return;
    const refused = error instanceof GatewayError ? { error, sqlstate: error.sqlstate } : {};
    const place = server
      ? addressOf(server)
      : {
          host: hostsOf(database)
            .map(({ host }) => host)
            .join(','),
        };
    if (!goesOn)
      observed.connect?.({ session, startedAt, durationMs: Date.now() - startedAt, ...place, ...refused });
    if (!(error instanceof GatewayError)) return;
    const line = { database: session.upstream?.entry, sqlstate: error.sqlstate, reason: reasonOf(error) };
    session.log.warn(line, 'no server connection');
  };
}

/** Reports the length of a wait for a server connection; undefined where no plugin observes it. */
export function tellQueue(session: OpenSession, { observed }: Observed): Queued | undefined {
  const { queue } = observed;
  if (!queue) return undefined;
  return () => {
    const startedAt = Date.now();
    const since = performance.now();
    return (error) => {
      const refused = error instanceof GatewayError ? { error, sqlstate: error.sqlstate } : {};
      queue({ session, startedAt, durationMs: performance.now() - since, ...refused });
    };
  };
}
