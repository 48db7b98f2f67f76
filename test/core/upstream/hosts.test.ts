/** Which server of several a connection goes to, with servers that say what a test wants them to be. */
import { describe, expect, test } from 'vitest';
import { HostStatus } from '../../../core/upstream/hosts/host-status.ts';
import type { HealthCheckResult, HostEntry } from '../../../core/upstream/hosts/host-status.ts';
import { logIn, mapTo, startGateway } from '../../support/gateway.ts';
import { RawClient } from '../../support/raw-client.ts';
import { acquire, actor, cleanUp, poolAt, portOf, reached, saying } from './actors.ts';
import { causes, request } from './support.ts';

describe('a new connection goes', () => {
  test('to the primary, wherever in the list it is, and each server is named once in the log', async () => {
    const [one, two, three] = [await actor('replica'), await actor('primary'), await actor('replica')];
    const { pool, lines } = poolAt([one, two, three]);
    for (let round = 0; round < 5; round += 1) expect(await reached(pool)).toBe(two.port);
    expect(saying(lines, 'server is primary')).toEqual([two.port]);
    await expect.poll(() => saying(lines, 'server is replica').length).toBe(2);
  });

  test('to the replica that has the fewest', async () => {
    const [one, two, three] = [await actor('primary'), await actor('replica'), await actor('replica')];
    const { pool } = poolAt([one, two, three], { target: 'replica' });
    await reached(pool);
    await expect.poll(() => pool.hosts.states.filter(({ state }) => state === 'replica').length).toBe(2);
    const ports = [];
    for (let count = 0; count < 8; count += 1) ports.push(await portOf(await acquire(pool)));
    expect(ports.filter((port) => port === two.port)).toHaveLength(4);
    expect(ports.filter((port) => port === three.port)).toHaveLength(4);
  });

  test('to the primary where replicas are preferred and there is none, and to a replica once there is one', async () => {
    const [one, two] = [await actor('primary'), await actor('starting')];
    const { pool } = poolAt([one, two]);
    expect(await reached(pool, 'prefer-replica')).toBe(one.port);
    two.role = 'replica';
    await expect.poll(() => reached(pool, 'prefer-replica')).toBe(two.port);
    expect(await reached(pool, 'any')).toBeGreaterThan(0);
  });

  test('past a host that says nothing, which not every login tries', async () => {
    const [one, two] = [await actor('silent'), await actor('replica')];
    const { pool } = poolAt([one, two], { target: 'any' });
    const before = performance.now();
    for (let round = 0; round < 30; round += 1) await pool.release(await acquire(pool), 'close');
    const looks = 2 + (performance.now() - before) / 200;
    expect(two.accepted).toBeGreaterThan(30);
    expect(one.accepted).toBeLessThan(looks);
  });

  test('past a name that leads nowhere', async () => {
    const one = await actor('primary');
    const { pool } = poolAt([one], { host: ['no-such-host.invalid', { host: 'localhost', port: one.port }] });
    expect(await reached(pool)).toBe(one.port);
  });

  test('to the only host as it comes, and nobody looks what that is', async () => {
    const one = await actor('replica');
    const { pool } = poolAt([one], { host: '127.0.0.1', port: one.port });
    expect(await reached(pool)).toBe(one.port);
    expect([one.accepted, pool.hosts.states]).toEqual([1, []]);
    await expect(poolAt([one], { queueMs: 500 }).pool.acquire(request())).rejects.toMatchObject({
      sqlstate: '57P03',
    });
  });
});

