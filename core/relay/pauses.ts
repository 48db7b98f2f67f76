/** Why a client is not read at present: it is read again when no reason is left. */
import type { Channel } from '../net/channel.ts';

/** Reasons, as bits. */
export const Pause = {
  /** The server takes no more. */
  full: 1,
  /** A hook decides, and enough has piled up behind it. */
  held: 2,
  /** The probe of an uncertain COPY is under way. */
  probe: 4,
  /** The client does not read our own answers. */
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

  /** The server has not taken all that was written. */
  get full(): boolean {
    return this.has(Pause.full);
  }

  add(reason: number): void {
    this.#reasons |= reason;
    this.#client.halt();
  }

  /** Takes a reason away; `over` when the client is not to be read any more at all. */
  remove(reason: number, over: boolean): void {
    if (this.#reasons === 0) return;
    this.#reasons &= ~reason;
    if (this.#reasons === 0 && !over) this.#client.resume();
  }
}
