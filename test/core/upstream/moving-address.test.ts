/** Several servers behind one address: a proxy or a virtual IP that moves, and a load balancer that takes them in turn. */
import { describe, expect, test } from 'vitest';
import type { Pool } from '../../../core/upstream/pool/pool.ts';
import { movingProxy } from '../../support/moving-proxy.ts';
import type { MovingProxy } from '../../support/moving-proxy.ts';
import { acquire, actor, cleanUp, poolAt, portOf, reached, saying } from './actors.ts';
import type { Actor } from './actors.ts';

const at = (...actors: readonly Actor[]): { host: string; port: number }[] =>
  actors.map(({ port }) => ({ host: '127.0.0.1', port }));

async function before(...actors: readonly Actor[]): Promise<MovingProxy> {
  const proxy = await movingProxy(...at(...actors));
  cleanUp.push(() => proxy.close());
  return proxy;
}

function poolBehind(proxy: MovingProxy, more: Parameters<typeof poolAt>[1]): ReturnType<typeof poolAt> {
  return poolAt([], { host: proxy.host, port: proxy.port, ...more });
}

const statesOf = (pool: Pool): readonly string[] => pool.hosts.states.map(({ state }) => state);

describe('an address that has moved', () => {
  test('is dialled anew while what it led to is not wanted', async () => {
    const [old, next] = [await actor('replica'), await actor('primary', 2)];
    const proxy = await before(old);
    const { pool } = poolBehind(proxy, { target: 'primary' });
    const waiting = acquire(pool);
    await expect.poll(() => old.logins).toBeGreaterThan(2);
    proxy.move(...at(next));
    expect(await portOf(await waiting)).toBe(next.port);
  });

  test('is dialled anew now and then although all is well', async () => {
    const [old, next] = [await actor('primary'), await actor('primary', 2)];
    const proxy = await before(old);
    const { pool } = poolBehind(proxy, { target: 'primary' });
    const [lent, idle] = [await acquire(pool), await acquire(pool)];
    await pool.release(idle, 'clean');
    proxy.move(...at(next));
    // Nothing is opened meanwhile.
    await expect
      .poll(() => [lent.channel.closed, idle.channel.closed], { timeout: 40_000 })
      .toEqual([true, true]);
    expect(await reached(pool)).toBe(next.port);
  });

  test('is told by the first connection that leads elsewhere, and the others are on a server without a future', async () => {
    const [old, next] = [await actor('primary'), await actor('primary', 2)];
    const proxy = await before(old);
    const { pool } = poolBehind(proxy, { target: 'primary' });
    const [lent, idle] = [await acquire(pool), await acquire(pool)];
    await pool.release(idle, 'clean');
    proxy.move(...at(next));
    const [first, second] = [await acquire(pool), await acquire(pool)];
    expect([await portOf(second)]).toEqual([next.port]);
    await expect
      .poll(() => [lent, idle, first].map(({ channel }) => channel.closed))
      .toEqual([true, true, true]);
    // An address that leads back to the older one serves nobody.
    proxy.move(...at(old));
    second.channel.destroy();
    for (const socket of next.sockets) socket.destroy();
    await expect.poll(() => statesOf(pool)).toEqual(['superseded']);
    expect(pool.hosts.absence('primary')).toMatchObject({ sqlstate: '57P03' });
  });

  test('cuts nobody off whose server still is what it was', async () => {
    const [one, two, third] = [await actor('replica'), await actor('replica'), await actor('primary')];
    const proxy = await before(one, two);
    const { pool } = poolBehind(proxy, { target: 'replica', queueMs: 2_000 });
    const lent = [await acquire(pool), await acquire(pool), await acquire(pool), await acquire(pool)];
    const [first] = lent;
    expect(new Set(await Promise.all(lent.map(portOf))).size).toBe(2);
    proxy.move(...at(third));
    await expect(acquire(pool)).rejects.toMatchObject({ sqlstate: '53300' });
    expect(statesOf(pool)).toEqual(['primary']);
    expect(lent.map(({ channel }) => channel.closed)).toEqual([false, false, false, false]);
    // What comes back is lent again.
    if (first) await pool.release(first, 'clean');
    expect(await acquire(pool)).toBe(first);
    // But a replica that is promoted is none any more.
    first?.parameters.set('in_hot_standby', 'off');
    proxy.move(...at(two));
    await expect.poll(() => first?.channel.closed).toBe(true);
  });

  test('is not asked again and again as a role that is refused by now', async () => {
    const only = await actor('replica');
    const { pool } = poolAt([], { host: '127.0.0.1', port: only.port, target: 'primary' });
    const waiting = acquire(pool);
    waiting.catch(() => {});
    await expect.poll(() => only.logins).toBeGreaterThan(2);
    only.refuses = true;
    const logins = only.logins;
    const looks = only.looks;
    // The connection that it has goes on telling.
    await expect.poll(() => only.looks).toBeGreaterThan(looks + 8);
    expect(only.logins).toBeLessThanOrEqual(logins + 2);
  });
});

