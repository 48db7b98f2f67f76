/** The wait of one session for a connection: bounded, and over at once when the session is. */
import { GatewayError } from '../../errors.ts';
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
export async function wait(wanted: Wanted, options: WaitOptions): Promise<Member> {
  const { queued } = wanted.request;
  return queued ? queued(() => inQueue(wanted, options)) : inQueue(wanted, options);
}

function inQueue(wanted: Wanted, { stock, clock, until, signal }: WaitOptions): Promise<Member> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const settled = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', leave);
    };
    const waiter: Waiter = {
      ...wanted,
      since: clock.now(),
      resolve: (member) => (settled(), resolve(member)),
      reject: (error) => (settled(), reject(error)),
    };
    // Leaves in the abort itself: a moment later a connection could have been given to somebody who is gone.
    const giveUp = (why: unknown): void => {
      stock.leave(waiter);
      waiter.reject(why);
    };
    const leave = (): void => giveUp(signal.reason);
    const timer = setTimeout(
      () => giveUp(absence(wanted, stock) ?? tooLate()),
      Math.max(0, until - clock.now()),
    );
    signal.addEventListener('abort', leave);
    stock.queue(waiter);
  });
}

const tooLate = (): GatewayError =>
  new GatewayError('too_many_connections', 'no connection to the database became free in time');

/** Why somebody waits in vain: there is no server for it, nor a connection that could come back. */
function absence({ key }: Wanted, { members, hosts }: Stock): Error | undefined {
  const { idle, lent, resetting } = members.ofKey(key);
  return idle + lent + resetting > 0 ? undefined : hosts.absence(key.target);
}
