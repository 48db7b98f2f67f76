/** Corners where a relay loses its footing: each test here once failed, or guards a rule that nearly did. */
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import { connectShared } from '../../../core/net/shared-read.ts';
import type { RelayOptions } from '../../../core/relay/relay-options.ts';
import type { StatementEnd } from '../../../core/relay/statements/statement-observer.ts';
import type { Statement } from '../../../core/contract/statement.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { parseRole } from '../../../core/contract/names.ts';
import { errorResponse } from '../../../core/wire/to-client.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { direct, frame, openAs, relayed } from '../../support/raw.ts';
import type { RawClient, Relayed } from '../../support/raw.ts';

const postgres = sharedPostgres();
let database: string;
beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql('create table t (n int); grant all on t to writer', database);
});
beforeEach(() => postgres.sql('truncate t', database));
afterEach(() => void vi.useRealTimers());

const open = (): Promise<ServerConnection> => openAs(postgres, database, 'writer');
const connect = async (options: Partial<RelayOptions> = {}): Promise<Relayed> =>
  relayed(await open(), options);
const types = ({ messages }: RawClient): string => messages.map(({ type }) => type).join('');
const lastError = ({ messages }: RawClient): string =>
  messages.findLast(({ type }) => type === 'E')?.body.toString() ?? '';
const rows = async (): Promise<number> =>
  Number((await postgres.sql('select count(*) as n from t', database))[0]?.['n']);
const sleeping = (pid: number) =>
  expect
    .poll(async () => (await postgres.sql(`select wait_event from pg_stat_activity where pid = ${pid}`))[0])
    .toEqual({ wait_event: 'PgSleep' });
const no = (message = 'no'): never => {
  throw new GatewayError('insufficient_privilege', message);
};
const over = new GatewayError('admin_shutdown', 'over');
const PATIENT = { timeout: 30_000 };
const sqlOf = (statement: Statement): string => ('sql' in statement ? statement.sql : '');

const ROWS = (n: number): Buffer => Buffer.from([0, 0, 0, n]);
const INSERT = 'insert into t values (1)';
const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const B = (name = '', portal = ''): Buffer => frame('B', portal, name, 0, 0, 0);
const E = (portal = ''): Buffer => frame('E', portal, ROWS(0));
const S = frame('S');
const Q = (sql: string): Buffer => frame('Q', sql);
const batch = (sql: string): Buffer => Buffer.concat([P(sql), B(), E()]);

/** A server that says what a test has it say, on a real socket. */
async function scripted(): Promise<{ server: ServerConnection; peer: net.Socket; cancels: () => number }> {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const arrival = once(listener, 'connection') as Promise<[net.Socket]>;
  const channel = connectShared({ port: (listener.address() as net.AddressInfo).port, host: '127.0.0.1' });
  const [peer] = await arrival;
  peer.on('error', () => {});
  listener.close();
  let cancels = 0;
  const server: ServerConnection = {
    pid: 1,
    host: '127.0.0.1',
    role: parseRole('writer'),
    channel,
    parameters: new Map(),
    prepared: new Map(),
    cancel: () => {
      cancels += 1;
      return Promise.resolve(true);
    },
    close: () => channel.finish(),
  };
  return { server, peer, cancels: () => cancels };
}

/** A hook that takes its time over one text. */
function slow(text: string): { query: NonNullable<RelayOptions['query']>; decide: () => void } {
  let decide: () => void = () => {};
  const decided = new Promise<void>((resolve) => (decide = resolve));
  const query = (statement: Statement) =>
    sqlOf(statement) === text ? decided.then(() => statement) : statement;
  return { query, decide };
}

// ---- ends ----

test('a long statement that lacks its last two bytes is not completed by a Terminate of the gateway', async () => {
  const whole = Q(`${INSERT} -- ${'x'.repeat(100_000)}`);
  const client = await connect();
  client.send(whole.subarray(0, -2));
  await expect.poll(() => client.relay.state).toBe('active');
  client.socket.end();
  expect((await client.relay.done).server).toBe('close');
  await expect
    .poll(async () => (await postgres.sql(`select 1 from pg_stat_activity where pid = ${client.pid}`)).length)
    .toBe(0);
  expect(await rows()).toBe(0);
});

test('a statement in front of one that lacks its end is answered, and the session ends then', async () => {
  const client = await connect();
  client.send(Q('select pg_sleep(0.2)'), Q(`${INSERT} -- ${'x'.repeat(100_000)}`).subarray(0, -2));
  await expect.poll(() => client.relay.state).toBe('active');
  client.socket.end();
  expect((await client.relay.done).server).toBe('close');
  expect(types(client)).toBe('TDCZ');
  expect(await rows()).toBe(0);
});

