/** A socket as the gateway uses it: bytes in through one shared buffer, bytes out with backpressure, one end. */
import { rawWrite, rawWriteCopy, whenTaken } from './raw-write.ts';
import { attend } from './socket-events.ts';
import type { ChannelSocket, SocketOwner } from './socket-events.ts';
import { StalledPeer } from './stalled-peer.ts';
import { StreamSocket } from './stream-socket.ts';

/** Bytes per read, and of the one buffer the whole process reads into. */
export const READ_BYTES = 65_536;

/** How long `finish` waits for a peer to take the last bytes before the socket is destroyed, in milliseconds. */
const FINISH_MS = 5_000;
/** How long input is read and thrown away after the last byte was taken, in milliseconds. */
const LINGER_MS = 1_000;

/** The callbacks of a channel's owner. Replaced as the connection moves from greeting to login to relay. */
export interface ChannelListener {
  /** The bytes are valid during the call only: copy what is kept or written. */
  bytes(chunk: Buffer): void;
  /** The peer took what was queued: `write` returned false before. */
  drained(): void;
  /** The peer sends nothing more. True: it may still read, and the channel stays open. Default: it is destroyed. */
  inputEnded?(): boolean;
  /** Exactly once: the socket is gone. `error` says why, if the system told. */
  closed(error: Error | undefined): void;
}

const IGNORE: ChannelListener = { bytes() {}, drained() {}, closed() {} };

/** Wraps one connected socket, plain or TLS, or a stream. Attach a listener before the first byte is wanted: it starts paused. */
export class Channel<S extends ChannelSocket = ChannelSocket> implements SocketOwner {
  readonly socket: S;
  #listener: ChannelListener = IGNORE;
  #error: Error | undefined;
  #closed = false;
  #paused = true;
  /** The socket itself reads no more. */
  #halted = true;
  /** Nothing is read, whatever its owner says. */
  #frozen = false;
  #finishing = false;
  #kept: Buffer | undefined;
  /** Bytes of a write past the stream machinery that the system has not taken yet. */
  #raw = 0;
  #watched = false;
  #stalled: StalledPeer | undefined;
  /** Contains this channel until it is closed. */
  #among: Set<Channel> | undefined;

  constructor(socket: S, reads: 'events' | 'onread' = 'events') {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    attend(this, reads);
    if (socket.destroyed) queueMicrotask(() => this.ended());
  }

