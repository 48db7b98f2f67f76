/** What tracing reads in statements and startup packets: whose span they belong to, and what they are about. */
import { describe, expect, test } from 'vitest';
import { summaryOf } from '../../plugins/tracing/query-summary.ts';
import { parentInComment, parseTraceparent } from '../../plugins/tracing/traceparent.ts';

const ID = '0af7651916cd43dd8448eb211c80319c';
const GOOD = `00-${ID}-b7ad6b7169203331-01`;

describe('a traceparent', () => {
  test('is read, sampled or not, and in versions to come', () => {
    const read = { traceId: ID, spanId: 'b7ad6b7169203331' };
    expect(parseTraceparent(GOOD)).toEqual({ ...read, sampled: true });
    expect(parseTraceparent(GOOD.replace(/1$/, '2'))).toEqual({ ...read, sampled: false });
    expect(parseTraceparent(`cc${GOOD.slice(2)}-what-comes`)).toEqual({ ...read, sampled: true });
  });

  test.each([
    undefined,
    '',
    'x',
    GOOD.toUpperCase(),
    `ff${GOOD.slice(2)}`,
    `${GOOD}-more`,
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-${ID}-${'0'.repeat(16)}-01`,
    `${GOOD} `,
    `00-${ID}-b7ad6b7169203331`,
  ])('is ignored where it is none: %s', (value) => {
    expect(parseTraceparent(value)).toBeUndefined();
  });

  test.each([
    [`select 1 /*traceparent='${GOOD}'*/`, true],
    [`select 1 /*application='a%2Fb',traceparent='${GOOD}',tracestate='x%3D1'*/ ;\n`, true],
    [`select 1 /* a */ /* traceparent='${GOOD}' */`, true],
    [`/*traceparent='${GOOD}'*/ select 1`, false],
    [`select 1 /*xtraceparent='${GOOD}'*/`, false],
    [`select 1 /*traceparent='${GOOD}'`, false],
    [`select 1 /*traceparent='${'x'.repeat(100_000)}'*/`, false],
    [`${'/*'.repeat(100_000)}traceparent='`, false],
    ['select 1', false],
    ['', false],
  ])('stands in the last comment: %#', (sql, found) => {
    expect(parentInComment(sql) !== undefined).toBe(found);
  });
});

describe('the summary of a statement', () => {
  test.each([
    ['select * from orders', 'SELECT orders'],
    [
      'SELECT o.a FROM public . orders o, customers AS c JOIN "Items" i ON i.a = o.a WHERE o.b = ?',
      'SELECT public.orders customers "Items"',
    ],
    ['select ? from (select a from x where b in (select c from y)) z', 'SELECT SELECT x SELECT y'],
    [
      'with recent as (select * from orders) select * from recent join customers using (id)',
      'SELECT orders SELECT customers',
    ],
    ['select * from "a . b" . "c""."', 'SELECT "a . b"."c""."'],
    ['insert into shipping (a, b) select a, b from orders', 'INSERT shipping SELECT orders'],
    ['insert into t values (?) on conflict (a) do update set b = ?', 'INSERT t'],
    ['update only t set a = ? from u where t.a = u.a', 'UPDATE t u'],
    ['delete from t using u', 'DELETE t'],
    ['merge into t using s on t.a = s.a when matched then delete', 'MERGE t s DELETE'],
    ['select extract(year from at), a is distinct from b from t for update', 'SELECT t'],
    ['select * from f(a, b), t', 'SELECT f t'],
    ['create unique index concurrently if not exists i on t (a)', 'CREATE INDEX i'],
    ['create temp table t as select ?', 'CREATE TABLE t'],
    ['drop table if exists a.b', 'DROP TABLE a.b'],
    ['truncate orders', 'TRUNCATE orders'],
    ['copy orders (a, b) from stdin', 'COPY orders'],
    ['begin', 'BEGIN'],
    ['set role x', 'SET'],
    ['explain analyze select * from t', 'SELECT t'],
    ['values (?), (?)', 'VALUES'],
    ['', ''],
    ['?', ''],
  ])('%s', (sql, expected) => {
    expect(summaryOf(sql)).toBe(expected);
  });

  test('has an end, and takes no time for what is meant to take it', () => {
    expect(
      summaryOf(`select * from ${Array.from({ length: 2_000 }, (_, i) => `t${i}`).join(',')}`).length,
    ).toBeLessThan(256);
    for (const nasty of ['"', '(', 'a.', 'from ', 'as (', '. '])
      expect(summaryOf(`select ${nasty.repeat(50_000)}`).length).toBeLessThan(256);
  });
});
