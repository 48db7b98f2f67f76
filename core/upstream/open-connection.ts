/** An open server connection: the facts of its login, and how to cancel and to close it. */
import type { RoleName } from '../contract/names.ts';
import type { Channel } from '../net/channel.ts';
import type { Backend } from '../contract/session.ts';
import { TERMINATE } from '../wire/to-server.ts';
import { cancel } from './cancel.ts';
import type { CancelRequest } from './cancel.ts';
import type { OnServer, ServerConnection } from './connection.ts';
import type { ServerStatus } from './hosts/server-probe.ts';
import type { ServerProcess } from './pool/connection-slots.ts';
import type { Parameters } from './parameter-map.ts';

/** The facts of its login. */
export interface ConnectionParts {
  readonly backend: Backend;
  readonly port: number | undefined;
  readonly channel: Channel;
  readonly parameters: Parameters;
  /** Undefined: the server sent no key. */
  readonly canceling: CancelRequest | undefined;
  readonly unresettable: boolean;
  readonly serverStatus: ServerStatus | undefined;
}

/** Made when a connection is idle, logged in and verified. */
export class OpenConnection implements ServerConnection {
  readonly pid: number;
  readonly host: string;
  readonly port: number | undefined;
  readonly role: RoleName;
  readonly channel: Channel;
  readonly prepared = new Map<string, OnServer>();
  readonly parameters: Parameters;
  readonly unresettable: boolean;
  readonly serverStatus: ServerStatus | undefined;
  readonly #canceling: CancelRequest | undefined;

  constructor({
    backend,
    port,
    channel,
    parameters,
    canceling,
    unresettable,
    serverStatus,
  }: ConnectionParts) {
    this.pid = backend.pid;
    this.host = backend.host;
    this.port = port;
    this.role = backend.role;
    this.channel = channel;
    this.parameters = parameters;
    this.unresettable = unresettable;
    this.serverStatus = serverStatus;
    this.#canceling = canceling;
  }

  get cancelable(): boolean {
    return this.#canceling !== undefined;
  }

  get process(): ServerProcess | undefined {
    if (!this.#canceling) return undefined;
    const { address, key } = this.#canceling;
    const { host, port } = this;
    const secret = key.secret.toString('hex');
    return { host, ...(port !== undefined && { port }), address, pid: key.pid, secret };
  }

  async cancel(): Promise<boolean> {
    // The process id may belong to another backend by now.
    return this.channel.closed || !this.#canceling || cancel(this.#canceling);
  }

  close(): void {
    this.channel.finish(TERMINATE);
  }
}
