/** What one session leaves on a connection, the next one never meets: not another person's, not the same person's. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import type { Pool } from '../../../core/upstream/pool/pool.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { entryOf, poolOf, query, request } from './support.ts';
import type { CheckoutRequest } from './support.ts';

let postgres: OwnPostgres;

// A server of its own: defaults of roles are poisoned here.
beforeAll(async () => {
  postgres = await startPostgres();
  await postgres.sql(`create role team; grant team to reader; grant create on schema public to reader;
    create sequence counter; grant usage on sequence counter to reader; create schema mine authorization reader;
    create table mine.kept (i int); alter table mine.kept owner to reader`);
});
afterAll(() => postgres.stop());

const entry = (more: Partial<DatabaseOptions> = {}): DatabaseOptions => ({
  ...entryOf(postgres, { size: 1 }),
  ...more,
});

/** Everything that tells one session from a new one. */
const STATE = `select json_build_object(
  'role', current_user, 'session', session_user,
  'settings', (select json_agg(name || '=' || setting order by name) from pg_settings where source = 'session'),
  'custom', (select json_agg(s) from unnest(array[nullif(current_setting('app.claims', true), '')]) s where s is not null),
  'temp', (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
  'locks', (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'),
  'channels', (select count(*) from pg_listening_channels()),
  'cursors', (select count(*) from pg_cursors where name <> ''),
  'prepared', (select count(*) from pg_prepared_statements where name <> ''))`;

async function stateOf(pool: Pool, checkout: CheckoutRequest): Promise<{ state: string; pid: number }> {
  const connection = await pool.acquire(request(checkout));
  const [row] = await query(connection, STATE);
  const { pid } = connection;
  await pool.release(connection, 'dirty');
  return { state: row?.[0] ?? '', pid };
}

const LEAVINGS: readonly (readonly string[])[] = [
  ['set work_mem = 65'],
  ["select set_config('app.claims', 'of alice', false)"],
  ["do $$ begin perform set_config('app.claims', 'of alice', false); end $$"],
  ['set session characteristics as transaction isolation level serializable, read only, deferrable'],
  ['set default_transaction_read_only = on'],
  ['set role team'],
  ["select set_config('role', 'team', false)"],
  ['begin; set role team; commit'],
  ['create temp table t as select 1'],
  ['create temp view v as select 1', 'set search_path = pg_temp, mine'],
  ['select pg_advisory_lock(7), pg_advisory_lock_shared(8)'],
  ['listen everything'],
  ['listen everything', "notify everything, 'heard'"],
  ['begin; declare c cursor with hold for select 1; commit'],
  ['prepare p as select 1'],
  ["set client_encoding = 'LATIN1'", 'set standard_conforming_strings = off'],
  ['set datestyle = German', "set timezone = 'Asia/Tokyo'", "set intervalstyle = 'iso_8601'"],
  ['set search_path = mine, pg_catalog'],
  ["set lock_timeout = '1ms'; set statement_timeout = '1s'; set idle_session_timeout = '1min'"],
];