describe('where no server suits', () => {
  test('whoever wants one waits, and gets the one that is promoted', async () => {
    const [one, two] = [await actor('replica'), await actor('replica')];
    const { pool } = poolAt([one, two]);
    const waiting = [acquire(pool), acquire(pool)];
    await expect.poll(() => one.logins * two.logins).toBeGreaterThan(0);
    expect(pool).toMatchObject({ opening: 0, waiting: 2 });
    two.role = 'primary';
    for (const connection of await Promise.all(waiting)) expect(await portOf(connection)).toBe(two.port);
  });

  test.each([
    ['replica', '57P03', 'the database has no primary at the moment'],
    ['starting', '08001', 'could not connect to the database'],
    ['silent', '08001', 'could not connect to the database'],
  ] as const)('the wait is bounded, and says why: all are %s', async (role, sqlstate, text) => {
    const { pool } = poolAt([await actor(role), await actor(role)], { queueMs: 3_500 });
    await expect(acquire(pool)).rejects.toMatchObject({ sqlstate, message: text });
    expect(pool).toMatchObject({ size: 0, waiting: 0 });
  });

  test('a client whose time for the login is over reads the same', async () => {
    const host = [await actor('replica'), await actor('replica')].map(({ port }) => ({
      host: '127.0.0.1',
      port,
    }));
    const databases = { orders: { host, login: { kind: 'trust' as const } } };
    const running = await startGateway({ databases, plugins: [mapTo('reader')], loginTimeout: '5s' });
    cleanUp.push(() => running.gateway.stop());
    const client = await RawClient.connect(running.port);
    await expect(logIn(client)).rejects.toThrow(/57P03.*the database has no primary at the moment/);
  });

  test('names that lead nowhere are told as hosts that cannot be reached', async () => {
    const { pool } = poolAt([], { host: ['a.invalid', 'b.invalid'], queueMs: 1_000 });
    const error: unknown = await acquire(pool).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ sqlstate: '08001' });
    expect(causes(error)).toMatch(/ENOTFOUND|EAI_AGAIN|no host has an address/);
  });

  test('a role that is refused is told at once, by every kind of server', async () => {
    const { pool } = poolAt([await actor('strange'), await actor('strange')]);
    await expect(acquire(pool)).rejects.toMatchObject({ sqlstate: '08004' });
  });
});

describe('a connection whose server has become another', () => {
  test('is not handed out again, and whoever is bound to replicas is cut off from a primary', async () => {
    const [one, two] = [await actor('replica'), await actor('silent')];
    const { pool } = poolAt([one, two], { target: 'replica' });
    const [lent, idle] = [await acquire(pool), await acquire(pool)];
    expect([await portOf(lent), await portOf(idle)]).toEqual([one.port, one.port]);
    await pool.release(idle, 'clean');
    const free = await acquire(pool, 'prefer-replica');
    [one.role, one.timeline] = ['primary', 2];
    await expect.poll(() => [lent.channel.closed, idle.channel.closed]).toEqual([true, true]);
    expect(free.channel.closed).toBe(false);
    two.role = 'replica';
    await expect.poll(() => reached(pool)).toBe(two.port);
  });

  test('is not handed out again as soon as the server itself reports it', async () => {
    const [one, two] = [await actor('replica'), await actor('replica')];
    const { pool } = poolAt([one, two], { target: 'replica' });
    const connection = await acquire(pool);
    connection.parameters.set('in_hot_standby', 'off');
    await pool.release(connection, 'clean');
    expect(connection.channel.closed || pool.idle === 0).toBe(true);
  });

  test('is lost to everybody where its server was a primary before the last promotion', async () => {
    const [one, two] = [await actor('primary'), await actor('replica')];
    const { pool, lines } = poolAt([one, two]);
    const [old, idle] = [await acquire(pool), await acquire(pool)];
    await pool.release(idle, 'clean');
    [two.role, two.timeline] = ['primary', 2];
    await expect.poll(() => [old.channel.closed, idle.channel.closed]).toEqual([true, true]);
    for (const target of ['primary', 'any', 'prefer-replica'] as const)
      expect(await reached(pool, target)).toBe(two.port);
    expect(saying(lines, 'server is superseded')).toEqual([one.port]);
    // It stays so while the newer one is away: rows that were confirmed are missing here.
    two.role = 'starting';
    for (const socket of two.sockets) socket.destroy();
    await expect.poll(() => saying(lines, 'server is down')).toEqual([two.port]);
    expect(pool.absence(request().upstream)).toMatchObject({ sqlstate: '57P03' });
  });
});

