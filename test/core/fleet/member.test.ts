/** An instance's membership of a fleet, over a store in memory and in virtual time. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConfigError } from '../../../core/contract/errors.ts';
import { pause } from '../../../core/fleet/parts.ts';
import { sealingOf } from '../../../core/fleet/sealing.ts';
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

const total = (key: string): number =>
  store.total(sealingOf('the secret of this fleet', 'fleet').hash(key, 'place'));

test('instances know each other within a second, with numbers that differ', async () => {
  const [a, b] = await two();
  expect(a.member.state.instances.map(({ name }) => name)).toEqual(['a', 'b']);
  expect(b.member.state.instances.map(({ name }) => name)).toEqual(['b', 'a']);
  const { number = 0 } = b.member.state;
  expect(a.member.state.byNumber).toEqual({ [number]: 'id-of-b' });
  expect(a.member.state.numbers).not.toEqual(b.member.state.numbers);
});

test('the store may be away at the start: it is stale, and joins when the store is there', async () => {
  const a = instance('a');
  a.store.losing = 'requests';
  await time.settle(a.start());
  expect(a.member.state).toMatchObject({ isStale: true, staleSince: 0, number: undefined });
  await time.settle(a.put('x', 1));
  expect(a.values).toEqual({ x: 1 });
  a.store.losing = undefined;
  await time.pass(1_500);
  expect(a.member.state).toMatchObject({ isStale: false, staleSince: undefined });
  const b = await time.settle(instance('b').start());
  expect(b.values).toEqual({ x: 1 });
});

test('an instance with another secret does not join', async () => {
  await instances('a');
  await expect(time.settle(instance('b', { secret: 'another' }).start())).rejects.toThrow(
    "fleet.secret: the other instances of 'fleet' have another one",
  );
});

test('a store that can never be tried is no store that is away: the start ends with what is wrong', async () => {
  const a = instance('a');
  const missing = new ConfigError('fleet.store: the package ioredis is not installed');
  a.store.connect = () => Promise.reject(missing);
  await expect(time.settle(a.start())).rejects.toBe(missing);
});

test('what one instance puts on a board all have at once, and one that starts later as well', async () => {
  const [a, b] = await two();
  await time.settle(a.put('x', 1));
  await time.pass(5);
  expect(b.values).toEqual({ x: 1 });
  await time.settle(b.drop('x'));
  await time.settle(b.put('y', { n: 2 }));
  await time.pass(5);
  expect(a.values).toEqual({ y: { n: 2 } });
  const c = await time.settle(instance('c').start());
  expect(c.values).toEqual({ y: { n: 2 } });
});

test('a value that is put where another one is expected is put by one of two', async () => {
  const [a, b] = await two();
  const done = await time.settle(Promise.all([a.put('x', 'a', null), b.put('x', 'b', null)]));
  expect(done.filter(Boolean)).toHaveLength(1);
  await time.pass(5);
  expect(a.values).toEqual(b.values);
  expect(await time.settle(a.put('x', 'c', JSON.stringify(a.values['x'])))).toBe(true);
  await time.pass(5);
  expect(b.values).toEqual({ x: 'c' });
});

test('whoever hears that another value was there has that value by then', async () => {
  const [a, b] = await two();
  const { store } = b;
  const read = store.read.bind(store);
  store.read = async (...given) => {
    const news = await read(...given);
    await pause(time, 100);
    return news;
  };
  // Until the read that has begun already is over.
  await time.pass(1_000);
  await time.settle(a.put('x', 'a', null));
  expect(await time.settle(b.put('x', 'b', null))).toBe(false);
  expect(b.values).toEqual({ x: 'a' });
});

test('whoever hears that another value was there waits no longer for it than the store may take', async () => {
  const [a, b] = await two();
  await time.settle(a.put('x', 'a', null));
  await time.pass(5);
  b.hangs = true;
  await time.settle(a.put('x', 'next', '"a"'));
  const begun = time.now();
  expect(await time.settle(b.put('x', 'b', '"a"'))).toBe(false);
  expect(time.now() - begun).toBe(200);
  expect(b.values).toEqual({ x: 'a' });
});

test('a value that is expected cannot be put while the store is away', async () => {
  const [a] = await two();
  a.store.losing = 'requests';
  await expect(time.settle(a.put('x', 'a', null))).rejects.toThrow();
  expect(a.values).toEqual({});
});

test.each(['requests', 'answers'] as const)(
  'a change made while %s are lost is in force here at once, and everywhere once the store answers',
  async (losing) => {
    const [a, b] = await two();
    a.store.losing = losing;
    const put = a.put('x', 1);
    await time.pass(1);
    expect(a.values).toEqual({ x: 1 });
    expect(await time.settle(put)).toBe(true);
    await time.pass(3_000);
    a.store.losing = undefined;
    await time.pass(1_000);
    expect(b.values).toEqual({ x: 1 });
  },
);

test('two who change one value at the same moment come to have the same', async () => {
  const [a, b] = await two();
  a.store.latencyMs = 40;
  b.store.latencyMs = 3;
  for (let n = 0; n < 20; n += 1) {
    void a.put('x', `a${n}`);
    if (n % 3 === 0) void b.drop('x');
    else void b.put('x', `b${n}`);
    await time.pass(n);
  }
  await time.pass(300);
  expect(a.values).toEqual(b.values);
});

test('an instance that missed more changes than the log keeps reads all anew, and drops what was dropped', async () => {
  fleet = new VirtualFleet({ logLength: 5 });
  ({ time, store } = fleet);
  const [a, b] = await two();
  await time.settle(a.put('old', 1));
  await time.pass(5);
  b.store.losing = 'requests';
  await time.settle(a.drop('old'));
  for (let n = 0; n < 10; n += 1) await time.settle(a.put(`n${n}`, n));
  b.store.losing = undefined;
  await time.pass(2_000);
  expect(b.values).toEqual(a.values);
  expect(Object.keys(b.values)).toHaveLength(10);
});

test('a store that was flushed is told everything again, once', async () => {
  const [a, b, c] = await instances('a', 'b', 'c');
  for (let n = 0; n < 300; n += 1) await time.settle(a!.put(`n${n}`, n));
  c!.store.losing = 'requests';
  await time.settle(b!.drop('n7'));
  store.flush();
  c!.store.losing = undefined;
  await time.pass(5_000);
  const late = await time.settle(instance('d').start());
  for (const one of [a!, b!, c!]) expect(late.values).toEqual(one.values);
  expect(Object.keys(late.values).length).toBeGreaterThanOrEqual(299);
  expect(store.snapshot(BOARD).seq).toBeLessThan(310);
});

test('a failover that loses changes is told them again, drops as well', async () => {
  const [a, b] = await two();
  await time.settle(a.put('stays', 1));
  await time.settle(a.put('dropped', 1));
  await time.settle(a.put('changed', 1));
  const failOver = store.save();
  await time.settle(a.drop('dropped'));
  await time.settle(b.put('changed', 2));
  await time.settle(b.put('new', 1));
  await time.pass(5);
  failOver();
  await time.pass(3_000);
  const late = await time.settle(instance('c').start());
  expect(late.values).toEqual({ stays: 1, changed: 2, new: 1 });
  expect(a.values).toEqual(late.values);
  expect(b.values).toEqual(late.values);
});

test('the store counts as away after 1.5 s, and the instance is stale after fleet.stale', async () => {
  const [a] = await two();
  const told: unknown[] = [];
  a.member.watch(({ staleSince, isStale }) => told.push([staleSince !== undefined, isStale]));
  const lastHeard = time.now();
  a.store.losing = 'requests';
  await time.pass(2_000);
  const { staleSince = 0, isStale } = a.member.state;
  expect(isStale).toBe(false);
  expect(staleSince).toBeGreaterThan(0);
  expect(staleSince).toBeLessThanOrEqual(lastHeard);
  await time.pass(10_000);
  expect(a.member.state.isStale).toBe(true);
  a.store.losing = undefined;
  await time.pass(1_000);
  expect(a.member.state).toMatchObject({ isStale: false, staleSince: undefined });
  expect(told.slice(0, 3)).toEqual([
    // Limits go by `away.limits` already.
    [false, false],
    [true, false],
    [true, true],
  ]);
});

test('a limit holds over all instances, and what a dead one held is free within 6 s', async () => {
  const [a, b] = await two();
  expect(await time.settle(Promise.all([1, 2, 3].map(() => a.logsIn('k', 4))))).toEqual([true, true, true]);
  const both = await time.settle(Promise.all([b.logsIn('k', 4), b.logsIn('k', 4)]));
  expect(both.filter(Boolean)).toHaveLength(1);
  await time.pass(20);
  expect(total('k')).toBe(4);
  a.store.losing = 'requests';
  await time.pass(LIVES_MS + 1_000);
  expect(total('k')).toBe(1);
  a.store.losing = undefined;
  await time.pass(1_000);
  expect(total('k')).toBe(4);
  for (let n = 0; n < 3; n += 1) a.ends('k');
  b.ends('k');
  await time.pass(20);
  expect(store.places).toBe(0);
});

test('logins without a limit are counted, and do not wait', async () => {
  const [a, b] = await two();
  a.store.latencyMs = 150;
  let done = false;
  void a.logsIn('k', null).then(() => (done = true));
  await Promise.resolve();
  await time.pass(0);
  expect(done).toBe(true);
  await time.pass(200);
  expect(await time.settle(b.logsIn('k', 1))).toBe(false);
});

test('while the store is away only own sessions count, and a login never waits longer than fleet.store.timeout', async () => {
  const [a, b] = await two();
  await time.settle(b.logsIn('k', 2));
  a.store.losing = 'requests';
  const begin = time.now();
  expect(await time.settle(a.logsIn('k', 2))).toBe(true);
  expect(time.now() - begin).toBeLessThanOrEqual(201);
  const again = time.now();
  expect(await time.settle(a.logsIn('k', 2))).toBe(true);
  expect(await time.settle(a.logsIn('k', 2))).toBe(false);
  expect(time.now() - again).toBeLessThanOrEqual(2);
  a.store.losing = undefined;
  await time.pass(1_500);
  expect(total('k')).toBe(3);
});

test('limits that go by away.limits for a moment are told once, however many logins there are', async () => {
  const [a] = await two();
  const told: (readonly [number | undefined, number])[] = [];
  a.member.watch(({ limitsAwaySince, limitsAwayTimes }) => told.push([limitsAwaySince, limitsAwayTimes]));
  expect(a.member.state).toMatchObject({ limitsAwaySince: undefined, limitsAwayTimes: 0 });
  a.store.losing = 'requests';
  await time.settle(a.logsIn('k', 9));
  const { limitsAwaySince: since } = a.member.state;
  expect(since).toBe(time.now());
  for (let n = 0; n < 3; n += 1) await time.settle(a.logsIn('k', 9));
  expect(told).toEqual([[since, 1]]);
  a.store.losing = undefined;
  await time.pass(1_000);
  expect(a.member.state).toMatchObject({
    staleSince: undefined,
    limitsAwaySince: undefined,
    limitsAwayTimes: 1,
  });
  expect(told.filter(([at]) => at !== undefined)).toEqual([[since, 1]]);
});

test('a start without the store counts as once, and a close while it is away tells nothing', async () => {
  const a = instance('a');
  a.store.losing = 'requests';
  await time.settle(a.start());
  expect(a.member.state).toMatchObject({ limitsAwaySince: 0, limitsAwayTimes: 1 });
  a.store.losing = undefined;
  await time.pass(1_000);
  a.store.losing = 'requests';
  const told: unknown[] = [];
  a.member.watch((state) => told.push(state));
  void a.logsIn('k', 9);
  const closing = a.member.close();
  await time.pass(5_000);
  await closing;
  expect(told).toEqual([]);
});

test("with away.limits 'refuse' a login that has a limit fails while the store is away", async () => {
  const a = await time.settle(instance('a', { away: { revocations: 'refuse', limits: 'refuse' } }).start());
  a.store.losing = 'requests';
  await expect(time.settle(a.member.take([['k', 1, 2]]))).rejects.toThrow('does not answer');
  expect(await time.settle(a.member.take([['k', 1, null]]))).toBeUndefined();
});

test('an instance that was taken for dead tells what it has before it takes more', async () => {
  const [a, b] = await two();
  for (let n = 0; n < 3; n += 1) await time.settle(a.logsIn('k', 4));
  store.leave('id-of-a');
  expect(total('k')).toBe(0);
  expect(await time.settle(a.logsIn('k', 3))).toBe(false);
  await time.pass(20);
  expect(total('k')).toBe(3);
  expect(await time.settle(b.logsIn('k', 3))).toBe(false);
});

test('a login of an instance that was taken for dead, and that waits too long, takes nothing once it has been decided', async () => {
  const [a] = await two();
  for (let n = 0; n < 3; n += 1) await time.settle(a.logsIn('k', 9));
  store.leave('id-of-a');
  const taken: number[] = [];
  const [take, count] = [a.store.take.bind(a.store), a.store.count.bind(a.store)];
  a.store.take = (id, places) => {
    taken.push(...places.map(({ mine }) => mine));
    return take(id, places);
  };
  a.store.count = async (id, counts) => {
    await pause(time, 400);
    return count(id, counts);
  };
  expect(await time.settle(a.logsIn('k', 9))).toBe(true);
  await time.pass(2_000);
  expect(taken).toEqual([4]);
  expect(total('k')).toBe(4);
});

test('a store that was flushed knows all counts again within 10 s', async () => {
  const [a, b] = await two();
  for (let n = 0; n < 3; n += 1) await time.settle(a.logsIn('k', 4));
  store.flush();
  await time.pass(1_200);
  expect(total('k')).toBe(3);
  expect(await time.settle(b.logsIn('k', 3))).toBe(false);
});

test('what an instance tells of itself is sealed anew only where it has changed, and so is told to nobody again', async () => {
  const [a] = await two();
  const texts = new Set<string>();
  const beat = a.store.beat.bind(a.store);
  a.store.beat = (own, ...rest) => {
    texts.add(own.text);
    return beat(own, ...rest);
  };
  await time.pass(5_000);
  expect(texts.size).toBe(1);
  a.member.readsFrom(() => ({ config: '', sessions: 7, workers: 1, draining: false, lagMs: 0 }));
  await time.pass(5_000);
  expect(texts.size).toBe(2);
});

/** The counts that an instance tells from now on. */
function toldBy({ store: client }: TestInstance<MemoryClient>): (readonly [key: string, mine: number])[] {
  const told: (readonly [key: string, mine: number])[] = [];
  const count = client.count.bind(client);
  client.count = (id, counts) => {
    told.push(...counts);
    return count(id, counts);
  };
  return told;
}

