/** Watches a connection that nobody uses: whatever it says but what a server may say at any time spoils it. */
import { readParameterStatus } from '../../wire/backend.ts';
import { Backend, HEADER_BYTES } from '../../wire/frames.ts';
import type { ServerConnection } from '../connection.ts';

/** Longest length word that is waited for: notices and parameters are far below. */
const LONGEST = 65_536;

/**
 * Reads until the returned function is called, which leaves the channel paused and says whether the connection can be
 * used: nothing came but whole ParameterStatus and notices (manual, 55.2.7). Calls `spoilt` once when it cannot, its end
 * included. A notification spoils it as well: whoever listened has been reset.
 */
export function watch({ channel, parameters }: ServerConnection, spoilt: () => void): () => boolean {
  let held: Buffer = Buffer.alloc(0);
  let good = true;
  const spoil = (): void => {
    if (!good) return;
    good = false;
    channel.pause();
    spoilt();
  };
  const take = (type: number, body: Buffer): void => {
    if (type !== Backend.parameterStatus) return;
    const { name, value } = readParameterStatus(body);
    parameters.set(name, value);
  };
  const read = (): boolean => {
    while (held.length >= HEADER_BYTES) {
      const [type, length] = [held.readUInt8(0), held.readUInt32BE(1)];
      if (type !== Backend.parameterStatus && type !== Backend.noticeResponse) return false;
      if (length < 4 || length > LONGEST) return false;
      if (held.length <= length) break;
      take(type, held.subarray(HEADER_BYTES, length + 1));
      held = held.subarray(length + 1);
    }
    return true;
  };
  channel.listen({
    bytes(chunk) {
      held = Buffer.concat([held, chunk]);
      if (!readable(read)) spoil();
    },
    drained() {},
    closed: spoil,
  });
  channel.resume();
  return () => {
    channel.pause();
    return good && held.length === 0 && !channel.closed;
  };
}

/** A body that cannot be read is as bad as a message that must not come. */
function readable(read: () => boolean): boolean {
  try {
    return read();
  } catch {
    return false;
  }
}
