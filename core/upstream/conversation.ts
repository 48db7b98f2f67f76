/** Exchanges whole messages with a server while the gateway itself is its client, one at a time, within limits. */
import type { Channel } from '../net/channel.ts';
import { errorFields, readParameterStatus } from '../wire/backend.ts';
import type { ServerError } from '../wire/backend.ts';
import { Backend } from '../wire/frames.ts';
import { unreachable } from './refusals.ts';
import { ParameterMap } from './parameter-map.ts';
import type { Parameters } from './parameter-map.ts';
import { ServerMessages } from './server-messages.ts';
import type { ServerMessage } from './server-messages.ts';

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
  readonly #messages = new ServerMessages();
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
    this.#channel.unshift(this.#messages.rest());
  }

  #abort = (): void => this.#break(this.#signal.reason as Error);

  #keep(body: Buffer): void {
    const { name, value } = readParameterStatus(body);
    this.parameters.set(name, value);
  }

  #receive(chunk: Buffer): void {
    clearTimeout(this.#silenceTimer);
    this.#messages.add(chunk);
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
    try {
      return this.#messages.take();
    } catch (error) {
      this.#broken ??= error as Error;
      return undefined;
    }
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

/** A message the protocol does not allow here. */
export function unexpected(message: ServerMessage): Error {
  const type = message.type >= 0x20 && message.type < 0x7f ? String.fromCharCode(message.type) : message.type;
  return unreachable(new Error(`the server sent an unexpected message of type ${type}`));
}

/** The fields of an ErrorResponse; undefined for any other message. */
export function errorIn(message: ServerMessage): ServerError | undefined {
  return message.type === Backend.errorResponse ? errorFields(message.body) : undefined;
}
