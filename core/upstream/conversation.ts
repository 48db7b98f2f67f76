/** Exchanges whole messages with a server while the gateway itself is its client, one at a time, within limits. */
import type { Channel } from '../net/channel.ts';
import { errorFields, readParameterStatus } from '../wire/backend.ts';
import type { ServerError } from '../wire/backend.ts';
import { Backend, HEADER_BYTES } from '../wire/frames.ts';
import { unreachable } from './refusals.ts';
import { ParameterMap } from './parameter-map.ts';
import type { Parameters } from './parameter-map.ts';

/** One message of a server. */
export interface ServerMessage {
  /** Its type byte. */
  readonly type: number;
  /** Without type byte and length. */
  readonly body: Buffer;
}

/** Longest length word accepted: an ErrorResponse at login is below 30 000 bytes for libpq, a key 260. */
const MESSAGE_LIMIT = 65_536;
/** Bytes a server may send during one conversation; PostgreSQL sends about 1 KiB at a login, and notices of triggers. */
const TOTAL_LIMIT = 1_048_576;

interface Waiter {
  resolve(message: ServerMessage): void;
  reject(error: unknown): void;
}

/** Reads a server's messages from a channel; {@link Conversation.end} prepares that for its next owner. */
export class Conversation {
  /** The newest ParameterStatus values by name. */
  readonly parameters: Parameters;
  readonly #channel: Channel;
  readonly #signal: AbortSignal;
  #chunks: Buffer[] = [];
  #held = 0;
  #total = 0;
  #broken: Error | undefined;
  #waiter: Waiter | undefined;
  #silenceTimer: NodeJS.Timeout | undefined;

  /** The signal ends every wait. `parameters` are the known ones, and are kept up to date. Default: none. */
  constructor(channel: Channel, signal: AbortSignal, parameters: Parameters = new ParameterMap()) {
    this.#channel = channel;
    this.#signal = signal;
    this.parameters = parameters;
    signal.addEventListener('abort', this.#abort);
    channel.listen({
      bytes: (chunk) => this.#receive(chunk),
      drained() {},
      closed: (error) => this.#break(unreachable(error ?? new Error('the server closed the connection'))),
    });
  }

  send(bytes: Buffer): void {
    this.#channel.write(bytes);
  }

  /** Ends every wait with the error of `late`, unless the server sends bytes within `ms` milliseconds. */
  hearWithin(ms: number, late: () => Error): void {
    this.#silenceTimer = setTimeout(() => this.#break(late()), ms);
  }

  /**
   * The next message of any type; ask for one at a time.
   * @throws GatewayError `sqlclient_unable_to_establish_sqlconnection` if the server is gone or sends nonsense, or the
   * signal's reason
   */
  async next(): Promise<ServerMessage> {
    this.#signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#advance();
    });
  }

  /** The next message that is an answer: notices are dropped, ParameterStatus is stored in `parameters`. */
  async reply(): Promise<ServerMessage> {
    for (;;) {
      const message = await this.next();
      if (message.type === Backend.parameterStatus) this.#keep(message.body);
      else if (message.type !== Backend.noticeResponse) return message;
    }
  }

  /** Gives the channel back, paused; bytes that were not consumed stay in it. */
  end(): void {
    clearTimeout(this.#silenceTimer);
    this.#signal.removeEventListener('abort', this.#abort);
    this.#channel.pause();
    this.#channel.unshift(Buffer.concat(this.#chunks));
    this.#chunks = [];
    this.#held = 0;
  }

  #abort = (): void => this.#break(this.#signal.reason as Error);

  #keep(body: Buffer): void {
    const { name, value } = readParameterStatus(body);
    this.parameters.set(name, value);
  }

  #receive(chunk: Buffer): void {
    clearTimeout(this.#silenceTimer);
    this.#chunks.push(Buffer.from(chunk));
    this.#held += chunk.length;
    this.#total += chunk.length;
    this.#advance();
  }

  #advance(): void {
    if (!this.#waiter) return this.#channel.pause();
    const message = this.#take();
    if (message) this.#settle((waiter) => waiter.resolve(message));
    else if (this.#broken) this.#break(this.#broken);
    else this.#channel.resume();
  }

  #take(): ServerMessage | undefined {
    if (this.#held < HEADER_BYTES) return undefined;
    const length = this.#joined(HEADER_BYTES).readUInt32BE(1);
    if (length < 4 || length > MESSAGE_LIMIT || this.#total > TOTAL_LIMIT) {
      this.#broken ??= outOfBounds(length, this.#total);
      return undefined;
    }
    if (this.#held < length + 1) return undefined;
    const whole = this.#joined(length + 1);
    this.#chunks = [whole.subarray(length + 1)];
    this.#held -= length + 1;
    return { type: whole.readUInt8(0), body: whole.subarray(HEADER_BYTES, length + 1) };
  }

  /** The held bytes as one buffer, joined only if the first chunk has fewer than `wanted`. */
  #joined(wanted: number): Buffer {
    const [first] = this.#chunks;
    if (first && first.length >= wanted) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }

  #break(error: Error): void {
    this.#broken ??= error;
    this.#settle((waiter) => waiter.reject(this.#broken));
  }

  #settle(how: (waiter: Waiter) => void): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    this.#channel.pause();
    if (waiter) how(waiter);
  }
}

function outOfBounds(length: number, total: number): Error {
  const what = total > TOTAL_LIMIT ? `${total} bytes before it was ready` : `a message with length ${length}`;
  return unreachable(new Error(`the server sent ${what}`));
}

/** A message the protocol does not allow here. */
export function unexpected(message: ServerMessage): Error {
  const type = message.type >= 0x20 && message.type < 0x7f ? String.fromCharCode(message.type) : message.type;
  return unreachable(new Error(`the server sent an unexpected message of type ${type}`));
}

/** The fields of an ErrorResponse; undefined for any other message. */
export function errorIn(message: ServerMessage): ServerError | undefined {
  return message.type === Backend.errorResponse ? errorFields(message.body) : undefined;
}
