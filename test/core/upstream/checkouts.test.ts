import { afterEach, expect, test } from 'vitest';
import { parseDatabase, parseRole } from '../../../core/contract/names.ts';
import { Checkouts } from '../../../core/upstream/pool/checkouts.ts';
import { PoolState } from '../../../core/upstream/pool/pool-state.ts';
import { Isolation } from '../../../core/upstream/pool/isolation.ts';
import type { Waiter } from '../../../core/upstream/pool/checkout-request.ts';

const role = parseRole('reader');
const key = { text: 'reader', role, database: parseDatabase('db'), pooled: true, target: 'any' } as const;

/** A pool that opens nothing: whoever comes waits. */
function pool(queueMs: number) {
  const clock = { now: () => performance.now(), every: () => () => {} };
  const closing = new AbortController().signal;
  const isolation = new Isolation({ entry: 'main', limits: { share: 'role', reset: 'auto' }, clock });
  const environment = { connecting: true, now: clock.now, refusal() {}, served() {}, refused() {} };
  const state = new PoolState({
    limits: { size: 1, perRole: 1, mostSessions: Infinity, reserve: 0, reserveAfterMs: 0 },
    isolation,
    environment: environment as unknown as ConstructorParameters<typeof PoolState>[0]['environment'],
  });
  const parts = {
    limits: { queueMs },
    clock,
    state,
    hosts: { absence: () => undefined },
    closing,
    first() {},
  };
  checkOuts = new Checkouts(parts);
  return { state, checkOuts };
}

let checkOuts: Checkouts;
afterEach(() => checkOuts.stop());

function waiter(name: string, refused: string[], until = 0): Waiter {
  const listener = { granted() {}, refused: (error: unknown) => refused.push(`${name}: ${String(error)}`) };
  const owner = { fingerprint: name, scopes: { session: name, subject: name, tenant: name } };
  return { key, owner, listener, since: 0, until, queued: false, request: {} } as unknown as Waiter;
}

test('a request that comes back to the queue is refused when its own time is over, and not with those in front of it', async () => {
  const refused: string[] = [];
  const { state, checkOuts: asked } = pool(60_000);
  asked.checkOut(waiter('first', refused));
  asked.checkOut(waiter('again', refused, performance.now() + 20));
  await expect
    .poll(() => refused)
    .toEqual(['again: GatewayError: no connection to the database became free in time']);
  expect(state.waiting.size).toBe(1);
});

test('everyone is refused when the time is over, and no timer is left', async () => {
  const refused: string[] = [];
  const { state, checkOuts: asked } = pool(5);
  for (const name of ['a', 'b', 'c']) asked.checkOut(waiter(name, refused));
  await expect.poll(() => refused.length).toBe(3);
  expect(state.waiting.size).toBe(0);
});
