/** Suspends the gateway on an operator's order: it reads from no connection, even within transactions. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../contract/errors.ts';
import type { Channel } from '../net/channel.ts';

/** How often new connections are looked for, and whether everything is written, in milliseconds. */
const POLL_MS = 20;

/** One per gateway. */
export class Suspension {
  readonly #frozen = new Set<Channel>();
  #timer: NodeJS.Timeout | undefined;
  #over: Promise<void> = Promise.resolve();
  #end: () => void = () => {};

  /** Whether the gateway is suspended. */
  get on(): boolean {
    return this.#timer !== undefined;
  }

  /** Resolves when it resumes; at once if it is not suspended. */
  get over(): Promise<void> {
    return this.#over;
  }

  /**
   * Stops reading from `channels`, new ones included. The returned function ends this suspension, and none
   * that comes later. @throws GatewayError `object_not_in_prerequisite_state` if it stands still already
   */
  begin(channels: () => Iterable<Channel>): () => void {
    if (this.on) throw new GatewayError('object_not_in_prerequisite_state', 'already suspended');
    const freeze = (): void => {
      for (const channel of this.#frozen) if (channel.closed) this.#frozen.delete(channel);
      for (const channel of channels()) {
        if (channel.closed || this.#frozen.has(channel)) continue;
        channel.freeze();
        this.#frozen.add(channel);
      }
    };
    this.#over = new Promise((resolve) => (this.#end = resolve));
    const timer = setInterval(freeze, POLL_MS).unref();
    this.#timer = timer;
    freeze();
    return () => {
      if (this.#timer === timer) this.end();
    };
  }

  /** Resolves when all queued bytes are written, or the gateway resumes. Rejects with the signal's reason. */
  async flushed(signal: AbortSignal): Promise<void> {
    while (this.on && [...this.#frozen].some(({ closed, queued }) => !closed && queued > 0)) {
      signal.throwIfAborted();
      await sleep(POLL_MS);
    }
    signal.throwIfAborted();
  }

  /** Everything is read again. */
  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const channel of this.#frozen) channel.thaw();
    this.#frozen.clear();
    this.#end();
  }
}