describe('one host with target any', () => {
  async function demoted(parameters: Readonly<Record<string, string>>) {
    const [old, next] = [await actor('replica'), await actor('primary', 2)];
    const proxy = await before(old);
    const { pool, lines } = poolBehind(proxy, {});
    const lent = [await acquire(pool), await acquire(pool), await acquire(pool)] as const;
    for (const one of lent)
      for (const [name, value] of Object.entries(parameters)) one.parameters.set(name, value);
    await pool.release(lent[1], 'clean');
    proxy.move(...at(next));
    pool.refusedWrite(lent[0]);
    return { pool, lines, lent, old, next, proxy };
  }

  test.each([{ in_hot_standby: 'on' }, {}])(
    'uses nothing again that was connected before a replica took no write (%o)',
    async (parameters) => {
      const { pool, lines, lent, next, proxy } = await demoted(parameters);
      await expect.poll(() => lent[1].channel.closed).toBe(true);
      // Whoever has one keeps it, and it is closed when it comes back.
      expect([lent[0].channel.closed, lent[2].channel.closed]).toEqual([false, false]);
      await pool.release(lent[2], 'clean');
      expect(lent[2].channel.closed).toBe(true);
      expect(await reached(pool)).toBe(next.port);
      expect(saying(lines, 'server takes no writes: its address may lead to another')).toEqual([proxy.port]);
    },
  );

  test('goes on where a client wanted a primary not to write', async () => {
    const { pool, lent, old } = await demoted({ in_hot_standby: 'off' });
    expect(await reached(pool)).toBe(old.port);
    expect(lent[1].channel.closed).toBe(false);
  });

  test('connects anew once a second at most, however many writes a replica refuses', async () => {
    const only = await actor('replica');
    const { pool } = poolAt([], { host: '127.0.0.1', port: only.port });
    const begun = performance.now();
    for (let count = 0; count < 200; count += 1) {
      const connection = await acquire(pool);
      connection.parameters.set('in_hot_standby', 'on');
      pool.refusedWrite(connection);
      await pool.release(connection, 'clean');
    }
    expect(only.logins).toBeLessThanOrEqual(2 + (performance.now() - begun) / 1_000);
  });

  test('uses a connection no more whose server was exchanged for a replica behind a pooler', async () => {
    const only = await actor('primary');
    const { pool } = poolAt([], { host: '127.0.0.1', port: only.port });
    only.reports = 'off';
    const [connection, other] = [await acquire(pool), await acquire(pool)];
    connection.parameters.set('in_hot_standby', 'on');
    await pool.release(connection, 'clean');
    await pool.release(other, 'clean');
    expect([connection.channel.closed, other.channel.closed]).toEqual([true, false]);
  });
});
