/** Real clients against a gateway that runs from a config file outside the repository, over plaintext and TLS. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, DatabaseError } from 'pg';
import postgresJs from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { badTokens } from '../support/bad-tokens.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { executable } from '../support/executable.ts';
import { GatewayProcess, prepareCheckout } from '../support/gateway-process.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { issuer, now } from '../support/token.ts';

const run = promisify(execFile);
const keys = issuer();
let files: Certificates;
/** Of its own, so that every connection in its log is ours. */
let postgres: OwnPostgres;
let gateway: GatewayProcess;

beforeAll(async () => {
  prepareCheckout();
  files = await certificates();
  postgres = await startPostgres();
  gateway = await GatewayProcess.start({
    config: `
      import { defineConfig, env, file } from 'postern';
      import { jwt } from 'postern/plugins/jwt';
      import { roles } from 'postern/plugins/roles';

      export default defineConfig({
        listen: { name: 'public', host: '127.0.0.1', port: 0, tls: { cert: 'server.crt', key: 'server.key' } },
        databases: {
          orders: {
            host: '127.0.0.1',
            port: Number(env('ORDERS_PORT')),
            database: 'postgres',
            login: { kind: 'password', passwords: { reader: env('READER_PASSWORD'), writer: file('writer.txt') } },
          },
        },
        plugins: [
          jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: 'jwks.json' }] }),
          roles({ claim: 'role', allow: ['reader', 'writer'] }),
        ],
      });`,
    files: {
      'jwks.json': JSON.stringify(keys.jwks),
      'server.crt': files.server.cert,
      'server.key': files.server.key,
      'ca.crt': files.ca.cert,
      'writer.txt': `${postgres.passwords.writer}\n`,
    },
    env: { ORDERS_PORT: String(postgres.port), READER_PASSWORD: postgres.passwords.reader },
  });
}, 120_000);
afterAll(async () => {
  await gateway.remove();
  await postgres.stop();
  files.remove();
});

const WHO = 'select session_user::text as session, current_user::text as current';

/** Who logs in, and by what. */
interface Visit {
  readonly password: string;
  readonly user?: string;
  readonly secure?: boolean;
}

type Names = Readonly<Record<string, unknown>> | undefined;

async function nodePostgres({ password, user = '_', secure = false }: Visit): Promise<Names> {
  const ssl = secure && { ca: files.ca.cert };
  const client = new Client({
    host: 'localhost',
    port: gateway.port,
    user,
    database: 'orders',
    password,
    ssl,
  });
  await client.connect();
  const { rows } = await client.query<Record<string, unknown>>(WHO);
  await client.end();
  return rows[0];
}

async function postgresJsClient({ password, user = '_', secure = false }: Visit): Promise<Names> {
  const ssl = secure && { ca: files.ca.cert };
  const place = { host: 'localhost', port: gateway.port, database: 'orders' };
  const sql = postgresJs({ ...place, user, password, ssl, max: 1, connect_timeout: 10 });
  try {
    return (await sql.unsafe(WHO))[0];
  } finally {
    await sql.end();
  }
}

async function psql({ password, user = '_', secure = false }: Visit): Promise<Names> {
  const place = `host=localhost port=${gateway.port} dbname=orders`;
  const tls = `sslmode=${secure ? 'verify-full' : 'disable'} sslrootcert=${join(gateway.folder, 'ca.crt')}`;
  const { stdout } = await run(executable('psql') ?? 'psql', ['-XAt', '-c', WHO, `${place} ${tls}`], {
    env: { ...process.env, PGUSER: user, PGPASSWORD: password },
  });
  const [session, current] = stdout.trim().split('|');
  return { session, current };
}

const CLIENTS = [
  ['node-postgres', nodePostgres],
  ['postgres.js', postgresJsClient],
  ['psql', psql],
] as const;

function connections(): number {
  return postgres.log().split('connection received').length - 1;
}

/** SQLSTATE, text and hint of the refusal; undefined for a login that went well. */
async function refusal(visit: Visit): Promise<DatabaseError | undefined> {
  try {
    await nodePostgres(visit);
    return undefined;
  } catch (error) {
    if (error instanceof DatabaseError) return error;
    throw error;
  }
}

describe.each(CLIENTS)('%s', (name, connect) => {
  const missing = name === 'psql' && executable('psql') === undefined;

  test.skipIf(missing).each([
    ['reader', 'in the clear on loopback', false],
    ['writer', 'in the clear on loopback', false],
    ['reader', 'over verified TLS', true],
    ['writer', 'over verified TLS', true],
  ])('is %s by its token, %s', async (role, _, secure) => {
    expect(await connect({ password: keys.sign({ role }), secure })).toEqual({
      session: role,
      current: role,
    });
  });

  test.skipIf(missing)('takes a token of 15 KB', async () => {
    const password = keys.sign({ padding: 'x'.repeat(11_400) });
    expect(Buffer.byteLength(password)).toBeGreaterThan(15 * 1_024);
    expect(await connect({ password, secure: true })).toEqual({ session: 'reader', current: 'reader' });
  });

  test.skipIf(missing)('is told what PostgreSQL would tell of a wrong password', async () => {
    const before = connections();
    const password = keys.sign({ exp: now() - 60 });
    await expect(connect({ password })).rejects.toThrow('password authentication failed for user "_"');
    expect(connections()).toBe(before);
  });
});

test('a client that verifies does not talk to a gateway with the certificate of somebody else', async () => {
  const ssl = { ca: files.wrongCa.cert };
  const client = new Client({ host: 'localhost', port: gateway.port, user: '_', database: 'orders', ssl });
  await expect(client.connect()).rejects.toThrow(/certificate/);
});

test.each([
  ['the name of its role', 'reader', 'reader'],
  ['an underscore', '_', 'reader'],
  ['its subject', 'alice', 'reader'],
])('the user name may be %s', async (_, user, role) => {
  expect(await nodePostgres({ password: keys.sign(), user })).toEqual({ session: role, current: role });
});

test('any other user name is refused after a good token, with a hint, and PostgreSQL sees nothing', async () => {
  const before = connections();
  const refused = await refusal({ password: keys.sign(), user: 'writer' });
  expect(refused).toMatchObject({ code: '28000', severity: 'FATAL' });
  expect(refused?.hint).toContain('psql -U _');
  expect(connections()).toBe(before);
});

test('a role that is not on the list is refused, and PostgreSQL sees nothing', async () => {
  const before = connections();
  expect(await refusal({ password: keys.sign({ role: 'postgres' }) })).toMatchObject({ code: '28000' });
  expect(connections()).toBe(before);
});

test('every bad token gets the same answer, and PostgreSQL sees no connection for any of them', async () => {
  const before = connections();
  const answers = new Map<string, string>();
  const bad = badTokens(keys);
  for (const { name, token } of bad) {
    const { code, severity, message, hint } = (await refusal({ password: token })) ?? {};
    const answer = JSON.stringify([severity, code, message, hint]);
    answers.set(answer, name);
  }
  expect([...answers.keys()]).toEqual([
    '["FATAL","28P01","password authentication failed for user \\"_\\"",null]',
  ]);
  expect(bad.length).toBeGreaterThan(100);
  expect(connections()).toBe(before);
  // Good ones have been seen to.
  expect(before).toBeGreaterThan(0);
});
