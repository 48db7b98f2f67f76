/** A connection per transaction, attacked: what a session may rely on although others use the same connections in between. */
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let one: SharedSessions;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql('create table t (n int); grant all on t to writer', database);
});
beforeEach(() => void (one = sharedSessions(postgres, database, 1)));
afterEach(() => one.close());

const ALL = Buffer.from([0, 0, 0, 0]);
const Q = (sql: string): Buffer => frame('Q', sql);
const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const B = (name = '', portal = ''): Buffer => frame('B', portal, name, 0, 0, 0);
const D = (name = ''): Buffer => frame('D', Buffer.from('S'), name);
const E = (portal = ''): Buffer => frame('E', portal, ALL);
const C = (name: string): Buffer => frame('C', Buffer.from('S'), name);
const S = frame('S');
const H = frame('H');

const types = ({ messages }: RawClient): string => messages.map(({ type }) => type).join('');
const values = ({ messages }: RawClient): string[] =>
  messages.filter(({ type }) => type === 'D').map(({ body }) => body.subarray(6).toString());
const codes = ({ messages }: RawClient): string[] =>
  messages
    .filter(({ type }) => type === 'E')
    .map(({ body }) => /\0C([^\0]{5})\0/.exec(body.toString('latin1'))?.[1] ?? '');

/** Sends, and waits until as many ReadyForQuery have come as were asked for. */
async function say(client: RawClient, ...messages: readonly Buffer[]): Promise<void> {
  const asked = messages.filter((bytes) => 'QSF'.includes(String.fromCharCode(bytes[0] ?? 0))).length;
  const readies = (): number => types(client).split('Z').length - 1;
  const before = readies();
  client.send(...messages);
  await expect.poll(() => client.closed || readies() >= before + asked).toBe(true);
}

test('a Bind longer than 64 KiB reaches its prepared statement whole', async () => {
  const client = await one.connect();
  await say(client, P('select length($1::text)', 's'), S);
  const long = Buffer.alloc(200_000, 'x');
  const size = Buffer.alloc(4);
  size.writeUInt32BE(long.length);
  await say(client, frame('B', '', 's', 0, 1, size, long, 0), E(), S);
  expect(values(client)).toEqual(['200000']);
  client.close();
});

test('an unnamed statement longer than 64 KiB can be bound', async () => {
  const client = await one.connect();
  await say(client, P(`select 7 -- ${'x'.repeat(100_000)}`), B(), E(), S);
  await say(client, B(), E(), S);
  expect(codes(client)).toEqual([]);
  expect(values(client)).toEqual(['7', '7']);
  client.close();
});

test('a long statement under a name that is taken is refused, and the name keeps its statement', async () => {
  const client = await one.connect();
  await say(client, P('select 1', 's'), S);
  await say(client, P(`select 2 -- ${'x'.repeat(2_000_000)}`, 's'), S);
  expect(codes(client)).toEqual(['42P05']);
  await say(client, B('s'), E(), S);
  expect(values(client)).toEqual(['1']);
  client.close();
});

test('the unnamed statement is the own one, whoever used the connection in between', async () => {
  const [mine, other] = [await one.connect(), await one.connect()];
  await say(mine, P("select 'mine'"), S);
  await say(other, P("select 'other'"), S);
  await say(mine, B(), E(), S);
  expect(values(mine)).toEqual(['mine']);
  await say(other, B(), E(), S);
  expect(values(other)).toEqual(['other']);
  // A reset in between drops it on the connection.
  await say(other, Q("set work_mem to '1MB'"));
  await say(mine, B(), E(), S);
  expect(values(mine)).toEqual(['mine', 'mine']);
  for (const client of [mine, other]) client.close();
});

test('the text of a prepared statement stays what it is in an encoding that is not UTF-8', async () => {
  const client = await one.connect({ parameters: { client_encoding: 'LATIN1' } });
  const latin = (text: string): Buffer => Buffer.from(`${text}\0`, 'latin1');
  await say(client, frame('P', 's', latin("select 'größe'"), 0), S);
  await say(client, B('s'), E(), S);
  const row = client.messages.findLast(({ type }) => type === 'D');
  expect(row?.body.subarray(6).toString('latin1')).toBe('größe');
  client.close();
});

