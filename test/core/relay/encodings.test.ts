/** What plugins read of a statement is what the server reads, whatever the client does to its encoding, and whenever. */
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { RelayOptions } from '../../../core/relay/relay-options.ts';
import type { Statement } from '../../../core/contract/statement.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame, openAs, relayed } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { typesOf } from '../../support/sequences.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let two: SharedSessions;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    `create function to_sjis() returns text language sql as $$ select set_config('client_encoding', 'SJIS', false) $$;
     create function to_latin() returns text language sql as $$ select set_config('client_encoding', 'LATIN1', false) $$;
     create view changes as select to_sjis() as n;
     create table t (n int); grant all on t, changes to writer`,
    database,
  );
});
beforeEach(() => void (two = sharedSessions(postgres, database, 2)));
afterEach(() => two.close());

const Q = (sql: string): Buffer => frame('Q', sql);
const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const B = (name = '', portal = ''): Buffer => frame('B', portal, name, 0, 0, 0);
const E = (portal = ''): Buffer => frame('E', portal, Buffer.alloc(4));
const S = frame('S');
const H = frame('H');
const run = (sql: string): Buffer[] => [P(sql), B(), E()];

/** In UTF-8 one literal; in SJIS the backslash belongs to a character, and what follows the literal is SQL. */
const TRICK = String.raw`select E'Á\' union select ''hidden'' --'`.replaceAll("''hidden''", '$a$hidden$a$');
const UNSAFE = ['SJIS', 'SHIFT_JIS_2004', 'BIG5', 'GBK', 'UHC', 'GB18030', 'JOHAB'];

const types = ({ messages }: RawClient): string =>
  messages.flatMap(({ type }) => (type === 'S' ? [] : [type])).join('');
const codes = ({ messages }: RawClient): string[] =>
  messages
    .filter(({ type }) => type === 'E')
    .map(({ body }) => /\0C([^\0]{5})\0/.exec(body.toString('latin1'))?.[1] ?? '');
const rows = ({ messages }: RawClient): string[] =>
  messages.filter(({ type }) => type === 'D').map(({ body }) => body.subarray(6).toString());

/** Sends in one write, and waits until as many ReadyForQuery have come as were asked for. */
async function say(client: RawClient, ...messages: readonly Buffer[]): Promise<void> {
  const asked = messages.filter((bytes) => 'QSF'.includes(String.fromCharCode(bytes[0] ?? 0))).length;
  const readies = (): number => types(client).split('Z').length - 1;
  const before = readies();
  client.send(...messages);
  await expect.poll(() => client.closed || readies() >= before + asked).toBe(true);
}

/** A plugin that reads every statement, and does not want anything `hidden` outside of a literal. */
const reading = (seen: string[] = []): Partial<RelayOptions> => ({
  query: (statement: Statement) => {
    if ('sql' in statement) seen.push(statement.sql);
    return statement;
  },
});
const connect = async (options = reading(), to = database): Promise<RawClient> =>
  relayed(await openAs(postgres, to, 'writer'), options);

/** Ways to change it: a text that says so, and texts that do not. */
const WAYS = {
  SET: "set client_encoding = 'SJIS'",
  'SET NAMES': "set names 'SJIS'",
  set_config: "select set_config('client_encoding', 'SJIS', false)",
  'an escaped name': String.raw`set u&"client\005fencoding" = 'SJIS'`,
  'a function': 'select to_sjis()',
  'a view': 'select * from changes',
  DO: "do $$ begin perform set_config('client_encoding', 'SJIS', false); end $$",
};
const ways = Object.entries(WAYS);

test('in SJIS the text that looks harmless is another one, and passes where nobody reads it', async () => {
  const client = await connect({});
  await say(client, Q(TRICK), Q("set client_encoding = 'SJIS'"), Q(TRICK), ...run(TRICK), S);
  expect(rows(client).filter((row) => row === 'hidden')).toHaveLength(2);
  expect(codes(client)).toEqual([]);
  client.close();
});

