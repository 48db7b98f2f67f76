/** A small, fast client: whole answers as data, any bytes as a request, and every way to leave. */
import { once } from 'node:events';
import net from 'node:net';
import { cancelRequest, fieldsOf, message, startup } from '../support/raw-client.ts';

/** What came back for one request. */
export interface Answer {
  readonly rows: (readonly (string | null)[])[];
  /** Fields by their letters (manual, 55.8). */
  readonly errors: Readonly<Record<string, string>>[];
  /** Command tags. */
  readonly tags: string[];
  /** The status of each ReadyForQuery: `I`, `T` or `E`. */
  ready: string;
  /** Types of messages in their order, without notices, notifications and parameters. */
  trail: string;
  /** The connection ended before the answer did. */
  ended: boolean;
  /** Nothing came for a minute. */
  lost: boolean;
}

interface Question {
  readonly answer: Answer;
  /** What ends it, so many times. */
  readonly type: string;
  times: number;
  readonly since: number;
  readonly done: (answer: Answer) => void;
}

const PATIENCE_MS = 90_000;
const fresh = (): Answer => ({
  rows: [],
  errors: [],
  tags: [],
  ready: '',
  trail: '',
  ended: false,
  lost: false,
});

/** Clients that wait for an answer. */
const waiting = new Set<WireClient>();
setInterval(() => {
  for (const client of waiting) client.giveUpIfLate();
}, 1_000).unref();

/** One connection. */
export class WireClient {
  readonly socket: net.Socket;
  /** Channels of which notifications came. */
  readonly notified: string[] = [];
  /** Messages that answer nothing. */
  readonly unasked: string[] = [];
  processId = 0;
  secret: Buffer = Buffer.alloc(0);
  #bytes: Buffer = Buffer.alloc(0);
  #question: Question | undefined;
  #closed = false;
  #cutAfter = Infinity;
  #received = 0;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      this.#finish({ ended: true });
    });
  }

  /** Logs in with a token; the answer says whether that went well. */
  static async login(
    port: number,
    { database, token }: { readonly database: string; readonly token: string },
  ): Promise<{ readonly client: WireClient; readonly answer: Answer }> {
    const socket = net.connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    const client = new WireClient(socket);
    const asked = await client.ask(startup({ user: '_', database }), 'R');
    if (asked.ended || asked.errors.length > 0) return { client, answer: asked };
    return { client, answer: await client.ask(message('p', `${token}\0`)) };
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends, and resolves when a message of this type has come so many times, or the connection has ended. */
  ask(bytes: Buffer, type = 'Z', times = 1): Promise<Answer> {
    return new Promise((done) => {
      const question = { answer: fresh(), type, times, since: Date.now(), done };
      this.#question = question;
      waiting.add(this);
      if (this.#closed) this.#finish({ ended: true });
      else this.socket.write(bytes);
    });
  }

  /** Sends, and cuts the connection when so many bytes of the answer have come. */
  async askAndCut(bytes: Buffer, after: number): Promise<void> {
    this.#cutAfter = this.#received + after;
    await this.ask(bytes);
  }

  /** Ends the connection without a word; with a reset instead of an orderly end if `hard`. */
  cut(hard: boolean): void {
    if (hard) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  /** Resolves when the connection has ended; with false if it does not. */
  async gone(): Promise<boolean> {
    if (this.#closed) return true;
    const late = AbortSignal.timeout(PATIENCE_MS);
    // A reset is an error first, and the end right after it.
    while (!this.#closed && !late.aborted) await once(this.socket, 'close', { signal: late }).catch(() => {});
    return this.#closed;
  }

  giveUpIfLate(): void {
    if (this.#question && Date.now() - this.#question.since > PATIENCE_MS) this.#finish({ lost: true });
  }

  #receive(chunk: Buffer): void {
    this.#received += chunk.length;
    if (this.#received >= this.#cutAfter) return this.cut(this.#received % 2 === 0);
    let data = this.#bytes.length > 0 ? Buffer.concat([this.#bytes, chunk]) : chunk;
    while (data.length >= 5) {
      const end = 1 + data.readUInt32BE(1);
      if (data.length < end) break;
      this.#message(String.fromCharCode(data[0] ?? 0), data.subarray(5, end));
      data = data.subarray(end);
    }
    this.#bytes = data;
  }

  #message(type: string, body: Buffer): void {
    if (type === 'N' || type === 'S') return;
    if (type === 'A') return void this.notified.push(body.toString('latin1', 4).split('\0')[0] ?? '');
    const question = this.#question;
    if (!question) return void this.unasked.push(type === 'E' ? JSON.stringify(fieldsOf(body)) : type);
    const { answer } = question;
    answer.trail += type;
    this.#read(type, body, answer);
    if (type !== question.type) return;
    question.times -= 1;
    if (question.times === 0) this.#finish({});
  }

  #read(type: string, body: Buffer, answer: Answer): void {
    if (type === 'D') answer.rows.push(columns(body));
    else if (type === 'C') answer.tags.push(body.toString('latin1', 0, body.length - 1));
    else if (type === 'Z') answer.ready += body.toString('latin1');
    else if (type === 'E') answer.errors.push(fieldsOf(body));
    else if (type === 'K') {
      this.processId = body.readUInt32BE(0);
      this.secret = Buffer.from(body.subarray(4));
    }
  }

  #finish(how: { readonly ended?: boolean; readonly lost?: boolean }): void {
    const question = this.#question;
    if (!question) return;
    this.#question = undefined;
    waiting.delete(this);
    question.done(Object.assign(question.answer, how));
  }
}

function columns(body: Buffer): (string | null)[] {
  const values: (string | null)[] = [];
  let at = 2;
  for (let i = body.readInt16BE(0); i > 0; i -= 1) {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) values.push(null);
    else {
      values.push(body.toString('utf8', at, at + length));
      at += length;
    }
  }
  return values;
}

/** A CancelRequest on a connection that is there already, so that it arrives when it is wanted. */
export class Canceller {
  readonly #socket: net.Socket;
  readonly #closed: Promise<unknown>;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#closed = new Promise((done) => void socket.once('close', done));
    socket.on('error', () => {});
    socket.resume();
  }

  static async connect(port: number): Promise<Canceller> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new Canceller(socket);
  }

  /** Goes without a word. */
  leave(): void {
    this.#socket.destroy();
  }

  /** Resolves when the gateway has closed the connection. */
  async cancel({
    processId,
    secret,
  }: {
    readonly processId: number;
    readonly secret: Buffer;
  }): Promise<void> {
    this.#socket.write(cancelRequest(processId, secret));
    await this.#closed;
  }
}