test('names of statements need not be UTF-8', async () => {
  const client = await one.connect({ parameters: { client_encoding: 'LATIN1' } });
  const name = (letter: string): Buffer => Buffer.from(`${letter}\0`, 'latin1');
  await say(client, frame('P', name('é'), 'select 1', 0), frame('P', name('è'), 'select 2', 0), S);
  await say(client, frame('B', '', name('é'), 0, 0, 0), E(), frame('B', '', name('è'), 0, 0, 0), E(), S);
  expect(codes(client)).toEqual([]);
  expect(values(client)).toEqual(['1', '2']);
  client.close();
});

test('what is prepared behind a DISCARD ALL or DEALLOCATE ALL in one write is there afterwards', async () => {
  const client = await one.connect();
  for (const sql of ['discard all', 'deallocate all']) {
    await say(client, P('select 1', 's'), S);
    client.send(Q(sql), P('select 2', 's'), P('select 3'), S);
    await expect.poll(() => types(client).endsWith('11Z')).toBe(true);
    await say(client, B('s'), E(), S);
    await say(client, C('s'), S);
  }
  expect(codes(client)).toEqual([]);
  expect(values(client)).toEqual(['2', '2']);
  await say(client, P('deallocate all'), B(), E(), P('select 4', 's'), S);
  await say(client, B('s'), E(), S);
  await say(client, P('select 5'), S, Q('deallocate all'), S);
  await say(client, B(), E(), S);
  expect(codes(client)).toEqual(['26000']);
  client.close();
});

test('a refusal of the gateway between two transactions needs no server, whatever the session has prepared', async () => {
  const client = await one.connect({
    options: { query: (statement) => statement, reads: 'sql' },
  });
  await say(client, P('select 1'), B(), E(), S);
  await say(client, Q("set postern.nothing = 'x'"));
  expect(codes(client)).toEqual(['22023']);
  await say(client, Q('select 2'));
  expect(values(client)).toEqual(['1', '2']);
  client.close();
});

test('what follows a failed COPY asks for no connection', async () => {
  const [client, other] = [await one.connect(), await one.connect()];
  await say(client, Q('copy t from stdin'), frame('d', Buffer.from('seven\n')), frame('c'));
  await say(other, Q('begin'));
  client.send(frame('d', Buffer.from('8\n')), frame('d', Buffer.alloc(100_000, '9')), frame('c'), H);
  client.send(P('select 1', 'known'));
  await say(other, Q('select 1'), Q('commit'));
  expect(one.pool.waiting).toBeLessThan(2);
  await say(client, B('known'), E(), S);
  expect(values(client)).toEqual(['1']);
  for (const each of [client, other]) each.close();
});

test('answers of the gateway wait for a Flush or Sync, as those of PostgreSQL do', async () => {
  const client = await one.connect();
  await say(client, P('select 1', 'a'), S);
  await say(client, P('select 1', 'b'), S);
  const before = types(client).length;
  client.send(P('select 1', 'c'), C('a'));
  await say(client, P('select 1', 'd'), H, P('select 1', 'e'));
  await expect.poll(() => types(client).slice(before)).toBe('131');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(types(client).slice(before)).toBe('131');
  await say(client, S);
  expect(types(client).slice(before)).toBe('1311Z');
  client.close();
});

test('a Describe heals a statement that a DO block has taken away', async () => {
  const client = await one.connect();
  await say(client, P('select 1', 's'), S, B('s'), E(), S);
  await say(client, Q("begin; do $$ begin execute 'deallocate all'; end $$"), D('s'), S, Q('rollback'));
  expect(codes(client)).toEqual(['26000']);
  await say(client, D('s'), S);
  expect(codes(client)).toEqual(['26000']);
  client.close();
});