test.each(ways)(
  'a Query in the same write as a change by %s is refused as one behind it',
  async (_, change) => {
    const client = await connect();
    await say(client, Q(change), Q(TRICK));
    expect(rows(client)).not.toContain('hidden');
    expect(codes(client)).toEqual(['0A000']);
    client.close();
  },
);

test.each(ways)(
  'a batch in the same write as a change by %s is refused as one behind it',
  async (_, change) => {
    const client = await connect();
    await say(client, ...run(change), S, ...run(TRICK), S);
    expect(rows(client)).not.toContain('hidden');
    expect(codes(client)).toEqual(['0A000']);
    expect(types(client)).toMatch(/C?ZEZ$/);
    client.close();
  },
);

test.each(ways)(
  'a Parse in the same batch as a change by %s is refused, and the change undone',
  async (_, change) => {
    const client = await connect();
    await say(client, ...run(change), ...run(TRICK), S);
    expect(rows(client)).not.toContain('hidden');
    expect(codes(client)).toEqual(['0A000']);
    await say(client, Q('show client_encoding'));
    expect(rows(client).at(-1)).toBe('UTF8');
    client.close();
  },
);

test.each(ways)('a Query in a batch without its Sync behind a change by %s is refused', async (_, change) => {
  const client = await connect();
  // The server skips it as well.
  client.send(...run(change), Q(TRICK), S);
  await expect.poll(() => types(client)).toMatch(/^12.*EZ$/);
  expect(rows(client)).not.toContain('hidden');
  expect(codes(client)).toEqual(['0A000']);
  client.close();
});

test.each(ways)('a Parse behind a Flush behind a change by %s is refused', async (_, change) => {
  const client = await connect();
  client.send(...run(change), H);
  await expect.poll(() => types(client).includes('C')).toBe(true);
  await say(client, ...run(TRICK), S);
  expect(rows(client)).not.toContain('hidden');
  expect(codes(client)).toEqual(['0A000']);
  client.close();
});

test.each(UNSAFE)('what is ASCII is refused in %s as well, in one write and one by one', async (encoding) => {
  const client = await connect();
  const change = `set client_encoding = '${encoding}'`;
  await say(client, Q(change), Q('select 1'), ...run('select 2'), S);
  expect([rows(client), codes(client)]).toEqual([[], ['0A000', '0A000']]);
  client.close();
  const batch = await connect();
  await say(batch, ...run(change), ...run('select 3'), S);
  expect([rows(batch), codes(batch)]).toEqual([[], ['0A000']]);
  batch.close();
});

test('a named statement is not executed in the same write as a change', async () => {
  const client = await connect();
  await say(client, P('select 1', 's'), P("set client_encoding = 'SJIS'", 'c'), S);
  await say(client, B('c'), E(), S, B('s'), E(), S);
  expect([rows(client), codes(client)]).toEqual([[], ['0A000']]);
  client.close();
});

test('a client finds its way back to UTF8 by SET alone, and by nothing else', async () => {
  const seen: string[] = [];
  const client = await connect(reading(seen));
  await say(client, Q("set client_encoding = 'SJIS'"));
  await say(client, Q("set client_encoding = 'UTF8'; select 1"), Q("select 'set names'"));
  await say(client, Q(`set client_encoding = 'UTF8' -- é`));
  expect(codes(client)).toEqual(['0A000', '0A000', '0A000']);
  await say(client, Q("set client_encoding = 'UTF8'"), Q("select 'ü'"));
  expect(rows(client)).toEqual(['ü']);
  await say(client, Q('set names SJIS'), Q(' reset client_encoding ;'), Q("select 'ö'"));
  expect(rows(client)).toEqual(['ü', 'ö']);
  expect(seen).toContain("set client_encoding = 'UTF8'");
  client.close();
});

