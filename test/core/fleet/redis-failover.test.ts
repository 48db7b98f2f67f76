/** The store of a fleet while another Redis takes over: found by Sentinels, or behind an address that moves. */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { machineTimers } from '../../../core/workers/timers.ts';
import { BOARD, TestInstance } from '../../support/fleet-instance.ts';
import { movingProxy } from '../../support/moving-proxy.ts';
import { describeWith } from '../../support/programs.ts';
import { RedisServer } from '../../support/redis.ts';
import { watchedRedis } from '../../support/sentinel.ts';
import type { RedisStore, RedisStoreOptions } from '../../../core/fleet/redis/redis-store.ts';
import { alive, PLAIN, storeAt } from './redis-store.ts';

const PATIENCE = { timeout: 60_000, interval: 200 };
const HURRIED = { name: 'fleet', timeoutMs: 500 };
/** Of a connection that commands are sent by. */
const COMMANDS = /id=(\d+) .*name=postern-fleet .*cmd=evalsha/;

type Instance = TestInstance<RedisStore>;

async function instances(url: string, options: Partial<RedisStoreOptions>): Promise<[Instance, Instance]> {
  const { RedisStore: Store } = await import('../../../core/fleet/redis/redis-store.ts');
  const begin = async (name: string): Promise<Instance> => {
    const store = new Store({ ...PLAIN, url, ...HURRIED, ...options });
    const one = new TestInstance(name, { store, timers: machineTimers, clock: Date.now });
    onTestFinished(() => one.member.close());
    await one.start();
    return one;
  };
  const both: [Instance, Instance] = [await begin('a'), await begin('b')];
  await vi.waitFor(() => {
    for (const { member } of both) expect(member.state.instances).toHaveLength(2);
  }, PATIENCE);
  return both;
}

/** Each hears the other, and a proof is given. */
async function actAsOne(a: Instance, b: Instance, values: Record<string, unknown>): Promise<void> {
  for (const one of [a, b]) {
    await vi.waitFor(async () => {
      expect(await one.member.proof(BOARD, 1_000)).toEqual({ live: 2, missing: [] });
      expect(one.member.state.isStale).toBe(false);
    }, PATIENCE);
    expect(one.values).toEqual(values);
  }
  const [answer] = await a.member.ask('others', 'lead', 'question', undefined, 5_000);
  expect(answer).toMatchObject({ body: 'b heard question' });
}

const roleOf = async (server: RedisServer): Promise<string> =>
  (await server.ask('role')).split('\r\n')[2] ?? '';

/** Without the sockets of the test's own questions. */
async function connectedTo(server: RedisServer): Promise<number> {
  return (await server.ask('client list')).split('\n').filter((line) => line.includes('name=postern-fleet'))
    .length;
}

