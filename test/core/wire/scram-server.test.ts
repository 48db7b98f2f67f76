import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeQuery } from '../../../core/wire/to-server.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { rawConnection, rawLogin } from './raw-connection.ts';
import type { RawLogin } from './raw-connection.ts';

let postgres: OwnPostgres;
let files: Certificates;

beforeAll(async () => {
  files = await certificates();
  postgres = await startPostgres({ ssl: files.server });
});

afterAll(async () => {
  await postgres.stop();
  files.remove();
});

/** A login of the test role `reader`. */
function reader(more: Partial<RawLogin> = {}): RawLogin {
  const parameters = [
    ['user', 'reader'],
    ['database', 'postgres'],
  ] as const;
  return { port: postgres.port, parameters, password: postgres.passwords.reader, ...more };
}

test('a real server lets us in, without and with channel binding, and answers', async () => {
  for (const [tls, mechanism] of [
    [false, 'SCRAM-SHA-256'],
    [true, 'SCRAM-SHA-256-PLUS'],
  ] as const) {
    const connection = await rawConnection(reader({ tls }));
    expect(connection.mechanism).toBe(mechanism);
    const answers = await connection.ask(encodeQuery('select current_user'));
    expect(answers.map(({ type }) => type).join('')).toBe('TDC');
    expect(answers[1]?.body.toString()).toContain('reader');
    connection.close();
  }
});

test('a wrong password is refused by the server', async () => {
  expect(await rawLogin(reader({ password: 'wrong' }))).toMatchObject({ severity: 'FATAL', code: '28P01' });
});

test('the hash of another certificate is refused by the server', async () => {
  const scram: RawLogin['scram'] = (options) => ({ ...options, channelBinding: Buffer.alloc(32) });
  expect(await rawLogin(reader({ tls: true, scram }))).toMatchObject({
    severity: 'FATAL',
    message: expect.stringContaining('channel binding'),
  });
});

test('a server that offered PLUS notices when somebody took it out on the way', async () => {
  const scram: RawLogin['scram'] = (options) => ({ ...options, offered: ['SCRAM-SHA-256'] });
  expect(await rawLogin(reader({ tls: true, scram }))).toMatchObject({
    severity: 'FATAL',
    message: expect.stringContaining('channel binding'),
  });
});

describe('passwords are prepared as the server does', () => {
  test.each([
    'plain',
    'with space, comma=equals "quotes" \\',
    'ASCII with \u0007 control',
    'non-breaking\u00a0space',
    'soft\u00adhyphen',
    'ligature ﬁ and Ⅸ',
    'decomposed u\u0308',
    '\u3000',
    '\u00ad',
    'prohibited ﬁ \u0080',
    'private ﬁ \ue000',
    'zero\u200bwidth\u200djoiner',
    '日本語',
    '😀',
    'x'.repeat(300),
    'ä'.repeat(100),
  ])('%j', async (password) => {
    const literal = password.replaceAll("'", "''");
    await postgres.sql(`drop role if exists somebody; create role somebody login password '${literal}'`);
    const parameters = [
      ['user', 'somebody'],
      ['database', 'postgres'],
    ] as const;
    const connection = await rawConnection(reader({ parameters, password }));
    connection.close();
  });
});

test('the iterations that PostgreSQL 16 and newer let an administrator choose are followed', async ({
  skip,
}) => {
  skip(postgres.version < 16, `PostgreSQL ${postgres.version} has no scram_iterations`);
  for (const [iterations, outcome] of [
    [4096, 'ok'],
    [50_000, 'ok'],
    [4095, 'refused'],
  ] as const) {
    await postgres.sql(
      `drop role if exists counted; set scram_iterations = ${iterations}; create role counted login password 'x'`,
    );
    const parameters = [
      ['user', 'counted'],
      ['database', 'postgres'],
    ] as const;
    const login = rawConnection(reader({ parameters, password: 'x' }));
    const result = await login.then(
      (connection) => {
        connection.close();
        return 'ok';
      },
      () => 'refused',
    );
    expect(result).toBe(outcome);
  }
});
