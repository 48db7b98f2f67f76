/** The processes of a gateway with several workers, as the system tells of them. */
import { expect } from 'vitest';
import { childrenOf, isAlive } from './processes.ts';
import type { TokenGateway } from './token-gateway.ts';

/** Those that live, the oldest first. */
export const workerPids = ({ gateway }: TokenGateway): readonly number[] =>
  childrenOf(gateway.pid).filter(isAlive);

/** Resolves when a worker has become ready so many times. */
export async function allReady({ gateway }: TokenGateway, times: number): Promise<void> {
  await expect.poll(() => gateway.lines('worker ready').length).toBe(times);
}

/** The process of the worker of this number, the last one that became ready. */
export function pidOf({ gateway }: TokenGateway, worker: number): number {
  return Number(gateway.lines('worker ready').findLast((line) => line['worker'] === worker)?.['pid']);
}

/**
 * Opens sessions, one behind the other, until both workers have got one: on a busy machine one that is late is passed over. The log tells of them in
 * this order.
 */
export async function untilBothServe<T>({ gateway }: TokenGateway, open: () => Promise<T>): Promise<T[]> {
  const before = gateway.lines('login').length;
  const opened: T[] = [];
  const serving = (): number =>
    new Set(
      gateway
        .lines('login')
        .slice(before)
        .map(({ worker }) => worker),
    ).size;
  while (serving() < 2) {
    opened.push(await open());
    await expect.poll(() => gateway.lines('login').length).toBe(before + opened.length);
  }
  return opened;
}

/** Ends the gateway, and waits for its workers, which end by themselves when they have lost their channel. */
export async function endAll(running: TokenGateway): Promise<void> {
  const workers = workerPids(running);
  await running.gateway.remove();
  await expect.poll(() => workers.filter(isAlive), { timeout: 40_000 }).toEqual([]);
}