describeWith('redis-server', (program) => {
  describe('with Sentinels', () => {
    test('failover loses writes: what the replica has not heard of shows, and is put again', async () => {
      const watched = await watchedRedis(program);
      onTestFinished(() => watched.stop());
      // One Sentinel is away: others are asked.
      const sentinels = [1, ...watched.sentinelPorts].map((port) => ({ host: '127.0.0.1', port }));
      const [a, b] = await instances('redis://fleet', { sentinels });
      await a.put('kept', 1);
      await actAsOne(a, b, { kept: 1 });
      const before = await alive(a.store, 'other', [BOARD]);
      await vi.waitFor(async () => {
        expect(await watched.replica.ask(`get postern:{fleet}:seq:${BOARD}`)).toContain('\n1');
      }, PATIENCE);
      await watched.fallBehind();
      await a.put('lost', 2);
      await watched.primary.kill();
      const after = await vi.waitFor(() => alive(a.store, 'other', [BOARD]), PATIENCE);
      // Also where the next change gets the place of the one that was lost.
      expect(after.epoch).not.toBe(before.epoch);
      await a.store.leave('other');
      await actAsOne(a, b, { kept: 1, lost: 2 });
      const { entries } = await a.store.snapshot(BOARD);
      expect(entries).toHaveLength(2);
    });

    test('failover without a death: the primary before goes on answering, and nobody stays with it', async () => {
      const watched = await watchedRedis(program);
      onTestFinished(() => watched.stop());
      const sentinels = watched.sentinelPorts.map((port) => ({ host: '127.0.0.1', port }));
      const [a, b] = await instances('redis://fleet', { sentinels });
      await a.put('x', 1);
      await watched.failOver();
      // The Sentinels make it a replica some seconds later only.
      await vi.waitFor(async () => expect(await connectedTo(watched.replica)).toBe(4), PATIENCE);
      expect(await roleOf(watched.primary)).toBe('master');
      expect(await connectedTo(watched.primary)).toBe(0);
      await b.put('y', 2);
      await actAsOne(a, b, { x: 1, y: 2 });
      await vi.waitFor(async () => expect(await roleOf(watched.primary)).toBe('slave'), PATIENCE);
      await actAsOne(a, b, { x: 1, y: 2 });
    });

    test('Sentinels that are away keep no gateway from starting, and are asked again', async () => {
      const sentinels = [{ host: '127.0.0.1', port: 1 }];
      const store = await storeAt('redis://fleet', { sentinels });
      await expect(alive(store)).rejects.toThrow(/sentinels are unreachable/i);
    });
  });

  describe('behind an address that moves', () => {
    /** Two servers, and an address that leads to the first of them. */
    async function moving(): Promise<{
      before: RedisServer;
      after: RedisServer;
      url: string;
      move: () => void;
    }> {
      const [before, after] = [await RedisServer.start(program), await RedisServer.start(program)];
      const proxy = await movingProxy({ host: '127.0.0.1', port: before.port });
      onTestFinished(async () => {
        await proxy.close();
        await Promise.all([before.stop(), after.stop()]);
      });
      const move = (): void => proxy.move({ host: '127.0.0.1', port: after.port });
      return { before, after, url: `redis://127.0.0.1:${proxy.port}`, move };
    }

    /** As a balancer or a network does: the connection that waits for changes stays. */
    async function cutCommands(server: RedisServer): Promise<void> {
      await vi.waitFor(async () => {
        const [, id = ''] = COMMANDS.exec(await server.ask('client list')) ?? [];
        expect(await server.ask(`client kill id ${id}`)).toContain(':1');
      }, PATIENCE);
    }

    test('a connection that waits for changes at the server before is made anew, with the other', async () => {
      const { before, after, url, move } = await moving();
      const store = await storeAt(url, HURRIED);
      await alive(store);
      const reading = store.read('a', { boards: { x: 0 }, post: '0' }, 60_000);
      reading.catch(() => undefined);
      move();
      await cutCommands(before);
      // That one is still whole, and would hear nothing for ever.
      await expect(reading).rejects.toThrow();
      await vi.waitFor(() => alive(store), PATIENCE);
      await store.post('a', 'letter');
      await vi.waitFor(async () => {
        expect((await store.read('a', { boards: {}, post: '0' }, 0)).post).toEqual(['letter']);
      }, PATIENCE);
      expect([await connectedTo(before), await connectedTo(after)]).toEqual([0, 2]);
    });

    test('what the server before says to a reading counts no more once commands go to the next', async () => {
      const { before, url, move } = await moving();
      const store = await storeAt(url, HURRIED);
      await alive(store);
      move();
      await before.ask('xadd postern:{fleet}:log:x 1-0 c {"field":"f","text":"of-another-log"}');
      await cutCommands(before);
      await vi.waitFor(() => alive(store), PATIENCE);
      const read = vi.waitFor(() => store.read('a', { boards: { x: 0 }, post: '0' }, 0), PATIENCE);
      expect((await read).changes).toEqual({});
    });

    test('a primary that becomes a replica is left, also by the connection that waits', async () => {
      const { before, after, url, move } = await moving();
      const [a, b] = await instances(url, {});
      await a.put('x', 1);
      move();
      await before.ask(`replicaof 127.0.0.1 ${after.port}`);
      await vi.waitFor(async () => expect(await connectedTo(after)).toBe(4), PATIENCE);
      await actAsOne(a, b, { x: 1 });
    });

    test('two servers in turn are none: it says so', async () => {
      const { before, after } = await moving();
      const both = [before, after].map(({ port }) => ({ host: '127.0.0.1', port }));
      const proxy = await movingProxy(...both);
      onTestFinished(() => proxy.close());
      const store = await storeAt(`redis://127.0.0.1:${proxy.port}`, HURRIED);
      await vi.waitFor(() => expect(alive(store)).rejects.toThrow(/lead to different servers/), {
        ...PATIENCE,
        interval: 10,
      });
    });
  });

  test('instance cut off: a primary that has lost its replicas takes nothing, where it is told to', async () => {
    const options = ['--min-replicas-to-write', '1', '--min-replicas-max-lag', '1'];
    const primary = await RedisServer.start(program, { options });
    onTestFinished(() => primary.stop());
    const replica = await RedisServer.start(program, {
      options: ['--replicaof', '127.0.0.1', String(primary.port)],
    });
    onTestFinished(() => replica.stop());
    const store = await vi.waitFor(async () => {
      const one = await storeAt(primary.url, HURRIED);
      await alive(one);
      return one;
    }, PATIENCE);
    await replica.kill();
    await vi.waitFor(() => expect(alive(store)).rejects.toThrow(/NOREPLICAS/), PATIENCE);
    await replica.start();
    await vi.waitFor(() => alive(store), PATIENCE);
  });
});
