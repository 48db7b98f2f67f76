/** Prepared statements on the present server connection, under random names of the gateway; the least recently used is closed first. */
import { randomBytes } from 'node:crypto';
import { errorFields } from '../../wire/backend.ts';
import { Backend } from '../../wire/frames.ts';
import { encodeClose } from '../../wire/to-server.ts';
import { Op, ResponseAction } from '../requests/request-queue.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import type { OutstandingRequests } from '../requests/outstanding-requests.ts';
import { PendingChanges } from './client-statements.ts';
import type { Change } from './client-statements.ts';
import type { OnServer } from '../../upstream/connection.ts';
import type { ServerLink } from '../server-link.ts';
import type { KnownStatements } from './known-statements.ts';

/** Most statements on one server connection. */
const MOST_PREPARED = 200;
/** The key of the name under which a Parse is tried whose statement is not needed. */
const TRIAL = 'trial';

/** A statement that is about to be prepared: its name, the bytes to send first, and the observer of its Parse. */
export interface Addition {
  readonly serverName: string;
  /** When its Parse is sent. */
  readonly at: number;
  readonly before: Buffer;
  readonly observer: Change;
}

/** Names on a connection that stand for no statement that is used, by the map of its statements. */
const unused = new WeakMap<Map<string, OnServer>, string[]>();

/** SQLSTATEs after which a statement must be prepared anew: it is gone (26000), or its result changed (0A000). */
const OUTDATED = new Set(['26000', '0A000']);

/** A use of a statement, which may show that the server cannot use it any more. */
class Use implements RequestObserver {
  readonly #onServer: ServerStatements;
  readonly #serverName: string;
  readonly #parsed: string;

  constructor(onServer: ServerStatements, serverName: string, parsed: string) {
    this.#onServer = onServer;
    this.#serverName = serverName;
    this.#parsed = parsed;
  }

  answered(type: number, _bytes: number, body: Buffer | undefined): void {
    if (type !== Backend.errorResponse || !body) return;
    if (OUTDATED.has(errorFields(body).code)) this.#onServer.outdated(this.#serverName, this.#parsed);
  }
}

/** A name of the gateway. Random: a client that could guess it could prepare another statement under it by SQL. */
export const newName = (): string => `postern_${randomBytes(12).toString('hex')}`;

/** One per session; the names on a connection are stored with the connection. */
export class ServerStatements {
  readonly #link: Pick<ServerLink, 'server'>;
  readonly #outstanding: OutstandingRequests;
  readonly #known: KnownStatements;
  /** Keys of statements whose ParseComplete is outstanding: they may yet fail. */
  readonly pending: PendingChanges;
  #mayFail = false;

  constructor(link: Pick<ServerLink, 'server'>, outstanding: OutstandingRequests, known: KnownStatements) {
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

  /** The name under which the statement has been prepared since that time, or will be once the server has read the messages in front. */
  find(key: string, since = 0): string | undefined {
    const { prepared } = this;
    const found = prepared.get(key);
    if (found === undefined || found.at < since) return undefined;
    // The order of use matters only where there are many.
    if (prepared.size < MOST_PREPARED / 2) return found.name;
    prepared.delete(key);
    prepared.set(key, found);
    return found.name;
  }

  /** Makes a name for a statement that is not on the connection, or for too long; the caller prepares it. */
  add(key: string): Addition {
    this.forget(key);
    const { prepared } = this;
    const before = this.#room(prepared);
    const [serverName, at] = [newName(), this.#known.now()];
    prepared.set(key, { name: serverName, at });
    const dropped = (): void => {
      if (prepared.get(key)?.name === serverName) prepared.delete(key);
    };
    return { serverName, at, before, observer: this.pending.add(key, () => {}, dropped) };
  }

  /** The server has described the statement with `key`: it serves all whose key is `to`. */
  rename(key: string, to: string): void {
    const { prepared } = this;
    const found = prepared.get(key);
    if (found === undefined || key === to) return;
    prepared.delete(key);
    this.forget(to);
    prepared.set(to, found);
  }

  /** A name for a trial. `before` closes the last trial, so that the name is free. */
  trial(): { readonly serverName: string; readonly before: Buffer } {
    const before = this.prepared.has(TRIAL) ? undefined : this.#room(this.prepared);
    const serverName = this.find(TRIAL) ?? newName();
    this.prepared.set(TRIAL, { name: serverName, at: 0 });
    this.#outstanding.sent(Op.close, ResponseAction.skip);
    const close = encodeClose('S', serverName);
    return { serverName, before: before ? Buffer.concat([before, close]) : close };
  }

  /** The observer of its request of a message that uses the statement with that name, whose Parse has the key `parsed`. */
  use(serverName: string, parsed: string): RequestObserver {
    return new Use(this, serverName, parsed);
  }

  /** The server has refused a use: the statement is lost, or its objects have changed. */
  outdated(serverName: string, parsed: string): void {
    this.#known.delete(parsed);
    for (const [key, { name }] of this.prepared) if (name === serverName) return this.forget(key);
  }

  /** The statement is not used any more; should the server still have it, its name is closed in front of the next one. */
  forget(key: string): void {
    const { prepared } = this;
    const found = prepared.get(key);
    if (found === undefined) return;
    prepared.delete(key);
    this.#keepUnused(prepared, found.name);
  }

  /** The server has dropped all of them. */
  clear(): void {
    this.prepared.clear();
  }

  /** Names on the connection by the key of their statement, the least recently used first. */
  get prepared(): Map<string, OnServer> {
    return this.#link.server?.prepared ?? new Map<string, OnServer>();
  }

  #keepUnused(prepared: Map<string, OnServer>, name: string): void {
    prepared.set(name, { name, at: 0 });
    const names = unused.get(prepared) ?? [];
    names.push(name);
    unused.set(prepared, names);
  }

  /** Closes of names that are not used, and of the oldest where there are too many. */
  #room(prepared: Map<string, OnServer>): Buffer {
    const names = unused.get(prepared)?.splice(0) ?? [];
    const [oldest] = prepared.keys();
    if (oldest !== undefined && prepared.size >= MOST_PREPARED && names.length === 0) names.push(oldest);
    return Buffer.concat(names.map((key) => this.#close(prepared, key)));
  }

  #close(prepared: Map<string, OnServer>, key: string): Buffer {
    const name = prepared.get(key)?.name;
    if (name === undefined) return Buffer.alloc(0);
    prepared.delete(key);
    // If the server skips the Close, the name still exists.
    const dropped = (): void => this.#keepUnused(prepared, name);
    this.#outstanding.sent(Op.close, ResponseAction.skip, { dropped });
    return encodeClose('S', name);
  }
}