test('nothing is left of the looks when a pool is closed', async () => {
  const actors = [await actor('primary'), await actor('replica'), await actor('silent')];
  const { pool } = poolAt(actors);
  await reached(pool);
  await pool.close();
  for (const one of actors) await expect.poll(() => one.sockets.size).toBe(0);
  const counts = actors.map(({ accepted }) => accepted);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(actors.map(({ accepted }) => accepted)).toEqual(counts);
});

describe('what is known of servers', () => {
  const primary = (timeline: number, system = '7'): HealthCheckResult => ({
    kind: 'status',
    serverStatus: { kind: 'primary', timeline, system, instance: '' },
  });
  const replica: HealthCheckResult = {
    kind: 'status',
    serverStatus: { kind: 'replica', timeline: 0, system: '7', instance: '' },
  };
  const down: HealthCheckResult = { kind: 'down', error: new Error('gone') };

  function rosterOf(...findings: readonly (HealthCheckResult | undefined)[]): {
    hostStatus: HostStatus;
    entries: readonly HostEntry[];
    readonly pass: (ms: number) => void;
  } {
    let now = 0;
    const hostStatus = new HostStatus({ now: () => now });
    const entries = findings.map((result, endpoint) => {
      const entry = hostStatus.meet({
        host: `db${endpoint}`,
        port: 5432,
        address: { host: '127.0.0.1', port: endpoint },
      });
      if (result) hostStatus.found(entry, result);
      return entry;
    });
    return { hostStatus, entries, pass: (ms) => void (now += ms) };
  }

  test.each([
    ['primary', [replica, primary(1)], [1]],
    ['primary', [primary(1), replica, undefined], []],
    ['primary', [primary(1), primary(2)], [1]],
    ['primary', [primary(9, '8'), primary(2)], [0, 1]],
    ['primary', [primary(0), primary(2)], [0, 1]],
    ['replica', [primary(1), replica, undefined], [1]],
    ['replica', [primary(1), down], []],
    ['prefer-replica', [primary(1), replica], [1]],
    ['prefer-replica', [primary(1), down], [0]],
    ['prefer-replica', [primary(1), undefined], []],
    ['any', [primary(1), replica, down, undefined], [0, 1]],
    ['any', [primary(1), primary(2), replica], [1, 2]],
    ['primary', [{ kind: 'refused', error: undefined }, down], [0]],
  ] as const)('%s of %o is %o', (target, findings, suiting) => {
    const { hostStatus, entries } = rosterOf(...findings);
    expect(hostStatus.suiting(target).map((entry) => entries.indexOf(entry))).toEqual(suiting);
  });

  test('a full server is what it was', () => {
    const { hostStatus, entries } = rosterOf(primary(1), { kind: 'crowded' });
    for (const entry of entries) hostStatus.found(entry, { kind: 'crowded' });
    expect(entries.map((entry) => hostStatus.stateOf(entry))).toEqual(['primary', 'unknown']);
  });

  test('a server that openings do not reach is tried less and less often, once at a time, until one succeeds', () => {
    const { hostStatus, entries, pass } = rosterOf(primary(1));
    const [entry] = entries;
    if (!entry) throw new Error('there is one');
    const free = (): boolean => hostStatus.choose('primary', () => 0) !== undefined;
    const pauses = [];
    for (let failures = 0; failures < 8; failures += 1) {
      hostStatus.began(entry);
      hostStatus.failed(entry);
      let ms = 0;
      for (; !free(); ms += 10) pass(10);
      pauses.push(ms);
      hostStatus.began(entry);
      expect(free()).toBe(false);
      pass(100_000);
    }
    expect(pauses[0]).toBeLessThanOrEqual(1_250);
    expect(pauses[7]).toBeGreaterThan(20_000);
    expect(pauses[7]).toBeLessThanOrEqual(37_500);
    hostStatus.succeeded(entry);
    expect(free()).toBe(true);
  });

  test('nothing that was reachable is relied on once nobody has looked for a while', () => {
    const { hostStatus, entries } = rosterOf(primary(1), replica, down);
    hostStatus.expire();
    expect(entries.map((entry) => hostStatus.stateOf(entry))).toEqual(['pending', 'pending', 'down']);
  });
});
