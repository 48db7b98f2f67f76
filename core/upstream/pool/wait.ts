/** The wait of one session for a connection: bounded, and over at once when the session is. */
import { GatewayError } from '../../errors.ts';
import { within } from '../deadline.ts';
import type { Clock } from './clock.ts';
import type { Member } from './member.ts';
import type { Stock } from './stock.ts';
import type { Waiter, Wanted } from './wanted.ts';

/** Where and how long. */
export interface WaitOptions {
  readonly stock: Stock;
  readonly clock: Clock;
  /** By the clock. */
  readonly until: number;
  readonly signal: AbortSignal;
}

/**
 * Resolves with a connection that is lent from then on.
 * @throws GatewayError when the time is over, `too_many_connections`, or as {@link Hosts.absence} says; why none could be
 * opened; or the signal's reason
 */
export function wait(wanted: Wanted, options: WaitOptions): Promise<Member> {
  const { queued } = wanted.request;
  return queued ? queued(() => inQueue(wanted, options)) : inQueue(wanted, options);
}

function inQueue(wanted: Wanted, { stock, clock, until, signal }: WaitOptions): Promise<Member> {
  const ms = Math.max(0, until - clock.now());
  const late = (): Error =>
    absence(wanted, stock) ??
    new GatewayError('too_many_connections', 'no connection to the database became free in time');
  return within(ms, signal, late, (inner) => {
    return new Promise((resolve, reject) => {
      const settled = (): void => inner.removeEventListener('abort', leave);
      const waiter: Waiter = {
        ...wanted,
        since: clock.now(),
        resolve: (member) => (settled(), resolve(member)),
        reject: (error) => (settled(), reject(error)),
      };
      // Leaves in the abort itself: a moment later a connection could have been given to somebody who is gone.
      const leave = (): void => {
        stock.leave(waiter);
        reject(inner.reason as Error);
      };
      inner.addEventListener('abort', leave, { once: true });
      stock.queue(waiter);
    });
  });
}

/** Why somebody waits in vain: there is no server for it, nor a connection that could come back. */
function absence({ key }: Wanted, { members, hosts }: Stock): Error | undefined {
  const { idle, lent, resetting } = members.ofKey(key);
  return idle + lent + resetting > 0 ? undefined : hosts.absence(key.target);
}