describe('what a session leaves is gone for', () => {
  test.each(['bob', 'alice'])('the next session, of %s', async (fingerprint) => {
    const pool = poolOf(entry());
    const clean = await stateOf(pool, { fingerprint });
    for (const leave of LEAVINGS) {
      const connection = await pool.acquire(request({ fingerprint: 'alice' }));
      for (const sql of leave) await query(connection, sql);
      const [row] = await query(connection, STATE);
      expect([leave, row?.[0] === clean.state]).toEqual([leave, false]);
      await pool.release(connection, 'dirty');
      expect([leave, await stateOf(pool, { fingerprint })]).toEqual([leave, clean]);
    }
    await pool.close();
  });

  test('whoever asks for the last value of a sequence', async () => {
    const pool = poolOf(entry());
    const connection = await pool.acquire(request());
    await query(connection, "select nextval('counter')");
    await pool.release(connection, 'dirty');
    const next = await pool.acquire(request({ fingerprint: 'bob' }));
    expect(next.pid).toBe(connection.pid);
    for (const ask of ["select currval('counter')", 'select lastval()'])
      await expect(query(next, ask)).rejects.toThrow('55000');
    await pool.close();
  });

  test('a value of onCheckout that cannot be sent costs one request, and no connection', async () => {
    const pool = poolOf(entry({ pool: { size: 3 } }));
    const lent = await Promise.all([1, 2, 3].map(() => pool.acquire(request())));
    await Promise.all(lent.map((connection) => pool.release(connection, 'dirty')));
    await expect.poll(() => pool.idle).toBe(3);
    const absent = { 'app.claims': undefined } as unknown as Readonly<Record<string, string>>;
    await expect(pool.acquire(request({ onCheckout: [() => absent] }))).rejects.toMatchObject({
      code: 'internal_error',
    });
    await expect.poll(() => pool.idle).toBe(3);
    await pool.close();
  });

  test('the unnamed statement and the unnamed portal', async () => {
    const pool = poolOf(entry());
    const connection = await pool.acquire(request({ onCheckout: [() => ({ 'app.claims': 'secret' })] }));
    await pool.release(connection, 'dirty');
    const next = await pool.acquire(request({ fingerprint: 'bob' }));
    const rows = await query(next, 'select name, statement from pg_prepared_statements');
    expect(rows).toEqual([]);
    await pool.close();
  });
});

describe('claims', () => {
  const claims = (value: string): NonNullable<CheckoutRequest['onCheckout']> => [
    () => ({ 'app.claims': value }),
  ];
  const seen = `select current_setting('app.claims', true)`;

  test('of one identity are never those of the next, nor are they there for one without', async () => {
    const pool = poolOf(entry());
    for (const name of ['alice', 'bob', 'carol', 'alice']) {
      const connection = await pool.acquire(request({ fingerprint: name, onCheckout: claims(name) }));
      expect(await query(connection, seen)).toEqual([[name]]);
      await query(connection, "set app.claims = 'forged'");
      await pool.release(connection, 'dirty');
    }
    const connection = await pool.acquire(request({ fingerprint: 'dave' }));
    expect(await query(connection, seen)).toEqual([['']]);
    await pool.close();
  });

  test('are set anew where a connection is handed on as it was, and a change of them resets it', async () => {
    const pool = poolOf(entry());
    const give = async (checkout: CheckoutRequest, sql: string): Promise<string | null | undefined> => {
      const connection = await pool.acquire(request(checkout));
      const [row] = await query(connection, sql);
      await pool.release(connection, 'clean');
      return row?.[0];
    };
    const forge = `select set_config('app.claims', 'forged', false), set_config('app.mark', 'here', false)`;
    const mark = `select current_setting('app.claims') || ' ' || current_setting('app.mark', true)`;
    await give({ onCheckout: claims('one') }, forge);
    // As it was, but for what policies rely on.
    expect(await give({ onCheckout: claims('one') }, mark)).toBe('one here');
    expect(await give({ onCheckout: claims('two') }, mark)).toBe('two ');
    await give({ onCheckout: claims('two') }, forge);
    expect(await give({}, `select current_setting('app.claims', true)`)).toBe('');
    await give({ onCheckout: claims('two') }, forge);
    expect(await give({ fingerprint: 'bob', onCheckout: claims('two') }, mark)).toBe('two ');
    await pool.close();
  });

  test('a parameter that only the last session chose is gone where the connection is handed on as it was', async () => {
    const pool = poolOf(entry());
    const plain = await pool.acquire(request());
    const before = plain.parameters.get('TimeZone');
    await pool.release(plain, 'clean');
    const first = await pool.acquire(request({ parameters: { TimeZone: 'Asia/Tokyo' } }));
    expect(first.parameters.get('TimeZone')).toBe('Asia/Tokyo');
    await pool.release(first, 'clean');
    const second = await pool.acquire(request());
    expect([second.pid, second.parameters.get('TimeZone')]).toEqual([first.pid, before]);
    await pool.close();
  });
});