test('what does not change is not told again, and all is once the store may have lost it', async () => {
  const [a] = await two();
  for (const key of ['k1', 'k2', 'k3']) await time.settle(a.logsIn(key, 4));
  await time.pass(30_000);
  const told = toldBy(a);
  await time.pass(60_000);
  expect(told).toEqual([]);
  store.flush();
  await time.pass(1_200);
  expect(told.map(([, mine]) => mine)).toEqual([1, 1, 1]);
});

test('a session that ended in the seconds that a failover loses leaves nothing', async () => {
  const [a, b] = await two();
  await time.settle(a.logsIn('k', 1));
  await time.pass(30_000);
  const failOver = store.save();
  a.ends('k');
  await time.pass(1_500);
  failOver();
  expect(total('k')).toBe(1);
  await time.pass(1_200);
  expect(total('k')).toBe(0);
  expect(await time.settle(b.logsIn('k', 1))).toBe(true);
});

test('what comes and goes while the store is away is not kept for it', async () => {
  const [a] = await two();
  await time.settle(a.logsIn('before', null));
  a.store.losing = 'requests';
  await time.pass(2_000);
  a.ends('before');
  for (let n = 0; n < 100; n += 1) {
    await time.settle(a.logsIn(`k${n}`, null));
    a.ends(`k${n}`);
  }
  const told = toldBy(a);
  a.store.losing = undefined;
  await time.pass(2_000);
  expect(told.map(([, mine]) => mine)).toEqual([0]);
});

