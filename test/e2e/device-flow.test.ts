/** psql 18 fetches its token by the device flow from a real authorization server, and logs in with it by OAUTHBEARER. */
import { execFileSync, spawn } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ListenOptions } from '../../core/contract/listen.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { rateLimit } from '../../plugins/rate-limit/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { CLIENT_ID, startAuthorizationServer } from '../support/authorization-server.ts';
import type { AuthorizationServer } from '../support/authorization-server.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { program } from '../support/programs.ts';

/** The path of psql, or why it cannot be used. */
function psql18(): { readonly path: string } | { readonly missing: string } {
  const path = program('psql');
  if (path === undefined) return { missing: 'psql is not installed here' };
  const version = execFileSync(path, ['--version'], { encoding: 'utf8' }).trim();
  return Number(/ (\d+)/.exec(version)?.[1]) >= 18
    ? { path }
    : { missing: `${version} knows no OAUTHBEARER` };
}

const found = psql18();
const path = 'path' in found ? found.path : '';
const title = 'missing' in found ? `skipped: ${found.missing}` : 'with psql 18';

describe.skipIf('missing' in found)(title, { timeout: 60_000 }, () => {
  let files: Certificates;
  let server: AuthorizationServer;
  let running: RunningGateway | undefined;

  beforeAll(async () => {
    files = await certificates();
    server = await startAuthorizationServer(files);
  });
  afterAll(() => {
    server.close();
    files.remove();
  });
  afterEach(async () => {
    await running?.gateway.stop();
    running = undefined;
  });

  async function gateway(
    auth: NonNullable<ListenOptions['auth']>,
    audience = 'postern',
  ): Promise<RunningGateway> {
    const { issuer } = server;
    const oauth = { scope: 'openid postern' };
    const tls = { cert: files.server.certFile, key: files.server.keyFile };
    running = await startGateway({
      listen: { port: 0, tls, auth },
      databases: { orders: databaseOf(sharedPostgres()) },
      plugins: [
        rateLimit({ failedLogins: { per: 'address', limit: '1/h' } }),
        jwt({ issuers: [{ issuer, audience, ca: files.ca.certFile, oauth }] }),
        roles({ claim: 'role', allow: ['reader'] }),
      ],
    });
    return running;
  }

  interface Ran {
    readonly out: string;
    readonly error: string;
  }

  /** Runs psql; whoever it asks to visit a page does so. */
  async function psql({ port }: RunningGateway, more: string, password?: string): Promise<Ran> {
    const address = `host=localhost port=${port} user=_ dbname=orders sslmode=verify-full sslrootcert=${files.ca.certFile}`;
    const args = ['-X', '-At', '-c', 'select session_user', `${address} ${more}`];
    // An authority of its own for the issuer is a thing of tests, to libpq.
    const env = { PATH: process.env['PATH'], PGOAUTHDEBUG: 'UNSAFE', PGOAUTHCAFILE: files.ca.certFile };
    const child = spawn(path, args, {
      env: { ...env, ...(password !== undefined && { PGPASSWORD: password }) },
    });
    let [out, error] = ['', ''];
    let visit: Promise<void> | undefined;
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => {
      error += chunk.toString();
      const [, page = '', code = ''] = /Visit (\S+) and enter the code: (\S+)\s/.exec(error) ?? [];
      if (page !== '') visit ??= server.approve(page, code, 'ada');
    });
    await new Promise((resolve) => child.on('close', resolve));
    await visit;
    return { out: out.trim(), error };
  }

  const oauth = (): string => `oauth_issuer=${server.issuer} oauth_client_id=${CLIENT_ID}`;

  test('a person logs in with a browser, and is the role of the token', async () => {
    const at = await gateway('oauthbearer');
    const { out, error } = await psql(at, oauth());
    expect(error).toContain('enter the code');
    expect(out).toBe('reader');
    expect(at.lines('discovery')).toHaveLength(1);
    expect(at.lines('login')).toMatchObject([{ subject: 'ada', credential: 'oauthbearer' }]);
    expect(at.lines('login refused')).toEqual([]);
    expect(at.lines('clients may get no tokens by OAUTHBEARER')).toEqual([]);
    expect(server.requests).toContain('GET /.well-known/openid-configuration');
    expect(server.requests).toContain('POST /token');
  });

  test('beside passwords, by the name of the host or by a parameter', async () => {
    const byName = await gateway({ default: 'password', oauthbearer: { servernames: ['localhost'] } });
    expect((await psql(byName, oauth())).out).toBe('reader');
    await byName.gateway.stop();
    const byParameter = await gateway({ default: 'password', oauthbearer: { parameter: true } });
    const asked = `${oauth()} options='-c postern.auth=oauthbearer'`;
    expect((await psql(byParameter, asked)).out).toBe('reader');
    const { error } = await psql(byParameter, '', 'no token');
    expect(error).toContain('password authentication failed for user "_"');
    expect(byParameter.lines('login refused')).toMatchObject([{ credential: 'password' }]);
  });

  test('a token that is for another audience is refused, and psql shows it', async () => {
    const at = await gateway('oauthbearer', 'billing');
    const { out, error } = await psql(at, oauth());
    expect(out).toBe('');
    expect(error).toContain('password authentication failed for user "_"');
    expect(at.lines('login refused')).toMatchObject([
      { credential: 'oauthbearer', reason: expect.stringContaining("wanted 'billing'") as string },
    ]);
  });

  test('an issuer that is not the one of the user gets nobody anywhere', async () => {
    const at = await gateway('oauthbearer');
    const other = `oauth_issuer=https://localhost:1 oauth_client_id=${CLIENT_ID}`;
    expect((await psql(at, other)).error).toContain('is incompatible with oauth_issuer');
  });
});
