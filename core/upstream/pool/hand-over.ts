/** The last step before a session has a connection: what is missing there is set, in the session's time. */
import type { ServerConnection } from '../connection.ts';
import { abortable } from '../deadline.ts';
import type { Member } from './member.ts';
import type { Prepared } from './prepare.ts';
import type { Stock } from './stock.ts';

/** A connection that has been lent, and how far it is made ready: a promise only where the server is asked. */
export interface Picked {
  readonly member: Member;
  readonly prepared: Prepared | Promise<Prepared>;
}

/** Whether nobody has to wait any more. */
export function isReady({ prepared }: Picked): boolean {
  return !(prepared instanceof Promise) && prepared.kind === 'ready';
}

/**
 * Undefined if the connection turned out to be dead: the next one, or a new one, may be better. What cannot be lent has
 * been put back.
 * @throws what refuses the settings, why the connection is dead if it is a new one, or the signal's reason
 */
export async function handOver(
  { member, prepared }: Picked,
  stock: Stock,
  signal: AbortSignal,
): Promise<ServerConnection | undefined> {
  const outcome =
    prepared instanceof Promise ? await finished(prepared, { member, stock, signal }) : prepared;
  if (outcome.kind !== 'ready') {
    void stock.putBack(member, outcome.server);
    // A connection made just now is no leftover: another one would end in the same way.
    if (outcome.kind === 'refused' || member.uses === 1) throw outcome.error;
    return undefined;
  }
  // Whoever asked may have left while the last step resolved.
  if (signal.aborted) void stock.putBack(member, 'reusable');
  signal.throwIfAborted();
  return member.connection;
}

interface Preparing {
  readonly member: Member;
  readonly stock: Stock;
  readonly signal: AbortSignal;
}

function finished(preparing: Promise<Prepared>, { member, stock, signal }: Preparing): Promise<Prepared> {
  return abortable(preparing, signal).catch((reason: unknown) => {
    void preparing.then((how) => stock.putBack(member, 'server' in how ? how.server : 'reusable'));
    throw reason;
  });
}
