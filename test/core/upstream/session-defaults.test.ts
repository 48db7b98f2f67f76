/** The defaults of a login: which of them a session keeps on a connection that has others, and how they are read from a server. */
import { expect, test } from 'vitest';
import { SessionDefaults } from '../../../core/upstream/session-defaults.ts';
import type { SessionDefault } from '../../../core/upstream/session-defaults.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { openAs } from '../../support/raw.ts';

const path = (value: string, fixed: boolean): SessionDefault => ({ name: 'search_path', value, fixed });
const nulls = (value: string): SessionDefault => ({ name: 'array_nulls', value, fixed: false });

test('equal ones are one object, and readings are equal where all but search_path are', () => {
  const one = SessionDefaults.of([path('a', false), nulls('on')]);
  expect(SessionDefaults.of([path('a', false), nulls('on')])).toBe(one);
  expect(SessionDefaults.of([path('b', true), nulls('on')]).reading).toBe(one.reading);
  expect(SessionDefaults.of([path('a', false), nulls('off')]).reading).not.toBe(one.reading);
});

test.each([
  ['fixed for both', true, true, 'a'],
  ['fixed for the session alone', true, false, 'a'],
  ['fixed for the connection alone', false, true, 'a'],
  ['of the configuration, which has changed for both', false, false, 'b'],
])('a session finds its own value where it is %s', (_name, own, other, expected) => {
  const [session, connection] = [
    SessionDefaults.of([path('a', own)]),
    SessionDefaults.of([path('b', other)]),
  ];
  expect(session.on(connection).get('search_path')).toBe(expected);
  const missing = session.missingOn(connection).map(({ value }) => value);
  expect(missing).toEqual(expected === 'a' ? ['a'] : []);
  expect(session.on(session)).toBe(session);
  expect(session.missingOn(undefined)).toEqual([]);
});

test('a login reads what is set for its role and its database, and for no others', async () => {
  const postgres = sharedPostgres();
  const [database, other] = [await freshDatabase(), await freshDatabase()];
  await postgres.sql(`
    alter role writer in database ${database} set search_path = x; alter database ${database} set array_nulls = off;
    alter role reader in database ${database} set xmloption = document; alter database ${other} set lc_monetary = 'C'`);
  const connection = await openAs(postgres, database, 'writer');
  const { defaults } = connection.parameters;
  connection.close();
  expect(defaults?.all.filter(({ fixed }) => fixed)).toEqual([
    { name: 'search_path', value: 'x', fixed: true },
    { name: 'array_nulls', value: 'off', fixed: true },
  ]);
  expect(defaults?.get('xmloption')).toBe('content');
  expect(defaults?.all.map(({ name }) => name).toSorted()).toEqual([
    'array_nulls',
    'backslash_quote',
    'lc_monetary',
    'search_path',
    'timezone_abbreviations',
    'transform_null_equals',
    'xmloption',
  ]);
});
