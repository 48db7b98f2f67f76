/** Other clients than psql prove their passwords as well: libpq 18, asyncpg and pgjdbc, each as it comes. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import { passwords } from '../../plugins/passwords/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { pythonWith } from '../support/drivers.ts';
import { javaCommand, newestLibpq, removeBuilt } from '../support/drivers/features/builds.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';

const PROGRAM = fileURLToPath(new URL('../support/drivers/scram_login.py', import.meta.url));
const PATIENCE = { timeout: 240_000 };
const PASSWORD = 'canary ü one';

const good = issuer();
let files: Certificates;
let running: RunningGateway;

beforeAll(async () => {
  files = await certificates();
  const list = join(files.folder, 'userlist.txt');
  writeFileSync(list, `"reader" "${PASSWORD}"\n"writer" "${PASSWORD}"\n`, { mode: 0o600 });
  const { certFile: cert, keyFile: key } = files.server;
  running = await startGateway({
    listen: { port: 0, tls: { cert, key }, auth: { default: 'scram', password: { users: ['_'] } } },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [
      jwt({ issuers: [good.options] }),
      passwords({ file: list }),
      roles([
        { issuer: good.options.issuer, claim: 'role', allow: ['reader', 'writer'] },
        { issuer: 'password:', claim: 'sub', allow: ['reader', 'writer'] },
      ]),
    ],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  files.remove();
  removeBuilt();
});

/** What each login came to. */
async function logIns(
  python: string,
  env: NodeJS.ProcessEnv,
  driver: 'psycopg' | 'asyncpg',
  lines: readonly string[],
): Promise<readonly unknown[]> {
  const child = promisify(execFile)(python, ['-B', PROGRAM, driver], { env, timeout: 120_000 });
  child.child.stdin?.end(lines.join('\n'));
  return (await child).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

test(
  'libpq 18 proves a password, bound or not, and what it is told to insist on passes',
  PATIENCE,
  async ({ skip }) => {
    const libpq = await newestLibpq();
    if (typeof libpq === 'string') return skip(libpq);
    const where = `port=${running.port} dbname=orders hostaddr=127.0.0.1`;
    const tls = `${where} host=localhost sslmode=verify-full sslrootcert=${files.ca.certFile}`;
    const password = `password='${PASSWORD}'`;
    const outcomes = await logIns(libpq.python, libpq.env, 'psycopg', [
      `${tls} user=reader ${password} require_auth=scram-sha-256 channel_binding=require`,
      `${tls} user=reader ${password} require_auth=scram-sha-256 channel_binding=disable`,
      `${tls} user=writer ${password} sslnegotiation=direct channel_binding=require`,
      `${where} user=reader ${password} sslmode=disable require_auth=scram-sha-256`,
      `${tls} user=_ password=${good.sign({ role: 'writer' })}`,
      `${tls} user=reader password=wrong`,
      `${tls} user=reader password=${good.sign()}`,
      `${tls} user=_ ${password} require_auth=scram-sha-256`,
    ]);
    expect(outcomes.slice(0, 5)).toEqual(['reader', 'reader', 'writer', 'reader', 'writer']);
    expect(outcomes[5]).toContain('password authentication failed for user "reader"');
    expect(outcomes[6]).toContain('password authentication failed for user "reader"');
    // It is asked for a token, and says that this is not what it insists on.
    expect(outcomes[7]).toContain('authentication method requirement "scram-sha-256" failed');
    return undefined;
  },
);

test('asyncpg proves a password', PATIENCE, async ({ skip }) => {
  const python = pythonWith('asyncpg') ?? skip('no Python here has asyncpg');
  const line = (user: string, password: string): string =>
    JSON.stringify({ host: '127.0.0.1', port: running.port, user, password, database: 'orders' });
  const outcomes = await logIns(python, process.env, 'asyncpg', [
    line('reader', PASSWORD),
    line('reader', 'wrong'),
    line('nobody', PASSWORD),
  ]);
  expect(outcomes).toEqual([
    'reader',
    'password authentication failed for user "reader"',
    'password authentication failed for user "nobody"',
  ]);
});

test('pgjdbc proves a password', PATIENCE, async ({ skip }) => {
  const java = await javaCommand('../PgjdbcLogin.java');
  if (typeof java === 'string') return skip(java);
  const url = `jdbc:postgresql://localhost:${running.port}/orders?sslmode=verify-full&sslrootcert=${files.ca.certFile}`;
  const who = ['reader', PASSWORD, 'writer', PASSWORD, 'reader', 'wrong', 'nobody', PASSWORD];
  const { stdout } = await promisify(execFile)(java.path, [...java.args, url, ...who]);
  const refused = (user: string): string => `28P01 FATAL: password authentication failed for user "${user}"`;
  expect(stdout.trim().split('\n')).toEqual(['reader', 'writer', refused('reader'), refused('nobody')]);
  return undefined;
});
