/** What `onQuery`, observers and the gateway's own settings see and do, over both protocols. */
import { beforeAll, expect, test, vi } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { RelayOptions } from '../../../core/relay/relay-options.ts';
import type { StatementEnd } from '../../../core/relay/statements/statement-observer.ts';
import type { Statement } from '../../../core/contract/statement.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame, openAs, relayed } from '../../support/raw.ts';
import type { Relayed } from '../../support/raw.ts';

const postgres = sharedPostgres();
let database: string;
beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql('create table t (n int); grant all on t to writer', database);
  const deferred = 'create table d (n int unique deferrable initially deferred); grant all on d to writer';
  await postgres.sql(deferred, database);
});
const connect = async (options: Partial<RelayOptions>): Promise<Relayed> =>
  relayed(await openAs(postgres, database, 'writer'), options);
const types = ({ messages }: Relayed): string => messages.map(({ type }) => type).join('');
const texts = ({ messages }: Relayed): string[] =>
  messages.map(({ type, body }) => `${type} ${body.toString()}`);
const batch = (sql: string, name = ''): Buffer[] => [
  frame('P', name, sql, 0),
  frame('B', '', name, 0, 0, 0),
  frame('D', Buffer.from('P'), ''),
  frame('E', '', Buffer.alloc(4)),
  frame('S'),
];

test('onQuery sees each statement once, in order, with ids, names and the text behind a portal', async () => {
  const seen: object[] = [];
  const client = await connect({
    reads: 'parameters',
    query: (statement) => {
      const { kind, id } = statement;
      const more = 'sql' in statement ? { sql: statement.sql } : {};
      seen.push({
        kind,
        id,
        ...more,
        ...(statement.kind === 'bind' && { parameters: statement.parameters.map(String) }),
      });
      return statement;
    },
  });
  const bind = frame('B', '', 's', 0, 1, Buffer.from([0, 0, 0, 1]), Buffer.from('7'), 0);
  client.send(
    frame('Q', 'select 1'),
    frame('P', 's', 'select $1::int', 0),
    bind,
    frame('E', '', Buffer.alloc(4)),
    frame('S'),
  );
  await expect.poll(() => types(client)).toBe('TDCZ12DCZ');
  expect(seen).toEqual([
    { kind: 'query', id: 1, sql: 'select 1' },
    { kind: 'parse', id: 2, sql: 'select $1::int' },
    { kind: 'bind', id: 3, sql: 'select $1::int', parameters: ['7'] },
    { kind: 'execute', id: 4, sql: 'select $1::int' },
  ]);
  client.close();
});

test('withSql rewrites a Query and a Parse, and later looks see the rewritten text', async () => {
  const seen: string[] = [];
  const client = await connect({
    query: (statement) => {
      if ('sql' in statement) seen.push(statement.sql);
      return statement.kind === 'query' || statement.kind === 'parse'
        ? statement.withSql("select 'rewritten'")
        : statement;
    },
  });
  client.send(frame('Q', 'select 1'), ...batch('select 2'));
  await expect.poll(() => types(client)).toBe('TDCZ12TDCZ');
  expect(texts(client).filter((text) => text.startsWith('D') && text.includes('rewritten'))).toHaveLength(2);
  expect(seen).toEqual(['select 1', 'select 2', "select 'rewritten'"]);
  client.close();
});

test('something that onQuery throws and is no GatewayError, or returns and is no statement, refuses with XX000', async () => {
  const client = await connect({
    query: (statement) => {
      if ('sql' in statement && statement.sql === 'throw') throw new TypeError('a bug');
      return {} as Statement;
    },
  });
  client.send(frame('Q', 'throw'));
  await expect.poll(() => types(client)).toBe('EZ');
  client.send(frame('Q', 'return'));
  await expect.poll(() => types(client)).toBe('EZEZ');
  expect(texts(client).filter((text) => text.includes('CXX000'))).toHaveLength(2);
  client.close();
});

