/** The table in core/config/README.md of what outlives a transaction in transaction mode, tried row by row before a real server. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseRole } from '../../core/contract/names.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { GOOD_TOKEN, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { documentAt, table } from '../support/markdown.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';

const HEADING = 'What outlives a transaction';
const postgres = sharedPostgres();
let running: RunningGateway;

/** Two sessions of one person: what is left is not undone between them because they are strangers. */
const onePerson: AnyPlugin = {
  name: 'one-person',
  provides: ['identity'],
  async onAuth(session, upstream) {
    await session.token();
    session.establish('identity', {
      subject: 'ada',
      issuer: 'test',
      claims: {},
      expiresAt: new Date(Date.now() + 3_600_000),
    });
    // LOAD is for superusers.
    return {
      ...upstream,
      role: parseRole(session.startup.database.includes('load') ? postgres.superuser : 'writer'),
    };
  },
};

const detectOf = (name: string): 'tags' | 'calls' | 'state' =>
  (['state', 'calls'] as const).find((one) => name.startsWith(one)) ?? 'tags';

beforeAll(async () => {
  const database = await freshDatabase();
  await postgres.sql(
    `create sequence ids; grant usage on sequence ids to writer; grant create on schema public to writer;
     grant reader to writer;
     create function locks() returns void language sql as 'select pg_advisory_lock(7)'`,
    database,
  );
  const { host, port, passwords, superuser, password } = postgres;
  running = await startGateway({
    // One entry for each try: nothing of another try is on its connections.
    databases: (name) => ({
      host,
      port,
      database,
      login: { kind: 'password', passwords: { ...passwords, [superuser]: password } },
      privilegedRoles: [superuser],
      pool: { mode: 'transaction', size: 2, detect: detectOf(name) },
    }),
    plugins: [onePerson],
  });
});
afterAll(() => running.gateway.stop());

/** What a session does, how it looks for it in its next transaction, and what it finds if it is there. */
type Try = readonly [does: string | ((client: Client) => Promise<unknown>), looks: string, finds: string];

const LOCKS = "select count(*)::text from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
const TEMPORARY = "select to_regclass('pg_temp.x')::text";
const CHANNELS = 'select count(*)::text from pg_listening_channels()';
const inside = (sql: string): string => `do $$ begin execute '${sql}'; end $$`;

/** By the first words of the table's rows. */
const TRIES: Readonly<Record<string, readonly Try[]>> = {
  'a statement that the driver prepares': [
    [(client) => client.query({ name: 'mine', text: 'select 42' }), 'select 42', '42'],
  ],
  'what the startup packet has': [['select 1', 'show intervalstyle', 'sql_standard']],
  '`TimeZone` and others that the server reports': [
    ["set application_name = 'mine'", 'show application_name', 'mine'],
    ["set timezone = 'Asia/Tokyo'", 'show timezone', 'Asia/Tokyo'],
    ["set time zone 'Asia/Tokyo'", 'show timezone', 'Asia/Tokyo'],
    ["select set_config('datestyle', 'German, DMY', false)", 'show datestyle', 'German, DMY'],
    [inside("set intervalstyle = ''iso_8601''"), 'show intervalstyle', 'iso_8601'],
    ["begin; set client_encoding = 'LATIN1'; commit", 'show client_encoding', 'LATIN1'],
  ],
  'any other setting': [
    ['set statement_timeout = 4711', 'show statement_timeout', '4711ms'],
    ['begin; set statement_timeout = 4711; commit', 'show statement_timeout', '4711ms'],
    ["select set_config('statement_timeout', '4711', false)", 'show statement_timeout', '4711ms'],
    ['set search_path = pg_catalog', 'show search_path', 'pg_catalog'],
    ['set extra_float_digits = 2', 'show extra_float_digits', '2'],
    ["set my.app = 'mine'", "select current_setting('my.app', true)", 'mine'],
    ['set role reader', 'select current_user', 'reader'],
    ['set session characteristics as transaction read only', 'show transaction_read_only', 'on'],
  ],
  'a setting that no text shows': [
    [inside('set statement_timeout = 4711'), 'show statement_timeout', '4711ms'],
    ["select set_config('statement' || '_timeout', '4711', false)", 'show statement_timeout', '4711ms'],
    [
      "update pg_settings set setting = '4711' where name = 'statement_timeout'",
      'show statement_timeout',
      '4711ms',
    ],
  ],
  '`LISTEN`': [['listen news', CHANNELS, '1']],
  '`PREPARE`': [['prepare p as select 42', 'execute p', '42']],
  'a cursor `WITH HOLD`': [
    ['declare c cursor with hold for select 42', 'fetch c', '42'],
    ['begin; declare c cursor with hold for select 42; commit', 'fetch c', '42'],
  ],
  'a temporary object': [
    ['create temp table x (n int)', TEMPORARY, 'x'],
    ['begin; create local temporary table x (n int); commit', TEMPORARY, 'x'],
    ['create temp table x as select 1', TEMPORARY, 'x'],
    ['select 1 as n into temp x', TEMPORARY, 'x'],
    ['create temp view x as select 1', TEMPORARY, 'x'],
    ['create temp sequence x', TEMPORARY, 'x'],
    ['create table pg_temp.x (n int)', TEMPORARY, 'x'],
    ['create table pg_temp.x as select 1', TEMPORARY, 'x'],
    ["create function pg_temp.f() returns int language sql as 'select 42'", 'select pg_temp.f()', '42'],
    [inside('create temp table x (n int)'), TEMPORARY, 'x'],
  ],
  'an advisory lock of the session': [
    ['select pg_advisory_lock(7)', LOCKS, '1'],
    ['select pg_try_advisory_lock_shared(7)', LOCKS, '1'],
    [(client) => client.query('select pg_advisory_lock($1)', [7]), LOCKS, '1'],
    ['do $$ begin perform pg_advisory_lock(7); end $$', LOCKS, '1'],
  ],
  '`LOAD`': [["load 'plpgsql'", 'show plpgsql.variable_conflict', 'error']],
  'one of the five above that neither text': [
    [inside('listen news'), CHANNELS, '1'],
    [inside('prepare p as select 42'), 'execute p', '42'],
    [inside('declare c cursor with hold for select 42'), 'fetch c', '42'],
    ['select locks()', LOCKS, '1'],
  ],
  '`currval`': [
    ["select nextval('ids')", "select (currval('ids') > 0)::text", 'true'],
    ["select nextval('ids')", 'select (lastval() > 0)::text', 'true'],
  ],
  '`setseed`': [['select setseed(0.5)', 'select (random() = 0.2499104186659835)::text', 'true']],
};

