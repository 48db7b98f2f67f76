/** SET … TO DEFAULT and its other forms: a setting returns to the value of the startup packet, as on PostgreSQL itself, in both modes. */
import { Client } from 'pg';
import type { QueryConfig } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GOOD_TOKEN, databaseOf, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';

const postgres = sharedPostgres();
let database: string;
let running: RunningGateway;
const clients: Client[] = [];

beforeAll(async () => {
  database = await freshDatabase();
  running = await startGateway({
    databases: Object.fromEntries(
      (['session', 'transaction'] as const).map((mode) => [
        mode,
        databaseOf(postgres, { database, pool: { mode, size: 1, queueTimeout: '20s' } }),
      ]),
    ),
    plugins: [mapTo('writer')],
  });
});
afterAll(async () => {
  for (const client of clients) await client.end();
  await running.gateway.stop();
});

const STARTUP = '-c timezone=Asia/Tokyo -c work_mem=3MB -c my.app=mine -c lock_timeout=4s';
const NAMES = ['timezone', 'work_mem', 'my.app', 'lock_timeout', 'statement_timeout', 'application_name'];

async function connect(place: string): Promise<Client> {
  const own = {
    host: '127.0.0.1',
    port: running.port,
    user: 'writer',
    password: GOOD_TOKEN,
    database: place,
  };
  const { host, port, passwords } = postgres;
  const straight = { host, port, user: 'writer', password: passwords.writer, database };
  const client = new Client({
    ...(place === 'direct' ? straight : own),
    options: STARTUP,
    application_name: 'app',
  });
  client.on('error', () => {});
  await client.connect();
  clients.push(client);
  return client;
}

type Statement = string | QueryConfig<(string | null)[]>;

/** Tags and SQLSTATEs of each statement, and then what is in force. */
async function outcome(client: Client, statements: readonly Statement[]): Promise<unknown> {
  const all: unknown[] = [];
  for (const statement of statements) {
    const found = await (
      typeof statement === 'string' ? client.query(statement) : client.query(statement)
    ).catch((error: unknown) => (error as { code: string }).code);
    all.push(typeof found === 'string' ? found : [found].flat().map(({ command }) => command));
  }
  const list = NAMES.map((name, index) => `coalesce(current_setting('${name}', true), '') as "${index}"`);
  const { rows } = await client.query<Record<string, string>>(`select ${list.join(', ')}`);
  return [all, Object.values(rows[0] ?? {})];
}

const SET =
  "set timezone = 'Europe/Berlin'; set work_mem = '7MB'; set my.app = 'other'; set lock_timeout = 8000; set application_name = 'else'";

const WAYS: readonly (readonly [name: string, ...statements: Statement[]])[] = [
  ['SET TO DEFAULT', SET, 'set timezone to default'],
  ['SET SESSION = DEFAULT', SET, 'SET SESSION work_mem = DEFAULT'],
  ['of a name in quotes', SET, 'set "lock_timeout" to default'],
  ['of a custom setting', SET, 'set my.app to default'],
  ['of what no startup packet has', 'set statement_timeout = 4711', 'set statement_timeout to default'],
  ['of a reported parameter', SET, 'set application_name to default'],
  ['SET TIME ZONE DEFAULT', SET, 'set time zone default'],
  ['SET TIME ZONE LOCAL', SET, '/* as libraries do */ set time zone /* it */ local'],
  ['in a text with others', SET, "select 'default'; set work_mem to default; set my.app to 'last'"],
  ['behind a SET in one text', "set work_mem = '9MB'; set work_mem to default"],
  ['in front of a SET in one text', "set work_mem to default; set work_mem = '9MB'"],
  ['behind a SET in one transaction', 'begin', "set my.app = 'x'", 'set my.app to default', 'commit'],
  [
    'RESET behind a SET in one transaction',
    'begin',
    "set lock_timeout = '9s'",
    'reset lock_timeout',
    'commit',
  ],
  ['RESET ALL behind a SET', 'begin', "set lock_timeout = '9s'", 'reset all', "set my.app = 'z'", 'commit'],
  ['rolled back', SET, 'begin', 'set timezone to default', 'set work_mem to default', 'rollback'],
  [
    'rolled back to a savepoint',
    SET,
    'begin',
    'set lock_timeout to default',
    'savepoint a',
    "set lock_timeout = '9s'",
    'rollback to a',
    'commit',
  ],
  ['SET LOCAL TO DEFAULT', SET, 'begin', 'set local timezone to default', 'commit'],
  ['SET LOCAL TO DEFAULT alone', SET, 'set local work_mem to default'],
  ['of a setting that fails', SET, 'set no_such_setting to default', 'set work_mem to default'],
  ['by the extended protocol', SET, { text: 'set work_mem to default', values: [] }],
  [
    'by a named statement, twice',
    { name: 'default', text: 'set work_mem to default', values: [] },
    SET,
    { name: 'default', text: 'set work_mem to default', values: [] },
  ],
  ['set_config with NULL', SET, "select set_config('work_mem', null, false)"],
  ['set_config with a NULL that is cast', SET, "select pg_catalog.set_config('my.app', NULL::text, false)"],
  [
    'set_config with a parameter',
    SET,
    { text: "select set_config('lock_timeout', $1, false)", values: [null] },
    { text: "select set_config('work_mem', $1, false)", values: ['11MB'] },
  ],
  ['set_config with NULL for the transaction', SET, "select set_config('work_mem', null, true)"],
  [
    "set to the server's own value",
    "set work_mem = '4MB'",
    "select set_config('my.app', '', false)",
    "set lock_timeout = '9s'; set lock_timeout = 0",
  ],
];

describe.each(['session', 'transaction'])('in %s mode', (mode) => {
  test.each(WAYS)('%s', async (_name, ...statements) => {
    const [direct, own] = [await connect('direct'), await connect(mode)];
    expect(await outcome(own, statements)).toEqual(await outcome(direct, statements));
    // Later transactions find the same, and the next session nothing of it.
    expect(await outcome(own, [])).toEqual(await outcome(direct, []));
    await own.end();
    const [next, fresh] = [await connect(mode), await connect('direct')];
    expect(await outcome(next, [])).toEqual(await outcome(fresh, []));
    await Promise.all([next.end(), direct.end(), fresh.end()]);
    clients.length = 0;
  });
});

test('in session mode a SET behind many statements returns to the startup, too', async () => {
  const client = await connect('session');
  for (let i = 0; i < 50; i += 1) await client.query('select 1');
  for (let round = 0; round < 3; round += 1) {
    await client.query("set work_mem = '7MB'");
    for (let i = 0; i < 30 * round; i += 1) await client.query('select 1');
    await client.query('set work_mem to default');
    expect((await client.query('show work_mem')).rows).toEqual([{ work_mem: '3MB' }]);
  }
  await client.end();
});
