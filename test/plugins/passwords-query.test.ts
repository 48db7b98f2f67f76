/** Answers about passwords are kept for a while, those that there is none included, and errors are not. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { PasswordQuery } from '../../plugins/passwords/password-query.ts';
import type { Lookup, LookupRow } from '../../core/index.ts';
import { parseRole } from '../../core/index.ts';

const KEY = Buffer.alloc(32, 1).toString('base64');
const VERIFIER = `SCRAM-SHA-256$4096:${Buffer.alloc(16, 2).toString('base64')}$${KEY}:${KEY}`;

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

function source(answer: (user: string) => Promise<readonly LookupRow[]>) {
  const asked: Lookup[] = [];
  const warned: object[] = [];
  const gateway = {
    lookUp(lookup: Lookup) {
      asked.push(lookup);
      return answer(String(lookup.values[0]));
    },
    log: { info() {}, warn: (fields: object) => void warned.push(fields), error() {} },
  };
  const query = {
    kind: 'query',
    database: 'orders',
    role: parseRole('asks'),
    function: 'postern.password_of',
    iterations: 4_096,
  } as const;
  return { made: new PasswordQuery(query, gateway), asked, warned };
}

const answers = (rows: readonly LookupRow[]) => () => Promise.resolve(rows);

test('an answer is good for thirty seconds, also that there is no such user', async () => {
  const { made, asked } = source((user) => Promise.resolve(user === 'a' ? [[VERIFIER, null]] : []));
  for (let time = 0; time < 3; time += 1) {
    expect((await made.find('a'))?.verifier.iterations).toBe(4_096);
    expect(await made.find('nobody')).toBeUndefined();
  }
  expect(asked.map(({ values }) => values)).toEqual([['a'], ['nobody']]);
  vi.advanceTimersByTime(29_999);
  await made.find('a');
  expect(asked).toHaveLength(2);
  vi.advanceTimersByTime(2);
  await made.find('a');
  expect(asked).toHaveLength(3);
});

test('logins that come together ask once, and an error is kept for none', async () => {
  let fails = true;
  const { made, asked } = source(() =>
    fails ? Promise.reject(new Error('away')) : answers([[VERIFIER, null]])(),
  );
  const all = await Promise.allSettled(Array.from({ length: 9 }, () => made.find('a')));
  expect(asked).toHaveLength(1);
  expect(all.every((one) => one.status === 'rejected')).toBe(true);
  expect(all[0]).toMatchObject({ reason: { sqlstate: '57P03', cause: { message: 'away' } } });
  fails = false;
  expect(await made.find('a')).toBeDefined();
});

test('ten thousand answers are kept, and no more', async () => {
  const { made, asked } = source(answers([]));
  for (let number = 0; number <= 10_000; number += 1) await made.find(`user${number}`);
  expect(asked).toHaveLength(10_001);
  await made.find('user10000');
  expect(asked).toHaveLength(10_001);
  await made.find('user0');
  expect(asked).toHaveLength(10_002);
});

test('the statement is the same for everybody', async () => {
  const { made, asked } = source(answers([]));
  await made.find(`'; drop table users; --`);
  await made.find('a');
  expect(new Set(asked.map(({ sql }) => sql)).size).toBe(1);
  expect(asked[0]?.sql).toContain('from postern.password_of($1) as p(verifier, valid_until) limit 1');
});

test.each<[string | null, unknown]>([
  [null, undefined],
  ['Infinity', undefined],
  ['1893456000', new Date('2030-01-01T00:00:00Z')],
  ['1893456000.5', new Date('2030-01-01T00:00:00.500Z')],
  ['-Infinity', new Date(0)],
  ['0', new Date(0)],
])('an end of %j seconds is %s', async (seconds, end) => {
  const { made } = source(answers([[VERIFIER, seconds]]));
  expect((await made.find('a'))?.until).toEqual(end);
});

test.each([null, 'md50123456789abcdef0123456789abcdef', 'secret'])('%j is no password', async (text) => {
  const { made, warned } = source(answers([[text, null]]));
  expect(await made.find('a')).toBeUndefined();
  expect(warned).toEqual(text === null ? [] : [{ user: "'a'" }]);
});
