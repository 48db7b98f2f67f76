/** A client that says exactly what a test wants, byte by byte, and reads what comes back. */
import { once } from 'node:events';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { ConnectionOptions } from 'node:tls';

/** SSLRequest (manual, 55.7). */
export const SSL_REQUEST = Buffer.from('0000000804d2162f', 'hex');
/** GSSENCRequest (manual, 55.7). */
export const GSSENC_REQUEST = Buffer.from('0000000804d21630', 'hex');

/** A StartupMessage of any version with any parameters. */
export function startup(parameters: Record<string, string>, minor = 0, major = 3): Buffer {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [`${name}\0`, `${value}\0`]);
  const body = Buffer.from(`${pairs.join('')}\0`);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(body.length + 8, 0);
  head.writeUInt16BE(major, 4);
  head.writeUInt16BE(minor, 6);
  return Buffer.concat([head, body]);
}

/** A message with its type byte and length. */
export function message(type: string, body: Buffer | string = ''): Buffer {
  const bytes = Buffer.from(body);
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeUInt32BE(bytes.length + 4, 1);
  return Buffer.concat([head, bytes]);
}

/** CancelRequest (manual, 55.7). */
export function cancelRequest(processId: number, secret: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32BE(12 + secret.length, 0);
  head.writeUInt32BE(80_877_102, 4);
  head.writeUInt32BE(processId, 8);
  return Buffer.concat([head, secret]);
}

/** A message of the server. */
export interface Received {
  readonly type: string;
  readonly body: Buffer;
}

/** The fields of an ErrorResponse or NoticeResponse, by their type (manual, 55.8). */
export function fieldsOf(body: Buffer): Record<string, string> {
  const fields = body
    .toString()
    .split('\0')
    .filter((field) => field !== '');
  return Object.fromEntries(fields.map((field) => [field.charAt(0), field.slice(1)]));
}

/** One connection of a test. Everything rejects when the server closes it first. */
export class RawClient {
  #socket: net.Socket;
  #bytes = Buffer.alloc(0);
  #wake: () => void = () => {};
  #closed = false;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#attach(socket);
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = net.connect({ port, host, noDelay: true });
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Direct TLS: the first bytes are a ClientHello. */
  static async connectTls(port: number, options: ConnectionOptions): Promise<RawClient> {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    await once(socket, 'secureConnect');
    return new RawClient(socket);
  }

  /** Over the other end of a stream that the server has. */
  static over(stream: Duplex): RawClient {
    return new RawClient(stream as net.Socket);
  }

  get socket(): net.Socket {
    return this.#socket;
  }

  send(...parts: Buffer[]): this {
    this.#socket.write(Buffer.concat(parts));
    return this;
  }

  /** Sends SSLRequest, expects `S`, and goes on in TLS. */
  async startTls(options: ConnectionOptions = {}): Promise<this> {
    this.send(SSL_REQUEST);
    const answer = (await this.read(1)).toString();
    if (answer !== 'S') throw new Error(`the answer to SSLRequest is ${answer}`);
    const plain = this.#socket;
    plain.removeAllListeners('data');
    const socket = tls.connect({ socket: plain, rejectUnauthorized: false, ...options });
    await once(socket, 'secureConnect');
    this.#socket = socket;
    this.#attach(socket);
    return this;
  }

  async read(length: number): Promise<Buffer> {
    while (this.#bytes.length < length) await this.#more();
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }

  /** The next message. */
  async message(): Promise<Received> {
    const head = await this.read(5);
    return { type: head.toString('latin1', 0, 1), body: await this.read(head.readUInt32BE(1) - 4) };
  }

  /** Messages up to and including the first of this type. */
  async until(type: string): Promise<Received[]> {
    const all: Received[] = [];
    for (;;) {
      const next = await this.message();
      all.push(next);
      if (next.type === type) return all;
      if (next.type === 'E' && type !== 'E') throw new Error(JSON.stringify(fieldsOf(next.body)));
    }
  }

  /** The fields of the next message, which has to be an ErrorResponse. */
  async error(): Promise<Record<string, string>> {
    const { type, body } = await this.message();
    if (type !== 'E') throw new Error(`message ${type} instead of an error`);
    return fieldsOf(body);
  }

  /** Everything that still comes until the server closes. */
  async rest(): Promise<Buffer> {
    while (!this.#closed) await this.#more().catch(() => {});
    return this.#bytes;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #attach(socket: net.Socket): void {
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  #more(): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('the server closed the connection'));
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
