/** Clients that speak raw messages: straight to PostgreSQL, or through a relay, over the same interface. */
import { once } from 'node:events';
import net from 'node:net';
import { parseDatabase, parseRole } from '../../core/contract/names.ts';
import { GatewayError } from '../../core/contract/errors.ts';
import type { Channel } from '../../core/net/channel.ts';
import { listenShared } from '../../core/net/shared-read.ts';
import { Relay } from '../../core/relay/relay.ts';
import type { RelayOptions } from '../../core/relay/relay-options.ts';
import type { ServerConnection } from '../../core/upstream/connection.ts';
import { open } from '../../core/upstream/open.ts';
import type { Postgres } from './postgres.ts';

/** One message of the server. */
export interface Message {
  readonly type: string;
  readonly body: Buffer;
}

/** A connection past its login that sends raw bytes and keeps what comes back as messages. */
export interface RawClient {
  readonly pid: number;
  readonly messages: readonly Message[];
  readonly closed: boolean;
  readonly bytes: number;
  send(...messages: readonly Buffer[]): void;
  close(): void;
}

/** Splits a byte stream into messages, keeping the rest. */
export class Messages {
  readonly list: Message[] = [];
  bytes = 0;
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): void {
    this.bytes += chunk.length;
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : Buffer.from(chunk);
    while (data.length >= 5 && data.length > data.readUInt32BE(1)) {
      const end = 1 + data.readUInt32BE(1);
      this.list.push({ type: String.fromCharCode(data[0] ?? 0), body: Buffer.from(data.subarray(5, end)) });
      data = data.subarray(end);
    }
    this.#rest = data;
  }
}

/** A message with a type letter and a body. */
export function frame(type: string, ...parts: readonly (Buffer | string | number)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'string') return Buffer.from(`${part}\0`);
      if (typeof part !== 'number') return part;
      const word = Buffer.alloc(2);
      word.writeInt16BE(part);
      return word;
    }),
  );
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** Logs in as a role of the shared server. */
export function openAs(
  postgres: Postgres,
  database: string,
  role: 'reader' | 'writer',
): Promise<ServerConnection> {
  return open({
    entry: 'test',
    database: {
      host: postgres.socketDir,
      port: postgres.port,
      tls: { mode: 'disable' },
      login: { kind: 'password', passwords: postgres.passwords },
    },
    upstream: {
      entry: 'test',
      database: parseDatabase(database),
      role: parseRole(role),
      settings: {},
      schemas: [],
      onCheckout: [],
    },
    startup: { user: role, database, parameters: {} },
    signal: new AbortController().signal,
  });
}

/** Straight to PostgreSQL. */
export function direct(server: ServerConnection): RawClient {
  const messages = new Messages();
  let closed = false;
  server.channel.listen({
    bytes: (chunk) => messages.push(chunk),
    drained() {},
    closed: () => (closed = true),
  });
  server.channel.resume();
  return {
    pid: server.pid,
    messages: messages.list,
    get closed() {
      return closed;
    },
    get bytes() {
      return messages.bytes;
    },
    send: (...list) => void server.channel.write(Buffer.concat(list)),
    close: () => server.close(),
  };
}

/** A client, a relay, and the server connection behind it. */
export interface Relayed extends RawClient {
  readonly relay: Relay;
  readonly server: ServerConnection;
  readonly socket: net.Socket;
  /** The relay's end of it. */
  readonly channel: Channel;
}

/** Through a relay, over a real socket. `options` adds hooks. */
export async function relayed(
  server: ServerConnection,
  options: Partial<RelayOptions> = {},
): Promise<Relayed> {
  let accepted: (channel: Channel) => void = () => {};
  const arrival = new Promise<Channel>((resolve) => (accepted = resolve));
  const listener = listenShared({ port: 0, host: '127.0.0.1' }, (channel) => accepted(channel));
  await once(listener, 'listening');
  const socket = net.connect((listener.address() as net.AddressInfo).port, '127.0.0.1');
  socket.setNoDelay(true);
  const messages = new Messages();
  let closed = false;
  socket.on('data', (chunk: Buffer) => messages.push(chunk));
  socket.on('error', () => {});
  socket.on('close', () => (closed = true));
  const channel = await arrival;
  const relay = new Relay({
    client: channel,
    server,
    log: { info() {}, warn() {}, error() {} },
    reads: options.query ? 'sql' : 'none',
    inBand: () => Promise.reject(new GatewayError('invalid_parameter_value', 'no such setting')),
    maxStatementBytes: 1_048_576,
    fault: (thrown) =>
      thrown instanceof GatewayError ? thrown : new GatewayError('internal_error', String(thrown)),
    stateChanged() {},
    ...options,
  });
  relay.start();
  listener.close();
  void relay.done.then((end) => {
    // A source has it back, and perhaps somebody else by now.
    if (!options.source && !server.channel.closed) server.close();
    return end;
  });
  return {
    relay,
    server,
    socket,
    channel,
    pid: server.pid,
    messages: messages.list,
    get closed() {
      return closed;
    },
    get bytes() {
      return messages.bytes;
    },
    send: (...list) => void socket.write(Buffer.concat(list)),
    close: () => socket.destroy(),
  };
}
