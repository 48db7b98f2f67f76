/** Rate limits that gateways share in Redis: exact together, and what happens while it is away. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import type { RateLimitOptions } from '../../plugins/rate-limit/index.ts';
import type { RunningGateway } from '../support/gateway.ts';
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
    expect(running.lines(AWAY)[0]).toMatchObject({ reason: 'Command timed out' });
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
