/** Who gets which connection, in which order, and what makes room for whom. */
import { describe, expect, test } from 'vitest';
import type { PoolOptions } from '../../../core/contract/pool.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import type { Pool } from '../../../core/upstream/pool/pool.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { entryOf, poolOf, query, request } from './support.ts';
import type { CheckoutRequest } from './support.ts';

const postgres = sharedPostgres();

const entry = (pool: PoolOptions) => entryOf(postgres, pool);

const lend = (pool: Pool, ...wanted: readonly CheckoutRequest[]): Promise<readonly ServerConnection[]> =>
  Promise.all(wanted.map((one) => pool.acquire(request(one))));

async function settled(pool: Pool): Promise<void> {
  await expect.poll(() => pool.resetting + pool.opening).toBe(0);
}

describe('an idle connection goes', () => {
  test('back to the same session first, as it is; then to the same identity; then to anybody, reset', async () => {
    const pool = poolOf(entry({ size: 3 }));
    const [holder, other] = [{}, {}];
    const [one, two, three] = await lend(pool, { holder }, { holder: other }, { fingerprint: 'bob' });
    if (!one || !two || !three) throw new Error('three were asked for');
    await query(one, "set app.mark = 'mine'");
    for (const connection of [one, two, three]) await pool.release(connection, 'clean');
    expect(pool).toMatchObject({ idle: 3, resetting: 0 });
    expect([
      pool.checkOutSame(three, holder),
      pool.checkOutSame(one, {}),
      pool.checkOutSame(one, other),
    ]).toEqual(Array(3).fill(false));
    expect([pool.checkOutSame(one, holder), pool.checkOutSame(one, holder)]).toEqual([true, false]);
    expect(pool).toMatchObject({ idle: 2, lent: 1 });
    await pool.release(one, 'clean');
    const again = await pool.acquire(request({ holder }));
    expect([again, await query(again, 'show app.mark')]).toEqual([one, [['mine']]]);
    // The latest that alice left.
    expect((await pool.acquire(request())).pid).toBe(two.pid);
    const carol = await pool.acquire(request({ fingerprint: 'carol' }));
    expect(carol.pid).toBe(three.pid);
    await pool.close();
  });

  test('to a stranger only after a reset, whatever its session said of it', async () => {
    const pool = poolOf(entry({ size: 1 }));
    const [connection] = await lend(pool, {});
    if (!connection) throw new Error('one was asked for');
    await query(connection, "set app.mark = 'mine'");
    await pool.release(connection, 'clean');
    const stranger = await pool.acquire(request({ fingerprint: 'bob', holder: {} }));
    expect(stranger.pid).toBe(connection.pid);
    expect(await query(stranger, "select current_setting('app.mark', true)")).toEqual([['']]);
    await pool.release(stranger, 'clean');
    expect(pool.checkOutSame(connection, {})).toBe(false);
    await pool.close();
  });

  test('to the next one while it is warm: the last used first', async () => {
    const pool = poolOf(entry({ size: 3 }));
    const lent = await lend(pool, {}, {}, {});
    for (const connection of lent) {
      await pool.release(connection, 'dirty');
      await settled(pool);
    }
    expect((await pool.acquire(request({ fingerprint: 'bob' }))).pid).toBe(lent[2]?.pid);
    await pool.close();
  });
});

