/** Prepared statements on the present server connection, under random names of the gateway; the least recently used is closed first. */
import { randomBytes } from 'node:crypto';
import { errorFields } from '../../wire/backend.ts';
import { Backend } from '../../wire/frames.ts';
import { encodeClose } from '../../wire/to-server.ts';
import { Op, ResponseAction } from '../request-queue.ts';
import type { RequestObserver } from '../request-queue.ts';
import type { OutstandingRequests } from '../outstanding-requests.ts';
import { PendingChanges, isAlone } from './client-statements.ts';
import type { Change } from './client-statements.ts';
import type { ServerLink, ServerSource } from '../server-link.ts';

/** Most statements on one server connection. */
const MOST_PREPARED = 200;
/** The key of the name under which a Parse is tried whose statement is not needed. */
const TRIAL = 'trial';

/** A statement that is about to be prepared: its name, the bytes to send first, and its observer of its request. */
export interface Addition {
  readonly serverName: string;
  readonly before: Buffer;
  readonly observer: Change;
}

/** SQLSTATEs after which a statement must be prepared anew: it is gone (26000), or its result changed (0A000). */
const OUTDATED = new Set(['26000', '0A000']);

/** A use of a statement, which may show that the server cannot use it any more. */
class Use implements RequestObserver {
  readonly #onServer: ServerStatements;
  readonly #key: string;

  constructor(onServer: ServerStatements, key: string) {
    this.#onServer = onServer;
    this.#key = key;
  }

  answered(type: number, _bytes: number, body: Buffer | undefined): void {
    if (type !== Backend.errorResponse || !body) return;
    if (OUTDATED.has(errorFields(body).code)) this.#onServer.forget(this.#key);
  }
}

/** A name of the gateway. Random: a client that could guess it could prepare another statement under it by SQL. */
export const newName = (): string => `postern_${randomBytes(12).toString('hex')}`;

/** One per session; the names on a connection are stored with the connection. */
export class ServerStatements {
  readonly #link: Pick<ServerLink, 'server'>;
  readonly #outstanding: OutstandingRequests;
  readonly #known: ServerSource['known'];
  /** Keys of statements whose ParseComplete is outstanding: they may yet fail. */
  readonly pending: PendingChanges;
  #mayFail = false;

  /** `known` gets the keys of statements that were prepared without an error. */
  constructor(
    link: Pick<ServerLink, 'server'>,
    outstanding: OutstandingRequests,
    known: ServerSource['known'],
  ) {
    this.#link = link;
    this.#outstanding = outstanding;
    this.#known = known;
    this.pending = new PendingChanges(outstanding);
  }

  /** An unfinished statement may drop every prepared statement. */
  get mayFail(): boolean {
    if (this.#mayFail && this.#outstanding.answered) this.#mayFail = false;
    return this.#mayFail;
  }
  set mayFail(value: boolean) {
    this.#mayFail = value;
  }

  /** The name under which the statement is prepared, or will be once the server has read the messages in front. */
  find(key: string): string | undefined {
    const { prepared } = this;
    const serverName = prepared.get(key);
    // The order of use matters only where there are many.
    if (serverName === undefined || prepared.size < MOST_PREPARED / 2) return serverName;
    prepared.delete(key);
    prepared.set(key, serverName);
    return serverName;
  }

  /** Makes a name for a statement that is not on the connection; the caller prepares it. */
  add(key: string): Addition {
    const { prepared } = this;
    const before = this.#room(prepared);
    const serverName = newName();
    prepared.set(key, serverName);
    const closed = (): void => {
      if (!isAlone(key)) this.#known.add(key);
    };
    const dropped = (): void => {
      if (prepared.get(key) === serverName) prepared.delete(key);
    };
    return { serverName, before, observer: this.pending.add(key, closed, dropped) };
  }

  /** A name for a trial. `before` closes the last trial, so that the name is free. */
  trial(): { readonly serverName: string; readonly before: Buffer } {
    const before = this.prepared.has(TRIAL) ? undefined : this.#room(this.prepared);
    const serverName = this.find(TRIAL) ?? newName();
    this.prepared.set(TRIAL, serverName);
    this.#outstanding.sent(Op.close, ResponseAction.skip);
    const close = encodeClose('S', serverName);
    return { serverName, before: before ? Buffer.concat([before, close]) : close };
  }

  /** The observer of its request of a message that uses the statement. */
  use(key: string): RequestObserver {
    return new Use(this, key);
  }

  /** The statement cannot be used any more; should the server still have it, its name is closed when it is the oldest. */
  forget(key: string): void {
    const { prepared } = this;
    const serverName = prepared.get(key);
    if (serverName === undefined) return;
    prepared.delete(key);
    prepared.set(serverName, serverName);
  }

  /** The server has dropped all of them. */
  clear(): void {
    this.prepared.clear();
  }

  /** Names on the connection by the key of their statement, the least recently used first. */
  get prepared(): Map<string, string> {
    return this.#link.server?.prepared ?? new Map<string, string>();
  }

  #room(prepared: Map<string, string>): Buffer {
    const [oldest] = prepared;
    if (!oldest || prepared.size < MOST_PREPARED) return Buffer.alloc(0);
    const [key, serverName] = oldest;
    prepared.delete(key);
    // If the server skips the Close, the name still exists.
    const dropped = (): void => void (prepared.has(serverName) || prepared.set(serverName, serverName));
    this.#outstanding.sent(Op.close, ResponseAction.skip, { dropped });
    return encodeClose('S', serverName);
  }
}
