/** Watches an idle connection: any message but those that a server may send at any time makes it unusable. */
import { readParameterStatus } from '../wire/backend.ts';
import { Backend, HEADER_BYTES } from '../wire/frames.ts';
import type { ChannelListener } from '../net/channel.ts';
import type { ServerConnection } from './connection.ts';

/** Longest length word that is accepted: notices and parameters are far below. */
const LONGEST = 65_536;

const NOTHING = Buffer.alloc(0);

/**
 * Made once per connection. While it runs, nothing may come but whole ParameterStatus and notices (manual, 55.2.7): anything
 * else spoils the connection, its end included; a notification as well, because the session that listened has been reset.
 */
export class IdleWatch implements ChannelListener {
  readonly #connection: ServerConnection;
  readonly #unusable: () => void;
  #held: Buffer = NOTHING;
  #good = true;

  /** `unusable` is called once when the connection cannot be used. */
  constructor(connection: ServerConnection, unusable: () => void) {
    this.#connection = connection;
    this.#unusable = unusable;
  }

  /** Reads from now on. */
  start(): void {
    const { channel } = this.#connection;
    channel.listen(this);
    channel.resume();
  }

  /** Leaves the channel paused, and says whether the connection can be used. */
  stop(): boolean {
    const { channel } = this.#connection;
    channel.pause();
    return this.#good && this.#held.length === 0 && !channel.closed;
  }

  bytes(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    if (!readable(() => this.#read())) this.closed();
  }

  drained(): void {}

  closed(): void {
    if (!this.#good) return;
    this.#good = false;
    this.#connection.channel.pause();
    this.#unusable();
  }

  #read(): boolean {
    while (this.#held.length >= HEADER_BYTES) {
      const [type, length] = [this.#held.readUInt8(0), this.#held.readUInt32BE(1)];
      if (type !== Backend.parameterStatus && type !== Backend.noticeResponse) return false;
      if (length < 4 || length > LONGEST) return false;
      if (this.#held.length <= length) break;
      this.#take(type, this.#held.subarray(HEADER_BYTES, length + 1));
      this.#held = this.#held.subarray(length + 1);
    }
    return true;
  }

  #take(type: number, body: Buffer): void {
    if (type !== Backend.parameterStatus) return;
    const { name, value } = readParameterStatus(body);
    this.#connection.parameters.set(name, value);
  }
}

/** Watches until the returned function is called, which says as {@link IdleWatch.stop} whether the connection can be used. */
export function watch(connection: ServerConnection, unusable: () => void): () => boolean {
  const watching = new IdleWatch(connection, unusable);
  watching.start();
  return () => watching.stop();
}

/** A body that cannot be read counts as an unexpected message. */
function readable(read: () => boolean): boolean {
  try {
    return read();
  } catch {
    return false;
  }
}