test('a batch behind one whose statement could not be prepared again prepares it again', async () => {
  const client = await one.connect();
  await postgres.sql('create table if not exists late (n int); grant all on late to writer', database);
  await say(client, P('select * from late', 's'), S);
  await say(client, Q("set work_mem to '1MB'"));
  await postgres.sql('alter table late rename to later', database);
  const batch = [B('s'), E(), S];
  await say(client, ...batch, Q('alter table nowhere rename to x'), ...batch);
  expect(codes(client)).toEqual(['42P01', '42P01', '42P01']);
  await postgres.sql('alter table later rename to late', database);
  client.close();
});

test('a statement prepared under one DateStyle is never taken for the same text under another', async () => {
  const sql = "select extract(month from date '01/02/2020')::int";
  const [dmy, mdy] = [await one.connect(), await one.connect()];
  await say(dmy, Q("set datestyle to 'ISO, DMY'"));
  await say(dmy, P(sql, 's'), S, Q("set datestyle to 'ISO, MDY'"));
  // Prepared again on a connection that is under MDY by now.
  await say(dmy, B('s'), E(), S);
  const late = await one.connect({ parameters: { datestyle: 'ISO, DMY' } });
  await say(late, P(sql, 's'), B('s'), E(), S);
  expect(values(late)).toEqual(['2']);
  await say(mdy, P(sql, 's'), B('s'), E(), S);
  expect(values(mdy)).toEqual(['1']);
  for (const client of [dmy, mdy, late]) client.close();
});

test('a DateStyle set in the same write is that of the statement behind it', async () => {
  const sql = "select extract(month from date '01/02/2020')::int";
  const client = await one.connect();
  await say(client, P(sql, 'mdy'), S, B('mdy'), E(), S);
  await say(
    client,
    Q("begin; set local datestyle to 'ISO, DMY'"),
    P(sql, 'dmy'),
    B('dmy'),
    E(),
    S,
    Q('commit'),
  );
  expect(values(client)).toEqual(['1', '2']);
  client.close();
});

test('a Parse behind a statement that aborts the transaction is refused, known or not', async () => {
  const client = await one.connect();
  await say(client, P('select 1', 'a'), S);
  await say(client, Q('begin; select 1/0'), P('select 1', 'b'), S, Q('rollback'));
  expect(codes(client)).toEqual(['22012', '25P02']);
  await say(client, B('b'), S);
  expect(codes(client)).toEqual(['22012', '25P02', '26000']);
  client.close();
});

test('no statement is left on a connection that nobody can use, whatever clients repeat', async () => {
  const client = await one.connect();
  await say(client, Q('begin'));
  const count = async (): Promise<number> => {
    await say(client, Q('select count(*) from pg_prepared_statements'));
    return Number(values(client).at(-1));
  };
  const before = await count();
  for (let i = 0; i < 5; i += 1) {
    client.send(P(`select ${i}`, 'x'), C('x'), P(`select ${i}`, 'y'), C('y'), S);
    await say(client, S);
  }
  await say(client, Q('savepoint a'));
  for (let i = 0; i < 20; i += 1) {
    await say(
      client,
      P(`select 100 + ${i}`, `z${i}`),
      S,
      P(`select 100 + ${i}`, `z${i}`),
      S,
      Q('rollback to a'),
    );
  }
  expect((await count()) - before).toBeLessThanOrEqual(25 + 2);
  client.close();
});

test.each([
  'create temp table x as select 1 as n',
  'select 1 as n into temporary table x',
  'select pg_advisory_lock(1)',
  'declare c cursor with hold for select 1',
])('%s keeps the connection with the session', async (sql) => {
  const two = sharedSessions(postgres, database, 2);
  const [mine, other] = [await two.connect(), await two.connect()];
  await say(mine, P(sql), B(), E(), S, Q('select pg_backend_pid()'));
  await say(other, Q('begin'), Q('select pg_backend_pid()'));
  await say(mine, Q('select pg_backend_pid()'));
  const [before, after] = values(mine).slice(-2);
  expect(after).toBe(before);
  expect(values(other)).not.toContain(before);
  for (const client of [mine, other]) client.close();
  await two.close();
});