test('an instance asks all, others, or one, and hears who does not answer', async () => {
  const [a, b] = await two();
  const ask = (whom: 'all' | 'others' | { id: string }): Promise<unknown> =>
    time.settle(a.member.ask(whom, 'others', 'question', { n: 1 }, 300));
  const fromB = { instance: 'id-of-b', worker: 1, body: 'b heard question' };
  expect(await ask('all')).toEqual([{ instance: 'id-of-a', worker: 1, body: 'a heard question' }, fromB]);
  expect(await ask('others')).toEqual([fromB]);
  expect(await ask({ id: 'id-of-b' })).toEqual([fromB]);
  expect(b.asked[0]).toEqual(['all', 'question', { n: 1 }]);
  b.store.losing = 'requests';
  expect(await ask('others')).toEqual([
    { instance: 'id-of-b', worker: 0, error: 'it did not answer in time' },
  ]);
  expect(await ask({ id: 'nobody' })).toEqual([
    { instance: 'nobody', worker: 0, error: 'no such instance lives' },
  ]);
});

test('a question that nobody waits for any more is not answered', async () => {
  const [a, b] = await two();
  b.store.losing = 'requests';
  await time.settle(a.member.ask({ id: 'id-of-b' }, 'all', 'end it', undefined, 100));
  await time.pass(8_000);
  b.store.losing = undefined;
  await time.pass(3_000);
  expect(b.asked).toEqual([]);
});

test('one instance does what only one may do, another one after its death', async () => {
  const [a, b] = await two();
  const ran: string[] = [];
  a.member.alone('turn', () => ran.push('a'));
  await time.pass(5);
  const end = b.member.alone('turn', () => ran.push('b'));
  await time.pass(20_000);
  expect(ran).toEqual(['a']);
  a.store.losing = 'requests';
  await time.pass(12_000);
  expect(ran).toEqual(['a', 'b']);
  end();
});

test('one that leaves is gone at once, and what it held is free', async () => {
  const [a, b] = await two();
  await time.settle(a.logsIn('k', 1));
  await time.settle(a.member.close());
  expect(await time.settle(b.logsIn('k', 1))).toBe(true);
  await time.pass(1_000);
  expect(b.member.state.instances.map(({ name }) => name)).toEqual(['b']);
  expect(await time.settle(b.member.proof(BOARD, 500))).toEqual({ live: 1, missing: [] });
});
