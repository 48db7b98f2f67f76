/** Questions of plugins to a database: one connection of their own, whatever becomes of it. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { GatewayError } from '../../../core/contract/errors.ts';
import { Pools } from '../../../core/gateway/pools.ts';
import { parseRole } from '../../../core/contract/names.ts';
import { Lookups } from '../../../core/upstream/lookups.ts';
import type { EntryPauses } from '../../../core/upstream/lookups.ts';
import { databaseOf } from '../../support/gateway.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';

let postgres: OwnPostgres;
const opened: Lookups[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
});
afterEach(() => {
  for (const lookups of opened.splice(0)) lookups.close();
});
afterAll(() => postgres.stop());

function lookups(pauses?: EntryPauses): Lookups {
  const entry = databaseOf(postgres);
  const passwords = { ...postgres.passwords, postgres: postgres.password };
  const hosts = { ...entry, host: ['127.0.0.1'], login: { kind: 'password', passwords } } as const;
  const made = new Lookups(
    (name) => ({ orders: hosts, gone: { ...hosts, port: 1 }, owned: { ...hosts, login: SET_ROLE } })[name],
    pauses,
  );
  opened.push(made);
  return made;
}

const SET_ROLE = { kind: 'set-role', user: 'writer', password: 'x', trustedSql: true } as const;

const question = (sql: string, ...values: readonly (string | null)[]) => ({
  database: 'orders',
  role: parseRole('reader'),
  sql,
  values,
});

async function connections(): Promise<number> {
  const [row] = await postgres.sql(
    "select count(*)::int as n from pg_stat_activity where application_name = 'postern lookup'",
  );
  return Number(row?.['n']);
}

test('an answer has the rows of the statement, whose parameters are values and nothing else', async () => {
  const sql = 'select current_user, $1::text, $2::text, n from generate_series(1, 2) n';
  const value = `'; drop table x; -- "ü"`;
  expect(await lookups().ask(question(sql, value, null))).toEqual([
    ['reader', value, null, '1'],
    ['reader', value, null, '2'],
  ]);
  expect(await lookups().ask(question('select where false'))).toEqual([]);
});

test('all questions of a role use one connection, one after the other, and it is closed at the end', async () => {
  const made = lookups();
  const pids = await Promise.all(
    Array.from({ length: 20 }, () => made.ask(question('select pg_backend_pid()::text'))),
  );
  expect(new Set(pids.flat(2)).size).toBe(1);
  expect(await connections()).toBe(1);
  made.close();
  await expect.poll(connections).toBe(0);
  await expect(made.ask(question('select 1'))).rejects.toMatchObject({ sqlstate: '08001' });
});

test('a connection that was lost is replaced, and the question asked once more', async () => {
  const made = lookups();
  const [[pid] = []] = await made.ask(question('select pg_backend_pid()::text'));
  await postgres.sql(`select pg_terminate_backend(${pid})`);
  await expect.poll(connections).toBe(0);
  const [[other] = []] = await made.ask(question('select pg_backend_pid()::text'));
  expect(other).not.toBe(pid);
});

test('an error of the server is an error of its question alone, and its text is for the operator', async () => {
  const made = lookups();
  const failed = made.ask(question('select 1 / 0'));
  await expect(failed).rejects.toMatchObject({
    sqlstate: '08001',
    message: 'could not connect to the database',
  });
  await expect(failed).rejects.toHaveProperty('cause.message', expect.stringContaining('division by zero'));
  expect(await made.ask(question('select 1::text'))).toEqual([['1']]);
});

test('an error of the statement, which a parameter may cause, is asked once and costs no connection', async () => {
  const made = lookups();
  const pid = (): Promise<unknown> => made.ask(question('select pg_backend_pid()::text'));
  const before = await pid();
  await postgres.sql('create sequence asked; grant usage on sequence asked to reader');
  await expect(made.ask(question("select nextval('asked') / $1::int", '0'))).rejects.toThrow();
  expect(await postgres.sql('select last_value from asked')).toEqual([{ last_value: '1' }]);
  expect(await pid()).toEqual(before);
});

test(
  'a server that says nothing keeps no other of the entry from being asked',
  { timeout: 30_000 },
  async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    let met = 0;
    silent.on('connection', () => (met += 1));
    const entry = databaseOf(postgres);
    const { port } = silent.address() as AddressInfo;
    const hosts = [{ host: '127.0.0.1', port }, '127.0.0.1'];
    const made = new Lookups(() => ({ ...entry, host: hosts }));
    opened.push(made);
    const [[pid] = []] = await made.ask(question('select pg_backend_pid()::text'));
    await postgres.sql(`select pg_terminate_backend(${pid})`);
    // The one that was there is asked first the next time.
    expect(await made.ask(question('select 1::text'))).toEqual([['1']]);
    expect(met).toBe(1);
    silent.close();
  },
);

test.each([
  ['an answer that is too long', "select repeat('x', 100000)"],
  ['too many rows', "select repeat('x', 1000) from generate_series(1, 2000)"],
])('%s is refused', async (_, sql) => {
  const made = lookups();
  await expect(made.ask(question(sql))).rejects.toMatchObject({ sqlstate: '08001' });
  expect(await made.ask(question('select 1::text'))).toEqual([['1']]);
  await expect.poll(connections).toBe(1);
});

test(
  'an answer that takes too long ends, and those that wait behind it are asked',
  { timeout: 30_000 },
  async () => {
    const made = lookups();
    const slow = made.ask(question('select pg_sleep(60)'));
    const [one, other] = await Promise.allSettled([slow, made.ask(question('select 1::text'))]);
    expect(one).toMatchObject({ status: 'rejected', reason: { sqlstate: '08001' } });
    // Its time was over as well.
    expect(other).toMatchObject({ status: 'rejected', reason: { sqlstate: '08001' } });
    expect(await made.ask(question('select 1::text'))).toEqual([['1']]);
    await expect.poll(connections).toBe(1);
  },
);

test('a role that may do more than it should, an entry that there is not, and a server that is away are refused', async () => {
  const made = lookups();
  const mighty = made.ask({ ...question('select 1'), role: parseRole('postgres') });
  await expect(mighty).rejects.toMatchObject({ sqlstate: '42501' });
  await expect(made.ask({ ...question('select 1'), database: 'other' })).rejects.toMatchObject({
    sqlstate: '3D000',
  });
  await expect(made.ask({ ...question('select 1'), database: 'owned' })).rejects.toMatchObject({
    sqlstate: '0A000',
  });
  await expect(made.ask({ ...question('select 1'), database: 'gone' })).rejects.toMatchObject({
    sqlstate: '08001',
  });
});

test('whoever comes when very many wait is refused at once', async () => {
  const made = lookups();
  const all = await Promise.allSettled(
    Array.from({ length: 510 }, () => made.ask(question('select 1::text'))),
  );
  const states = all.map((one) => (one.status === 'rejected' ? (one.reason as GatewayError).sqlstate : ''));
  expect(states.filter((state) => state === '53300')).toHaveLength(10);
});

test.each(['orders', undefined])(
  'a paused entry has no connection, and is asked when it is resumed: PAUSE %s',
  async (name) => {
    const pools = new Pools({ info: () => {}, warn: () => {}, error: () => {} });
    const made = lookups(pools);
    const running = made.ask(question('select pg_sleep(0.3)::text'));
    await expect.poll(connections).toBe(1);
    await pools.pause(name);
    await running;
    await expect.poll(connections).toBe(0);
    const answers = [
      made.ask(question('select 1::text')),
      made.ask({ ...question('select 2::text'), role: parseRole('writer') }),
    ];
    const first = await Promise.race([...answers, setTimeout(300, 'nobody answers')]);
    expect(first).toBe('nobody answers');
    expect(await connections()).toBe(0);
    pools.resume(name);
    expect(await Promise.all(answers)).toEqual([[['1']], [['2']]]);
  },
);

test('a question to an entry that stays paused waits no longer than any other', async () => {
  const pools = new Pools({ info: () => {}, warn: () => {}, error: () => {} });
  await pools.pause('orders');
  await expect(lookups(pools).ask(question('select 1'))).rejects.toMatchObject({ sqlstate: '08001' });
}, 30_000);
