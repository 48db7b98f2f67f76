/** Clients that have a token at hand present it by OAUTHBEARER: pgx, and whatever sets libpq's hook. */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { newestLibpq, removeBuilt } from '../support/drivers/features/builds.ts';
import type { NewestLibpq } from '../support/drivers/features/builds.ts';
import { program } from '../support/programs.ts';
import { issuer } from '../support/token.ts';

const run = promisify(execFile);
const PROGRAMS = fileURLToPath(new URL('../support/drivers/oauth', import.meta.url));
const PATIENCE = { timeout: 240_000 };
const UNREACHABLE = /dial tcp|no such host|i\/o timeout|connection refused|requires go >=|proxyconnect|EOF/;

const good = issuer();
let files: Certificates;
let running: RunningGateway;
let folder: string;

beforeAll(async () => {
  files = await certificates();
  folder = mkdtempSync(join(tmpdir(), 'postern-oauth-'));
  running = await startGateway({
    listen: {
      port: 0,
      tls: { cert: files.server.certFile, key: files.server.keyFile },
      auth: 'oauthbearer',
    },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [
      jwt({ issuers: [{ ...good.options, oauth: { scope: 'openid postern' } }] }),
      roles({ claim: 'role', allow: ['reader'] }),
    ],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  files.remove();
  removeBuilt();
  rmSync(folder, { recursive: true, force: true });
});

/** What a program says that logs in with a token. */
async function said(
  file: string,
  args: readonly string[],
  token: string,
  more = '',
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const address =
    `host=localhost port=${running.port} user=_ dbname=orders sslmode=verify-full sslrootcert=${files.ca.certFile}` +
    more;
  const env = { ...environment, TOKEN: token };
  return (await run(file, [...args, address], { env })).stdout.trim();
}

const REFUSED = 'password authentication failed for user "_"';

test('pgx presents the token of its provider', PATIENCE, async ({ skip }) => {
  const go = program('go') ?? skip('go is not installed here');
  cpSync(PROGRAMS, folder, { recursive: true });
  const env = { ...process.env, GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' };
  try {
    await run(go, ['build', '-o', 'login', '.'], { cwd: folder, env });
  } catch (error) {
    const why = String((error as { readonly stderr?: unknown }).stderr);
    if (UNREACHABLE.test(why)) skip(`go could not build it: ${why}`);
    throw error;
  }
  const pgx = join(folder, 'login');
  expect(await said(pgx, [], good.sign())).toBe('reader');
  // It reads the status, and leaves: that counts all the same.
  const refused = running.lines('login refused').length;
  expect(await said(pgx, [], good.sign({ aud: 'billing' }))).toContain(
    'OAuth authentication failed: invalid_token',
  );
  expect(running.lines('login refused').slice(refused)).toMatchObject([{ sqlstate: '28P01' }]);
  expect(await said(pgx, [], good.sign({ role: 'nobody' }))).toContain('28000');
});

test(
  "libpq 18 presents the token of its program's hook, which is told of the issuer",
  PATIENCE,
  async ({ skip }) => {
    const found = await newestLibpq();
    if (typeof found === 'string') skip(found);
    const { python, env } = found as NewestLibpq;
    const hook = ['-B', join(PROGRAMS, 'hook.py')];
    const more = ' oauth_issuer=https://id.example oauth_client_id=any';
    const announced = 'https://id.example/.well-known/openid-configuration openid postern';
    expect(await said(python, hook, good.sign(), more, env)).toBe(`reader\n${announced}`);
    const bad = await said(python, hook, good.sign({ aud: 'billing' }), more, env);
    expect(bad).toContain(REFUSED);
    expect(running.lines('discovery').length).toBeGreaterThan(0);
  },
);
