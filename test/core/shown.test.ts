/** What strangers say, as a log line may show it. */
import { describe, expect, test } from 'vitest';
import { shown, shownChoice } from '../../core/index.ts';
import { issuer } from '../support/token.ts';

const token = issuer({ algorithms: ['ES256'] }).sign({ sub: 'x'.repeat(500) });

describe('a value is shown as what it is', () => {
  test.each<[unknown, string]>([
    [undefined, 'absent'],
    [null, 'null'],
    ['', "''"],
    ['billing', "'billing'"],
    [7, '7'],
    [true, 'true'],
    [[], '[]'],
    [['a', 1, null, ['b'], { c: 1 }], "['a', 1, null, a list, an object]"],
    [{ groups: 'src1', roles: 1 }, "an object with ['groups', 'roles']"],
    [{}, 'an object with []'],
  ])('%j', (value, text) => {
    expect(shown(value)).toBe(text);
  });
});

test('a choice is the only one, or one of several', () => {
  expect([shownChoice(['a']), shownChoice(['a', 'b'])]).toEqual(["'a'", "one of ['a', 'b']"]);
});

describe('nothing forges a line of the log', () => {
  test.each([
    'a\nb',
    'a\r\nb',
    'a\0b',
    'a\u001b[2Jb',
    'a\u202eb',
    'a\u2028b',
    'a\u200bb',
    'a\ud800b',
    'a\ufeffb',
  ])('%j', (text) => {
    for (const value of [text, [text], { [text]: 1 }]) {
      expect(shown(value)).toMatch(/^[\x20-\x7e]+$/);
      expect(shown(value)).toMatch(/a\\u\{[0-9a-f]+\}/);
    }
  });
});

describe('nothing fills the log', () => {
  test.each<[string, unknown]>([
    ['a long text', 'x'.repeat(1_000_000)],
    ['a text of control characters', '\0'.repeat(1_000_000)],
    ['a long list', Array.from({ length: 10_000 }, () => 'x'.repeat(1_000))],
    ['many names', Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => ['x'.repeat(500) + i, i]))],
  ])('%s', (_name, value) => {
    expect(shown(value).length).toBeLessThan(1_500);
    expect(shown(value)).toContain('…');
  });
});

test('no token is shown, wherever it stands', () => {
  for (const value of [token, `Bearer ${token}`, `${'x'.repeat(50)} ${token}`, [token], { [token]: 1 }]) {
    for (const part of token.split('.')) expect(shown(value)).not.toContain(part.slice(0, 30));
  }
});
