/** Any stream of bytes in the form of a socket, so that a channel need not tell them apart. */
import { AsyncResource } from 'node:async_hooks';
import { Duplex } from 'node:stream';

/** Calls the stream's own methods, as whoever has brought it. */
export type AsOwner = <R>(work: () => R) => R;

/** The size of a write that the stream has not taken yet, and what is to be told then. */
interface Pending {
  readonly bytes: number;
  readonly done: (error?: Error | null) => void;
}

/**
 * Reads and writes a stream. Its events are heard in the asynchronous context in which this is made, and what its methods throw
 * ends it and nothing else.
 */
export class StreamSocket extends Duplex {
  readonly connecting = false;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  bytesRead = 0;
  readonly #stream: Duplex;
  readonly #asOwner: AsOwner;
  #taken = 0;
  #pending: Pending | undefined;

  /** @param asOwner Default: they are called as they are */
  constructor(stream: Duplex, asOwner: AsOwner = (work) => work()) {
    super();
    this.#stream = stream;
    this.#asOwner = asOwner;
    const listeners = {
      data: (chunk: unknown) => this.#receive(chunk),
      end: () => void this.push(null),
      drain: () => this.#settle(),
      error: (error: Error) => void this.destroy(error),
      close: () => this.#gone(),
    };
    const own = Object.entries(listeners).map(
      ([event, heard]) => [event, AsyncResource.bind(heard as (given: unknown) => void)] as const,
    );
    asOwner(() => {
      for (const [event, heard] of own) stream.on(event, heard);
      // The first of them has it flow, and nothing is wanted yet.
      stream.pause();
    });
    if (stream.destroyed) this.destroy();
    // It does not say so again.
    else if (stream.readableEnded) this.push(null);
  }

  /** Those that are to be written as well, as with a socket. */
  get bytesWritten(): number {
    return this.#taken + this.writableLength;
  }

  /** As a socket's, without an effect. */
  setNoDelay(): this {
    return this;
  }

  /** As a socket's, without an effect. */
  setKeepAlive(): this {
    return this;
  }

  override _read(): void {
    this.#asOwner(() => this.#stream.resume());
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: Pending['done']): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.writableEnded) return done(new Error('the stream is closed'));
    this.#pending = { bytes: chunk.length, done };
    try {
      if (this.#asOwner(() => stream.write(chunk))) this.#settle();
    } catch (error) {
      this.#settle(asError(error));
    }
  }

  override _final(done: () => void): void {
    // Also where it has failed: it tells so by itself.
    this.#asOwner(() => this.#stream.end(() => done()));
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    try {
      this.#asOwner(() => this.#stream.destroy());
    } finally {
      done(error);
    }
  }

  #receive(chunk: unknown): void {
    if (!(chunk instanceof Uint8Array)) return void this.destroy(new Error('the stream gives no bytes'));
    this.bytesRead += chunk.length;
    if (!this.push(chunk)) this.#asOwner(() => this.#stream.pause());
  }

  #settle(error?: Error): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (!pending) return;
    if (!error) this.#taken += pending.bytes;
    pending.done(error);
  }

  /** What has come before the end is read first. */
  #gone(): void {
    if (this.#stream.readableEnded && !this.readableEnded) this.once('end', () => this.destroy());
    else this.destroy();
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error('the stream has failed');
}
