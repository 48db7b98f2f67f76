import { expect, test } from 'vitest';
import { parseRole } from '../../../core/contract/names.ts';
import { asksForReplication, startupParameters } from '../../../core/upstream/startup.ts';
import { request } from './support.ts';
import type { CheckoutRequest } from './support.ts';

const packet = (
  checkout: CheckoutRequest,
  replicationAllowed?: boolean,
): readonly (readonly [string, string])[] =>
  startupParameters({ ...request(checkout), role: parseRole('reader'), user: 'reader', replicationAllowed });

const PINS = [
  ['default_transaction_deferrable', 'off'],
  ['standard_conforming_strings', 'on'],
];

test('the packet has the role as user, the database, and what is always pinned; nothing of the client', () => {
  expect(packet({ database: 'orders', parameters: { application_name: 'psql' } })).toEqual([
    ['user', 'reader'],
    ['database', 'orders'],
    ['client_encoding', 'UTF8'],
    ...PINS,
    ['role', 'none'],
  ]);
});

test('where another role logs in, the packet pins the mapped one', () => {
  const wanted = request({ parameters: { application_name: 'psql' } });
  expect(startupParameters({ ...wanted, role: parseRole('reader'), user: 'gate' })).toEqual([
    ['user', 'gate'],
    ['database', 'postgres'],
    ['client_encoding', 'UTF8'],
    ...PINS,
    ['role', 'reader'],
  ]);
});

test('pinned settings are in it, but none that a reset could hang on', () => {
  const settings = { datestyle: 'ISO', Default_Transaction_Deferrable: 'on', client_encoding: 'LATIN1' };
  expect(packet({ settings })).toEqual([
    ['user', 'reader'],
    ['database', 'postgres'],
    ['client_encoding', 'LATIN1'],
    ['datestyle', 'ISO'],
    ...PINS,
    ['role', 'none'],
  ]);
});

test('a replication connection is not handed over, so its packet has the client’s parameters, less what is pinned', () => {
  const parameters = { DateStyle: 'German', application_name: 'mine' };
  const settings = { datestyle: 'ISO' };
  expect(packet({ parameters, settings, replication: 'database' }, true)).toEqual([
    ['user', 'reader'],
    ['database', 'postgres'],
    ['client_encoding', 'UTF8'],
    ['datestyle', 'ISO'],
    ['application_name', 'mine'],
    ...PINS,
    ['role', 'none'],
    ['replication', 'database'],
  ]);
});

test('a replication connection is never reset: what is pinned for resets alone is as its client says, unless a plugin says otherwise', () => {
  const parameters = { standard_conforming_strings: 'off', default_transaction_deferrable: 'on' };
  const sent = packet({ parameters, replication: 'database' }, true);
  expect(sent).toContainEqual(['standard_conforming_strings', 'off']);
  expect(sent).toContainEqual(['default_transaction_deferrable', 'on']);
  const settings = { standard_conforming_strings: 'on' };
  const pinned = packet({ parameters, settings, replication: 'database' }, true);
  expect(pinned).toContainEqual(['standard_conforming_strings', 'on']);
  expect(packet({ parameters }).filter(([, value]) => value === 'off')).toEqual([PINS[0]]);
});

test('schemas become a quoted search_path that beats a setting of that name', () => {
  const list = packet({ schemas: ['tenant_a', 'user'], settings: { Search_Path: 'evil' } });
  expect(list).toContainEqual(['search_path', '"tenant_a", "user"']);
  expect(list.filter(([name]) => name.toLowerCase() === 'search_path')).toHaveLength(1);
});

test.each(['role', 'ROLE', 'user', 'database', 'options', 'session_authorization', 'replication', '_pq_.x'])(
  '%s comes neither from a plugin nor from a client',
  (name) => {
    expect(() => packet({ settings: { [name]: 'postgres' } })).toThrow('cannot be set');
    const parameters = { [name]: 'postgres' };
    expect(() => packet({ parameters, replication: 'database' }, true)).toThrow('cannot be set');
  },
);

test('a zero byte cannot smuggle a second parameter in', () => {
  expect(() => packet({ settings: { a: 'x\0user\0postgres' } })).toThrow('NUL');
  expect(() => packet({ settings: { 'a\0user': 'postgres' } })).toThrow('NUL');
  expect(() => packet({ settings: { '': 'x' } })).toThrow('empty');
});

test('replication is passed on only where the entry allows it', () => {
  expect(packet({ replication: 'database' }, true)).toContainEqual(['replication', 'database']);
  expect(() => packet({ replication: 'database' })).toThrow(expect.objectContaining({ sqlstate: '0A000' }));
  expect(packet({ replication: 'off' }).map(([name]) => name)).not.toContain('replication');
});

test.each([
  ['true', true],
  ['T', true],
  ['yes', true],
  ['on', true],
  ['1', true],
  ['database', true],
  ['false', false],
  ['F', false],
  ['n', false],
  ['of', false],
  ['OFF', false],
  ['0', false],
  [undefined, false],
])('replication=%s asks for replication: %s', (value, expected) => {
  expect(asksForReplication(value)).toBe(expected);
});

test.each(['', 'o', '2', 'databases', 'maybe'])('replication=%s is refused as PostgreSQL does', (value) => {
  expect(() => asksForReplication(value)).toThrow(expect.objectContaining({ sqlstate: '22023' }));
});