async function connect(database: string): Promise<Client> {
  const options = '-c intervalstyle=sql_standard';
  const where = { host: '127.0.0.1', port: running.port, user: '_', password: GOOD_TOKEN, database };
  const client = new Client({ ...where, options });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** The first value of the answer, or the SQLSTATE. */
async function ask(client: Client, text: string): Promise<string> {
  try {
    const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' });
    return String(rows[0]?.[0]);
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const pidOf = (client: Client): Promise<string> => ask(client, 'select pg_backend_pid()');
const kept = (): number => running.lines('the server connection stays with the session').length;

/** Takes the connection that another session has just used; null if that keeps it. Gives the sessions that it took for it. */
async function take(pid: string, database: string, before: number): Promise<readonly Client[] | null> {
  const [one, two] = [await connect(database), await connect(database)];
  await one.query('begin');
  if ((await pidOf(one)) === pid) return [one, two];
  let begun = false;
  const waiting = two.query('begin').then(
    () => (begun = true),
    () => {},
  );
  await expect.poll(() => begun || kept() > before).toBe(true);
  if (!begun) {
    await one.query('commit');
    await waiting;
    await Promise.all([one.end(), two.end()]);
    return null;
  }
  // The client's next transaction takes the other connection.
  await one.query('commit');
  return [one, two];
}

/** `stays`, `follows` or `lost`, as the table has it. */
async function outcome([does, looks, finds]: Try, database: string): Promise<string> {
  const before = kept();
  const mine = await connect(database);
  const pid = await pidOf(mine);
  await (typeof does === 'string' ? mine.query(does) : does(mine));
  const others = await take(pid, database, before);
  expect((await pidOf(mine)) === pid).toBe(others === null);
  const found = (await ask(mine, looks)) === finds;
  await Promise.all([mine, ...(others ?? [])].map((client) => client.end()));
  if (!found) return 'lost';
  return others === null ? 'stays' : 'follows';
}

const rows = table(documentAt('core/config/README.md'), HEADING);

test('each row is tried, and each try has a row', () => {
  const untried = rows.filter(([what = '']) => !Object.keys(TRIES).some((begin) => what.startsWith(begin)));
  const unsaid = Object.keys(TRIES).filter((begin) => !rows.some(([what = '']) => what.startsWith(begin)));
  expect({ untried, unsaid }).toEqual({ untried: [], unsaid: [] });
});

let tries = 0;
describe.each(['tags', 'calls', 'state'] as const)("detect: '%s'", (detect) => {
  test.each(Object.keys(TRIES))('%s', async (begin) => {
    const [, tags, state] = rows.find(([what = '']) => what.startsWith(begin)) ?? [];
    for (const one of TRIES[begin] ?? []) {
      const database = `${detect}-${(tries += 1)}${begin === '`LOAD`' ? '-load' : ''}`;
      expect(await outcome(one, database), String(one[0])).toBe(detect === 'state' ? state : tags);
    }
  });
});