test('a refused batch is answered once and dropped up to its Sync; PostgreSQL sees nothing of it', async () => {
  const before = postgres.log().length;
  const client = await connect({
    query: (statement) => {
      if ('sql' in statement && statement.sql.startsWith('drop'))
        throw new GatewayError('insufficient_privilege', 'no');
      return statement;
    },
  });
  client.send(...batch('drop table t'), frame('Q', 'select 1'));
  await expect.poll(() => types(client)).toBe('EZTDCZ');
  client.send(frame('Q', 'begin'), ...batch('drop table t'), frame('Q', 'select 1'), frame('Q', 'rollback'));
  await expect.poll(() => types(client)).toBe('EZTDCZCZEZEZCZ');
  expect(texts(client).filter((text) => text.includes('C42501') && text.includes('Mno'))).toHaveLength(2);
  const log = postgres.log().slice(before);
  expect(log).not.toContain('drop table t');
  expect(log.split('ERROR:  syntax error at or near "postern"').length).toBe(2);
  client.close();
});

test('a text over the limit is refused where it must be read, and streams where nobody reads', async () => {
  const long = `select '${'x'.repeat(2_000_000)}'`;
  const tapped = await connect({ query: (statement) => statement });
  tapped.send(frame('Q', long), frame('Q', 'select 1'), ...batch(long), ...batch('select 1'));
  await expect.poll(() => types(tapped)).toBe('EZTDCZEZ12TDCZ');
  expect(texts(tapped)[0]).toContain('C54000');
  tapped.close();
  for (const options of [{}, { query: (s: Statement) => s, reads: 'kind' as const }]) {
    const client = await connect(options);
    client.send(frame('Q', long), ...batch(long));
    await expect.poll(() => types(client)).toBe('TDCZ12TDCZ');
    client.close();
  }
});

test.each([1_000, 100_000])('a text of exactly %i bytes is read, one more is not', async (limit) => {
  const client = await connect({ query: (statement) => statement, maxStatementBytes: limit });
  const exact = `select 1 -- ${'ä'.repeat((limit - 12) / 2)}`;
  expect(Buffer.byteLength(exact)).toBe(limit);
  const name = 'n'.repeat(63);
  const oids = Array.from({ length: 500 }, () => Buffer.from([0, 0, 0, 23]));
  const parse = (sql: string): Buffer => frame('P', name, sql, Buffer.from([500 >> 8, 500 & 255]), ...oids);
  client.send(frame('Q', exact), parse(exact), frame('S'));
  await expect.poll(() => types(client)).toBe('TDCZ1Z');
  client.send(frame('Q', `${exact} `), frame('C', Buffer.from('S'), name), frame('S'));
  client.send(parse(`${exact} `), frame('S'), frame('Q', 'select 1'));
  await expect.poll(() => types(client)).toBe('TDCZ1ZEZ3ZEZTDCZ');
  expect(
    texts(client).filter((one) => one.includes('C54000') && one.includes('maxStatementBytes')),
  ).toHaveLength(2);
  client.close();
});

test('a setting of the gateway may be long where the statements of others may not', async () => {
  const heard: string[] = [];
  const client = await connect({
    query: (statement) => statement,
    maxStatementBytes: 10,
    inBand: async (_, value) => void heard.push(value),
  });
  const token = 'x'.repeat(65_536);
  client.send(frame('Q', `set postern.token = '${token}'`), ...batch(`set postern.token = '${token}'`));
  await expect.poll(() => types(client)).toBe('CZ12nCZ');
  expect(heard).toEqual([token, token]);
  client.send(frame('Q', `set postern.token = '${token}${token}'`));
  await expect.poll(() => types(client)).toBe('CZ12nCZEZ');
  client.close();
});

