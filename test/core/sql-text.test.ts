/** SQL without its literals: what stays, and that no literal does, however it is written. */
import { describe, expect, test } from 'vitest';
import { withoutLiterals, withoutTokens } from '../../core/sql/sql-text.ts';

describe('literals become question marks, everything else stays', () => {
  test.each([
    ["select * from t where a = 'x' and b > 1.5", 'select * from t where a = ? and b > ?'],
    ["select 'it''s', e'it\\'s', E'\\\\', U&'d\\0061t', b'01', X'1F', n'ä'", 'select ?, ?, ?, ?, ?, ?, ?'],
    ['select $$a$$, $t$ $$ $ta$ $t$, $1, a$b$c, $2', 'select ?, ?, $1, a$b$c, $2'],
    ['select 1, 1.5, .5, 1., 1e10, 1.5E-3, 0x1F, 1_000', 'select ?, ?, ?, ?, ?, ?, ?, ?'],
    ['select t1.c2, "a""1 \'x\'", u&"d" from t1', 'select t1.c2, "a""1 \'x\'", u&"d" from t1'],
    ['select -1, a-1, a[1:2], $1::numeric(10,2)', 'select -?, a-?, a[?:?], $1::numeric(?,?)'],
    ["select 1 -- it's\n, 2 /* a /* 'b */ c */ + 3", 'select ?  \n, ?   + ?'],
    ["select 'a'\n'b'", 'select ?\n?'],
    ["alter role ada password 'secret'", 'alter role ada password ?'],
    ['do $do$ begin perform 1; end $do$;', 'do ?;'],
    ["select été = 'x', é1", 'select été = ?, é1'],
    ["select name'x', typE'y'", 'select name?, typE?'],
    ['  \n', ''],
  ])('%s', (sql, expected) => {
    expect(withoutLiterals(sql)).toBe(expected);
  });

  test('of what does not end, or may go on, nothing is shown', () => {
    expect(withoutLiterals("select 'secret")).toBe('select ?');
    expect(withoutLiterals("select e'a\\'secret")).toBe('select ?');
    expect(withoutLiterals('select $a$ secret $b$')).toBe('select ?');
    expect(withoutLiterals('select "secret')).toBe('select ?');
    expect(withoutLiterals('select 1 /* secret /* */')).toBe('select ?');
    // With standard_conforming_strings off the first text goes on behind its second quote.
    expect(withoutLiterals("select 'a\\' secret ', b")).toBe('select ?');
    expect(withoutLiterals("select e'a'\n'b\\' secret '")).toBe('select ?\n?');
    expect(withoutLiterals("select 'a\\\\' , b")).toBe('select ? , b');
  });
});

describe('a JWT', () => {
  const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.dEr-4_Xa';
  test.each([
    [`set postern.token = ${jwt}`, 'set postern.token = ?'],
    [jwt, '?'],
    [`select ${jwt}::text, "${jwt}"`, 'select ?::text, "?"'],
    [`select ${jwt.slice(0, 40)} 1`, 'select ? ?'],
    ['select eyJ, "eyJx.eyJy"', 'select eyJ, "eyJx.eyJy"'],
  ])('is no more shown than a literal: %#', (sql, expected) => {
    expect(withoutLiterals(sql)).toBe(expected);
  });

  test('is taken out of texts that are told whole', () => {
    expect(withoutTokens(`/* a */ set local postern.token to '${jwt}'; select 1`)).toBe(
      "/* a */ set local postern.token to '?'; select 1",
    );
  });

  test.each(['eyJ', 'eyJ.', 'eyJaaaaaaaa.', 'eyJaaaaaaaa.eyJ'])('megabytes of %s end', (bit) => {
    expect(withoutTokens(bit.repeat(2_000_000 / bit.length)).length).toBeGreaterThan(0);
  });
});

/** The same numbers in every run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const CANARY = 'zanary';
const LITERALS = [
  `'${CANARY}'`,
  `'a''${CANARY}'`,
  `E'\\'${CANARY}\\\\'`,
  `e'${CANARY}''"'`,
  `U&'\\0041${CANARY}'`,
  `B'${CANARY}'`,
  `$$${CANARY}'$$`,
  `$q1$ $$ ' ${CANARY} $q$ $q1$`,
  `/* '${CANARY} /* " */ */`,
  `-- ${CANARY}'\n`,
  `'-- ${CANARY}'`,
  `'/* ${CANARY}'`,
  `'\\\\${CANARY}'`,
  `4711`,
  `.4711e-4711`,
  `0x4711`,
];
const REST = [
  ' ',
  '\n',
  ',',
  'a1',
  '"b "" \' $$ c"',
  '$1',
  '(',
  ')',
  '+',
  '::int',
  ';',
  'select',
  'a$1$b',
  '.',
  '=',
];

test('no literal survives, whatever stands around it', () => {
  const next = random(42);
  const one = (list: readonly string[]): string => list[next(list.length)] ?? '';
  for (let round = 0; round < 5_000; round += 1) {
    const words = Array.from({ length: 1 + next(12) }, () =>
      next(2) === 0 ? ` ${one(LITERALS)} ` : one(REST),
    );
    const shown = withoutLiterals(words.join(''));
    expect(shown, words.join('')).not.toMatch(/zanary|4711/);
  }
});

test('what is sanitised stays as it is when it is sanitised again', () => {
  const sql = `select 'a', 1 /* b */ from "t" where c = $1 and d = $x$y$x$`;
  expect(withoutLiterals(withoutLiterals(sql))).toBe(withoutLiterals(sql));
});

test.each([
  ['quotes', "'"],
  ['doubled quotes and backslashes', "''\\\\"],
  ['openings of comments', '/*'],
  ['tags without an end', '$a$ $b$ '],
  ['dollars', '$'],
  ['digits with dots', '1.'],
  ['escapes', "e'\\"],
  ['names in quotes', '""'],
  ['minus signs', '-'],
])('megabytes of %s end', (_, bit) => {
  const long = bit.repeat(2_000_000 / bit.length);
  expect(withoutLiterals(long).length).toBeLessThanOrEqual(long.length);
});

test.each([
  ['behind a percent-encoded sign', 'access_token%3D', 'access_token%3'],
  ['behind a word', 'id_', 'id_'],
  ['behind words with dots', 'a.b.', 'a.b.'],
  ['behind its own beginning', 'eyJ', ''],
])('a JWT %s is found', (_name, before, kept) => {
  const jwt = `eyJ${'a'.repeat(20)}.eyJ${'b'.repeat(20)}.${'c'.repeat(40)}`;
  const text = withoutTokens(`x=${before}${jwt} and the rest`);
  expect(text).not.toMatch(/bbb|ccc/);
  expect(text.startsWith(`x=${kept}`)).toBe(true);
  expect(text.endsWith('? and the rest')).toBe(true);
});

test('what only looks like the beginning of a JWT stays', () => {
  const text = 'eyJ.eyJ and eyJabcdefgh.other and a.b.c';
  expect(withoutTokens(text)).toBe(text);
});
