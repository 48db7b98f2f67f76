/** Sends a CancelRequest and waits until it can no longer hit anything. */
import { encodeCancel } from '../wire/greeting.ts';
import { whenClosed } from '../net/channel.ts';
import { abortable, within } from './deadline.ts';
import { dial } from './dial.ts';
import type { DialOptions } from './dial.ts';
import type { Address, Server } from './hosts/endpoint.ts';
import type { BackendKey } from './login.ts';

/** The options of a cancel. */
export interface CancelRequest {
  readonly database: Server;
  /** The address of the connection to be cancelled. */
  readonly address: Address;
  readonly key: BackendKey;
  /** Milliseconds until the server must have closed. Default 10000. */
  readonly cancelMs?: number | undefined;
  /** As for {@link dial}. */
  readonly connectMs?: number | undefined;
}

/**
 * Resolves when the server closed the cancel connection, which it does after the signal was sent (manual, 55.2.8). False
 * if it did not in time, or could not be reached: whether the query ends is then unknown. Never rejects.
 */
export async function cancel({
  database,
  address,
  key,
  cancelMs = 10_000,
  connectMs,
}: CancelRequest): Promise<boolean> {
  const late = (): Error => new Error('the server did not close the cancel connection');
  const options: DialOptions = { address, ...(connectMs !== undefined && { connectMs }) };
  try {
    // A signal of its own: Node takes many listeners of one for a leak.
    const { signal: never } = new AbortController();
    await within(cancelMs, never, late, async (signal) => {
      const { channel } = await dial(database, signal, options);
      try {
        const closed = whenClosed(channel);
        channel.write(encodeCancel(key.pid, key.secret));
        channel.resume();
        await abortable(closed, signal);
      } finally {
        channel.destroy();
      }
    });
    return true;
  } catch {
    return false;
  }
}
