/** The readers of options: what they take, what they refuse, and that every refusal names the option. */
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { rate } from '../../core/contract/durations.ts';
import { ConfigError } from '../../core/contract/errors.ts';
import { parseRole } from '../../core/contract/names.ts';
import {
  badOption,
  readChoice,
  readDuration,
  readFlag,
  readHttpUrl,
  readInteger,
  readList,
  readObject,
  readParsed,
  readSecret,
  readText,
  readTexts,
} from '../../core/options/option-readers.ts';

/** The result, or the message of the ConfigError. */
function outcome(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
}

type Row = readonly [name: string, read: () => unknown, expected: unknown];

type Known = { readonly a?: number; readonly b?: number };
const known = ['a', 'b'] as const;
const objects: readonly Row[] = [
  ['an object', () => readObject<Known>('o', { a: 1 }, known), { a: 1 }],
  ['an empty one', () => readObject<Known>('o', {}, known), {}],
  [
    'a member that is undefined',
    () => readObject<Known>('o', { c: undefined }, known),
    'o.c: no such option; there are a, b',
  ],
  ['a list', () => readObject<Known>('o', [], known), 'o: an object is needed'],
  ['null', () => readObject<Known>('o', null, known), 'o: an object is needed'],
  ['nothing', () => readObject<Known>('o', undefined, known), 'o: an object is needed'],
  [
    'a member of the prototype',
    () => readObject<Known>('o', JSON.parse('{"__proto__":1}'), known),
    'o.__proto__: no such option; there are a, b',
  ],
];
const texts: readonly Row[] = [
  ['a text', () => readText('t', 'x'), 'x'],
  ['an empty one', () => readText('t', ''), 't: a text is needed'],
  ['a number', () => readText('t', 7), 't: a text is needed'],
  ['a form of its own', () => readText('t', 7, 'a path'), 't: a path is needed'],
  ['one for several', () => readTexts('t', 'x'), ['x']],
  ['several', () => readTexts('t', ['x', 'y']), ['x', 'y']],
  ['several with one that is none', () => readTexts('t', ['x', 7]), 't[1]: a text is needed'],
  ['none of several', () => readTexts('t', []), 't: a list of texts is needed, with at least one'],
];
const lists: readonly Row[] = [
  ['a list', () => readList('l', [1, 2], readInteger), [1, 2]],
  ['a hole', () => readList('l', [1, undefined], readInteger), 'l[1]: a whole number from 1 is needed'],
  [
    'an empty one',
    () => readList('l', [], readInteger, 'ports'),
    'l: a list of ports is needed, with at least one',
  ],
  ['a text', () => readList('l', '12', readInteger), 'l: a list of values is needed, with at least one'],
];
const words: readonly Row[] = [
  ['true', () => readFlag('f', true), true],
  ['false', () => readFlag('f', false), false],
  ['a text', () => readFlag('f', 'true'), 'f: true or false is needed'],
  ['nothing', () => readFlag('f', undefined), 'f: true or false is needed'],
  ['a word', () => readChoice('c', 'b', known), 'b'],
  ['another of two', () => readChoice('c', 'B', known), "c: 'a' or 'b' is needed"],
  ['another of three', () => readChoice('c', 1, ['a', 'b', 'c']), "c: one of 'a', 'b', 'c' is needed"],
  ['another of one', () => readChoice('c', 'x', ['a']), "c: 'a' is needed"],
];
const numbers: readonly Row[] = [
  ['1', () => readInteger('n', 1), 1],
  ['0', () => readInteger('n', 0), 'n: a whole number from 1 is needed'],
  ['0 from 0', () => readInteger('n', 0, { least: 0 }), 0],
  ['a fraction', () => readInteger('n', 1.5), 'n: a whole number from 1 is needed'],
  ['a text', () => readInteger('n', '1'), 'n: a whole number from 1 is needed'],
  [
    'one that doubles cannot tell apart',
    () => readInteger('n', 2 ** 53),
    'n: a whole number from 1 is needed',
  ],
  ['not a number', () => readInteger('n', Number.NaN), 'n: a whole number from 1 is needed'],
  ['the most', () => readInteger('n', 9, { most: 9 }), 9],
  [
    'more',
    () => readInteger('n', 10, { most: 9, of: 'bytes' }),
    'n: a whole number of bytes from 1 to 9 is needed',
  ],
];
const durations: readonly Row[] = [
  ['seconds', () => readDuration('d', '10s'), 10_000],
  ['a fraction of a millisecond', () => readDuration('d', '1.2ms'), 2],
  ['none', () => readDuration('d', '0s'), 'd: at least 1 ms is needed'],
  ['none where none is well', () => readDuration('d', '0s', { leastMs: 0 }), 0],
  ['the least', () => readDuration('d', '1s', { leastMs: 1_000 }), 1_000],
  ['less', () => readDuration('d', '999ms', { leastMs: 1_000 }), 'd: at least 1 s is needed'],
  ['the most', () => readDuration('d', '1m', { mostMs: 60_000 }), 60_000],
  ['more', () => readDuration('d', '61s', { mostMs: 60_000 }), 'd: at most 60 s is possible'],
  ['more days', () => readDuration('d', '3d', { mostMs: 2 * 86_400_000 }), 'd: at most 2 days is possible'],
  ['a number', () => readDuration('d', 10), "d: a duration such as '10s' is needed"],
  [
    'no unit',
    () => readDuration('d', '10'),
    "d: expected a duration such as '10s' (units: ms, s, m or min, h, d), got '10'",
  ],
];
const broken = (): never => {
  throw new TypeError('a mistake of the parser');
};
const parsers: readonly Row[] = [
  ['a role', () => readParsed('p', 'reader', parseRole), 'reader'],
  [
    'what is no text',
    () => readParsed('p', 7, rate, "a rate such as '20/s'"),
    "p: a rate such as '20/s' is needed",
  ],
  [
    'a ConfigError',
    () => readParsed('p', '20', rate),
    "p: expected a rate such as '20/s' (per s, m or min, h, d), got '20'",
  ],
  [
    'a GatewayError with its hint',
    () => readParsed('p', 'x'.repeat(64), parseRole),
    expect.stringMatching(/^p: .+ \(.+\)$/),
  ],
];
// Machines that test may have a proxy.
beforeEach(() => {
  for (const name of ['https_proxy', 'http_proxy']) vi.stubEnv(name, '');
  return () => vi.unstubAllEnvs();
});

