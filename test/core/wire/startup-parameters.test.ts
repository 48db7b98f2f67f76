import { describe, expect, test } from 'vitest';
import { acceptParameters } from '../../../core/wire/startup-parameters.ts';
import { refused } from './refused.ts';

type Pairs = [name: string, value: string][];

const USER: Pairs = [['user', 'ann']];

const accept = (pairs: Pairs) => acceptParameters([...USER, ...pairs]);
const parametersOf = (pairs: Pairs) => ({ ...accept(pairs).parameters });

test('parameters come out under their names in PostgreSQL, whatever their case', () => {
  const accepted = parametersOf([
    ['APPLICATION_NAME', 'psql'],
    ['Client_Encoding', "'utf-8'"],
    ['datestyle', 'ISO'],
    ['timezone', 'Europe/Berlin'],
    ['intervalSTYLE', 'iso_8601'],
    ['extra_float_digits', '2'],
    ['Search_Path', 'app'],
    ['My_App.User$', '1'],
  ]);
  expect(accepted).toEqual({
    application_name: 'psql',
    client_encoding: "'utf-8'",
    DateStyle: 'ISO',
    TimeZone: 'Europe/Berlin',
    IntervalStyle: 'iso_8601',
    extra_float_digits: '2',
    search_path: 'app',
    'my_app.user$': '1',
  });
});

test('settings in options count as if they had been given directly', () => {
  expect(parametersOf([['options', String.raw`-c DATESTYLE=ISO,\ DMY --application-name=x`]])).toEqual({
    DateStyle: 'ISO, DMY',
    application_name: 'x',
  });
});

test('postern.… goes to the gateway, from either place', () => {
  const { gatewayOptions, parameters } = accept([
    ['postern.A', '1'],
    ['options', '-c POSTERN.b=2'],
  ]);
  expect({ ...gatewayOptions }).toEqual({ 'postern.a': '1', 'postern.b': '2' });
  expect({ ...parameters }).toEqual({});
});

test('records have no prototype to fall back on', () => {
  const { gatewayOptions, parameters } = accept([]);
  expect(Object.getPrototypeOf(gatewayOptions)).toBeNull();
  expect(Object.getPrototypeOf(parameters)).toBeNull();
});

describe('what is no run-time parameter, or would change the role, is refused, naming it and never its value', () => {
  const names = ['role', 'ROLE', 'session_authorization', 'Session_Authorization'];
  const more = [
    'a b',
    ' search_path',
    'search_path ',
    'a.',
    '.a',
    '1a',
    'search-path',
    'ä.b',
    'USER',
    'Options',
    '_PQ_.x',
    '',
    'dateſtyle',
  ];
  test.each([...names, ...more])('%j', (name) => {
    const error = refused(() => accept([[name, 'hidden-value']]));
    expect(error).toMatchObject({ sqlstate: '08P01', message: `unsupported startup parameter: "${name}"` });
    expect(error.hint ?? '').not.toContain('hidden-value');
  });

  test.each(['role', 'session-authorization', 'SESSION_AUTHORIZATION', 'user', 'replication', '_pq_.x'])(
    '%j in options',
    (name) => {
      const error = refused(() => accept([['options', `-c ${name}=hidden-value`]]));
      const named = `unsupported startup parameter in options: "${name.replace('-', '_')}"`;
      expect(error).toMatchObject({ sqlstate: '08P01', message: named });
    },
  );

  test('also where the name is long or would forge a log line', () => {
    const { message } = refused(() => accept([[`a\nb${'x'.repeat(500)}`, '']]));
    expect(message).toBe(`unsupported startup parameter: "a?b${'x'.repeat(60)}…"`);
  });
});

test('names that are members of every object are names like others', () => {
  expect(
    Object.entries(
      parametersOf([
        ['constructor', 'a'],
        ['options', '-c __proto__=b'],
      ]),
    ),
  ).toEqual([
    ['__proto__', 'b'],
    ['constructor', 'a'],
  ]);
});

