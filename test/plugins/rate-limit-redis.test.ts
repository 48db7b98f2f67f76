/** Rate limits that gateways share in Redis: exact together, and what happens while it is away. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RateLimitOptions, RedisOptions } from '../../plugins/rate-limit/index.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { lateProxy } from '../support/late-proxy.ts';
import type { LateProxy } from '../support/late-proxy.ts';
import { describeWith } from '../support/programs.ts';
import { RedisServer } from '../support/redis.ts';
import { limited, login, readiness, refusal, reload } from './rate-limited.ts';

const PATIENCE = { timeout: 30_000, interval: 100 };
const AWAY = 'the store of rate limits is away';
const BACK = 'the store of rate limits is back';

describeWith('redis-server', (program) => {
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await RedisServer.start(program, { password: 'canary-of-redis' });
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    await redis.ask('flushall');
  });

  function withRedis(options: RateLimitOptions, failOpen = true): Parameters<typeof limited>[0] {
    const store = { kind: 'redis', url: redis.url, password: redis.password, timeout: '1s' } as const;
    return { ...options, store, failOpen };
  }

  /** Brings it back whatever became of the test. */
  function repaired(): void {
    onTestFinished(async () => {
      redis.goOn();
      await redis.kill();
      await redis.start();
    });
  }

  async function outcomes(client: Client, times: number): Promise<number> {
    let passed = 0;
    for (let i = 0; i < times; i += 1) {
      const outcome = await refusal(client.query('select 1'));
      if (outcome === 'it was not refused') passed += 1;
      else expect(outcome).toMatch(/^53400: too many statements/);
    }
    return passed;
  }

  /** Statements until it says stop, each of which has to succeed. */
  function load(client: Client): { stop(): Promise<number> } {
    const state = { going: true };
    const work = (async () => {
      let count = 0;
      for (; state.going; count += 1) await client.query('select 1');
      return count;
    })();
    work.catch(() => {});
    return {
      stop() {
        state.going = false;
        return work;
      },
    };
  }

  const lots = { statements: { per: 'subject', limit: '1000000/s' } } as const;

  test('bytes are counted however many they are', async () => {
    const options = withRedis({ bytes: { per: 'subject', limit: '1kB/d', burst: '20kB' } });
    const gateway = await limited(options);
    const client = await login(gateway);
    const huge = "select repeat('x', 1000) from generate_series(1, 5000)";
    expect(await refusal(client.query(huge))).toBe('it was not refused');
    const next = async (): Promise<string> => refusal((await login(gateway)).query('select 1'));
    // The answer has passed before it is charged.
    await vi.waitFor(async () => expect(await next()).toMatch(/^53400: too much data/), PATIENCE);
  });

  test('two gateways have one limit together, to the statement', async () => {
    const options = withRedis({ statements: { per: 'subject', limit: '1/d', burst: 100 } });
    const gateways = await Promise.all([limited(options), limited(options)]);
    const clients = await Promise.all([0, 1, 0, 1, 0, 1].map((i) => login(gateways[i] as RunningGateway)));
    const passed = await Promise.all(clients.map((client) => outcomes(client, 30)));
    expect(passed.reduce((sum, one) => sum + one)).toBe(100);
  });

  test("a limit that is not shared is each gateway's own", async () => {
    const options = withRedis({ statements: { per: 'subject', limit: '2/d', shared: false } });
    for (const running of [await limited(options), await limited(options)])
      expect(await outcomes(await login(running), 4)).toBe(2);
    expect(await redis.ask('dbsize')).toContain(':0');
  });

  test('in a storm on two gateways there are no more than burst and limit allow', async () => {
    const options = withRedis({ statements: { per: 'subject', limit: '50/s', burst: 10 } });
    const gateways = await Promise.all([limited(options), limited(options)]);
    const clients = await Promise.all(
      Array.from({ length: 20 }, (_, i) => login(gateways[i % 2] as RunningGateway)),
    );
    const from = performance.now();
    const passed = await Promise.all(clients.map((client) => outcomes(client, 30)));
    const seconds = (performance.now() - from) / 1_000;
    const sum = passed.reduce((all, one) => all + one);
    expect(sum).toBeGreaterThanOrEqual(10);
    expect(sum).toBeLessThanOrEqual(10 + 50 * seconds + 1);
  });

  test('delays, bytes, failed logins and connections go through the store as well', async () => {
    const options = withRedis({
      connections: { per: 'address', limit: '4/d' },
      failedLogins: { per: 'address', limit: '2/d', block: '1h' },
      statements: { per: 'subject', limit: '20/s', burst: 1, mode: 'delay', maxDelay: '1m' },
      bytes: { per: 'subject', limit: '1kB/d', burst: '20kB' },
    });
    const [one, other] = [await limited(options), await limited(options)];
    const client = await login(one);
    const from = performance.now();
    for (let i = 0; i < 4; i += 1) await client.query('select 1');
    expect(performance.now() - from).toBeGreaterThanOrEqual(100);
    await client.query("select repeat('x', 30000)");
    const second = await login(other);
    await vi.waitFor(async () => {
      expect(await refusal(second.query('select 1'))).toMatch(/^53400: too much data/);
    }, PATIENCE);
    for (const gateway of [one, other])
      expect(await refusal(login(gateway, { password: 'bad' }))).toMatch(/^28P01/);
    await vi.waitFor(async () => {
      expect(await refusal(login(one))).toMatch(/^53400: too many failed logins/);
    }, PATIENCE);
    // 'bad' twice, good twice: the address has had its four.
    expect(await refusal(login(other, { from: '127.0.0.2' }))).toBe('it was not refused');
    expect(await redis.ask('keys *')).toMatch(/postern:rate:[\w-]{43}\r\n/);
    expect(await redis.ask('keys *')).not.toMatch(/alice|127/);
  });

  test('every key in the store goes away by itself', async () => {
    const running = await limited(withRedis({ statements: { per: 'subject', limit: '10/s', burst: 2 } }));
    await outcomes(await login(running), 2);
    expect(await redis.ask('dbsize')).toContain(':1');
    await vi.waitFor(async () => expect(await redis.ask('dbsize')).toContain(':0'), PATIENCE);
  });

  test('killed and started again under load: sessions never notice, where failOpen is true', async () => {
    repaired();
    const running = await limited(withRedis(lots));
    const clients = await Promise.all(Array.from({ length: 5 }, () => login(running)));
    const loads = clients.map(load);
    await sleep(300);
    await redis.kill();
    await vi.waitFor(() => expect(running.lines(AWAY)).toHaveLength(1), PATIENCE);
    await login(running);
    const { status, text } = await readiness(running);
    expect(status).toBe(200);
    expect(text).toMatch(
      /\[\+\] rate-limit: the store cannot be asked \(.*\): this gateway counts for itself/,
    );
    await redis.start();
    await vi.waitFor(() => expect(running.lines(BACK)).toHaveLength(1), PATIENCE);
    await sleep(300);
    for (const one of loads) expect(await one.stop()).toBeGreaterThan(0);
    expect((await readiness(running)).text).toMatch(/\[\+\] rate-limit\n/);
    expect(running.text()).not.toContain('canary-of-redis');
    expect(running.lines('internal error')).toEqual([]);
  });

  test('hung and released under load: sessions never notice, where failOpen is true', async () => {
    repaired();
    const running = await limited(withRedis(lots));
    const client = await login(running);
    const under = load(client);
    await sleep(200);
    redis.hang();
    await vi.waitFor(() => expect(running.lines(AWAY)).toHaveLength(1), PATIENCE);
    // By the time-out of the options, and not because the connection was given up.
    expect(running.lines(AWAY)[0]).toMatchObject({ reason: 'no answer within 1000 ms' });
    await login(running);
    redis.goOn();
    await vi.waitFor(() => expect(running.lines(BACK)).toHaveLength(1), PATIENCE);
    expect(await under.stop()).toBeGreaterThan(0);
  });

  test('away, each gateway still keeps the limit by itself', async () => {
    repaired();
    await redis.kill();
    const running = await limited(withRedis({ statements: { per: 'subject', limit: '3/d' } }));
    expect(await outcomes(await login(running), 6)).toBe(3);
  });

  test.each(['killed', 'hung'])(
    '%s with failOpen false: what has a limit is refused, and sessions stay',
    async (how) => {
      repaired();
      const options = {
        ...lots,
        connections: { per: 'address', limit: '1000/s', except: ['127.0.0.5/32'] },
      } as const;
      const running = await limited(withRedis(options, false));
      const client = await login(running);
      if (how === 'killed') await redis.kill();
      else redis.hang();
      await vi.waitFor(async () => {
        expect(await refusal(client.query('select 1'))).toBe(
          '53400: limits cannot be checked now (Try again in some seconds.)',
        );
      }, PATIENCE);
      expect(await refusal(login(running))).toMatch(/^57P03: limits cannot be checked now/);
      await login(running, { from: '127.0.0.5' });
      const { status, text } = await readiness(running);
      expect(status).toBe(503);
      expect(text).toMatch(/\[-\] rate-limit: the store cannot be asked \(.*\): what has a limit is refused/);
      if (how === 'killed') await redis.start();
      else redis.goOn();
      await vi.waitFor(async () => expect((await readiness(running)).status).toBe(200), PATIENCE);
      await client.query('select 1');
      await login(running);
    },
  );

  describe('that answers late', () => {
    async function late(
      options: Partial<RedisOptions> = {},
      { failOpen = false, ...limits }: RateLimitOptions = lots,
    ): Promise<{ proxy: LateProxy; client: Client; running: RunningGateway }> {
      const proxy = await lateProxy(redis.port);
      onTestFinished(() => proxy.close());
      const store = { kind: 'redis', password: redis.password, ...options } as const;
      const url = `redis://127.0.0.1:${proxy.port}`;
      const running = await limited({ ...limits, store: { ...store, url }, failOpen });
      return { proxy, client: await login(running), running };
    }

    async function refused(client: Client, times: number): Promise<number> {
      let count = 0;
      for (let i = 0; i < times; i += 1)
        if ((await refusal(client.query('select 1'))) !== 'it was not refused') count += 1;
      return count;
    }

    test('is not away: not one statement is refused', async () => {
      const { proxy, client, running } = await late();
      proxy.lateness = 200;
      expect(await refused(client, 40)).toBe(0);
      const clients = await Promise.all(Array.from({ length: 8 }, () => login(running)));
      expect(await Promise.all(clients.map((one) => refused(one, 40)))).toEqual(clients.map(() => 0));
      expect(running.lines(AWAY)).toEqual([]);
    });

    test('is waited for longer, however short the time-out is', async () => {
      const { proxy, client } = await late({ timeout: '50ms' });
      proxy.lateness = 150;
      expect(await refused(client, 1)).toBe(1);
      await vi.waitFor(async () => expect(await refused(client, 1)).toBe(0), PATIENCE);
      expect(await refused(client, 20)).toBe(0);
    });

    test('has not counted what was refused meanwhile', async () => {
      const limits = { statements: { per: 'subject', limit: '1/d', burst: 5 } } as const;
      const { proxy, client } = await late({ timeout: '50ms' }, limits);
      expect(await refused(client, 1)).toBe(0);
      proxy.lateness = 300;
      expect(await refusal(client.query('select 1'))).toMatch(/^53400: limits cannot be checked now/);
      proxy.lateness = 0;
      await vi.waitFor(async () => expect(await refused(client, 1)).toBe(0), PATIENCE);
      expect(await outcomes(client, 6)).toBe(3);
    });

    test('counts for nobody where each gateway can count for itself', async () => {
      const { proxy, client, running } = await late({ timeout: '50ms' }, { ...lots, failOpen: true });
      proxy.lateness = 150;
      expect(await refused(client, 100)).toBe(0);
      expect(running.lines(AWAY)).toHaveLength(1);
      proxy.lateness = 0;
      await vi.waitFor(() => expect(running.lines(BACK)).toHaveLength(1), PATIENCE);
    });
  });

  test.each(['killed', 'hung'])('%s, it serves again as soon as it is back', async (how) => {
    repaired();
    const running = await limited(withRedis(lots, false));
    const client = await login(running);
    for (let round = 0; round < 3; round += 1) {
      if (how === 'killed') await redis.kill();
      else redis.hang();
      const away = async (): Promise<void> =>
        expect(await refusal(client.query('select 1'))).toMatch(/^53400: limits cannot be checked now/);
      await vi.waitFor(away, PATIENCE);
      await sleep(1_500);
      if (how === 'killed') await redis.start();
      else redis.goOn();
      const from = performance.now();
      await vi.waitFor(() => client.query('select 1'), { ...PATIENCE, interval: 5 });
      console.log(`${how}: served ${Math.round(performance.now() - from)} ms after it was back`);
    }
  });

  test('what it cannot count is taken from no other limit either', async () => {
    repaired();
    const own = { per: 'subject', limit: '3/d', shared: false } as const;
    const running = await limited(withRedis({ statements: [own, lots.statements] }, false));
    const client = await login(running);
    await redis.kill();
    for (let i = 0; i < 5; i += 1)
      expect(await refusal(client.query('select 1'))).toMatch(/^53400: limits cannot be checked now/);
    await redis.start();
    await vi.waitFor(() => client.query('select 1'), PATIENCE);
    expect(await outcomes(client, 5)).toBe(2);
  });

  test('with a password that is replaced, which a new connection reads', async () => {
    repaired();
    let password = redis.password;
    const store = { kind: 'redis', url: redis.url, password: () => password } as const;
    const running = await limited({ ...lots, store, failOpen: true });
    const client = await login(running);
    await redis.kill();
    await redis.start();
    password = 'canary-another';
    await redis.ask(`config set requirepass ${password}`, 'client kill type normal');
    await vi.waitFor(() => expect(running.lines(AWAY)).not.toEqual([]), PATIENCE);
    await vi.waitFor(() => expect(running.lines(BACK).length).toBe(running.lines(AWAY).length), PATIENCE);
    await client.query('select 1');
    expect(running.text()).not.toContain('canary-another');
  });

  test('with a password that a reload brings, by another function', async () => {
    repaired();
    const from = (password: string): RateLimitOptions => ({
      ...lots,
      store: { kind: 'redis', url: redis.url, password: () => password },
      failOpen: true,
    });
    const running = await limited(from('canary-wrong'));
    expect(running.lines(AWAY)).toHaveLength(1);
    await reload(running, from(redis.password));
    await vi.waitFor(() => expect(running.lines(BACK)).toHaveLength(1), PATIENCE);
    expect(await outcomes(await login(running), 2)).toBe(2);
  });

  test('a gateway starts without it, whichever way, and so does one with a wrong password', async () => {
    const wrong = { kind: 'redis', url: redis.url, password: 'canary-wrong' } as const;
    const running = await limited({ ...lots, store: wrong, failOpen: true });
    await (await login(running)).query('select 1');
    expect(running.lines(AWAY)).toHaveLength(1);
    expect(running.text()).not.toContain('canary-wrong');
  });

  test('a reload keeps connection and counters, and the end of the gateway leaves no connection behind', async () => {
    const connections = async (): Promise<number> => {
      const text = await redis.ask('client list');
      return text.split('\n').filter((line) => line.includes('name=postern')).length;
    };
    await vi.waitFor(async () => expect(await connections()).toBe(0), PATIENCE);
    const options = withRedis({ statements: { per: 'subject', limit: '2/d' } });
    const running = await limited(options);
    expect(await outcomes(await login(running), 1)).toBe(1);
    await reload(running, options);
    expect(await connections()).toBe(1);
    expect(await outcomes(await login(running), 3)).toBe(1);
    await running.gateway.stop();
    await vi.waitFor(async () => expect(await connections()).toBe(0), PATIENCE);
  });
});