test('a text over the limit is told to observers, as far as there is one', async () => {
  const ended: StatementEnd[] = [];
  const client = await connect({
    query: (statement) => statement,
    reads: 'parameters',
    maxStatementBytes: 100_000,
    statement: (end) => ended.push({ ...end }),
  });
  const long = 'x'.repeat(200_000);
  client.send(frame('Q', `select '${long}'`));
  await expect.poll(() => types(client)).toBe('EZ');
  client.send(frame('P', '', `select '${long}'`, 0), frame('S'));
  await expect.poll(() => types(client)).toBe('EZEZ');
  client.send(frame('B', '', '', 0, 0, Buffer.from(long)), frame('S'), frame('Q', 'select 1'));
  await expect.poll(() => types(client)).toBe('EZEZEZTDCZ');
  const refused = { sqlstate: '54000', truncated: true };
  expect(ended).toMatchObject([
    { kind: 'query', ...refused },
    { kind: 'parse', ...refused },
    { kind: 'bind', sqlstate: '54000', truncated: false },
    { kind: 'query', truncated: false, rows: 1 },
  ]);
  expect(ended[0]?.sql).toMatch(/^select 'x{60000}/);
  client.close();
});

test('a slow hook holds what is behind it, and a cancel ends the wait with 57014', async () => {
  let refuse: (error: Error) => void = () => {};
  const client = await connect({
    query: (statement) =>
      'sql' in statement && statement.sql === 'select 2'
        ? new Promise((_, reject) => (refuse = reject))
        : statement,
  });
  client.send(frame('Q', 'select 1'), frame('Q', 'select 2'), frame('Q', 'select 3'));
  await expect.poll(() => types(client)).toBe('TDCZ');
  await client.relay.cancel();
  await expect.poll(() => types(client)).toBe('TDCZEZTDCZ');
  expect(texts(client)[4]).toContain('C57014');
  refuse(new Error('too late, and nobody listens'));
  client.close();
});

test('SET postern.x goes to its owner over both protocols, in order, and never to the server or a hook', async () => {
  const before = postgres.log().length;
  const set = vi.fn(async (name: string, _value: string) => {
    if (name !== 'postern.token') throw new GatewayError('invalid_parameter_value', 'no such setting');
  });
  const seen: string[] = [];
  const client = await connect({
    inBand: set,
    query: (statement) => ('sql' in statement && seen.push(statement.sql), statement),
  });
  client.send(
    frame('Q', "  set SESSION postern.Token TO 'it''s' ; "),
    frame('Q', 'begin'),
    ...batch("set postern.token = 'two'", 's'),
  );
  client.send(frame('Q', 'commit'), ...batch('select 1'), frame('Q', "set postern.token='three'"));
  await expect.poll(() => types(client)).toBe('CZCZ12nCZCZ12TDCZCZ');
  expect(texts(client).slice(0, 2)).toEqual(['C SET\0', 'Z I']);
  expect(texts(client)[8]).toBe('Z T');
  expect(set.mock.calls.map(([, value]) => value)).toEqual(["it's", 'two', 'three']);
  expect(seen.join()).not.toContain('postern');
  expect(postgres.log().slice(before)).not.toMatch(/set\s+(session\s+)?postern\./i);
  client.close();
});

test('what is not exactly one SET of a known postern setting is refused, and not shown to the server', async () => {
  const before = postgres.log().length;
  const client = await connect({});
  const refused = [
    "set postern.other = 'secret1'",
    "set postern.token = 'secret2'; select 1",
    'set postern.token = secret3',
    'set local "postern".token = E\'secret4\'',
  ];
  for (const [i, sql] of refused.entries()) {
    client.send(i % 2 === 0 ? frame('Q', sql) : Buffer.concat(batch(sql)));
    await expect.poll(() => types(client)).toBe('EZ'.repeat(i + 1));
  }
  expect(postgres.log().slice(before)).not.toContain('secret');
  client.send(frame('Q', "select 'set postern.token'; set work_mem = '1MB'"));
  await expect.poll(() => types(client)).toBe('EZEZEZEZTDCCZ');
  client.close();
});

test('observers hear each statement once, with rows, bytes, tags and SQLSTATE, whatever the protocol', async () => {
  const ended: StatementEnd[] = [];
  const client = await connect({ statement: (end) => ended.push({ ...end }) });
  client.send(frame('Q', 'select generate_series(1, 5); select 1/0'));
  await expect.poll(() => types(client)).toBe('TDDDDDCEZ');
  client.send(frame('P', 's', 'select generate_series(1, 3)', 0), frame('B', '', 's', 0, 0, 0));
  client.send(frame('E', '', Buffer.from([0, 0, 0, 2])), frame('E', '', Buffer.alloc(4)), frame('S'));
  await expect.poll(() => types(client)).toBe('TDDDDDCEZ12DDsDCZ');
  client.send(
    frame('P', '', 'nonsense', 0),
    frame('B', '', '', 0, 0, 0),
    frame('E', '', Buffer.alloc(4)),
    frame('S'),
  );
  await expect.poll(() => types(client)).toBe('TDDDDDCEZ12DDsDCZEZ');
  client.send(frame('Q', 'copy t from stdin'), frame('d', Buffer.from('1\n2\n')), frame('c'));
  await expect.poll(() => ended.length).toBe(5);
  expect(ended.map(({ id, kind, rows, tags, sqlstate }) => ({ id, kind, rows, tags, sqlstate }))).toEqual([
    { id: 1, kind: 'query', rows: 5, tags: ['SELECT 5'], sqlstate: '22012' },
    { id: 4, kind: 'execute', rows: 2, tags: [], sqlstate: undefined },
    { id: 5, kind: 'execute', rows: 1, tags: ['SELECT 1'], sqlstate: undefined },
    { id: 6, kind: 'parse', rows: 0, tags: [], sqlstate: '42601' },
    { id: 9, kind: 'query', rows: 2, tags: ['COPY 2'], sqlstate: undefined },
  ]);
  expect(ended[1]?.sql).toBe('select generate_series(1, 3)');
  expect(ended[4]?.bytesIn).toBe(frame('Q', 'copy t from stdin').length + 9);
  expect(ended[0]?.bytesOut).toBeGreaterThan(60);
  client.send(frame('Q', 'select pg_sleep(60)'));
  await expect.poll(() => client.relay.state).toBe('active');
  client.close();
  await client.relay.done;
  expect(ended.at(-1)).toMatchObject({ id: 10, sqlstate: '08006' });
});

test('observers hear of function calls, and of what the server may have done where nobody can know', async () => {
  const ended: StatementEnd[] = [];
  const client = await connect({ statement: (end) => ended.push({ ...end }) });
  const [pid] = await postgres.sql("select 'pg_backend_pid'::regproc::oid::int as oid");
  const oid = Number(pid?.['oid']);
  const word = Buffer.alloc(4);
  word.writeUInt32BE(oid);
  client.send(frame('F', word, 0, 0, 0));
  await expect.poll(() => types(client)).toBe('VZ');
  expect(ended).toMatchObject([{ kind: 'function-call', function: oid, sql: '' }]);
  // The Sync between the COPY and its end: whether the server has read it, no byte says, but the next answer may.
  const failing = [
    frame('P', '', 'copy t from stdin', 0),
    frame('B', '', '', 0, 0, 0),
    frame('E', '', Buffer.alloc(4)),
    frame('S'),
    frame('d', Buffer.from('nonsense\n')),
    frame('c'),
  ];
  client.send(...failing, frame('S'), frame('Q', 'select 1/0'));
  await expect.poll(() => ended.length).toBe(3);
  // Observers hear of its end before the client has all of the answer.
  await expect.poll(() => types(client).endsWith('EZ')).toBe(true);
  // Skipped up to the second Sync if the first was read, else carried out: ReadyForQuery comes first either way.
  const before = types(client).length;
  client.send(...failing, frame('Q', 'select 2'), frame('S'));
  await expect.poll(() => types(client).slice(before)).toBe('12GEZ');
  client.close();
  await client.relay.done;
  expect(ended.slice(1).map(({ kind, sql, sqlstate }) => [kind, sql, sqlstate])).toEqual([
    ['execute', 'copy t from stdin', '22P02'],
    ['query', 'select 1/0', '22012'],
    ['execute', 'copy t from stdin', '22P02'],
    ['query', 'select 2', '08006'],
  ]);
});

test('observers hear of a Bind that fails, though nobody looks at parameters, and of no other', async () => {
  const ended: StatementEnd[] = [];
  const client = await connect({ statement: (end) => ended.push({ ...end }) });
  const zero = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 0x30, 0, 0]);
  const run = [frame('E', '', Buffer.alloc(4)), frame('S')];
  // Planned with its parameters: the division is tried before anything is executed.
  client.send(frame('P', 'd', 'select 1 / $1::int', 0), frame('B', '', 'd', zero), ...run);
  await expect.poll(() => types(client)).toBe('1EZ');
  client.send(...batch('select 2', 's'));
  await expect.poll(() => types(client)).toBe('1EZ12TDCZ');
  client.send(frame('B', '', 'nobody', 0, 0, 0), ...run);
  await expect.poll(() => types(client)).toBe('1EZ12TDCZEZ');
  expect(ended.map(({ kind, sql, sqlstate }) => ({ kind, sql, sqlstate }))).toEqual([
    { kind: 'bind', sql: 'select 1 / $1::int', sqlstate: '22012' },
    { kind: 'execute', sql: 'select 2', sqlstate: undefined },
    { kind: 'bind', sql: '', sqlstate: '26000' },
  ]);
  client.close();
});

