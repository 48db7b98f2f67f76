/** Verifiers of passwords as PostgreSQL stores them: those of a real server are read, and it takes those that we make. */
import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  makeScramVerifier,
  mockScramVerifier,
  parseScramVerifier,
} from '../../../core/wire/scram-verifier.ts';
import { sharedPostgres } from '../../support/postgres.ts';

const KEY = Buffer.alloc(32, 1).toString('base64');
const SALT = Buffer.alloc(16, 2).toString('base64');

/** The text that PostgreSQL would store. */
function textOf({ iterations, salt, storedKey, serverKey }: Awaited<ReturnType<typeof makeScramVerifier>>) {
  const [text, stored, server] = [salt, storedKey, serverKey].map((bytes) =>
    Buffer.from(bytes).toString('base64'),
  );
  return `SCRAM-SHA-256$${iterations}:${text}$${stored}:${server}`;
}

describe('a password of PostgreSQL', () => {
  test.each([
    'plain',
    '',
    'soft\u00adhyphen',
    'ligature ﬁ',
    'prohibited ﬁ \u0080',
    '日本語',
    'x'.repeat(300),
  ])('%j has the verifier that we make of it', async (password) => {
    const postgres = sharedPostgres();
    const role = `verified_${randomBytes(6).toString('hex')}`;
    // An empty password is stored as none: a space is as short as it gets.
    const given = password === '' ? ' ' : password;
    await postgres.sql(`create role ${role} password '${given.replaceAll("'", "''")}'`);
    const [row] = await postgres.sql(`select rolpassword from pg_authid where rolname = '${role}'`);
    await postgres.sql(`drop role ${role}`);
    const stored = String(row?.['rolpassword']);
    const read = parseScramVerifier(stored);
    expect(read?.iterations).toBe(4096);
    expect(textOf(await makeScramVerifier(given, read?.iterations, read?.salt))).toBe(stored);
  });

  test('is never stored as something that we cannot read', async () => {
    const postgres = sharedPostgres();
    for (const count of [1, 4096, 20_000]) {
      const text = `SCRAM-SHA-256$${count}:${SALT}$${KEY}:${KEY}`;
      const role = `counted_${randomBytes(6).toString('hex')}`;
      await postgres.sql(`create role ${role} password '${text}'`);
      const [row] = await postgres.sql(`select rolpassword from pg_authid where rolname = '${role}'`);
      await postgres.sql(`drop role ${role}`);
      // One that it took for a password would have been hashed.
      expect(row?.['rolpassword']).toBe(text);
      expect(parseScramVerifier(text)?.iterations).toBe(count);
    }
  });
});

test('as many iterations as PostgreSQL counts are read, although it takes them minutes to derive', () => {
  expect(parseScramVerifier(`SCRAM-SHA-256$2147483647:${SALT}$${KEY}:${KEY}`)?.iterations).toBe(2 ** 31 - 1);
});

test.each([
  '',
  'pencil',
  'md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  `SCRAM-SHA-1$4096:${SALT}$${KEY}:${KEY}`,
  `scram-sha-256$4096:${SALT}$${KEY}:${KEY}`,
  `SCRAM-SHA-256$0:${SALT}$${KEY}:${KEY}`,
  `SCRAM-SHA-256$-1:${SALT}$${KEY}:${KEY}`,
  `SCRAM-SHA-256$2147483648:${SALT}$${KEY}:${KEY}`,
  `SCRAM-SHA-256$4096x:${SALT}$${KEY}:${KEY}`,
  `SCRAM-SHA-256$4096:$${KEY}:${KEY}`,
  `SCRAM-SHA-256$4096:${'A'.repeat(400)}$${KEY}:${KEY}`,
  `SCRAM-SHA-256$4096:${SALT.slice(1)}$${KEY}:${KEY}`,
  `SCRAM-SHA-256$4096:${SALT}$${KEY.slice(4)}:${KEY}`,
  `SCRAM-SHA-256$4096:${SALT}$${KEY}:${KEY}=`,
  `SCRAM-SHA-256$4096:${SALT}$${KEY}`,
  `SCRAM-SHA-256$4096:${SALT}$${KEY}:${KEY}\n`,
  ` SCRAM-SHA-256$4096:${SALT}$${KEY}:${KEY}`,
])('%j is no verifier', (text) => {
  expect(parseScramVerifier(text)).toBeUndefined();
});

test('whatever is read is written again as it was', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const salt = fc.uint8Array({ minLength: 1, maxLength: 256 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      salt,
      bytes(32),
      bytes(32),
      (iterations, ...parts) => {
        const [first = '', stored = '', server = ''] = parts.map((part) =>
          Buffer.from(part).toString('base64'),
        );
        const text = `SCRAM-SHA-256$${iterations}:${first}$${stored}:${server}`;
        const read = parseScramVerifier(text);
        expect(read && textOf(read)).toBe(text);
      },
    ),
  );
});

test('a user that there is not looks like the same user each time, and like no other', () => {
  const [one, other] = [randomBytes(32), randomBytes(32)];
  const mock = mockScramVerifier(one, 'nobody', 4096);
  expect(mockScramVerifier(one, 'nobody', 4096)).toEqual(mock);
  expect(mock.salt).toHaveLength(16);
  for (const another of [mockScramVerifier(one, 'nobody2', 4096), mockScramVerifier(other, 'nobody', 4096)])
    expect(another.salt).not.toEqual(mock.salt);
  expect(mockScramVerifier(one, 'nobody', 10_000)).toEqual({ ...mock, iterations: 10_000 });
});
