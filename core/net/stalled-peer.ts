/** Cuts off a peer that takes no byte for 60 s although some are queued for it. */
import { bytesTaken } from './raw-write.ts';
import type { ChannelSocket } from './socket-events.ts';

const STALLED_MS = 60_000;

/** One per channel that was full once. */
export class StalledPeer {
  readonly #channel: { readonly socket: ChannelSocket; readonly queued: number };
  #timer: NodeJS.Timeout | undefined;

  constructor(channel: { readonly socket: ChannelSocket; readonly queued: number }) {
    this.#channel = channel;
  }

  /** Watches until nothing is queued. */
  watch(): void {
    if (this.#timer) return;
    const { socket } = this.#channel;
    let before = bytesTaken(socket);
    this.#timer = setInterval(() => {
      const now = bytesTaken(socket);
      if (this.#channel.queued === 0) this.rest();
      else if (now === before) socket.destroy(new Error('the peer takes no data'));
      before = now;
    }, STALLED_MS);
    this.#timer.unref();
  }

  rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
