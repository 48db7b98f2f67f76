/** Messages that need no decision, in transaction mode with one connection for all sessions: they do what others of their kind do. */
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { QueryHook } from '../../../core/relay/statements/query-hook.ts';
import type { StatementEnd } from '../../../core/relay/statements/statement-observer.ts';
import { PlainMessages } from '../../../core/relay/prepared/plain-messages.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let one: SharedSessions;

beforeAll(async () => (database = await freshDatabase()));
beforeEach(() => void (one = sharedSessions(postgres, database, 1)));
afterEach(() => one.close());

const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const B = (name = '', portal = ''): Buffer => frame('B', portal, name, 0, 0, 0);
const D = frame('D', Buffer.from('P'), '');
const E = (portal = ''): Buffer => frame('E', portal, Buffer.alloc(4));
const C = (name: string): Buffer => frame('C', Buffer.from('S'), name);
const S = frame('S');
const Q = (sql: string): Buffer => frame('Q', sql);

/** Sends a batch in one piece, and gives its answers: rows by their first value, errors by their code, others by their type. */
async function batch(client: RawClient, ...messages: readonly Buffer[]): Promise<string> {
  const before = client.messages.length;
  client.send(Buffer.concat(messages));
  const answers = () => client.messages.slice(before);
  await expect.poll(() => client.closed || answers().some(({ type }) => type === 'Z')).toBe(true);
  const told = answers().map(({ type, body }) => {
    if (type === 'D') return body.subarray(6).toString();
    return type === 'E' ? (/\0C([^\0]{5})\0/.exec(body.toString('latin1'))?.[1] ?? 'E') : type;
  });
  return told.join(' ');
}

test('a Bind of a known statement and the same unnamed Parse are not decided about again', async () => {
  const decided = vi.spyOn(PlainMessages.prototype, 'nameFor');
  const client = await one.connect();
  try {
    await batch(client, P("select 'x'", 's'), P('select 1'), S);
    decided.mockClear();
    expect(await batch(client, B('s'), E(), P('select 1'), B(), E(), S)).toBe('2 x C 1 2 1 C Z');
    const names = decided.mock.results.map(({ value }) => value as unknown);
    expect(names).toEqual([expect.stringMatching(/./), '', '']);
  } finally {
    decided.mockRestore();
  }
  client.close();
});

test('the same unnamed Parse again, with other sessions in between on the same connection', async () => {
  const [a, b] = [await one.connect(), await one.connect()];
  for (let i = 0; i < 5; i += 1) {
    expect(await batch(a, P('select 1'), B(), D, E(), S)).toBe('1 2 T 1 C Z');
    expect(await batch(b, P('select 2'), B(), D, E(), S)).toBe('1 2 T 2 C Z');
    expect(await batch(a, B(), E(), S)).toBe('2 1 C Z');
  }
  a.close();
  b.close();
});

test('an unnamed Parse like the last one that fails leaves no unnamed statement, one that is skipped leaves the last', async () => {
  await postgres.sql('create table gone (n int); grant all on gone to writer', database);
  const client = await one.connect();
  const parse = P('select 7 from gone');
  expect(await batch(client, parse, B(), E(), S)).toBe('1 2 C Z');
  expect(await batch(client, E('nowhere'), parse, B(), E(), S)).toBe('34000 Z');
  expect(await batch(client, B(), E(), S)).toBe('2 C Z');
  expect(await batch(client, parse, parse, B(), E(), S)).toBe('1 1 2 C Z');
  await postgres.sql('drop table gone', database);
  expect(await batch(client, parse, B(), E(), S)).toBe('42P01 Z');
  expect(await batch(client, B(), E(), S)).toBe('26000 Z');
  client.close();
});

test('named statements bound again and again, by turns and in one batch, on a connection that others use', async () => {
  const [a, b] = [await one.connect(), await one.connect()];
  expect(await batch(a, P("select 'x'", 's1'), P("select 'y'", 's2'), S)).toBe('1 1 Z');
  expect(await batch(b, P("select 'z'", 's1'), S)).toBe('1 Z');
  for (let i = 0; i < 4; i += 1) {
    expect(await batch(a, B('s1'), D, E(), S)).toBe('2 T x C Z');
    expect(await batch(b, B('s1'), D, E(), S)).toBe('2 T z C Z');
    expect(await batch(a, B('s2', 'p'), E('p'), B('s1'), E(), B('s2'), E(), S)).toBe('2 y C 2 x C 2 y C Z');
  }
  a.close();
  b.close();
});

test('a name that stands for another statement by now, or for none', async () => {
  const client = await one.connect();
  expect(await batch(client, P("select 'x'", 's'), B('s'), E(), S)).toBe('1 2 x C Z');
  expect(await batch(client, B('s'), E(), S)).toBe('2 x C Z');
  expect(await batch(client, C('s'), P("select 'y'", 's'), B('s'), E(), S)).toBe('3 1 2 y C Z');
  expect(await batch(client, B('s'), E(), S)).toBe('2 y C Z');
  expect(await batch(client, C('s'), S)).toBe('3 Z');
  expect(await batch(client, B('s'), E(), S)).toBe('26000 Z');
  client.close();
});