test('values beyond ASCII pass in pipelines and batches as they are, where they are read', async () => {
  const client = await connect({ ...reading(), reads: 'parameters' });
  const value = (text: string): Buffer[] => {
    const bytes = Buffer.from(text);
    return [frame('B', '', 's', 0, 1, Buffer.from([0, 0, 0, bytes.length]), bytes, 0), E()];
  };
  await say(
    client,
    P('select $1::text', 's'),
    ...value('ü'),
    ...value('ö'),
    ...value('a'),
    S,
    ...value('ß'),
    S,
  );
  expect([rows(client), codes(client)]).toEqual([['ü', 'ö', 'a', 'ß'], []]);
  await say(client, P('select to_sjis()', 'c'), B('c'), E(), ...value('Á'), S);
  await say(client, B('c'), E(), S, ...value('Á'), S);
  expect(codes(client)).toEqual(['0A000', '0A000']);
  client.close();
});

test('statements beyond ASCII pass in pipelines and batches as they are', async () => {
  const client = await connect();
  const long = (at: number): string => `select '${'ü'.repeat(at)}'`;
  await say(client, Q(long(1)), Q(long(2)), ...run(long(3)), ...run(long(4)), S, ...run(long(5)), S);
  await say(client, ...Array.from({ length: 20 }, (_, i) => run(long(i))).flat(), S);
  await say(client, ...Array.from({ length: 20 }, (_, i) => [...run(long(i)), S, Q(long(i))]).flat());
  expect(codes(client)).toEqual([]);
  expect(types(client)).not.toContain('3');
  expect(rows(client)).toHaveLength(65);
  client.close();
});

test('a batch that fails is skipped to its Sync as ever, and so is what has been asked in between', async () => {
  const client = await connect();
  await say(
    client,
    ...run('select 1/0'),
    ...run("select 'ü'"),
    S,
    ...run("select 'ö'"),
    ...run("select 'ß'"),
    S,
  );
  expect(codes(client)).toEqual(['22012']);
  expect(rows(client)).toEqual(['ö', 'ß']);
  client.close();
});

test('a COPY that waits for data keeps nobody waiting', async () => {
  const client = await connect();
  await say(client, Q('copy t from stdin'), Q("select 'ü'"));
  expect(types(client)).toMatch(/^GE/);
  client.close();
  const other = await connect();
  await say(other, Q('copy t from stdin'), frame('d', Buffer.from('1\n')), frame('c'), Q("select 'ü'"));
  expect([codes(other), rows(other)]).toEqual([[], ['ü']]);
  other.close();
});

test('a cancel reaches the statement that another one waits for', async () => {
  const client = await relayed(await openAs(postgres, database, 'writer'), reading());
  client.send(Q('select pg_sleep(60)'), Q("select 'ü'"));
  await expect.poll(() => client.relay.state).toBe('active');
  await expect
    .poll(async () => {
      await client.relay.cancel();
      return codes(client);
    })
    .toEqual(['57014']);
  await expect.poll(() => rows(client)).toEqual(['ü']);
  client.close();
});

test('a rewrite waits for what has been asked, and is sent in UTF8 or not at all', async () => {
  const rewriting: Partial<RelayOptions> = {
    query: (statement) =>
      statement.kind === 'query' || statement.kind === 'parse'
        ? statement.withSql(statement.sql.replace('who', "'Jürgen'").replace('me', "'x'"))
        : statement,
  };
  const client = await connect(rewriting);
  await say(client, Q('select 1'), Q('select who'), ...run('select who'), S);
  expect([rows(client), codes(client)]).toEqual([['1', 'Jürgen', 'Jürgen'], []]);
  await say(client, Q("set client_encoding = 'LATIN1'"), Q('select who'), Q('select me'));
  expect([rows(client).slice(3), codes(client)]).toEqual([['x'], ['0A000']]);
  client.close();
  for (const change of ['select to_latin()', "set client_encoding = 'LATIN1'"]) {
    const other = await connect(rewriting);
    await say(other, Q(change), Q('select who'));
    await say(other, Q("set client_encoding = 'UTF8'"));
    await say(other, ...run(change), ...run('select who'), S);
    expect(rows(other).filter((row) => row.includes('gen'))).toEqual([]);
    expect(codes(other)).toEqual(['0A000', '0A000']);
    await say(other, ...run('select 1'), ...run("select 'ü', me"), S);
    expect(codes(other)).toHaveLength(2);
    other.close();
  }
});

