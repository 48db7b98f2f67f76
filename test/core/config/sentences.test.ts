/** The words for a mistake in a config: where it is, what was meant, and nothing that could be a secret. */
import { describe, expect, test } from 'vitest';
import { didYouMean, nearestName } from '../../../core/config/nearest-name.ts';
import {
  alternatives,
  configPath,
  expected,
  kindOf,
  shown,
  unknownKey,
} from '../../../core/config/sentences.ts';

const KNOWN = ['databases', 'plugins', 'listen', 'admin', 'tls'];

describe('the name that was meant', () => {
  test.each([
    ['databses', 'databases'],
    ['Databases', 'databases'],
    ['dtaabases', 'databases'],
    ['database', 'databases'],
    ['plugin', 'plugins'],
    ['lisen', 'listen'],
    ['tsl', 'tls'],
    ['ssl', undefined],
    ['ca', undefined],
    ['pools', undefined],
    ['', undefined],
    ['x'.repeat(64), undefined],
    [`databases${'x'.repeat(60)}`, undefined],
    ['__proto__', undefined],
  ])('of %j is %s', (name, meant) => {
    expect(nearestName(name, KNOWN)).toBe(meant);
  });

  test('is the closest one, and the first of equals', () => {
    expect(nearestName('cat', ['car', 'cut', 'cat'])).toBe('cat');
    expect(nearestName('cot', ['cut', 'cat'])).toBe('cut');
    expect(nearestName('x', [])).toBeUndefined();
  });

  test('is asked about where there is one', () => {
    expect([didYouMean('listn', KNOWN), didYouMean('xyzzy', KNOWN)]).toEqual([
      "; did you mean 'listen'?",
      '',
    ]);
    expect(unknownKey('xyzzy', ['a', 'b'])).toBe("unknown key 'xyzzy'; known: a, b");
    expect(unknownKey('listn', KNOWN)).toBe("unknown key 'listn'; did you mean 'listen'?");
  });
});

test.each<[readonly PropertyKey[], string]>([
  [['databases', 'orders', 'pool', 'size'], 'databases.orders.pool.size'],
  [['listen', 1, 'port'], 'listen[1].port'],
  [['databases', 'my db', 'host'], "databases['my db'].host"],
  [['databases', '1st'], "databases['1st']"],
  [[0, 'a'], '[0].a'],
  [[], ''],
])('the place %j is %s', (path, text) => {
  expect(configPath(path)).toBe(text);
});

test.each<[unknown, string, string]>([
  [7, '7', 'a number'],
  [true, 'true', 'a boolean'],
  ['short', "'short'", 'text'],
  ['x'.repeat(61), 'a long text', 'text'],
  ['postgres://user:canary@host/db', 'a URL', 'text'],
  [undefined, 'undefined', 'undefined'],
  [null, 'null', 'null'],
  [['canary'], 'a list', 'a list'],
  [{ password: 'canary' }, 'an object', 'an object'],
  [() => 'canary', 'a function', 'a function'],
  [Promise.resolve(1), 'a promise (await it)', 'a promise (await it)'],
])('the value %j is shown as %s', (value, text, kind) => {
  expect([shown(value), kindOf(value)]).toEqual([text, kind]);
});

test('a sentence says what was expected, and nothing of a secret', () => {
  expect(expected('a port', 'x')).toBe("expected a port, got 'x'");
  expect(expected('a port', undefined)).toBe('missing: expected a port');
  expect(expected('a secret', 'canary', true)).toBe('expected a secret, got text');
});

test.each([
  [['a'], "'a'"],
  [['a', 'b'], "'a' or 'b'"],
  [['a', 'b', 'c'], "'a', 'b' or 'c'"],
  [[], ''],
])('%j is said as %s', (values, text) => {
  expect(alternatives(values)).toBe(text);
});