test('a prepared text of which observers have only the beginning is said to be that', async () => {
  const ended: StatementEnd[] = [];
  const client = await connect({ statement: (end) => ended.push({ ...end }) });
  client.send(...batch(`select 1 /* ${'x'.repeat(200_000)} */`));
  await expect.poll(() => types(client)).toBe('12TDCZ');
  expect(ended).toMatchObject([{ kind: 'execute', rows: 1, truncated: true }]);
  expect(ended[0]?.sql.slice(0, 12)).toBe('select 1 /* ');
  client.close();
});

test('of a text with very many statements, observers hear the first tags and all rows', async () => {
  const ended: StatementEnd[] = [];
  const client = await connect({ statement: (end) => ended.push({ ...end }) });
  client.send(frame('Q', 'select 1;'.repeat(3_000)));
  await expect.poll(() => types(client).endsWith('Z')).toBe(true);
  expect(ended).toMatchObject([{ rows: 3_000, truncated: false }]);
  expect(ended[0]?.tags).toHaveLength(1_000);
  client.close();
});

test('a session that ends within a batch has the statements that may have run, and no others', async () => {
  const ended: StatementEnd[] = [];
  const client = await connect({ statement: (end) => ended.push({ ...end }) });
  client.send(...batch('select pg_sleep(60)'), ...batch('select 2', 'two'));
  await expect.poll(() => client.relay.state).toBe('active');
  client.close();
  await client.relay.done;
  expect(ended.map(({ kind, sql, sqlstate }) => `${kind} ${sql} ${sqlstate}`)).toEqual([
    'execute select pg_sleep(60) 08006',
    'execute select 2 08006',
  ]);
});