test('where connections change, an earlier Parse is not sent again in another encoding', async () => {
  const [client, other] = [await two.connect({ options: reading() }), await two.connect()];
  await say(client, P(TRICK, 's'), S);
  // Another connection, where it is not prepared.
  other.send(Q('begin'));
  await expect.poll(() => types(other)).toBe('CZ');
  for (const change of Object.values(WAYS)) {
    await say(client, Q('begin'), Q(change), B('s'), E(), S, Q('rollback'));
    await say(client, Q('rollback'));
    await say(client, Q('reset client_encoding'));
    await say(client, ...run(change), B('s'), E(), S);
    await say(client, ...run(change), frame('D', Buffer.from('S'), 's'), ...run('select 1'), B('s'), E(), S);
    await say(client, Q('reset client_encoding'));
  }
  expect(rows(client)).not.toContain('hidden');
  for (const one of [client, other]) one.close();
});

test('bytes that are no characters of an unsafe encoding are characters of every database that has one', async () => {
  for (const [encoding, sql] of [
    ['EUC_JP', "select 'あ'"],
    ['EUC_TW', "select '一'"],
    ['EUC_JIS_2004', "select 'あ'"],
    ['LATIN1', "select 'ü'"],
    ['SQL_ASCII', "select 'ü'"],
    ['WIN1251', "select 'ж'"],
  ] as const) {
    const name = `encoded_${encoding.toLowerCase()}`;
    await postgres.sql(`create database ${name} template template0 encoding '${encoding}' locale 'C'`);
    const client = await connect(reading(), name);
    await say(client, ...run('select 1'), ...run(sql), S);
    expect([encoding, codes(client), rows(client).at(-1)]).toEqual([encoding, [], sql.slice(8, -1)]);
    await say(client, ...run("set client_encoding = 'SJIS'"), ...run('select 2'), S);
    expect(rows(client)).not.toContain('2');
    client.close();
    await expect
      .poll(() => postgres.sql(`drop database if exists ${name}`).then(String, () => 'in use'))
      .not.toBe('in use');
  }
});

test('a plugin that refuses is not passed by what stands in front, whatever that is', async () => {
  const refusing: Partial<RelayOptions> = {
    query: (statement) => {
      if ('sql' in statement && statement.sql.includes('no'))
        throw new GatewayError('insufficient_privilege', 'no');
      return statement;
    },
  };
  const client = await connect(refusing);
  await say(client, Q("set client_encoding = 'LATIN1'"), Q('select no'), ...run("select 'ü no'"), S);
  expect(codes(client)).toEqual(['42501', '42501']);
  client.close();
});

/** The types of all messages that a server connection gets. */
async function typesSent(what: (client: RawClient) => Promise<void>): Promise<string> {
  const server = await openAs(postgres, database, 'writer');
  const sent: Buffer[] = [];
  const { channel } = server;
  const writeCopy = channel.writeCopy.bind(channel);
  channel.writeCopy = (chunk, from, to) => {
    sent.push(Buffer.from(chunk.subarray(from, to)));
    return writeCopy(chunk, from, to);
  };
  await what(await relayed(server, reading()));
  return typesOf(Buffer.concat(sent));
}

test('the encoding is asked for behind a prepared statement only if that may change it', async () => {
  const plain = (client: RawClient) => say(client, P('select 1', 's'), S, B('s'), E(), B('s'), E(), S);
  expect(await typesSent(plain)).toBe('PSBEBES');
  const changing = (client: RawClient) => say(client, P(WAYS.set_config, 's'), S, B('s'), E(), S);
  expect(await typesSent(changing)).toContain('C');
});
