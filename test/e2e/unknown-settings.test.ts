/** Settings that no text shows, in transaction mode: by `unknownSettings` they are gone after their transaction, or keep their connection. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GOOD_TOKEN, databaseOf, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';

const postgres = sharedPostgres();
let database: string;
let running: RunningGateway;

const FUNCTION = (name: string, body: string): string =>
  `create function ${name}() returns int language plpgsql as $$ begin ${body}; return 1; end $$`;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    [
      FUNCTION('sets', `perform set_config('my.mark', 'left', false)`),
      FUNCTION('sets_by_set', `set my.mark = 'left'`),
      FUNCTION('sets_by_text', `execute 'set my.mark = ''left'''`),
      FUNCTION('sets_for_others', `perform sets()`),
      FUNCTION('sets_locally', `perform set_config('my.mark', 'left', true)`),
      FUNCTION('locks', `perform pg_advisory_lock(4711)`),
      FUNCTION('listens', `listen news`),
      FUNCTION('fails', `perform sets(); perform 1/0`),
      `create table t (i int); grant all on t to writer`,
      `create function fires() returns trigger language plpgsql as $$ begin perform sets(); return new; end $$`,
      'create trigger fires before insert on t for each row execute function fires()',
      'create view settings as select name, setting from pg_settings',
    ].join('; '),
    database,
  );
  const entry = (more: object) =>
    databaseOf(postgres, { database, pool: { mode: 'transaction', queueTimeout: '20s', ...more } });
  running = await startGateway({
    databases: {
      reset: entry({ unknownSettings: 'reset', size: 1 }),
      pin: entry({ unknownSettings: 'pin', size: 2 }),
      tags: entry({ unknownSettings: 'pin', size: 2, detect: 'tags' }),
    },
    plugins: [mapTo('writer')],
  });
});
afterAll(() => running.gateway.stop());

async function connect(name: string): Promise<Client> {
  const address = { host: '127.0.0.1', port: running.port, user: '_', password: GOOD_TOKEN, database: name };
  const client = new Client(address);
  client.on('error', () => {});
  await client.connect();
  return client;
}

const mark = async (client: Client): Promise<unknown> =>
  (
    await client.query<{ mark: string }>(
      `select coalesce(nullif(current_setting('my.mark', true), ''), 'none') as mark`,
    )
  ).rows[0]?.mark;

const pins = (): unknown[] =>
  running.lines('the server connection stays with the session').map(({ why }) => why);

const UNSEEN = 'settings that no text shows';
const OF_FUNCTIONS = 'settings of functions';

/** Statements; with `'pin'`, why the connection stays, and the value that is kept. Without a reason nothing is left in either. */
const ROWS: readonly (readonly [what: string, why: string | undefined, statements: readonly string[]])[] = [
  ['a function, of which nothing is known yet', OF_FUNCTIONS, ['select sets()']],
  ['a function that is known', OF_FUNCTIONS, ['select sets()']],
  ['a function in a transaction', OF_FUNCTIONS, ['begin', 'select 1', 'select sets()', 'commit']],
  ['a function with SET', OF_FUNCTIONS, ['select sets_by_set()']],
  ['a function with EXECUTE', OF_FUNCTIONS, ['select sets_by_text()']],
  ['a function of a function', OF_FUNCTIONS, ['select sets_for_others()']],
  ['a trigger', OF_FUNCTIONS, ['insert into t values (1)']],
  ['DO', UNSEEN, [`do $$ begin set my.mark = 'left'; end $$`]],
  ['a name that is computed', UNSEEN, [`select set_config('my.' || 'mark', 'left', false)`]],
  ['a SET, by its text', undefined, ['set work_mem = 4711']],
  ['a function that sets for the transaction', undefined, ['select sets_locally()']],
  ['a view of pg_settings', undefined, ['select count(*) from settings']],
  ['a SET that only a superuser may', undefined, [`set log_statement = 'all'`]],
  ['a SET of what the role may not see', undefined, [`set data_directory = 'x'`]],
  ['a call that only a superuser may', undefined, [`select set_config('log_statement', 'all', false)`]],
  ['a SET of a bad value', undefined, [`set work_mem = 'much'`, 'select 1']],
  ['a SET of a name that there is not', undefined, ['begin', 'set no_such_setting = 1', 'rollback']],
  ['a RESET that only a superuser may', undefined, ['reset log_statement']],
  ['a lock of a function, which is no setting', undefined, ['select locks()']],
  ['LISTEN in a function, which is none either', undefined, ['select listens()']],
];

describe.each(['reset', 'pin'])("with '%s'", (mode) => {
  test.each(ROWS)('%s', async (_what, why, statements) => {
    const [before, client, other] = [pins().length, await connect(mode), await connect(mode)];
    for (const statement of statements) await client.query(statement).catch(() => {});
    for (let round = 0; round < 3; round += 1) {
      expect(await mark(other)).toBe('none');
      expect(await mark(client)).toBe(why !== undefined && mode === 'pin' ? 'left' : 'none');
    }
    expect(pins().slice(before)).toEqual(why === undefined || mode === 'reset' ? [] : [why]);
    await Promise.all([client.end(), other.end()]);
    const next = [await connect(mode), await connect(mode)];
    expect(await Promise.all(next.map(mark))).toEqual(next.map(() => 'none'));
    await Promise.all(next.map((one) => one.end()));
  });

  test('a failing SET loses no setting of its transaction or session', async () => {
    const [client, other] = [await connect(mode), await connect(mode)];
    await client.query(`set my.mark = 'mine'`);
    await expect(client.query(`set log_statement = 'all'`)).rejects.toMatchObject({ code: '42501' });
    await expect(client.query(`set my.mark = 'else'; set log_statement = 'all'`)).rejects.toThrow();
    await client.query('begin; savepoint a');
    await expect(client.query(`set log_statement = 'all'`)).rejects.toThrow();
    await client.query('rollback to a');
    await client.query(`set work_mem = '3MB'`);
    await client.query('commit');
    expect(await mark(other)).toBe('none');
    expect([await mark(client), (await client.query('show work_mem')).rows]).toEqual([
      'mine',
      [{ work_mem: '3MB' }],
    ]);
    await Promise.all([client.end(), other.end()]);
  });
});

test('a function that fails, and one of a prepared statement', async () => {
  const [client, other] = [await connect('pin'), await connect('pin')];
  await expect(client.query('select fails()')).rejects.toMatchObject({ code: '22012' });
  expect([await mark(other), await mark(client)]).toEqual(['none', 'none']);
  const [next] = [await connect('pin')];
  await client.end();
  for (let round = 0; round < 2; round += 1) {
    await next.query({ name: 'mine', text: 'select sets()' });
    expect([await mark(other), await mark(next)]).toEqual(['none', 'left']);
  }
  await Promise.all([next.end(), other.end()]);
});

test("with detect 'tags' functions are trusted to set nothing", async () => {
  const [before, client] = [pins().length, await connect('tags')];
  await client.query('select sets()');
  expect(pins().length).toBe(before);
  await client.end();
});
