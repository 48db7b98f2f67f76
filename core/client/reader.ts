/** The client's bytes before the relay takes over: exact amounts, awaited, never more than a bounded amount ahead. */
import type { Channel, ChannelListener } from '../net/channel.ts';
import type { MaybePromise } from '../contract/session.ts';

/** Bytes that are kept before they are requested. Beyond this the socket is paused and the rest waits in the kernel. */
const AHEAD = 16_384;

const NOTHING = Buffer.alloc(0);

/** The client's connection ended while bytes were expected. No error can be sent any more. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

interface Wanted {
  readonly length: number;
  resolve(): void;
  reject(error: Error): void;
}

/** Reads a channel by amounts. Between reads it keeps listening, so that a client who leaves is noticed at once. */
export class Reader implements ChannelListener {
  readonly channel: Channel;
  #gone: ClientGone | undefined;
  #whenGone: (() => void) | undefined;
  #store: Buffer = NOTHING;
  #length = 0;
  #wanted: Wanted | undefined;

  constructor(channel: Channel) {
    this.channel = channel;
    channel.listen(this);
    channel.resume();
  }

  /** Bytes that have arrived and were not asked for yet. */
  get buffered(): number {
    return this.#length;
  }

  /** Calls `then` when the connection is gone, at once if it is; only the latest one counts. */
  whenGone(then: () => void): void {
    if (this.#gone) then();
    else this.#whenGone = then;
  }

  /** The next byte, left where it is. @throws ClientGone */
  peek(): Promise<number> {
    if (this.#length >= 1) return Promise.resolve(this.#store.readUInt8(0));
    return this.#available(1, () => this.#store.readUInt8(0));
  }

  /** The next `length` bytes as a buffer of their own, at once if they are there; no other copy stays here. @throws ClientGone */
  exactly(length: number): MaybePromise<Buffer> {
    if (this.#length >= length) return this.#take(length);
    return this.#available(length, () => this.#take(length));
  }

  #take(length: number): Buffer {
    const bytes = Buffer.from(this.#store.subarray(0, length));
    this.#store.copyWithin(0, length, this.#length);
    this.#store.fill(0, this.#length - length, this.#length);
    this.#length -= length;
    return bytes;
  }

  /** Ends this reader: the channel is paused, and what has arrived comes first for its next owner. */
  release(): void {
    this.channel.pause();
    this.channel.unshift(this.#store.subarray(0, this.#length));
    // A session keeps its reader, and a token may have made this large.
    this.#store = NOTHING;
    this.#length = 0;
    this.#whenGone = undefined;
  }

  bytes(chunk: Buffer): void {
    this.#reserve(this.#length + chunk.length);
    chunk.copy(this.#store, this.#length);
    this.#length += chunk.length;
    const wanted = this.#wanted;
    if (this.#length >= Math.max(AHEAD, wanted?.length ?? 0)) this.channel.pause();
    if (!wanted || this.#length < wanted.length) return;
    this.#wanted = undefined;
    wanted.resolve();
  }

  drained(): void {}

  closed(error: Error | undefined): void {
    this.#gone = new ClientGone('the client closed its connection', { cause: error });
    this.#whenGone?.();
    this.#wanted?.reject(this.#gone);
    this.#wanted = undefined;
  }

  /** What `take` makes of so many bytes as soon as they have come. */
  #available<T>(length: number, take: () => T): Promise<T> {
    if (this.#gone) return Promise.reject(this.#gone);
    return new Promise((resolve, reject) => {
      this.#wanted = { length, resolve: () => resolve(take()), reject };
      this.channel.resume();
    });
  }

  /** Grows by doubling: a slow sender of single bytes costs no more than a fast one. */
  #reserve(length: number): void {
    if (length <= this.#store.length) return;
    const grown = Buffer.alloc(Math.max(length, this.#store.length * 2, 512));
    this.#store.copy(grown, 0, 0, this.#length);
    this.#store.fill(0);
    this.#store = grown;
  }
}