describe('of several values for one parameter', () => {
  test.each<[string, Pairs]>([
    [
      'the last',
      [
        ['TimeZone', 'a'],
        ['timezone', 'b'],
      ],
    ],
    ['the last in options', [['options', '-c timezone=a --TimeZone=b']]],
    [
      'the direct one, which comes later',
      [
        ['options', '--timezone=a'],
        ['TimeZone', 'b'],
      ],
    ],
    [
      'the direct one, which comes first',
      [
        ['TimeZone', 'b'],
        ['options', '--timezone=a'],
      ],
    ],
  ])('%s counts, as in PostgreSQL', (_, pairs) => {
    expect(parametersOf(pairs)).toEqual({ TimeZone: 'b' });
  });

  test('for the gateway the same holds', () => {
    const { gatewayOptions } = accept([
      ['postern.A', '2'],
      ['options', '--postern.a=1'],
    ]);
    expect({ ...gatewayOptions }).toEqual({ 'postern.a': '2' });
  });
});

describe('what says who comes, and where to, is refused when it is given twice', () => {
  test.each<[string, Pairs]>([
    ['user', [['user', 'bob']]],
    [
      'database',
      [
        ['database', 'a'],
        ['database', 'a'],
      ],
    ],
    [
      'options',
      [
        ['options', ''],
        ['options', ''],
      ],
    ],
    [
      'replication',
      [
        ['replication', 'no'],
        ['replication', 'on'],
      ],
    ],
  ])('%s', (name, pairs) => {
    const message = `startup parameter "${name}" is given twice`;
    expect(refused(() => accept(pairs))).toMatchObject({ sqlstate: '08P01', message });
  });
});

describe('who and where', () => {
  test('the database is the user where none is named', () => {
    expect(accept([])).toMatchObject({ user: 'ann', database: 'ann' });
    expect(accept([['database', '']])).toMatchObject({ database: 'ann' });
    expect(accept([['database', 'orders']])).toMatchObject({ database: 'orders' });
  });

  test.each<[Pairs]>([[[]], [[['user', '']]], [[['database', 'd']]]])(
    'no user is refused as PostgreSQL does: %j',
    (pairs) => {
      expect(refused(() => acceptParameters(pairs))).toMatchObject({
        sqlstate: '28000',
        message: 'no PostgreSQL user name specified in startup packet',
      });
    },
  );

  test('names of 63 bytes pass, longer ones, which the server would cut, do not', () => {
    const longest = `ä${'x'.repeat(61)}`;
    expect(acceptParameters([['user', longest]]).user).toBe(longest);
    expect(refused(() => acceptParameters([['user', `${longest}x`]])).sqlstate).toBe('28000');
    expect(refused(() => accept([['database', 'ä'.repeat(32)]])).sqlstate).toBe('3D000');
  });

  test.each(['a\nb', '\u007f', '\u0085', '\t'])('control characters are refused: %j', (name) => {
    expect(refused(() => acceptParameters([['user', name]])).sqlstate).toBe('28000');
    expect(refused(() => accept([['database', name]])).sqlstate).toBe('3D000');
  });
});

describe('replication takes the booleans of PostgreSQL, and database', () => {
  const yes = ['true', 'T', 'tr', 'yes', 'Y', 'on', 'ON', '1'];
  const no = ['false', 'F', 'no', 'n', 'of', 'off', '0'];
  test.each(yes)('%s is yes', (value) => expect(accept([['replication', value]]).replication).toBe('true'));
  test.each(no)('%s is no', (value) => expect(accept([['replication', value]]).replication).toBeUndefined());
  test('database is database', () => {
    expect(accept([['replication', 'database']]).replication).toBe('database');
  });
  test.each(['', 'o', 'Database', 'truex', '2', '01', ' on', 'on\n', 'tru e'])('%j is refused', (value) => {
    expect(refused(() => accept([['replication', value]])).sqlstate).toBe('22023');
  });
});

test('protocol options are listed by name, in order, and nothing of them is kept', () => {
  const accepted = accept([
    ['_pq_.b', '1'],
    ['_pq_.a', '2'],
  ]);
  expect(accepted.protocolOptions).toEqual(['_pq_.b', '_pq_.a']);
  expect({ ...accepted.parameters }).toEqual({});
});
