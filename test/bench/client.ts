/** A client that costs little itself: logs in, asks, and throws away what comes. */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { fieldsOf, message, SSL_REQUEST, startup } from '../support/raw-client.ts';
import type { Peer } from './peer.ts';
import { Scram } from './scram.ts';

interface Arrived {
  readonly type: string;
  readonly body: Buffer;
}

const EMPTY = Buffer.alloc(0);
/** Authentication…, ReadyForQuery, DataRow and CopyInResponse: what somebody waits for (manual, 55.7). */
const AWAITED = new Set(['R', 'Z', 'D', 'G']);
/** ReadyForQuery, idle. */
const READY = Buffer.from('5a0000000549', 'hex');

/** `select 1` by the simple protocol. */
export const SELECT_1 = message('Q', 'select 1\0');

/** One connection. Everything rejects when the server refuses or closes it. */
export class BenchClient {
  readonly #socket: net.Socket;
  #rest: Buffer = EMPTY;
  readonly #arrived: (Arrived | Error)[] = [];
  #key: Buffer = EMPTY;
  #waiting: { resolve(arrived: Arrived): void; reject(error: Error): void } | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', this.#feed);
    socket.on('error', (error) => this.#settle(error));
    socket.on('close', () => this.#settle(new Error('the server closed the connection')));
  }

  /** Connects and logs in; `password` instead of the peer's. */
  static async login(peer: Peer, password = peer.password): Promise<BenchClient> {
    const plain = net.connect({ host: peer.host, port: peer.port, noDelay: true });
    await once(plain, 'connect');
    const client = new BenchClient(peer.tls ? await secured(plain) : plain);
    client.#socket.write(startup({ user: peer.user, database: peer.database }));
    await client.#authenticate(password);
    await client.#until('Z');
    return client;
  }

  /** Of its BackendKeyData. */
  get key(): { readonly processId: number; readonly secret: Buffer } {
    return { processId: this.#key.readUInt32BE(0), secret: this.#key.subarray(4) };
  }

  /** Sends messages and waits until the server is ready for the next. */
  async ask(messages: Buffer): Promise<void> {
    this.#socket.write(messages);
    await this.#until('Z');
  }

  /** The one value that a statement returns. */
  async value(sql: string): Promise<string> {
    this.#socket.write(message('Q', `${sql}\0`));
    const row = await this.#until('D');
    await this.#until('Z');
    return row.toString('utf8', 6);
  }

  /** Says goodbye and closes. */
  close(): void {
    this.#socket.end(message('X'));
  }

  /** Reads a COPY … TO STDOUT, and throws it away. @returns its bytes; no other answer can be read after it */
  async copyOut(sql: string): Promise<number> {
    let [bytes, tail] = [0, EMPTY as Buffer];
    this.#socket.off('data', this.#feed);
    const done = new Promise<void>((resolve) => {
      this.#socket.on('data', (chunk: Buffer) => {
        if (bytes === 0 && chunk[0] === 0x45) this.#feed(chunk);
        bytes += chunk.length;
        tail = chunk.length < READY.length ? Buffer.concat([tail, chunk]) : chunk;
        tail = tail.subarray(-READY.length);
        if (tail.equals(READY)) resolve();
      });
    });
    this.#socket.write(message('Q', `${sql}\0`));
    await Promise.race([done, this.#until('Z')]);
    return bytes;
  }

  /** Writes a COPY … FROM STDIN: the same CopyData messages, a number of times, as fast as they are taken. */
  async copyIn(sql: string, block: Buffer, times: number): Promise<void> {
    this.#socket.write(message('Q', `${sql}\0`));
    await this.#until('G');
    for (let i = 0; i < times; i += 1) if (!this.#socket.write(block)) await once(this.#socket, 'drain');
    await this.ask(message('c'));
  }

  async #authenticate(password: string): Promise<void> {
    const scram = new Scram();
    for (;;) {
      const body = await this.#until('R');
      const [kind, data] = [body.readUInt32BE(0), body.subarray(4)];
      if (kind === 0) return;
      if (kind === 3) this.#socket.write(message('p', `${password}\0`));
      else if (kind === 10) this.#socket.write(message('p', scram.first()));
      else if (kind === 11) this.#socket.write(message('p', await scram.final(password, data.toString())));
      else if (kind !== 12) throw new Error(`authentication ${kind} is not known here`);
    }
  }

  async #until(type: string): Promise<Buffer> {
    for (;;) {
      const arrived = this.#arrived.shift() ?? (await this.#next());
      if (arrived instanceof Error) throw arrived;
      if (arrived.type === type) return arrived.body;
    }
  }

  #next(): Promise<Arrived> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  readonly #feed = (chunk: Buffer): void => {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (data.length >= 5 && data.length > data.readUInt32BE(1)) {
      const end = 1 + data.readUInt32BE(1);
      const type = String.fromCharCode(data[0] ?? 0);
      const body = data.subarray(5, end);
      if (type === 'E') this.#settle(new Error(Object.values(fieldsOf(body)).slice(1).join(' ')));
      else if (type === 'K') this.#key = Buffer.from(body);
      else if (AWAITED.has(type)) this.#settle({ type, body });
      data = data.subarray(end);
    }
    this.#rest = data;
  };

  #settle(arrived: Arrived | Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (!waiting) this.#arrived.push(arrived);
    else if (arrived instanceof Error) waiting.reject(arrived);
    else waiting.resolve(arrived);
  }
}

/** SSLRequest, and TLS behind it; whose certificate it is does not matter here. */
async function secured(plain: net.Socket): Promise<net.Socket> {
  plain.write(SSL_REQUEST);
  const [answer] = (await once(plain, 'data')) as [Buffer];
  if (answer.toString() !== 'S') throw new Error('the server does not talk TLS');
  const socket = tls.connect({ socket: plain, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  return socket;
}
