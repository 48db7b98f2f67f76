/** A single host with target `any`: it is not checked, but a demoted server behind a proxy is noticed by its refused writes. */
import type { HostAddress } from '../../contract/database.ts';
import type { ServerConnection } from '../connection.ts';
import type { Clock } from '../clock.ts';
import type { Endpoint } from './endpoint.ts';

type Said = Pick<ServerConnection, 'parameters'>;

/** The shortest time between two replacements of all connections, in milliseconds. */
const TRIED_MS = 1_000;

/** One per pool that has a single host. */
export class SingleHost {
  readonly #clock: Pick<Clock, 'now'>;
  #endpoint: Endpoint;
  #since = -Infinity;
  #readOnly = false;
  /** Connections whose server was a primary at first: a pooler in between may have replaced it. */
  readonly #primaries = new WeakSet<Said>();

  constructor(host: Required<HostAddress>, clock: Pick<Clock, 'now'>) {
    this.#endpoint = { ...host };
    this.#clock = clock;
  }

  /** The address to connect to. A new object means that the server may be another one. */
  get endpoint(): Endpoint {
    return this.#endpoint;
  }

  /** The server has refused writes, and no primary has answered since. */
  get readOnly(): boolean {
    return this.#readOnly;
  }

  /** A connection was opened. */
  opened(connection: Said): void {
    if (connection.parameters.get('in_hot_standby') !== 'off') return;
    this.#primaries.add(connection);
    this.#readOnly = false;
  }

  /** Whether a connection may still be used; one that is being opened may. */
  fits(endpoint: Endpoint | undefined, connection: Said | undefined): boolean {
    if (!connection) return true;
    // Version 14 and newer report it with the answer to a statement.
    const recovering = connection.parameters.get('in_hot_standby');
    if (recovering === 'off') return true;
    return endpoint === this.#endpoint && !(recovering === 'on' && this.#primaries.has(connection));
  }

  /**
   * A server refused a write of a connection (25006). True: it may be a replica, and there may be another server behind the
   * address, so that earlier connections do not fit any more. From version 14 on a primary tells that it is one: then
   * it was the client's own choice.
   */
  refusedWrite(endpoint: Endpoint | undefined, { parameters }: Said): boolean {
    const now = this.#clock.now();
    if (
      endpoint !== this.#endpoint ||
      parameters.get('in_hot_standby') === 'off' ||
      now - this.#since < TRIED_MS
    )
      return false;
    this.#endpoint = { ...this.#endpoint };
    this.#since = now;
    this.#readOnly = true;
    return true;
  }
}