const URL_NEEDED = "u: an address such as 'https://c.example' is needed";
const url = (value: unknown) => () => String(readHttpUrl('u', value, 'https://c.example'));
const addresses: readonly Row[] = [
  ['https', url('https://a.example/x?y'), 'https://a.example/x?y'],
  ['http', url('http://a.example'), 'http://a.example/'],
  ['another scheme', url('ftp://a.example'), URL_NEEDED],
  ['a path', url('/v1/logs'), URL_NEEDED],
  ['a URL that is no text', url(new URL('https://a.example')), URL_NEEDED],
  ['a password', url('https://a:canary@a.example'), 'u: no user and password: put them into headers'],
];

describe.each([
  ['readObject', objects],
  ['readText and readTexts', texts],
  ['readList', lists],
  ['readFlag and readChoice', words],
  ['readInteger', numbers],
  ['readDuration', durations],
  ['readParsed', parsers],
  ['readHttpUrl', addresses],
] as const)('%s', (_, rows) => {
  test.each(rows)('%s', (_name, read, expected) => {
    expect(outcome(read)).toEqual(expected);
  });
});

test('a parser that fails by a mistake of its own is not taken for a bad option', () => {
  expect(() => readParsed('p', 'x', broken)).toThrow(TypeError);
});

describe('readSecret', () => {
  const KEY = 'canary-'.repeat(5);

  test('takes a text, or asks a function whenever the secret is needed', () => {
    let asked = 0;
    const turning = (): string => `${KEY}${(asked += 1)}`;
    expect(readSecret('s', KEY, 32)()).toBe(KEY);
    const secret = readSecret('s', turning, 32);
    expect([asked, secret(), secret()]).toEqual([0, `${KEY}1`, `${KEY}2`]);
  });

  test.each([
    ['too short', 'canary'],
    ['empty', ''],
    ['a number', 7],
    ['nothing', undefined],
    ['characters, and not bytes', 'é'.repeat(15)],
  ])('refuses one that is %s, at once or when it is asked, and does not show it', (_, value) => {
    const why = 's: a secret of at least 32 bytes is needed: openssl rand -hex 32';
    expect(outcome(() => readSecret('s', value, 32))).toBe(why);
    expect(outcome(readSecret('s', () => value, 32))).toBe(why);
  });

  test('needs no length where none is asked for, and is never empty', () => {
    expect(readSecret('s', 'x')()).toBe('x');
    expect(outcome(() => readSecret('s', ''))).toBe("s: a text, env('NAME') or file('path') is needed");
  });
});

test('an address to send to needs a proxy that is one, where the environment names one', () => {
  vi.stubEnv('https_proxy', 'socks5://canary:1080');
  expect(outcome(url('https://a.example'))).toBe(
    'environment variable https_proxy: http and https are the proxies that can be used',
  );
  expect(outcome(url('http://a.example'))).toBe('http://a.example/');
});

test('badOption names the option', () => {
  expect(outcome(() => badOption('a.b[0]', 'no'))).toBe('a.b[0]: no');
});