test('nor is it waited for behind a COPY that hides which answers are outstanding', async () => {
  const client = await connect();
  const copy = batch('copy t from stdin');
  client.send(copy, S, frame('d', Buffer.from('1\n')), frame('f', 'x'), S);
  client.send(Q(`${INSERT} -- ${'x'.repeat(100_000)}`).subarray(0, -20_000));
  client.socket.end();
  expect((await client.relay.done).server).toBe('close');
  expect(await rows()).toBe(0);
});

test('Terminate behind a batch without Sync ends the session at once: its answers never come', async () => {
  const client = await connect();
  client.send(batch(INSERT), frame('X'));
  expect(await client.relay.done).toEqual({ reason: { kind: 'client' }, server: 'close' });
  const behind = await connect();
  behind.send(Q(`select pg_sleep(0.1); ${INSERT}`), batch(INSERT), frame('X'));
  expect(await behind.relay.done).toEqual({ reason: { kind: 'client' }, server: 'close' });
  expect(await rows()).toBe(1);
});

test('Terminate behind a COPY whose Sync came before its end does not wait for that Sync', async () => {
  const client = await connect();
  client.send(batch('copy t from stdin'), S);
  await expect.poll(() => types(client)).toBe('12G');
  client.send(frame('c'), frame('X'));
  expect(await client.relay.done).toEqual({ reason: { kind: 'client' }, server: 'close' });
});

test('garbage behind a batch without Sync, or inside COPY, ends the session behind what has been answered', async () => {
  const client = await connect();
  client.send(batch(INSERT), frame('p', 'password'));
  await expect.poll(() => types(client)).toBe('12CE');
  const copying = await connect();
  copying.send(Q('copy t from stdin'), frame('d', Buffer.from('1\n')));
  await expect.poll(() => types(copying)).toBe('G');
  copying.send(frame('p', 'password'));
  await expect.poll(() => types(copying)).toBe('GE');
  for (const { relay } of [client, copying]) expect((await relay.done).server).toBe('close');
  expect(await rows()).toBe(0);
});

test('a statement during which a hook ends the session is not sent', async () => {
  const client: Relayed = await connect({
    query: (statement) => {
      if (sqlOf(statement).startsWith('insert')) client.relay.end(over);
      return statement;
    },
  });
  client.send(frame('H'), Q(INSERT));
  expect(await client.relay.done).toMatchObject({ reason: { kind: 'ended' }, server: 'dirty' });
  await expect.poll(() => client.closed).toBe(true);
  expect(types(client)).toBe('E');
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(await rows()).toBe(0);
});

test('a client that said Terminate and reads no more does not keep its server waiting', async () => {
  const client = await connect();
  client.socket.pause();
  client.send(Q("select repeat('x', 1000) from generate_series(1, 100000)"), Q(INSERT), frame('X'));
  await expect.poll(() => client.server.channel.paused).toBe(true);
  client.socket.destroy();
  expect(await client.relay.done).toEqual({ reason: { kind: 'client' }, server: 'dirty' });
  expect(await rows()).toBe(1);
});

test('a Terminate that arrives as the session ends leaves no timer that cancels what comes later', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const { server, cancels } = await scripted();
  let refuse: ((error: Error) => void) | undefined;
  const client = await relayed(server, {
    query: () => new Promise((_, reject) => (refuse = reject)),
  });
  client.send(Q('select 1'), frame('X'));
  await vi.waitUntil(() => refuse, PATIENT);
  client.relay.drain(over);
  refuse?.(new GatewayError('insufficient_privilege', 'no'));
  expect((await client.relay.done).server).toBe('dirty');
  vi.advanceTimersByTime(120_000);
  expect(cancels()).toBe(0);
});

test('an end that waits for a message boundary is not put off by what the client does', async () => {
  for (const nuisance of [frame('p', 'password'), frame('X')]) {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { server, peer } = await scripted();
    const client = await relayed(server);
    client.send(Q('select 1'));
    await once(peer, 'data');
    peer.write(frame('D', Buffer.alloc(100_000)).subarray(0, 50_000));
    await vi.waitUntil(() => client.socket.bytesRead > 40_000, PATIENT);
    client.relay.end(over);
    client.send(nuisance);
    await vi.waitUntil(() => client.socket.writableLength === 0, PATIENT);
    for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(6_000);
    vi.useRealTimers();
    expect((await client.relay.done).reason).toMatchObject({ kind: 'ended', error: over });
    peer.destroy();
  }
});

