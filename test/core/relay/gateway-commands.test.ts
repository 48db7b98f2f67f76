/** Which texts are settings of the gateway, and what they say. */
import { expect, test } from 'vitest';
import { looksInBand, parseInBand } from '../../../core/relay/statements/gateway-commands.ts';

test.each([
  ["set postern.token = 'a'", 'token', 'a'],
  ["SET POSTERN.Token='a'", 'token', 'a'],
  [" \n\tset\tsession postern . token to 'a'", 'token', 'a'],
  ['set local "postern"."token" =\n\'a\' ', 'token', 'a'],
  ["set postern.token = 'a';", 'token', 'a'],
  ["set postern.token = 'a' ; \n", 'token', 'a'],
  ["set postern.a_b.c = 'it''s'", 'a_b.c', "it's"],
  ["set postern.token = ''", 'token', ''],
])('%j', (sql, name, value) => {
  expect(looksInBand(Buffer.from(`${sql}\0`), 0)).toBe(true);
  expect(parseInBand(sql)).toEqual({ name: `postern.${name}`, value });
});

test.each([
  "set postern.token = 'a';;",
  "set postern.token = 'a'; select 1",
  "set postern.token = 'a' 'b'",
  "set postern.token = 'a\\'",
  "set postern.token = 'a",
  "set postern.token 'a'",
  'set postern.token = a',
  "set postern.token1 = 'a'",
])('%j is for the gateway and refused', (sql) => {
  expect(looksInBand(Buffer.from(`${sql}\0`), 0)).toBe(true);
  expect(() => parseInBand(sql)).toThrow('settings of the gateway are set alone and by a literal');
});
