import { describe, expect, test } from 'vitest';
import { parseOptions, splitOptions } from '../../../core/wire/options.ts';
import { refused } from './refused.ts';

describe('options are split as pg_split_opts does', () => {
  test.each<[string, string[]]>([
    ['', []],
    [' \t\n\v\f\r ', []],
    ['a', ['a']],
    [' a  b\tc\nd\ve\ff\rg ', ['a', 'b', 'c', 'd', 'e', 'f', 'g']],
    [String.raw`a\ b c`, ['a b', 'c']],
    [String.raw`a\\ b`, ['a\\', 'b']],
    [String.raw`\a\b`, ['ab']],
    ['a\\\nb', ['a\nb']],
    ['\\', ['']],
    ['a \\', ['a', '']],
    ['a\\', ['a']],
    ['a\u00a0b\u0085c', ['a\u00a0b\u0085c']],
    [String.raw`a\😀b`, ['a😀b']],
    [`'a b'`, [`'a`, `b'`]],
  ])('%j', (text, words) => {
    expect(splitOptions(text)).toEqual(words);
  });
});

describe('settings are read in each of their forms', () => {
  test.each<[string, [string, string][]]>([
    ['-c a=b', [['a', 'b']]],
    ['-ca=b', [['a', 'b']]],
    ['--a=b', [['a', 'b']]],
    [
      '-c\ta=b --c=d -ce=f',
      [
        ['a', 'b'],
        ['c', 'd'],
        ['e', 'f'],
      ],
    ],
    ['--search-path=x-y', [['search_path', 'x-y']]],
    ['-c search-path=x', [['search_path', 'x']]],
    ['-c a=b=c', [['a', 'b=c']]],
    ['-c a=', [['a', '']]],
    ['-c =b', [['', 'b']]],
    ['-c -d=5', [['_d', '5']]],
    [String.raw`-c DateStyle=ISO,\ DMY`, [['DateStyle', 'ISO, DMY']]],
    [String.raw`-c\ a=b`, [[' a', 'b']]],
    ['-c __proto__=x', [['__proto__', 'x']]],
  ])('%j', (text, expected) => {
    expect(parseOptions(text).map(({ name, value }) => [name, value])).toEqual(expected);
  });
});

describe('what is no setting is refused, named, and without its value', () => {
  test.each([
    ['-d5', 'unsupported switch "-d" in startup parameter "options"'],
    ['-e', 'unsupported switch "-e" in startup parameter "options"'],
    ['-Ssecret', 'unsupported switch "-S" in startup parameter "options"'],
    ['-ec a=b', 'unsupported switch "-e" in startup parameter "options"'],
    ['-C a=b', 'unsupported switch "-C" in startup parameter "options"'],
    ['-', 'unsupported argument that is no switch in startup parameter "options"'],
    ['secret', 'unsupported argument that is no switch in startup parameter "options"'],
    ['\\', 'unsupported argument that is no switch in startup parameter "options"'],
    ['-\n', 'unsupported argument that is no switch in startup parameter "options"'],
  ])('%j', (text, message) => {
    expect(refused(() => parseOptions(text))).toMatchObject({ sqlstate: '08P01', message });
  });

  test.each([
    ['-c', 'option -c in "options" requires a setting'],
    ['-c a', '-c a requires a value'],
    ['-ca', '-c a requires a value'],
    ['--a', '--a requires a value'],
    ['--', '-- requires a value'],
    ['--a\\\nb', '--a?b requires a value'],
  ])('%j, as PostgreSQL says it', (text, message) => {
    expect(refused(() => parseOptions(text))).toMatchObject({ sqlstate: '42601', message });
  });
});

test('ten thousand bytes of anything are read in one pass', () => {
  expect(parseOptions('-ca=b '.repeat(1_600))).toHaveLength(1_600);
  expect(splitOptions('\\'.repeat(10_000))).toEqual(['\\'.repeat(5_000)]);
});
