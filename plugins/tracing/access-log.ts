/** One JSON line per session at its end: who, as which role, from where, how much and why it ended. */
import { resolve } from 'node:path';
import type { Events, GatewayHandle } from '../../core/index.ts';
import { LineFile } from './line-file.ts';

/** What a line says. */
export function accessLine({
  session,
  startedAt,
  durationMs,
  reason,
  used,
  sqlstate,
}: Events['close']): object {
  const { client, startup, credential, facts, upstream } = session;
  const { identity, tenant } = facts;
  return {
    session: session.id,
    startedAt: new Date(startedAt).toISOString(),
    durationMs,
    user: startup.user,
    database: startup.database,
    address: client.address,
    port: client.port,
    listener: client.listener,
    credential,
    tls: client.tls !== undefined,
    ...(startup.parameters['application_name'] !== undefined && {
      application: startup.parameters['application_name'],
    }),
    ...(identity && { issuer: identity.issuer, subject: identity.subject }),
    ...(tenant !== undefined && { tenant }),
    ...(upstream?.role !== undefined && { role: upstream.role, entry: upstream.entry }),
    ...(used && {
      bytesReceived: used.received,
      bytesSent: used.sent,
      queries: used.queries,
      transactions: used.transactions,
      waitMs: Math.round(used.waitMs),
    }),
    reason: reason.kind,
    ...(sqlstate !== undefined && { sqlstate }),
  };
}

/** Where lines go. */
export interface AccessLog {
  readonly write: (event: Events['close']) => void;
  readonly close: () => Promise<void>;
}

interface Shared {
  readonly lines: LineFile;
  users: number;
}

/**
 * Opens it; without a file lines go to the gateway's log. A reload opens it anew, for sessions of earlier configs as well:
 * who has renamed the file finds no more lines in it.
 */
export function openAccessLog({ file }: { readonly file?: string }, gateway: GatewayHandle): AccessLog {
  if (file === undefined) {
    const write = (event: Events['close']): void => gateway.log.info(accessLine(event), 'access');
    return { write, close: () => Promise.resolve() };
  }
  const path = resolve(gateway.directory, file);
  const logs = gateway.keep('access logs', () => new Map<string, Shared>());
  const shared = logs.get(path) ?? { lines: new LineFile(path, gateway.log), users: 0 };
  logs.set(path, shared);
  shared.users += 1;
  shared.lines.reopen();
  return {
    write: (event) => shared.lines.write(accessLine(event)),
    async close() {
      shared.users -= 1;
      if (shared.users > 0) return;
      logs.delete(path);
      await shared.lines.close();
    },
  };
}
