/** The reasons for not reading from a client: reading goes on when no reason is left. */
import type { Channel } from '../net/channel.ts';

/** Reasons, as bits. */
export const Pause = {
  /** The server connection's send buffer is full. */
  full: 1,
  /** A message waits, and enough bytes are held behind it. */
  held: 2,
  /** The probe of an uncertain COPY is under way. */
  probe: 4,
  /** The client does not read the gateway's own answers. */
  unread: 8,
} as const;

/** One per session. */
export class Pauses {
  readonly #client: Channel;
  #reasons = 0;

  constructor(client: Channel) {
    this.#client = client;
  }

  has(reason: number): boolean {
    return (this.#reasons & reason) !== 0;
  }

  /** Bytes for the server are still queued. */
  get full(): boolean {
    return this.has(Pause.full);
  }

  add(reason: number): void {
    this.#reasons |= reason;
    this.#client.halt();
  }

  /** Removes a reason; `over`: the client is not read again in any case. */
  remove(reason: number, over: boolean): void {
    if (this.#reasons === 0) return;
    this.#reasons &= ~reason;
    if (this.#reasons === 0 && !over) this.#client.resume();
  }
}