test('a server connection is not handed on with half a message read from it', async () => {
  for (const cut of [3, 12]) {
    const { server, peer } = await scripted();
    const client = await relayed(server);
    peer.write(frame('A', ROWS(1), 'channel', 'payload').subarray(0, cut));
    await expect.poll(() => server.channel.socket.bytesRead).toBe(cut);
    client.close();
    expect((await client.relay.done).server).toBe('close');
    peer.destroy();
  }
});

test('a relay that was ended before it started takes nothing over', async () => {
  const { server, peer } = await scripted();
  const client = await relayed({ ...server, close() {} });
  client.relay.end(over);
  expect((await client.relay.done).server).toBe('dirty');
  client.relay.start();
  client.relay.notice('nobody reads this');
  client.relay.drain(over);
  await client.relay.cancel();
  expect(server.channel.paused).toBe(true);
  peer.destroy();
});

test('a server that takes nothing for minutes is waited for, as PostgreSQL waits for a lock', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const { server, peer } = await scripted();
  peer.pause();
  const client = await relayed(server);
  for (let i = 0; i < 300; i += 1) client.send(frame('d', Buffer.alloc(100_000)));
  await vi.waitUntil(() => server.channel.queued >= server.channel.socket.writableHighWaterMark, PATIENT);
  for (let i = 0; i < 5; i += 1) {
    vi.advanceTimersByTime(60_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(server.channel.closed).toBe(false);
  client.close();
  peer.destroy();
});

// ---- order ----

test('a notice or an end from an observer never lands inside a message', async () => {
  for (const end of [false, true]) {
    const client: Relayed = await connect({
      statement: () => {
        client.relay.notice('told');
        if (end) client.relay.end(over);
      },
    });
    client.send(Q("select repeat('x', 200000) from generate_series(1, 3)"));
    await expect.poll(() => types(client)).toBe(end ? 'TDDDCZNE' : 'TDDDCZN');
    client.close();
  }
});

test('an observer that speaks amid an error does not make a skipping server dirty', async () => {
  const { server, peer } = await scripted();
  const client: Relayed = await relayed(server, {
    query: (statement) => (sqlOf(statement) === 'no' ? no() : statement),
    statement: ({ error }) => error && client.relay.notice('told'),
  });
  client.send(Q('select 1'), P('no'), frame('X'));
  await once(peer, 'data');
  const failed = errorResponse({ severity: 'ERROR', code: '42601', message: 'syntax error' });
  peer.write(Buffer.concat([frame('C', 'SELECT 1'), frame('Z', Buffer.from('I')), failed]));
  expect(await client.relay.done).toEqual({ reason: { kind: 'client' }, server: 'close' });
  peer.destroy();
});

test('a cancel hits the statement that runs, not the one that a hook holds behind it', async () => {
  const { query, decide } = slow('select 2');
  const client = await connect({ query });
  client.send(Q('select pg_sleep(60)'), Q('select 2'));
  await sleeping(client.pid);
  await client.relay.cancel();
  await expect.poll(() => types(client)).toBe('TEZ');
  decide();
  await expect.poll(() => types(client)).toBe('TEZTDCZ');
  client.close();
});

test('a session is active while a hook thinks about its statement', async () => {
  const { query, decide } = slow('select 2');
  const client = await connect({ query });
  client.send(Q('select 2'));
  await expect.poll(() => client.relay.state).toBe('active');
  decide();
  await expect.poll(() => client.relay.state).toBe('idle');
  client.close();
});

test('an answer of the gateway does not wait for a hook that thinks about the next message', async () => {
  const { query, decide } = slow('select 2');
  const client = await connect({
    query: async (statement) => (sqlOf(statement) === 'no' ? no() : query(statement)),
  });
  client.send(Q('no'), Q('select 2'));
  await expect.poll(() => types(client)).toBe('EZ');
  decide();
  await expect.poll(() => types(client)).toBe('EZTDCZ');
  client.close();
});

// ---- refusals ----

test('a refused Parse of a name leaves the unnamed statement, and one without a name drops it', async () => {
  const refusing = (statement: Statement): Statement =>
    statement.kind === 'parse' && statement.sql === 'refuse' ? no() : statement;
  for (const name of ['s1', '']) {
    const sides: RawClient[] = [direct(await open()), await connect({ query: refusing })];
    for (const side of sides) {
      side.send(P('select 1'), S);
      await expect.poll(() => types(side)).toBe('1Z');
      side.send(P('refuse', name), S, B(), E(), S);
    }
    await expect.poll(() => types(sides[0]!)).toBe(name === '' ? '1ZEZEZ' : '1ZEZ2DCZ');
    await expect.poll(() => types(sides[1]!)).toBe(types(sides[0]!));
    for (const side of sides) side.close();
  }
});

test('a Close or Describe that cannot be read is refused in its place', async () => {
  for (const type of ['C', 'D']) {
    const bad = frame(type, Buffer.from('Z'), 'name');
    const sides: RawClient[] = [
      direct(await open()),
      await connect({
        query: (statement) => statement,
        reads: 'parameters',
        inBand: () => Promise.resolve(),
      }),
    ];
    sides[1]!.send(P("set postern.a = 'b'", 'own'), frame('C', Buffer.from('S'), 'x'), S);
    await expect.poll(() => types(sides[1]!)).toBe('13Z');
    for (const side of sides) side.send(P('select 1'), bad, P('select 2'), S, Q('select 3'));
    await expect.poll(() => types(sides[0]!)).toBe('1EZTDCZ');
    await expect.poll(() => types(sides[1]!)).toBe('13Z1EZTDCZ');
    for (const side of sides) side.close();
  }
});

test('observers hear of a statement that a synchronous hook refuses', async () => {
  const ended: StatementEnd[] = [];
  const client = await connect({
    query: (statement) => (sqlOf(statement) === 'no' ? no() : statement),
    statement: (end) => ended.push({ ...end }),
  });
  client.send(Q('no'));
  await expect.poll(() => types(client)).toBe('EZ');
  expect(ended).toMatchObject([{ kind: 'query', sql: 'no', sqlstate: '42501', error: { message: 'no' } }]);
  client.close();
});

test('what a dropped batch would have done to a name is taken back, in the right order', async () => {
  const seen: string[] = [];
  const client = await connect({
    query: (statement) => {
      if (statement.kind === 'execute') seen.push(statement.sql);
      return statement;
    },
  });
  const closing = frame('C', Buffer.from('S'), 's');
  client.send(P("select 'secret'", 's'), S);
  await expect.poll(() => types(client)).toBe('1Z');
  client.send(P('nonsense'), closing, P('select 1', 's'), closing, S);
  await expect.poll(() => types(client)).toBe('1ZEZ');
  client.send(B('s'), E(), S);
  await expect.poll(() => types(client)).toBe('1ZEZ2DCZ');
  expect(seen).toEqual(["select 'secret'"]);
  client.close();
});

test('portals die with their transaction: their number over a session is not limited', async () => {
  const client = await connect({ query: (statement) => statement });
  client.send(P('select 1', 's'), S);
  for (let i = 0; i < 11; i += 1) {
    for (let j = 0; j < 1000; j += 1) client.send(B('s', `portal${i} ${j}`), S);
    await expect.poll(() => client.messages.length).toBe(2 + 2000 * (i + 1));
  }
  expect(lastError(client)).toBe('');
  client.close();
});

// ---- COPY, uncertainty ----

const BAD = frame('d', Buffer.from('seven\n'));

test('a setting of the gateway behind a COPY that failed uncertainly is answered, or the session ends', async () => {
  const client = await connect({ inBand: () => Promise.resolve() });
  client.send(batch('copy t from stdin'), S, BAD, frame('c'), Q("set postern.a = 'b'"), S);
  await client.relay.done;
  await expect.poll(() => client.closed).toBe(true);
  expect(lastError(client)).toContain('FATAL');
});

test('a setting of the gateway inside a COPY, where nothing may be, ends the session', async () => {
  const client = await connect({ inBand: () => Promise.resolve() });
  client.send(Q('copy t from stdin'), batch("set postern.a = 'b'"), S, frame('c'));
  expect((await client.relay.done).server).toBe('close');
  await expect.poll(() => client.closed).toBe(true);
  expect(lastError(client)).toContain('FATAL');
});

test('a setting of the gateway behind a batch without its Sync is answered, and does not keep a Terminate', async () => {
  const sides: RawClient[] = [direct(await open()), await connect({ inBand: () => Promise.resolve() })];
  for (const side of sides) {
    side.send(P('select 1'), B(), Q("set postern.a = 'b'"));
    await expect.poll(() => types(side)).toBe('12CZ');
    side.close();
  }
  const leaving = await connect({ inBand: () => Promise.resolve() });
  leaving.send(P('select 1'), Q("set postern.a = 'b'"), P('select 2'), frame('X'));
  expect((await leaving.relay.done).reason).toEqual({ kind: 'client' });
});

test('a probe for lost answers does not destroy a portal that the client has just made', async () => {
  const sides: RawClient[] = [direct(await open()), await connect()];
  for (const side of sides) {
    side.send(Q('copy t from stdin'), S, BAD, frame('c'), P('select 1'), B());
    await new Promise((resolve) => setTimeout(resolve, 200));
    side.send(E(), S);
    await expect.poll(() => types(side)).toMatch(/C?Z+12DCZ$/);
  }
  expect(types(sides[1]!)).toBe(types(sides[0]!));
  for (const side of sides) side.close();
});

test('after a refusal that has no place nothing of the client is sent to the server any more', async () => {
  const { server, peer } = await scripted();
  let received = '';
  peer.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
  const client = await relayed(server, {
    query: (statement) => (sqlOf(statement) === 'no' ? no() : statement),
  });
  // An error that answers nothing: from then on it is not known in which order the server answers.
  client.send(P('select 1'), frame('H'));
  await vi.waitUntil(() => received.includes('select 1'), PATIENT);
  const failed = errorResponse({ severity: 'ERROR', code: '57014', message: 'out of the blue' });
  peer.write(Buffer.concat([frame('1'), failed]));
  await vi.waitUntil(() => types(client) === '1E', PATIENT);
  client.send(S, Q('select 2'));
  await vi.waitUntil(() => received.includes('select 2'), PATIENT);
  const row = frame('D', Buffer.alloc(100_000));
  peer.write(Buffer.concat([frame('Z', Buffer.from('I')), row.subarray(0, 50_000)]));
  await vi.waitUntil(() => client.bytes > 40_000, PATIENT);
  client.send(Q('no'), Q(INSERT));
  await vi.waitUntil(() => client.socket.writableLength === 0, PATIENT);
  await new Promise((resolve) => setTimeout(resolve, 50));
  peer.write(row.subarray(50_000));
  expect((await client.relay.done).server).toBe('close');
  expect(received).not.toContain(INSERT);
  peer.destroy();
});

// ---- floods ----

test('a hundred thousand Syncs inside COPY, and as many COPYs in one go, take seconds and not hours', async () => {
  const client = await connect();
  const syncs = Buffer.concat(Array.from({ length: 100_000 }, () => S));
  client.send(batch('copy t from stdin'), syncs, frame('c'), S);
  await expect.poll(() => types(client)).toBe('12GCZ');
  const one = Buffer.concat([Q('copy t from stdin'), frame('d', Buffer.from('1\n')), frame('c')]);
  client.send(Q('select pg_sleep(1)'), Buffer.concat(Array.from({ length: 20_000 }, () => one)));
  await expect.poll(() => client.messages.length, { timeout: 100_000 }).toBe(5 + 4 + 60_000);
  expect(client.relay.state).toBe('idle');
  client.close();
});

/** Bytes that the relay took of a client that never reads. */
async function taken(client: Relayed, flood: Buffer, times: number): Promise<number> {
  client.socket.pause();
  for (let i = 0; i < times; i += 1) client.send(flood);
  const size = flood.length * times;
  let before = -1;
  for (let still = 0; still < 8 && client.socket.writableLength > 0;) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    still = client.socket.writableLength === before ? still + 1 : 0;
    before = client.socket.writableLength;
  }
  return size - client.socket.writableLength;
}

test('a client that reads no refusals is not read either', async () => {
  const client = await connect({
    query: () => no('x'.repeat(3000)),
  });
  client.socket.pause();
  for (let i = 0; i < 20_000; i += 1) {
    client.send(Q(''));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(client.channel.queued).toBeLessThan(1_000_000);
  expect(client.channel.paused).toBe(true);
  client.socket.resume();
  await expect.poll(() => client.messages.length, { timeout: 100_000 }).toBe(40_000);
  client.close();
});

test('answers of the gateway that wait behind a long statement are limited in number', async () => {
  const client = await connect({ inBand: () => Promise.resolve() });
  client.send(P("set postern.a = 'b'"), B(), S);
  await expect.poll(() => types(client)).toBe('12Z');
  client.send(Q('select pg_sleep(600)'));
  await sleeping(client.pid);
  const flood = Buffer.concat(Array.from({ length: 10_000 }, () => E()));
  expect(await taken(client, flood, 400)).toBeLessThan(20_000_000);
  await client.relay.cancel();
  client.socket.resume();
  await expect.poll(() => client.messages.length, { timeout: 100_000 }).toBe(3 + 3 + 10_000 + 1);
  expect(lastError(client)).toContain('C54000');
  client.close();
});