  /** Adds itself to `channels`, and leaves it when the socket is gone. */
  join(channels: Set<Channel>): void {
    if (this.#closed) return;
    this.#among = channels;
    channels.add(this);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Bytes read that its owner has not been given. */
  get kept(): number {
    return this.#kept?.length ?? 0;
  }

  /** Bytes written and not yet taken by the system. */
  get queued(): number {
    return this.#raw + this.socket.writableLength;
  }

  /** Hands the channel to its next owner. A channel already closed tells so on the next tick. */
  listen(listener: ChannelListener): void {
    this.#listener = listener;
    if (this.#closed) queueMicrotask(() => listener.closed(this.#error));
  }

  /** Called by the reading side. Returns false to stop reading, as net's `onread` wants it. */
  receive(chunk: Buffer): boolean {
    if (this.#paused || this.#frozen) {
      this.#keep(chunk);
      this.#stopReading();
    } else this.#listener.bytes(chunk);
    return !this.#halted;
  }

  /** Puts bytes back: they come first after the next `resume`. */
  unshift(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#kept = this.#kept ? Buffer.concat([bytes, this.#kept]) : Buffer.from(bytes);
  }

  /** Takes what was put back or arrived while paused. */
  takeKept(): Buffer | undefined {
    const kept = this.#kept;
    this.#kept = undefined;
    return kept;
  }

  /** From now on bytes are kept until `resume`. For pauses that mostly end before any come: the first ones stop the socket. */
  pause(): void {
    this.#paused = true;
  }

  /** Pauses, and stops reading the socket: more bytes are expected, or another owner takes the socket over. */
  halt(): void {
    this.#paused = true;
    this.#stopReading();
  }

  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    if (!this.#frozen) this.#read();
  }

  /** Reads nothing until {@link thaw}, although its owner may want to. */
  freeze(): void {
    this.#frozen = true;
    this.#stopReading();
  }

  /** Goes on as its owner wants by now. */
  thaw(): void {
    if (!this.#frozen) return;
    this.#frozen = false;
    if (!this.#paused && !this.#closed) this.#read();
  }

  #read(): void {
    const kept = this.takeKept();
    if (kept) this.#listener.bytes(kept);
    if (this.#paused || this.#frozen || this.#closed || !this.#halted) return;
    this.#halted = false;
    this.socket.resume();
  }

  #stopReading(): void {
    if (this.#halted) return;
    this.#halted = true;
    this.socket.pause();
  }

  /** Queues bytes, which must not change afterwards. False: wait for `drained`. */
  write(bytes: Buffer): boolean {
    const left = this.#raw > 0 || this.#finishing ? undefined : rawWrite(this.socket, bytes);
    if (left !== undefined) return left === 0 || this.#queuedRaw(left);
    if (this.socket.destroyed || this.socket.writableEnded) return true;
    return this.socket.write(bytes) || this.#full();
  }

  /** As {@link Channel.write}, of a part of a chunk that may change afterwards. */
  writeCopy(chunk: Buffer, from: number, to: number): boolean {
    const left = this.#raw > 0 || this.#finishing ? undefined : rawWriteCopy(this.socket, chunk, from, to);
    if (left !== undefined) return left === 0 || this.#queuedRaw(left);
    return this.write(Buffer.from(chunk.subarray(from, to)));
  }

  #queuedRaw(left: number): boolean {
    this.#raw = left;
    whenTaken((status) => this.#rawTaken(status));
    return left < this.socket.writableHighWaterMark || this.#full();
  }

  #rawTaken(status: number): void {
    const full = this.#raw >= this.socket.writableHighWaterMark;
    this.#raw = 0;
    if (status < 0) this.socket.destroy(new Error('the peer is gone'));
    else if (full && !this.socket.writableNeedDrain) this.#listener.drained();
  }

  /** From now on a peer that takes no byte for 60 s is cut off. For clients: a server may wait for a lock that long. */
  cutOffWhenStalled(): void {
    this.#watched = true;
  }

  /** Of a peer that only reads from now on: what is queued has to be taken, however little it is. */
  watchQueued(): void {
    if (this.queued > 0) this.#full();
  }

  /** Writes the last bytes, lets the peer take them within 5 s, and closes. Only the first call counts. */
  finish(last?: Buffer): void {
    if (this.socket.destroyed || this.#finishing) return;
    this.#finishing = true;
    if (!this.socket.writableEnded) {
      if (last) this.socket.end(last);
      else this.socket.end();
    }
    this.#destroyIn(FINISH_MS);
    // Unread input would turn the close into a reset that can overtake the last message.
    this.socket.once('finish', () => this.#destroyIn(LINGER_MS));
    this.#listener = { ...IGNORE, closed: this.#listener.closed.bind(this.#listener) };
    this.#kept = undefined;
    this.#paused = true;
    this.#frozen = false;
    this.resume();
  }

  /** Closes the connection to a peer that sends nothing more: at once where everything has been sent to it. */
  close(): void {
    const unsent = this.#raw > 0 || this.socket.writableLength > 0;
    // TLS sends a close_notify first; what a stream has taken it may not have passed on yet.
    const says = 'encrypted' in this.socket || this.socket instanceof StreamSocket;
    if (unsent || this.#finishing || says) this.finish();
    else this.socket.destroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  #destroyIn(ms: number): void {
    const timer = setTimeout(() => this.socket.destroy(), ms);
    this.socket.once('close', () => clearTimeout(timer));
  }

  #keep(chunk: Buffer): void {
    this.#kept = this.#kept ? Buffer.concat([this.#kept, chunk]) : Buffer.from(chunk);
  }

  /** The peer has not taken all: if it is watched, it has to go on. */
  #full(): false {
    if (this.#watched) (this.#stalled ??= new StalledPeer(this)).watch();
    return false;
  }

  drained(): void {
    this.#listener.drained();
  }

  failed(error: Error): void {
    this.#error ??= error;
  }

  inputEnded(): void {
    if (this.#listener.inputEnded?.() !== true) this.socket.destroy();
  }

  ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stalled?.rest();
    this.#kept = undefined;
    this.#among?.delete(this);
    this.#listener.closed(this.#error);
  }
}

/** Takes the channel over, drops further bytes, and resolves once its socket is closed. Resume the channel, or its end is not noticed. */
export function whenClosed(channel: Channel): Promise<void> {
  return new Promise((resolve) => {
    channel.listen({ bytes() {}, drained() {}, closed: () => resolve() });
  });
}
