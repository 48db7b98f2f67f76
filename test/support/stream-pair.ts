/** Two streams in one process, each of which reads what the other writes: a connection without a socket. */
import { Duplex } from 'node:stream';
import type { GatewayHandle } from '../../core/contract/gateway-handle.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';

/** One end. It has what node-postgres calls on a socket as well. */
export class StreamEnd extends Duplex {
  #other: StreamEnd | undefined;
  #taken: (() => void) | undefined;

  /** The first may go on when the other has ended, as a server's socket; the second ends with it, as a client's. */
  static pair(): [StreamEnd, StreamEnd] {
    const [one, other] = [new StreamEnd(), new StreamEnd({ allowHalfOpen: false })];
    one.#other = other;
    other.#other = one;
    return [one, other];
  }

  override _read(): void {
    const other = this.#other;
    if (!other) return;
    const taken = other.#taken;
    other.#taken = undefined;
    taken?.();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error) => void): void {
    if (!this.#other || this.#other.destroyed) return done(new Error('the other end is gone'));
    // A copy: whoever reads it may do with it what it likes.
    if (this.#other.push(Buffer.from(chunk))) done();
    else this.#taken = done;
  }

  override _final(done: () => void): void {
    this.#other?.push(null);
    done();
  }

  /** What has been written whole can still be read, as with a socket. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.writableFinished) this.#other?.destroy();
    done(error);
  }

  connect(): this {
    setImmediate(() => this.emit('connect'));
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

/** A plugin that does nothing but keep the handle that its `setup` is given. */
export function handleKeeper(): { readonly plugin: AnyPlugin; readonly handle: () => GatewayHandle } {
  let kept: GatewayHandle | undefined;
  return {
    plugin: { name: 'handle-keeper', setup: (gateway) => void (kept = gateway) },
    handle: () => {
      if (!kept) throw new Error('the gateway has not been set up');
      return kept;
    },
  };
}
