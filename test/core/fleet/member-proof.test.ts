/** When an instance may say that all have a change: also while the store fails over. In virtual time. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { pause } from '../../../core/fleet/parts.ts';
import type { FleetStore } from '../../../core/fleet/store.ts';
import { BOARD } from '../../support/fleet-instance.ts';
import type { TestInstance } from '../../support/fleet-instance.ts';
import type { MemoryClient } from '../../support/memory-client.ts';
import { VirtualFleet } from '../../support/virtual-fleet.ts';

let fleet: VirtualFleet;
let time: VirtualFleet['time'];
let store: VirtualFleet['store'];

const LIVES_MS = 5_000;

beforeEach(() => {
  fleet = new VirtualFleet();
  ({ time, store } = fleet);
});

afterEach(() => fleet.end());

const instance: VirtualFleet['instance'] = (name, options) => fleet.instance(name, options);
const instances: VirtualFleet['instances'] = (...names) => fleet.instances(...names);
const two: VirtualFleet['two'] = () => fleet.two();

type Read = FleetStore['read'];
const nothing: Read = async (_, { post }) => {
  await pause(time, 20);
  return { changes: {}, post: [], postPosition: post };
};

/** From now on, until what it returns is called, an instance reads so. */
async function reads({ store: client }: TestInstance<MemoryClient>, read: Read): Promise<() => void> {
  const before = client.read.bind(client);
  client.read = read;
  // The reading that waits ends.
  await time.pass(600);
  return () => void (client.read = before);
}

test('a proof names those that do not have it yet, and one that vanished until it knows that it is stale', async () => {
  const [a, b] = await two();
  await time.settle(a.put('x', 1));
  expect(await time.settle(a.member.proof(BOARD, 500))).toEqual({ live: 2, missing: [] });
  b.hangs = true;
  await time.settle(a.put('y', 1));
  expect(await time.settle(a.member.proof(BOARD, 500))).toEqual({ live: 2, missing: ['b'] });
  b.store.losing = 'requests';
  await time.pass(LIVES_MS + 1_500);
  expect(await time.settle(a.member.proof(BOARD, 500))).toEqual({ live: 1, missing: ['b'] });
  await time.pass(10_000);
  expect(b.member.state.isStale).toBe(true);
  expect(await time.settle(a.member.proof(BOARD, 500))).toEqual({ live: 1, missing: [] });
});

test('with a long fleet.stale an instance that vanished is named for as long as it may serve', async () => {
  const patient = { staleMs: 300_000 };
  const a = await time.settle(instance('a', patient).start());
  const b = await time.settle(instance('b', patient).start());
  await time.pass(1_100);
  b.store.losing = 'requests';
  await time.pass(90_000);
  // Who lives has changed: those that have been lost for long are looked through.
  await time.settle(instance('c', patient).start());
  await time.pass(1_100);
  expect(await time.settle(a.member.proof(BOARD, 500))).toEqual({ live: 2, missing: ['b'] });
});

test('a proof without the store names all others', async () => {
  const [a] = await two();
  a.store.losing = 'requests';
  await time.settle(a.put('x', 1));
  expect(await time.settle(a.member.proof(BOARD, 500))).toEqual({ live: 2, missing: ['b'] });
});

test.each([1, 2])(
  'a proof after a failover that lost the change is given once the store has it again (others who put it again: %i)',
  async (others) => {
    const [a, b, ...rest] = await instances('a', 'b', ...['c', 'd'].slice(2 - others));
    await time.settle(a!.put('x', 1));
    const failOver = store.save();
    const seesAgain = await reads(b!, nothing);
    await time.settle(a!.put('revoked', 1));
    failOver();
    seesAgain();
    // One takes the place that the lost one had.
    await time.settle(rest[0]!.put('other', 1));
    a!.store.latencyMs = 40;
    // As it is when the proof is given, not later.
    let known = {};
    const proof = a!.member.proof(BOARD, 5_000).finally(() => (known = b!.values));
    expect((await time.settle(proof)).missing).toEqual([]);
    expect(known).toMatchObject({ x: 1, revoked: 1 });
  },
);

test('a proof counts no answer about a log that the store has lost a part of since', async () => {
  const [a, b, c] = await instances('a', 'b', 'c');
  await time.settle(a!.put('x', 1));
  const failOver = store.save();
  const whole = b!.store.read.bind(b!.store);
  const seesAgain = await reads(b!, async (...args) => {
    await pause(time, 1);
    return { ...(await whole(...args)), changes: {} };
  });
  // The reading that is under way ends.
  await time.pass(1_000);
  await time.settle(a!.put('revoked', 1));
  let known = {};
  const proof = a!.member.proof(BOARD, 1_000).finally(() => (known = b!.values));
  await time.pass(5);
  failOver();
  seesAgain();
  // It has the place of the one that b is asked for.
  await time.settle(c!.put('other', 1));
  const { missing } = await time.settle(proof);
  expect(known).not.toHaveProperty('revoked');
  expect(missing).toContain('b');
});

test('a store that answers but cannot be read counts as away', async () => {
  const [a, b] = await two();
  await reads(a, () => pause(time, 10).then(() => Promise.reject(new Error('no second connection'))));
  await time.pass(4_000);
  expect(a.member.state.staleSince).toBeDefined();
  expect(b.member.state.staleSince).toBeUndefined();
  // Changes come all the same, with the next beat.
  await time.settle(b.put('x', 1));
  await time.pass(1_500);
  expect(a.values).toEqual({ x: 1 });
  await time.pass(10_000);
  expect(a.member.state.isStale).toBe(true);
});