test('a session cannot keep prepared statements without end', async () => {
  const client = await one.connect();
  const names = Array.from({ length: 10_001 }, (_, i) => P('select 1', `n${i}`));
  for (let at = 0; at < names.length; at += 500)
    await say(client, Buffer.concat(names.slice(at, at + 500)), S);
  expect(codes(client)).toEqual(['54000']);
  await say(client, Q('select 1'));
  expect(values(client)).toEqual(['1']);
  client.close();
});

test('an error in an earlier batch of the same write leaves names and the unnamed statement as they were', async () => {
  const client = await one.connect();
  await say(client, P('select 1', 's'), P('select 11', 'r'), P('select 2'), S);
  const failing = [B('none'), P('select 3'), C('s'), P('select 4', 'n'), S];
  await say(client, ...failing, B(), E(), S, B('s'), E(), S, B('n'), S, P('select 5', 'n'), B('n'), E(), S);
  expect(codes(client)).toEqual(['26000', '26000']);
  expect(values(client)).toEqual(['2', '1', '5']);
  client.close();
});

test('a pool that a reload has given up keeps what its own sessions use, and nothing when they have gone', async () => {
  const client = await one.connect();
  const retired = one.pool.retire();
  await say(client, Q('select pg_backend_pid()'));
  for (let i = 0; i < 3; i += 1) await say(client, Q("set work_mem to '1MB'"), Q('select pg_backend_pid()'));
  const pids = new Set(values(client));
  expect(pids.size).toBe(1);
  expect(one.pool.size).toBe(1);
  client.close();
  await retired;
  expect(one.pool.size).toBe(0);
});

test('the connection that a session left a moment ago sits down again without being asked for', async () => {
  const two = sharedSessions(postgres, database, 2);
  const [mine, other] = [await two.connect({ fingerprint: 'me' }), await two.connect({ fingerprint: 'you' })];
  await say(other, Q('begin'), Q('select pg_backend_pid()'), Q('commit'));
  await say(mine, Q('select pg_backend_pid()'));
  for (let i = 0; i < 3; i += 1) await say(mine, Q('select pg_backend_pid()'));
  expect(new Set(values(mine)).size).toBe(1);
  // Not as it was left once the session has changed what follows it.
  await say(mine, Q('begin'), Q("set timezone to 'Asia/Tokyo'"), Q('commit'), Q('show timezone'));
  expect(values(mine).at(-1)).toBe('Asia/Tokyo');
  await two.close();
});

test('a connection that a late cancel may still hit goes to nobody else', async () => {
  const client = await one.connect();
  await say(client, Q('begin'), Q('select pg_backend_pid()'));
  const { server } = client;
  Object.assign(server, { cancel: () => Promise.resolve(false) });
  client.send(Q('select pg_sleep(3)'));
  await expect.poll(() => client.relay.state).toBe('active');
  await client.relay.cancel();
  await expect.poll(() => values(client)).toHaveLength(2);
  await say(client, Q('commit'));
  await say(client, Q('select pg_backend_pid()'));
  const [before, , after] = values(client);
  expect(after).not.toBe(before);
  client.close();
});

test("a server's FATAL right behind the end of a transaction ends the session that reads it", async () => {
  const client = await one.connect();
  await say(client, Q('begin'));
  const { channel } = client.server;
  const receive = channel.receive.bind(channel);
  const fatal = frame('E', 'SFATAL', 'VFATAL', 'C57P01', 'Mterminating connection', Buffer.alloc(1));
  // As one read: the backend was terminated as it became idle.
  channel.receive = (chunk) => {
    setImmediate(() => channel.destroy());
    return receive(Buffer.concat([chunk, fatal]));
  };
  client.send(Q('commit'));
  await expect.poll(() => types(client)).toBe('CZCZE');
  // A session that went on would be told of an error, and have its next statement carried out.
  client.send(Q('insert into t values (815)'));
  await expect.poll(() => client.closed).toBe(true);
  expect(types(client)).toBe('CZCZE');
  expect(await client.relay.done).toMatchObject({ reason: { kind: 'upstream' } });
  expect(await postgres.sql('select n from t where n = 815', database)).toEqual([]);
  const next = await one.connect();
  await say(next, Q('select 1'));
  expect(values(next)).toEqual(['1']);
});
