/** Which messages of a session in session mode may return a setting to its default, and how many texts are read for it. */
import { describe, expect, test } from 'vitest';
import { ResetDetection } from '../../../core/relay/settings/reset-detection.ts';
import { frame } from '../../support/raw.ts';

const Q = (sql: string): Buffer => frame('Q', sql);
const P = (sql: string, name = ''): Buffer => frame('P', name, sql, 0);
const sends = (session: ResetDetection, bytes: Buffer): boolean => session.sends(bytes[0] ?? 0, bytes);

describe('a text may do it', () => {
  test.each([
    'set a to default',
    'SET SESSION a = DEFAULT',
    'select 1; set a to default',
    'set time zone local',
    'set names',
    "select set_config('a', null, false)",
    "select set_config('a', $1, false)",
    'select set_config($1, $2, false)',
    'set u&"a" to default',
  ])('%s', (text) => {
    for (const bytes of [Q(text), P(text), P(text, 'a')])
      expect(sends(new ResetDetection(), bytes)).toBe(true);
  });
});

test.each([
  'set a = 1',
  'set local a to default',
  'set local work_mem = 1',
  'insert into t values (default)',
  "select set_config('a', null, true)",
  "select set_config('a', 'b', false)",
  'select names from t',
])('%s does not', (text) => {
  for (const bytes of [Q(text), P(text), P(text, 'a')])
    expect(sends(new ResetDetection(), bytes)).toBe(false);
});

test('other messages do not, and RESET is known by its tag', () => {
  const session = new ResetDetection();
  expect(sends(session, frame('B', '', 'default', 0, 0, 0))).toBe(false);
  expect(['SELECT 1', 'RESET', 'DISCARD ALL'].map((tag) => session.completed(tag))).toEqual([
    false,
    true,
    true,
  ]);
});

test('after twenty texts without a SET none is read, and the next SET may be one', () => {
  const session = new ResetDetection();
  for (let i = 0; i < 20; i += 1) sends(session, Q('select 1'));
  expect(sends(session, Q('set a to default'))).toBe(false);
  expect([session.completed('SELECT 1'), session.completed('SET')]).toEqual([false, true]);
  // From here on texts are read again.
  expect([sends(session, Q('set a = 1')), session.completed('SET')]).toEqual([false, false]);
  expect([sends(session, Q('set a to default')), session.completed('SET')]).toEqual([true, false]);
});

test('a named statement is read always, and may do it each time', () => {
  const session = new ResetDetection();
  for (let i = 0; i < 30; i += 1) sends(session, Q('select 1'));
  expect(sends(session, P('set a to default', 'mine'))).toBe(true);
  for (let round = 0; round < 3; round += 1) expect(session.completed('SET')).toBe(true);
});

test('a text that is too long to be read may do it', () => {
  const session = new ResetDetection();
  const long = `select '${'x'.repeat(5_000)}'; set a to default`;
  expect([sends(session, Q(long)), session.completed('SET'), session.completed('SET')]).toEqual([
    false,
    true,
    false,
  ]);
});
