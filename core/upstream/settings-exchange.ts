/** Settings that are sent on an idle connection before a session gets it, and their answers: by callbacks, as each check-out may need them. */
import type { ChannelListener } from '../net/channel.ts';
import { readParameterStatus } from '../wire/backend.ts';
import { Backend } from '../wire/frames.ts';
import type { ServerConnection } from './connection.ts';
import { OutcomeReader } from './query.ts';
import { unreachable } from './refusals.ts';
import { ServerMessages } from './server-messages.ts';
import type { ServerMessage } from './server-messages.ts';
import { checkOutcome, encodeSettings } from './settings.ts';
import type { Setting } from './session-settings.ts';

/** How long it may take, and what ends it earlier. */
export interface ExchangeLimits {
  /** In milliseconds. */
  readonly ms: number;
  /** Aborted when the pool ends. */
  readonly closing: AbortSignal;
}

/** Called once: without an error, all settings are in force. */
type Told = (error?: unknown) => void;

/** The exchanges that a pool's end breaks off: one listener for all of them. */
const running = new WeakMap<AbortSignal, Set<SettingsExchange>>();

function runningUntil(closing: AbortSignal): Set<SettingsExchange> {
  const known = running.get(closing);
  if (known) return known;
  const all = new Set<SettingsExchange>();
  running.set(closing, all);
  // The pool ends first: what fails now must not serve another request.
  const stop = (): void => all.forEach((one) => one.fail(closing.reason));
  closing.addEventListener('abort', () => queueMicrotask(stop));
  return all;
}

class SettingsExchange implements ChannelListener {
  readonly #connection: ServerConnection;
  readonly #settings: readonly Setting[];
  readonly #told: Told;
  readonly #among: Set<SettingsExchange>;
  readonly #messages = new ServerMessages();
  readonly #reader = new OutcomeReader();
  readonly #timer: NodeJS.Timeout;
  #over = false;

  constructor(
    connection: ServerConnection,
    settings: readonly Setting[],
    { ms, closing }: ExchangeLimits,
    told: Told,
  ) {
    this.#connection = connection;
    this.#settings = settings;
    this.#told = told;
    this.#among = runningUntil(closing);
    this.#timer = setTimeout(() => this.fail(late(ms)), ms);
  }

  begin(batch: Buffer): void {
    const { channel } = this.#connection;
    this.#among.add(this);
    channel.listen(this);
    channel.write(batch);
    channel.resume();
  }

  bytes(chunk: Buffer): void {
    this.#messages.add(chunk);
    let isOver = false;
    try {
      isOver = this.#read();
    } catch (error) {
      return this.fail(error);
    }
    // What the session does with its connection then is not caught here.
    if (isOver) this.#end();
  }

  /** True where the last answer was among the messages. */
  #read(): boolean {
    for (let message = this.#messages.take(); message; message = this.#messages.take())
      if (this.#answered(message)) return true;
    return false;
  }

  drained(): void {}

  closed(error: Error | undefined): void {
    this.fail(unreachable(error ?? new Error('the server closed the connection')));
  }

  /** Ends it with an error, if it is not over. */
  fail(error: unknown): void {
    if (!this.#over) this.#end(error);
  }

  /** True for the last answer. @throws GatewayError where the server has refused a setting */
  #answered(message: ServerMessage): boolean {
    if (message.type === Backend.noticeResponse) return false;
    if (message.type === Backend.parameterStatus) {
      const { name, value } = readParameterStatus(message.body);
      this.#connection.parameters.set(name, value);
      return false;
    }
    const outcome = this.#reader.read(message);
    if (outcome) checkOutcome(this.#settings, outcome);
    return outcome !== undefined;
  }

  /** The channel is paused for its next owner; bytes that were not read stay in it. */
  #end(error?: unknown): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#among.delete(this);
    const { channel } = this.#connection;
    channel.pause();
    channel.unshift(this.#messages.rest());
    this.#told(error);
  }
}

const late = (ms: number): Error => unreachable(new Error(`settings were not confirmed within ${ms} ms`));

/**
 * Sets them, for the session and not only for a transaction, in one round trip; the server has confirmed every one when `told` is
 * called without an error, in the call that reads its last answer. Where the server refuses one, none is set.
 * `told` gets a GatewayError with the server's words where it refuses what the client chose, as it does at a login;
 * `internal_error` where it refuses what a policy relies on; `sqlclient_unable_to_establish_sqlconnection` if the connection is
 * lost or there is no answer in time; the reason of `closing` if the pool ends.
 * @throws Error as onCheckout's mistakes
 */
export function exchangeSettings(
  connection: ServerConnection,
  settings: readonly Setting[],
  limits: ExchangeLimits,
  told: Told,
): void {
  const { closing } = limits;
  if (closing.aborted) return told(closing.reason);
  // A value that cannot be sent is found before anything is begun.
  const batch = encodeSettings(settings);
  new SettingsExchange(connection, settings, limits, told).begin(batch);
}
