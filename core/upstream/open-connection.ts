/** An open server connection: the facts of its login, and how to cancel and to close it. */
import type { RoleName } from '../names.ts';
import type { Channel } from '../net/channel.ts';
import type { Backend } from '../session.ts';
import { TERMINATE } from '../wire/to-server.ts';
import { cancel } from './cancel.ts';
import type { CancelRequest } from './cancel.ts';
import type { ServerConnection } from './connection.ts';
import type { Standing } from './hosts/look.ts';
import type { Parameters } from './parameter-map.ts';

/** The facts of its login. */
export interface ConnectionParts {
  readonly backend: Backend;
  readonly port: number | undefined;
  readonly channel: Channel;
  readonly parameters: Parameters;
  readonly canceling: CancelRequest;
  readonly lasting: boolean;
  readonly standing: Standing | undefined;
}

/** Made when a connection is idle, logged in and verified. */
export class OpenConnection implements ServerConnection {
  readonly pid: number;
  readonly host: string;
  readonly port: number | undefined;
  readonly role: RoleName;
  readonly channel: Channel;
  readonly prepared = new Map<string, string>();
  readonly parameters: Parameters;
  readonly lasting: boolean;
  readonly standing: Standing | undefined;
  readonly #canceling: CancelRequest;

  constructor({ backend, port, channel, parameters, canceling, lasting, standing }: ConnectionParts) {
    this.pid = backend.pid;
    this.host = backend.host;
    this.port = port;
    this.role = backend.role;
    this.channel = channel;
    this.parameters = parameters;
    this.lasting = lasting;
    this.standing = standing;
    this.#canceling = canceling;
  }

  async cancel(): Promise<boolean> {
    // The process id may belong to another backend by now.
    return this.channel.closed || cancel(this.#canceling);
  }

  close(): void {
    this.channel.finish(TERMINATE);
  }
}