describe('the settings of a session', () => {
  test('are what ParameterStatus says', async () => {
    const pool = poolOf(entry({ size: 1 }));
    const parameters = {
      application_name: 'mine',
      TimeZone: 'Asia/Tokyo',
      DateStyle: 'German',
      client_encoding: 'LATIN1',
    };
    const [first] = await lend(pool, { parameters });
    expect(Object.fromEntries(first?.parameters ?? [])).toMatchObject({
      ...parameters,
      DateStyle: 'German, DMY',
    });
    await pool.close();
  });

  test('are set in advance for who comes next and wants the same; for others they are as if nobody had', async () => {
    const pool = poolOf(entry({ size: 1 }));
    const parameters = { application_name: 'alike', TimeZone: 'Asia/Tokyo', client_encoding: 'UTF8' };
    const all = { ...parameters, extra_float_digits: '2' };
    const [fresh] = await lend(pool, {});
    if (!fresh) throw new Error('one was asked for');
    const plain = Object.fromEntries(fresh.parameters);
    await pool.release(fresh, 'dirty');
    const first = await pool.acquire(request({ parameters: all }));
    await query(first, "set application_name = 'changed'; set extra_float_digits = 0");
    await pool.release(first, 'dirty');
    await settled(pool);
    const begun = async (): Promise<unknown> =>
      (await postgres.sql(`select query_start from pg_stat_activity where pid = ${fresh.pid}`))[0]?.[
        'query_start'
      ];
    const before = await begun();
    const second = await pool.acquire(request({ fingerprint: 'bob', parameters: all }));
    expect([second.pid, await begun()]).toEqual([fresh.pid, before]);
    expect(Object.fromEntries(second.parameters)).toEqual({ ...plain, ...parameters });
    expect(await query(second, 'show extra_float_digits')).toEqual([['2']]);
    await pool.release(second, 'dirty');
    await settled(pool);
    const third = await pool.acquire(request({ fingerprint: 'carol' }));
    expect([third.pid, Object.fromEntries(third.parameters)]).toEqual([fresh.pid, plain]);
    expect(
      await query(
        third,
        `select current_setting('TimeZone'), current_setting('application_name'), current_setting('extra_float_digits')`,
      ),
    ).toEqual([[plain['TimeZone'], '', '1']]);
    await pool.close();
  });

  test('that are as the last session of the same person had them cost no round trip', async () => {
    const pool = poolOf(entry({ size: 1 }));
    const parameters = { application_name: 'same', extra_float_digits: '3' };
    const first = await pool.acquire(request({ parameters }));
    await query(first, 'select 1');
    const begun = async (): Promise<unknown> =>
      (await postgres.sql(`select query_start from pg_stat_activity where pid = ${first.pid}`))[0];
    const before = await begun();
    await pool.release(first, 'clean');
    const second = await pool.acquire(request({ parameters }));
    expect([second.pid, await begun()]).toEqual([first.pid, before]);
    await pool.release(second, 'clean');
    const third = await pool.acquire(request({ parameters: { ...parameters, extra_float_digits: '0' } }));
    expect(await query(third, 'show extra_float_digits')).toEqual([['0']]);
    await pool.close();
  });

  test('are set although the reset between two sessions has removed the same ones', async () => {
    const pool = poolOf(entry({ size: 1 }));
    const first = await pool.acquire(request({ parameters: { geqo: 'off', work_mem: '5MB' } }));
    await pool.release(first, 'clean');
    const second = await pool.acquire(request({ parameters: { geqo: 'off', jit: 'off' } }));
    expect(second.pid).toBe(first.pid);
    const rows = await query(second, "select current_setting('geqo'), current_setting('work_mem')");
    expect(rows).toEqual([['off', '4MB']]);
    await pool.close();
  });

  test('that nothing understands refuse it as PostgreSQL does, and the connection serves the next one', async () => {
    const pool = poolOf(entry({ size: 1 }));
    const [first] = await lend(pool, {});
    if (first) await pool.release(first, 'dirty');
    for (const [name, value, sqlstate = '22023'] of [
      ['TimeZone', 'nonsense'],
      ['client_encoding', 'KLINGON'],
      ['client_encoding', 'MULE_INTERNAL', '0A000'],
      ['no_such_thing', '1', '42704'],
      ['app.no such', '1', '42602'],
      ['log_statement', 'all', '42501'],
      ['port', '1', '55P02'],
      ['extra_float_digits', '99'],
      ['DateStyle', "x'; drop table y; --"],
    ] as const) {
      const parameters = { application_name: 'fine', [name]: value };
      const refused = await pool.acquire(request({ parameters })).catch((error: unknown) => error);
      expect(refused).toMatchObject({ sqlstate, message: expect.stringContaining(name) as string });
    }
    const next = await pool.acquire(request());
    expect(next.pid).toBe(first?.pid);
    expect(next.parameters.get('application_name')).toBe('');
    await pool.close();
  });

  test('that a policy pins or sets win over the client’s', async () => {
    const pool = poolOf(entry({ size: 2 }));
    const parameters = { TimeZone: 'Asia/Tokyo', application_name: 'client' };
    const onCheckout = [() => ({ Application_Name: 'policy' })];
    const [connection] = await lend(pool, { parameters, onCheckout, settings: { timezone: 'UTC' } });
    expect(Object.fromEntries(connection?.parameters ?? [])).toMatchObject({
      TimeZone: 'UTC',
      application_name: 'policy',
    });
    await pool.close();
  });
});