test('a statement that drops all others is awaited in front of a Bind', async () => {
  const client = await one.connect();
  expect(await batch(client, P('deallocate all', 'all'), P("select 'x'", 's'), S)).toBe('1 1 Z');
  expect(await batch(client, B('s'), E(), S)).toBe('2 x C Z');
  expect(await batch(client, B('all'), E(), B('s'), E(), S)).toBe('2 C 26000 Z');
  expect(await batch(client, B('s'), E(), S)).toBe('26000 Z');
  client.close();
});

test('a Bind that is malformed is refused by the server', async () => {
  const client = await one.connect();
  expect(await batch(client, P("select 'x'", 's'), B('s'), E(), S)).toBe('1 2 x C Z');
  expect(await batch(client, frame('B', '', Buffer.from('s')), S)).toBe('08P01 Z');
  expect(await batch(client, B('s'), E(), S)).toBe('2 x C Z');
  client.close();
});

test('a Query without a word of certain commands is not decided about', async () => {
  const client = await one.connect();
  const decided = vi.spyOn(QueryHook.prototype, 'message');
  try {
    expect(await batch(client, Q("select 'x'; select 'y'"))).toBe('T x C T y C Z');
    expect(await batch(client, Q('select 1 / 0'))).toBe('22012 Z');
    expect(await batch(client, Q(''))).toBe('I Z');
    expect(decided).not.toHaveBeenCalled();
    expect(await batch(client, Q('set work_mem = 64'))).toBe('C Z');
    expect(decided).toHaveBeenCalledOnce();
  } finally {
    decided.mockRestore();
  }
  client.close();
});

test('a Query drops the unnamed statement, whatever it does, and also where it fails', async () => {
  const client = await one.connect();
  for (const query of ["select 'x'", 'select 1 / 0']) {
    expect(await batch(client, P('select 1'), B(), E(), S)).toBe('1 2 1 C Z');
    await batch(client, Q(query));
    expect(await batch(client, B(), E(), S)).toBe('26000 Z');
  }
  client.close();
});

test('a Query behind requests that the server has not answered is decided about', async () => {
  const client = await one.connect();
  const before = client.messages.length;
  const decided = vi.spyOn(QueryHook.prototype, 'message');
  const queries = [Q("select 'y'"), Q('set work_mem = 64'), Q("select 'z'")];
  try {
    client.send(Buffer.concat([P("select 'x'", 's'), B('s'), E(), S, ...queries]));
    await expect.poll(() => client.messages.slice(before).filter(({ type }) => type === 'Z').length).toBe(4);
    const types = decided.mock.calls.map(([type]) => String.fromCodePoint(type));
    expect(types.filter((type) => type === 'Q')).toHaveLength(3);
  } finally {
    decided.mockRestore();
  }
  const rows = client.messages.slice(before).filter(({ type }) => type === 'D');
  expect(rows.map(({ body }) => body.subarray(6).toString())).toEqual(['x', 'y', 'z']);
  client.close();
});

test('where statements are observed, such messages are not decided about either', async () => {
  const told: string[] = [];
  const client = await one.connect({ options: { statement: ({ sql }) => void told.push(sql) } });
  await batch(client, P("select 'x'", 's'), P('select 1'), S);
  const decided = vi.spyOn(QueryHook.prototype, 'message');
  try {
    expect(await batch(client, B('s'), D, E(), P('select 1'), B(), D, E(), S)).toBe('2 T x C 1 2 T 1 C Z');
    expect(decided).not.toHaveBeenCalled();
  } finally {
    decided.mockRestore();
  }
  expect(told).toEqual(["select 'x'", 'select 1']);
  client.close();
});

/** Batches of one session, in which messages fail, are skipped, name portals, and change what names mean. */
const OBSERVED: readonly (readonly Buffer[])[] = [
  [P("select 'x'", 's'), B('s'), D, E(), S],
  [B('s'), E(), B('s'), E(), S],
  [P('select 1'), B(), E(), S],
  [P('select 1'), B(), E(), P('select 1'), B(), E(), S],
  [B('s', 'p'), E('p'), frame('C', Buffer.from('P'), 'p'), E('p'), B('s'), E(), S],
  [B('s'), E('nowhere'), B('s'), E(), P('select 1'), S],
  [B('s'), E(), S],
  [P('select 1/$1::int'), frame('B', '', '', 0, 1, 1, Buffer.from('0'), 0), E(), S],
  [P('select 1'), B(), E(), S],
  [frame('Q', 'select 2'), B(), E(), S],
  [C('s'), P("select 'y'", 's'), B('s'), E(), S],
  [B('s'), E(), B('none'), E(), S],
  [frame('B', '', Buffer.from('s')), S],
  [B('s'), E(), S],
  [frame('Q', "begin; select 'größe'"), B('s'), E(), S],
  [B('s'), E(), E(), S, frame('Q', 'rollback')],
];

async function observed(): Promise<readonly string[]> {
  const told: string[] = [];
  // Times differ from run to run.
  const tell = (end: StatementEnd): void =>
    void told.push(JSON.stringify({ ...end, startedAt: 0, durationMs: 0 }));
  const client = await one.connect({ options: { statement: tell } });
  for (const messages of OBSERVED) told.push(await batch(client, ...messages));
  client.close();
  return told;
}

test('observers are told the same of messages that are decided about each time', async () => {
  const now = await observed();
  const decide = vi.spyOn(QueryHook.prototype, 'inChunk').mockReturnValue(undefined);
  const each = await observed().finally(() => decide.mockRestore());
  expect(now.length).toBeGreaterThan(30);
  expect(now).toEqual(each);
});
