/** PgBouncer's userlist.txt: what it takes is read as it reads it, and no error says what is in it. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseUserlist } from '../../plugins/passwords/userlist.ts';

const KEY = Buffer.alloc(32, 1).toString('base64');
const VERIFIER = `SCRAM-SHA-256$4096:${Buffer.alloc(16, 2).toString('base64')}$${KEY}:${KEY}`;
const plain = (text: string): Record<string, string> =>
  Object.fromEntries(
    [...parseUserlist(text)].map(([name, user]) => [name, user.kind === 'plain' ? user.password : user.kind]),
  );

describe('a list', () => {
  test('has names and passwords in double quotes, comments, and things behind them that nobody reads', () => {
    const text = `; a comment "with" "quotes"\n\n"a" "one"\r\n  "b"\t"two" "three" anything ; at all\n;"c" "x"\n"d""""d"  "e""f"";"`;
    expect(plain(text)).toEqual({ a: 'one', b: 'two', 'd""d': 'e"f";' });
  });

  test('tells verifiers, md5, passwords and nothing', () => {
    const text = `"v" "${VERIFIER}"\n"m" "md5${'a'.repeat(32)}"\n"p" "md5${'a'.repeat(31)}"\n"M" "MD5${'a'.repeat(32)}"\n"n" ""`;
    expect(plain(text)).toEqual({
      v: 'verifier',
      m: 'md5',
      p: `md5${'a'.repeat(31)}`,
      M: `MD5${'a'.repeat(32)}`,
      n: 'none',
    });
  });

  test('knows the later of two lines of a user, and where it was', () => {
    const users = parseUserlist('"a" "one"\n; comment\n"a" "two"\n');
    expect([...users]).toEqual([['a', { kind: 'plain', password: 'two', line: 3 }]]);
  });

  test('may be empty, or have no user', () => {
    for (const text of ['', '\n\n', ';', '; "a" "b"\n  \n']) expect(parseUserlist(text).size).toBe(0);
  });

  test('takes names of any script, and what JavaScript has words for', () => {
    expect(plain('"größe 日本" "ä"\n"__proto__" "x"\n"constructor" "y"')).toMatchObject({
      'größe 日本': 'ä',
      constructor: 'y',
    });
    expect(parseUserlist('"__proto__" "x"').get('__proto__')).toMatchObject({ password: 'x' });
    expect(parseUserlist('').get('constructor')).toBeUndefined();
  });
});

test.each([
  ['alice "secret"', 'line 1: a name in double quotes is missing'],
  ['"alice"', 'line 1: a password in double quotes is missing'],
  ['"alice" secret', 'line 1: a password in double quotes is missing'],
  ['"alice"\n"secret"', 'line 1: a password in double quotes is missing'],
  ['\n\n"alice" "secret', 'line 3: the quote of the password is not closed'],
  ['"alice', 'line 1: the quote of the name is not closed'],
  ['"alice" "sec\nret"', 'line 1: the password has a line break or a zero byte'],
  ['"al\nice" "secret"', 'line 1: the name has a line break or a zero byte'],
  ['"" "secret"', 'line 1: the name of the user is empty'],
  [`"${'a'.repeat(128)}" "secret"`, 'line 1: the name is longer than 127 characters'],
  [`"alice" "${'secret'.repeat(400)}"`, 'line 1: the password is longer than 2047 characters'],
  ['"bob" "x"\n"alice" "SCRAM-SHA-256$secret"', 'line 2: begins as a SCRAM verifier and is none'],
])('%j is refused by its line, and nothing of it is repeated', (text, sentence) => {
  expect(() => parseUserlist(text)).toThrow(sentence);
  expect(() => parseUserlist(text)).not.toThrow(/secret|alice/);
});

test('whatever a name and a password are, they are read as PgBouncer has them quoted', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((value) => !/[\n\0]/.test(value));
  const quoted = (value: string): string => `"${value.replaceAll('"', '""')}"`;
  fc.assert(
    fc.property(text, text, fc.constantFrom(' ', '\t', '', '  \t'), (name, password, between) => {
      fc.pre(name !== '' && !password.startsWith('SCRAM-SHA-256$') && !/^md5[0-9a-f]{32}$/.test(password));
      const list = `${quoted(name)}${between === '' ? ' ' : between}${quoted(password)} rest`;
      const read = parseUserlist(list).get(name);
      expect(read?.kind === 'plain' ? read.password : '').toBe(password);
    }),
  );
});
