/** One JSON line per session at its end: who, as which role, from where, how much and why it ended. */
import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { resolve } from 'node:path';
import type { Events, GatewayHandle, Logger } from '../../core/index.ts';

/** Bytes that may wait to be written; lines beyond are dropped, and that is said. */
const MOST_WAITING = 4 * 1024 * 1024;

/** What a line says. */
export function accessLine({
  session,
  startedAt,
  durationMs,
  reason,
  used,
  sqlstate,
}: Events['close']): object {
  const { client, startup, facts, upstream } = session;
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
      waitMs: used.waitMs,
    }),
    reason: reason.kind,
    ...(sqlstate !== undefined && { sqlstate }),
  };
}

/** A file that lines are put behind; only its owner may read it. */
class LineFile {
  readonly #stream: WriteStream;
  readonly #log: Logger;
  #dropped = 0;
  #failed = false;

  constructor(path: string, log: Logger) {
    this.#log = log;
    this.#stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
    this.#stream.on('error', (error) => {
      this.#failed = true;
      log.error({ file: path, reason: error.message }, 'the access log cannot be written');
    });
    this.#stream.on('drain', () => {
      if (this.#dropped > 0) log.warn({ dropped: this.#dropped }, 'lines of the access log were dropped');
      this.#dropped = 0;
    });
  }

  write(line: object): void {
    if (this.#failed) this.#log.info(line, 'access');
    else if (this.#stream.writableLength > MOST_WAITING) this.#dropped += 1;
    else this.#stream.write(`${JSON.stringify(line)}\n`);
  }

  close(): Promise<void> {
    if (this.#failed) return Promise.resolve();
    return new Promise((resolve) => this.#stream.end(() => resolve()));
  }
}

/** Where lines go. */
export interface AccessLog {
  readonly write: (event: Events['close']) => void;
  readonly close: () => Promise<void>;
}

/** Opens it; without a file lines go to the gateway's log. */
export function openAccessLog({ file }: { readonly file?: string }, gateway: GatewayHandle): AccessLog {
  if (file === undefined) {
    const write = (event: Events['close']): void => gateway.log.info(accessLine(event), 'access');
    return { write, close: () => Promise.resolve() };
  }
  const lines = new LineFile(resolve(gateway.directory, file), gateway.log);
  return { write: (event) => lines.write(accessLine(event)), close: () => lines.close() };
}