describe('room', () => {
  test('is made by closing what nobody has used for longest', async () => {
    const pool = poolOf(entry({ size: 2 }));
    const [oldest, newest] = await lend(pool, {}, { settings: { work_mem: '1MB' } });
    if (!oldest || !newest) throw new Error('two were asked for');
    await pool.release(oldest, 'dirty');
    await settled(pool);
    await pool.release(newest, 'dirty');
    await settled(pool);
    const [other] = await lend(pool, { role: 'writer' });
    expect([oldest.channel.closed, newest.channel.closed]).toEqual([true, false]);
    expect(pool).toMatchObject({ size: 2, lent: 1, idle: 1 });
    expect(other?.role).toBe('writer');
    await pool.close();
  });

  test('for one role is perRole; another role has its own', async () => {
    const pool = poolOf(entry({ size: 4, perRole: 1 }));
    const [reader, writer] = await lend(pool, {}, { role: 'writer' });
    const waiting = pool.acquire(request({ settings: { work_mem: '1MB' } }));
    expect(pool).toMatchObject({ size: 2, waiting: 1 });
    if (writer) await pool.release(writer, 'dirty');
    await settled(pool);
    expect(pool).toMatchObject({ size: 2, waiting: 1, idle: 1 });
    if (reader) await pool.release(reader, 'dirty');
    await waiting;
    expect(reader?.channel.closed).toBe(true);
    expect(pool).toMatchObject({ size: 2, lent: 1, idle: 1, waiting: 0 });
    await pool.close();
  });

  test('for those who connect is limited, and they share what becomes free', async () => {
    const pool = poolOf(entry({ size: 10, connecting: 2 }));
    let most = 0;
    const all = Array.from({ length: 10 }, async () => {
      const connection = await pool.acquire(request());
      most = Math.max(most, pool.opening);
      await pool.release(connection, 'clean');
    });
    most = pool.opening;
    await Promise.all(all);
    expect(most).toBe(2);
    expect(pool.size).toBeLessThan(10);
    await pool.close();
  });
});

describe('the queue', () => {
  test('gives each identity its turn, whoever has asked how often', async () => {
    const pool = poolOf(entry({ size: 1 }));
    const [first] = await lend(pool, {});
    const order: string[] = [];
    const ask = async (fingerprint: string): Promise<void> => {
      const connection = await pool.acquire(request({ fingerprint }));
      order.push(fingerprint);
      await pool.release(connection, 'dirty');
    };
    const all = [...Array.from({ length: 10 }, () => ask('greedy')), ask('bob'), ask('carol'), ask('bob')];
    expect(pool.waiting).toBe(13);
    if (first) await pool.release(first, 'dirty');
    await Promise.all(all);
    expect(order.slice(0, 5)).toEqual(['greedy', 'bob', 'carol', 'greedy', 'bob']);
    await pool.close();
  });

  test('does not let a busy role keep another one out', async () => {
    const pool = poolOf(entry({ size: 2 }));
    const order: string[] = [];
    const ask = async (checkout: CheckoutRequest): Promise<void> => {
      const connection = await pool.acquire(request(checkout));
      order.push(connection.role);
      // Longer than it takes to open one, were there two hundred of it.
      await query(connection, 'select pg_sleep(0.005)');
      await pool.release(connection, 'clean');
    };
    const lent = await lend(pool, {}, {});
    const all = Array.from({ length: 20 }, (_, i) => ask({ fingerprint: `reader ${i}` }));
    all.push(ask({ role: 'writer', fingerprint: 'writer' }));
    all.push(...Array.from({ length: 200 }, () => ask({ fingerprint: 'reader 0' })));
    for (const connection of lent) await pool.release(connection, 'dirty');
    await Promise.all(all);
    expect(order.indexOf('writer')).toBeLessThan(60);
    await pool.close();
  });

  test('after a thousand requests that leave at random moments every count is exact', async () => {
    const pool = poolOf(entry({ size: 4 }));
    let most = 0;
    let random = 11;
    const next = (below: number): number => (random = (random * 48_271) % 2_147_483_647) % below;
    const one = async (): Promise<void> => {
      const leaving = new AbortController();
      const role = next(4) === 0 ? 'writer' : 'reader';
      const onCheckout = next(3) === 0 ? [() => ({ 'app.claims': 'x' })] : [];
      const wanted = { role, onCheckout, fingerprint: `${next(9)}`, signal: leaving.signal };
      const timer = setTimeout(() => leaving.abort(new Error('left')), next(30));
      const connection = await pool.acquire(request(wanted)).catch((error: unknown) => {
        expect(error).toMatchObject({ message: 'left' });
      });
      most = Math.max(most, pool.size);
      if (next(2) === 0) clearTimeout(timer);
      if (connection)
        await pool.release(connection, (['clean', 'dirty', 'close'] as const)[next(3)] ?? 'close');
      clearTimeout(timer);
    };
    for (let round = 0; round < 20; round += 1) await Promise.all(Array.from({ length: 50 }, one));
    await expect.poll(() => pool.resetting + pool.opening).toBe(0);
    expect(most).toBe(4);
    expect(pool).toMatchObject({ lent: 0, waiting: 0 });
    await expect.poll(() => pool.size - pool.idle).toBe(0);
    const four = await lend(pool, {}, {}, { role: 'writer' }, { role: 'writer' });
    expect(new Set(four.map(({ pid }) => pid)).size).toBe(4);
    await pool.close();
    expect(pool).toMatchObject({ size: 0, idle: 0, lent: 0, waiting: 0 });
  });
});
