/** The store of a fleet while Redis is away, hangs, forgets or refuses, and afterwards. */
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { Script } from '../../../core/fleet/redis/script.ts';
import { BlackHole } from '../../support/black-hole.ts';
import { certificates } from '../../support/certificates.ts';
import { freePort } from '../../support/free-port.ts';
import { describeWith } from '../../support/programs.ts';
import { RedisServer } from '../../support/redis.ts';
import { alive, storeAt } from './redis-store.ts';

const PATIENCE = { timeout: 30_000, interval: 100 };
/** So that a store that hangs is given up soon. */
const HURRIED = { timeoutMs: 100 };
const NOTHING = { boards: {}, post: '0' };

describeWith('redis-server', (program) => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start(program);
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    await redis.ask('flushall');
  });

  /** Both connections can be asked. */
  async function works(store: Awaited<ReturnType<typeof storeAt>>): Promise<void> {
    await vi.waitFor(() => alive(store), PATIENCE);
    await store.post('a', 'letter');
    await vi.waitFor(async () => {
      const { post } = await store.read('a', NOTHING, 0);
      expect(post.at(-1)).toBe('letter');
    }, PATIENCE);
  }

  test('one that is away when a gateway starts is asked once it is there, and until then says why it is not', async () => {
    await redis.kill();
    const store = await storeAt(redis.url);
    await expect(alive(store)).rejects.toThrow(/ECONNREFUSED/);
    await expect(store.read('a', NOTHING, 10_000)).rejects.toThrow(/ECONNREFUSED/);
    await redis.start();
    await works(store);
  });

  test('one that is killed fails what waits, and when it is back has another epoch and the same number for each', async () => {
    const store = await storeAt(redis.url);
    const before = await alive(store);
    const reading = store.read('a', NOTHING, 60_000);
    reading.catch(() => {});
    await redis.kill();
    await expect(reading).rejects.toThrow();
    await expect(alive(store)).rejects.toThrow();
    await redis.start();
    const after = await vi.waitFor(() => alive(store), PATIENCE);
    expect(after.epoch).not.toBe(before.epoch);
    expect(after.lived).toBe(false);
    expect(after.number).toBe(before.number);
    await works(store);
  });

  test('what has not changed of those that live is not told again, and what has is, also to one that was away meanwhile', async () => {
    const [a, b] = [await storeAt(redis.url), await storeAt(redis.url)];
    await alive(a, 'a');
    await alive(b, 'b');
    const { live: both } = await alive(a, 'a');
    expect((await alive(a, 'a')).live).toBe(both);
    await b.beat({ id: 'b', text: 'news' }, [], 60_000);
    const { live: changed } = await alive(a, 'a');
    expect(changed).toEqual(both.map((one) => (one.id === 'b' ? { ...one, text: 'news' } : one)));
    await redis.kill();
    await redis.start();
    await vi.waitFor(() => alive(b, 'c'), PATIENCE);
    const { live: anew } = await vi.waitFor(() => alive(a, 'a'), PATIENCE);
    expect(anew.map(({ id }) => id).toSorted()).toEqual(['a', 'c']);
    await b.leave('c');
    expect((await alive(a, 'a')).live.map(({ id }) => id)).toEqual(['a']);
  });

  test('one that has missed more of the dead than are remembered hears of all', async () => {
    const [a, b] = [await storeAt(redis.url), await storeAt(redis.url)];
    await alive(b, 'early');
    await alive(a, 'a');
    await b.leave('early');
    const leaving = Array.from({ length: 2_001 }, (_, n) => b.leave(`n${n}`));
    await Promise.all(leaving);
    expect((await redis.ask('zcard postern:{test}:gone')).startsWith(':2000')).toBe(true);
    expect((await alive(a, 'a')).live.map(({ id }) => id)).toEqual(['a']);
  });

  test('a text without a life is of nobody', async () => {
    await redis.ask('hset postern:{test}:inst stray text');
    const { live } = await alive(await storeAt(redis.url), 'a');
    expect(live.map(({ id }) => id)).toEqual(['a']);
  });

  test('what is no change in its logs and boards is passed over, and what stands beside it is read', async () => {
    const store = await storeAt(redis.url);
    await alive(store);
    await store.change('b', { field: 'f', text: 'sealed', tag: 't' }, undefined);
    for (const text of ['{}', 'null', '{', '[]', '7'])
      await redis.ask(`xadd postern:{test}:log:b * c ${text}`, `hset postern:{test}:b:b ${text} ${text}`);
    const { changes } = await store.read('a', { boards: { b: 0 }, post: '0' }, 0);
    expect(changes['b']?.map(({ text }) => text)).toEqual(['sealed', '', '', '', '', '']);
    const { entries } = await store.snapshot('b');
    expect(entries.map(({ text }) => text).toSorted((x, y) => x.localeCompare(y))).toEqual([
      '',
      '',
      '',
      '',
      '',
      'sealed',
    ]);
  });

  test('one that hangs is not waited for, and goes on being asked', async () => {
    const store = await storeAt(redis.url, HURRIED);
    onTestFinished(() => redis.goOn());
    const before = await vi.waitFor(() => alive(store), PATIENCE);
    redis.hang();
    await expect(alive(store)).rejects.toThrow(/no answer within 100 ms/);
    await expect(store.read('a', NOTHING, 50)).rejects.toThrow(/no answer within 100 ms/);
    redis.goOn();
    await works(store);
    // It has lost nothing.
    const after = await vi.waitFor(() => alive(store), PATIENCE);
    expect([after.epoch, after.lived]).toEqual([before.epoch, true]);
  });

  test('one that hangs for so long that connections are made anew is asked once it goes on', async () => {
    const store = await storeAt(redis.url, HURRIED);
    onTestFinished(() => redis.goOn());
    redis.hang();
    await vi.waitFor(() => expect(alive(store)).rejects.toThrow(/Socket timeout|closed/), PATIENCE);
    redis.goOn();
    await works(store);
  });

  test('a host that swallows everything is not waited for, and is reached again when it does not', async () => {
    const hole = await BlackHole.open(redis.port);
    onTestFinished(() => hole.close());
    const store = await storeAt(`redis://127.0.0.1:${hole.port}`, HURRIED);
    await works(store);
    await hole.swallow();
    await expect(alive(store)).rejects.toThrow();
    await expect(store.read('a', NOTHING, 50)).rejects.toThrow();
    hole.recover();
    await works(store);
  });

  test('one that has lost its scripts is told them again', async () => {
    const store = await storeAt(redis.url);
    await redis.ask('script flush');
    await works(store);
    expect(await store.take('a', [{ key: 'p', mine: 1, limit: 1 }])).toEqual({
      full: undefined,
      lived: true,
    });
  });

  test('what was flushed is told anew: nobody has lived, and logs begin at 1', async () => {
    const store = await storeAt(redis.url);
    const before = await alive(store);
    await store.change('x', { field: 'f', tag: '1', text: '' }, undefined);
    await redis.ask('flushall');
    expect(await store.count('a', [['p', 1]])).toBe(false);
    const after = await alive(store, 'a', ['x']);
    expect([after.lived, after.latest]).toEqual([false, { x: 0 }]);
    expect(after.epoch).not.toBe(before.epoch);
    expect(await store.change('x', { field: 'f', tag: '1', text: '' }, undefined)).toBe(1);
  });

  test('one that may only be read is left for the one that is there then', async () => {
    const store = await storeAt(redis.url);
    await alive(store);
    await redis.ask('replicaof 127.0.0.1 1');
    onTestFinished(async () => {
      await redis.ask('replicaof no one');
    });
    await expect(alive(store)).rejects.toThrow(/READONLY/);
    await redis.ask('replicaof no one');
    await works(store);
  });

  test('what a dead one had is taken off in one step at a time, however many beats find some left', async () => {
    const run = Reflect.get(Script.prototype, 'run');
    const steps = { all: 0, underWay: 0, most: 0 };
    const spy = vi.spyOn(Script.prototype, 'run').mockImplementation(async function (
      this: Script,
      ...[redisOf, key, args]
    ) {
      // Only the script of such a step has no arguments.
      const isStep = args.length === 0;
      if (isStep) steps.most = Math.max(steps.most, (steps.underWay += 1));
      const answer = await run.call(this, redisOf, key, args);
      if (isStep) [steps.all, steps.underWay] = [steps.all + 1, steps.underWay - 1];
      return answer;
    });
    onTestFinished(() => spy.mockRestore());
    const store = await storeAt(redis.url);
    await alive(store, 'dead');
    const places = Array.from({ length: 20_000 }, (_, i) => [`p${i}`, 1] as const);
    await store.count('dead', places);
    await store.beat({ id: 'dead', text: '' }, [], 1);
    await vi.waitFor(async () => expect((await alive(store)).live).toHaveLength(1));
    await Promise.all(Array.from({ length: 4 }, () => alive(store)));
    await expect.poll(() => steps.underWay, PATIENCE).toBe(0);
    expect(await redis.ask('keys postern:*p:p*')).toMatch(/^\*0/);
    expect(steps).toEqual({ all: expect.any(Number) as number, underWay: 0, most: 1 });
  });

  test('two fleets in one store do not see each other', async () => {
    const [one, other] = [await storeAt(redis.url), await storeAt(redis.url, { name: 'other' })];
    await alive(one, 'a');
    await one.change('x', { field: 'f', tag: '1', text: '' }, undefined);
    const beat = await alive(other, 'b', ['x']);
    expect([beat.live.map(({ id }) => id), beat.latest]).toEqual([['b'], { x: 0 }]);
  });

  test('it is in the database of the url', async () => {
    const store = await storeAt(`${redis.url}/3`);
    await alive(store);
    expect(await redis.ask('dbsize', 'select 3', 'exists postern:{test}:live')).toMatch(/:0\r\n\+OK\r\n:1/);
  });

  describe('with a password', () => {
    let guarded: RedisServer;
    beforeAll(async () => {
      guarded = await RedisServer.start(program, { password: 'canary-of-redis' });
    });
    afterAll(() => guarded.stop());

    test('a wrong one is named as the reason, and not repeated', async () => {
      const store = await storeAt(guarded.url, { password: 'wrong-canary' });
      await expect(alive(store)).rejects.toThrow(/WRONGPASS/);
      await expect(alive(store)).rejects.not.toThrow(/canary/);
    });

    test('it may be in the url', async () => {
      await alive(await storeAt(guarded.url.replace('//', '//default:canary-of-redis@')));
    });

    test('it is fetched again for each connection', async () => {
      const password = vi
        .fn<() => string>(() => 'canary-of-redis')
        .mockReturnValueOnce('old')
        .mockReturnValueOnce('old');
      const store = await storeAt(guarded.url, { password });
      await vi.waitFor(() => alive(store), PATIENCE);
    });
  });

  test('with TLS its certificate has to be that of the host, by an authority that is trusted', async () => {
    const made = await certificates();
    onTestFinished(() => made.remove());
    const { certFile, keyFile } = made.server;
    const port = await freePort();
    const tls = ['--tls-port', String(port), '--tls-cert-file', certFile, '--tls-key-file', keyFile];
    const secure = await RedisServer.start(program, {
      options: [...tls, '--tls-auth-clients', 'no', '--bind', '127.0.0.1', '127.0.0.2'],
    });
    onTestFinished(() => secure.stop());
    for (const host of ['localhost', '127.0.0.1'])
      await works(await storeAt(`rediss://${host}:${port}`, { ca: made.ca.certFile }));
    const refused = async (ca: string | undefined, host: string): Promise<void> => {
      const store = await storeAt(`rediss://${host}:${port}`, { ca });
      await expect(alive(store)).rejects.toThrow(/certificate|altnames/);
    };
    await refused(undefined, 'localhost');
    await refused(made.wrongCa.certFile, 'localhost');
    await refused(made.ca.certFile, '127.0.0.2');
  });
});