test('a Sync that cannot commit what was executed is told with its SQLSTATE, and no other Sync is', async () => {
  const ended: StatementEnd[] = [];
  const client = await connect({ statement: (end) => ended.push({ ...end }) });
  const insert = 'insert into d values (1), (1)';
  client.send(...batch('select 1'), ...batch(insert), ...batch('select 2'), frame('S'));
  await expect.poll(() => types(client)).toBe('12TDCZ12nCEZ12TDCZZ');
  expect(ended).toMatchObject([
    { kind: 'execute', sql: 'select 1' },
    { kind: 'execute', sql: insert, tags: ['INSERT 0 2'] },
    { kind: 'sync', sql: insert, sqlstate: '23505', tags: [], rows: 0, bytesIn: 5 },
    { kind: 'execute', sql: 'select 2' },
  ]);
  expect(ended[1]).not.toHaveProperty('sqlstate');
  expect(ended[2]?.id).toBe(ended[1]?.id);
  // PostgreSQL ignores a Sync inside of a COPY, whose own comes behind it.
  const data = [frame('d', Buffer.from('3\n')), frame('d', Buffer.from('3\n')), frame('c'), frame('S')];
  client.send(...batch('copy d from stdin'), ...data, frame('Q', 'select 3'));
  await expect.poll(() => types(client).slice(19)).toBe('12nGCEZTDCZ');
  client.close();
  await client.relay.done;
  expect(ended.slice(4).map(({ kind, sqlstate }) => `${kind} ${sqlstate}`)).toEqual([
    'execute undefined',
    'sync 23505',
    'query undefined',
  ]);
});

test('a portal that is fetched in parts counts each of its rows once', async () => {
  const ended: StatementEnd[] = [];
  const client = await connect({ statement: (end) => ended.push({ ...end }) });
  const part = frame('E', 'p', Buffer.from([0, 0, 0, 2]));
  const parse = frame('P', '', 'insert into t select generate_series(1, 4) returning n', 0);
  client.send(parse, frame('B', 'p', '', 0, 0, 0), part, part, part, frame('S'));
  await expect.poll(() => types(client)).toBe('12DDsDDsCZ');
  // PostgreSQL's own tag counts those of the last part.
  expect(ended.map(({ rows, tags }) => [rows, ...tags])).toEqual([[2], [2], [0, 'INSERT 0 0']]);
  client.close();
});