describe('a session that wants its state to stay', () => {
  const next = async (pool: Pool): Promise<{ pid: number; state: string }> => {
    const found = await stateOf(pool, { fingerprint: 'bob' });
    await pool.close();
    return found;
  };

  test('cannot make the reset run out of time by a short limit and much to drop', async () => {
    const pool = poolOf(entry());
    const clean = await stateOf(pool, {});
    const connection = await pool.acquire(request());
    const tables = `do $$ begin for i in 1..800 loop execute 'create temp table t' || i || ' (i int)'; end loop; end $$`;
    await query(connection, tables);
    await query(connection, "set app.claims = 'of alice'");
    await query(connection, 'set statement_timeout = 2');
    await pool.release(connection, 'dirty');
    // The same one, or another one: clean.
    expect((await next(pool)).state).toBe(clean.state);
  });

  test('cannot make it wait by a deferrable default', async () => {
    const pool = poolOf(entry());
    const clean = await stateOf(pool, {});
    const connection = await pool.acquire(request());
    await query(
      connection,
      'set default_transaction_isolation = serializable; set default_transaction_read_only = on; set default_transaction_deferrable = on',
    );
    await pool.release(connection, 'dirty');
    expect(await next(pool)).toEqual({ pid: connection.pid, state: clean.state });
  });

  test('cannot make it hang by a lock: the connection is cancelled and closed, and counts until then', async () => {
    const pool = poolOf(entry());
    const clean = await stateOf(pool, {});
    const connection = await pool.acquire(request());
    await query(connection, 'create function pg_temp.f() returns int language sql as $$ select 1 $$');
    await query(connection, 'create table mine.hostage (i int default pg_temp.f())');
    const locking = postgres.sql('begin; lock table mine.hostage; select pg_sleep(8); commit');
    const waits = `select from pg_locks where relation = 'mine.hostage'::regclass and granted`;
    await expect.poll(() => postgres.sql(waits)).not.toHaveLength(0);
    await pool.release(connection, 'dirty');
    expect(pool).toMatchObject({ size: 1, resetting: 1 });
    const found = await next(pool);
    expect(found.state).toBe(clean.state);
    expect(found.pid).not.toBe(connection.pid);
    await locking;
  });
});

describe('a role that poisons its own defaults', () => {
  const SHOWN = `select current_user, current_setting('role'), current_setting('client_encoding'),
    current_setting('default_transaction_deferrable'), current_setting('standard_conforming_strings'), current_setting('search_path')`;

  test('does not get past what is pinned, at no login and after no reset', async () => {
    await postgres.sql(`alter role reader set role = 'team'; alter role reader set client_encoding = 'LATIN1';
      alter role reader set default_transaction_deferrable = on; alter role reader set standard_conforming_strings = off;
      alter role reader set search_path = mine`);
    const pool = poolOf(entry());
    for (let round = 0; round < 3; round += 1) {
      const connection = await pool.acquire(request({ schemas: ['public'], fingerprint: `${round}` }));
      expect(await query(connection, SHOWN)).toEqual([['reader', 'none', 'UTF8', 'off', 'on', '"public"']]);
      await query(connection, 'set role team; set search_path = mine; set standard_conforming_strings = off');
      await pool.release(connection, 'dirty');
    }
    await pool.close();
    await postgres.sql('alter role reader reset all');
  });
});

test('a connection on which policies wanted two things of one session is reset for the next one of its identity', async () => {
  const pool = poolOf(entry({ pool: { size: 1 } }));
  const claims = (value: string): NonNullable<CheckoutRequest['onCheckout']> => [
    () => ({ 'app.claims': value }),
  ];
  const mark = "select current_setting('app.claims', true), current_setting('app.mark', true)";
  const holder = {};
  const give = async (checkout: CheckoutRequest, sql: string): Promise<unknown> => {
    const connection = await pool.acquire(request(checkout));
    const answer = await query(connection, sql);
    await pool.release(connection, 'clean');
    return answer;
  };
  await give({ holder, onCheckout: claims('old') }, mark);
  await give(
    { holder, onCheckout: claims('new') },
    "select set_config('app.mark', 'made under new claims', false)",
  );
  expect(await give({ holder: {}, onCheckout: claims('old') }, mark)).toEqual([['old', '']]);
  await give({ holder, onCheckout: [] }, mark);
  await give({ holder, onCheckout: claims('new') }, mark);
  expect(await give({ holder: {}, onCheckout: [] }, mark)).toEqual([['', '']]);
  await pool.close();
});
