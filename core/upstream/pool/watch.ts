/** Watches a connection that nobody uses: whatever it says but what a server may say at any time spoils it. */
import { readParameterStatus } from '../../wire/backend.ts';
import { Backend, HEADER_BYTES } from '../../wire/frames.ts';
import type { ChannelListener } from '../../net/channel.ts';
import type { ServerConnection } from '../connection.ts';

/** Longest length word that is waited for: notices and parameters are far below. */
const LONGEST = 65_536;

/**
 * Reads until the returned function is called, which leaves the channel paused and says whether the connection can be
 * used: nothing came but whole ParameterStatus and notices (manual, 55.2.7). Calls `spoilt` once when it cannot, its end
 * included. A notification spoils it as well: whoever listened has been reset.
 */
export function watch(connection: ServerConnection, spoilt: () => void): () => boolean {
  const { channel } = connection;
  const watcher = new Watcher(connection, spoilt);
  channel.listen(watcher);
  channel.resume();
  return () => {
    channel.pause();
    return watcher.good && !channel.closed;
  };
}

const NOTHING = Buffer.alloc(0);

class Watcher implements ChannelListener {
  readonly #connection: ServerConnection;
  readonly #spoilt: () => void;
  #held: Buffer = NOTHING;
  #good = true;

  constructor(connection: ServerConnection, spoilt: () => void) {
    this.#connection = connection;
    this.#spoilt = spoilt;
  }

  get good(): boolean {
    return this.#good && this.#held.length === 0;
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
    this.#spoilt();
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

/** A body that cannot be read is as bad as a message that must not come. */
function readable(read: () => boolean): boolean {
  try {
    return read();
  } catch {
    return false;
  }
}
