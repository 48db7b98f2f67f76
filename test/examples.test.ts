/** The examples do what their READMEs say: outside the repository, as processes, in front of a real PostgreSQL. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Client } from 'pg';
import type { DatabaseError } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from './support/free-port.ts';
import { INSTALL } from '../plugins/claims/install.ts';
import { certificates } from './support/certificates.ts';
import type { Certificates } from './support/certificates.ts';
import { copyExamples, root, start } from './support/example.ts';
import type { RunningExample } from './support/example.ts';
import { prepareCheckout } from './support/gateway-process.ts';
import { freshDatabase, sharedPostgres } from './support/postgres.ts';
import type { Postgres } from './support/postgres.ts';
import { issuer, now } from './support/token.ts';

/** Names that the configs have for databases. */
const DATABASES = ['orders', 'warehouse'];
const EXAMPLES = [
  'access-on-demand',
  'demo',
  'deploy',
  'from-pgbouncer',
  'jwt-roles',
  'many-databases',
  'many-tenants',
  'monitoring',
  'rotate-and-revoke',
  'your-own-plugin',
];
const examples = copyExamples();
const good = issuer({ algorithms: ['ES256'] });
const stranger = issuer({ algorithms: ['ES256'] });
let postgres: Postgres;
let files: Certificates;

beforeAll(async () => {
  prepareCheckout();
  postgres = sharedPostgres();
  files = await certificates();
  for (const name of DATABASES) await postgres.sql(`create database ${name}`);
  for (const name of EXAMPLES) furnish(join(examples.folder, name));
}, 120_000);
afterAll(async () => {
  for (const name of DATABASES) await postgres.sql(`drop database ${name} with (force)`);
  files.remove();
  examples.remove();
});

/** What a README has its reader make: a certificate, and the issuer's keys. */
function furnish(folder: string): void {
  mkdirSync(join(folder, 'tls'));
  copyFileSync(files.server.certFile, join(folder, 'tls/server.crt'));
  copyFileSync(files.server.keyFile, join(folder, 'tls/server.key'));
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify(good.jwks));
}

interface Visit {
  readonly port: number | undefined;
  readonly database: string;
  readonly token: string;
  readonly user?: string;
  readonly tls?: boolean;
}

function clientFor({ port = 0, database, token, user = '_', tls = false }: Visit): Client {
  const ssl = tls && { ca: files.ca.cert, servername: 'localhost' };
  return new Client({ host: '127.0.0.1', port, database, user, password: token, ssl });
}

async function visit<T>(how: Visit, work: (client: Client) => Promise<T>): Promise<T> {
  const client = clientFor(how);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Who a client is, and where. */
function who(how: Visit): Promise<unknown> {
  const sql = 'select session_user::text as role, current_database()::text as database';
  return visit(how, async (client) => (await client.query(sql)).rows[0] as unknown);
}

/** The SQLSTATE with which something ends. */
async function stateOf(work: Promise<unknown>): Promise<string | undefined> {
  return work.then(
    () => 'no error',
    (error: DatabaseError) => error.code,
  );
}

describe('jwt-roles', () => {
  let gateway: RunningExample;
  const orders = (more: Partial<Visit> = {}): Visit => {
    return { port: gateway.ports['default'], database: 'orders', token: good.sign(), tls: true, ...more };
  };
  beforeAll(async () => {
    gateway = await start('npx postern start', join(examples.folder, 'jwt-roles'), {
      ORDERS_HOST: 'localhost',
      ORDERS_PORT: postgres.port,
      READER_PASSWORD: postgres.passwords.reader,
      WRITER_PASSWORD: postgres.passwords.writer,
      JWKS: 'jwks.json',
      PORT: 0,
    });
  });
  afterAll(() => gateway.stop());

  test('a client is the role its token names', async () => {
    expect(await who(orders())).toEqual({ role: 'reader', database: 'orders' });
    const token = good.sign({ role: 'writer' });
    expect(await who(orders({ token }))).toEqual({ role: 'writer', database: 'orders' });
  });

  test('without TLS nobody is asked for a token', async () => {
    expect(await stateOf(who(orders({ tls: false })))).toBe('28000');
  });

  test('tokens that are forged, expired or for somebody else have one answer', async () => {
    const forged = stranger.sign({}, { kid: good.kid('ES256') });
    for (const token of [forged, good.sign({ exp: now() - 1 }), good.sign({ aud: 'others' })]) {
      expect(await stateOf(who(orders({ token })))).toBe('28P01');
    }
  });

  test('a role that is not allowed is refused', async () => {
    expect(await stateOf(who(orders({ token: good.sign({ role: 'postgres' }) })))).toBe('28000');
  });

  test('the session ends when its token does', async () => {
    const client = clientFor(orders({ token: good.sign({ exp: now() + 2 }) }));
    const ended = once(client, 'error') as Promise<[DatabaseError]>;
    // The closed connection is a second one.
    client.on('error', () => undefined);
    await client.connect();
    expect(await client.query('select 1')).toHaveProperty('rowCount', 1);
    const [error] = await ended;
    expect(error).toMatchObject({ code: '57P01', message: 'the token has expired' });
  });

  test('neither passwords nor tokens are in the log', async () => {
    const token = good.sign({ sub: 'carol' });
    await who(orders({ token }));
    await expect.poll(gateway.output).toContain('"subject":"carol"');
    for (const secret of [token, ...Object.values(postgres.passwords)])
      expect(gateway.output()).not.toContain(secret);
  });
});

describe('many-databases', () => {
  let gateway: RunningExample;
  let adminPort: number;
  let archived: string;
  const folder = join(examples.folder, 'many-databases');
  const writer = good.sign({ role: 'writer' });
  const people = (database: string, token = good.sign()): Visit => {
    return { port: gateway.ports['people'], database, token, tls: true };
  };
  const jobs = (database: string, token = writer): Visit => {
    return { port: gateway.ports['jobs'], database, token };
  };
  const secret = (name: string, password: string): void =>
    writeFileSync(join(folder, 'secrets', name), `${password}\n`);

  beforeAll(async () => {
    archived = await freshDatabase();
    mkdirSync(join(folder, 'secrets'));
    secret('reader', postgres.passwords.reader);
    secret('writer', postgres.passwords.writer);
    secret('archive-reader', postgres.passwords.reader);
    adminPort = await freePort();
    const servers = {
      MAIN_HOST: postgres.host,
      MAIN_PORT: postgres.port,
      ARCHIVE_HOST: postgres.host,
      ARCHIVE_PORT: postgres.port,
    };
    const ports = { PEOPLE_PORT: 0, JOBS_PORT: 0, ADMIN_PORT: adminPort };
    gateway = await start('npx postern start', folder, { ...servers, ...ports, JWKS: 'jwks.json' }, 2);
  });
  afterAll(() => gateway.stop());

  test('databases are found by the names of the config', async () => {
    expect(await who(people('orders'))).toEqual({ role: 'reader', database: 'orders' });
    expect(await who(people('stock'))).toEqual({ role: 'reader', database: 'warehouse' });
    expect(await who(people(archived))).toEqual({ role: 'reader', database: archived });
    expect(await stateOf(who(people('no_such_database')))).toBe('3D000');
  });

  test('a writer is let in where jobs come, and not where people do', async () => {
    expect(await who(jobs('orders'))).toEqual({ role: 'writer', database: 'orders' });
    expect(await stateOf(who(people('orders', writer)))).toBe('28000');
    expect(await stateOf(who({ ...people('orders'), tls: false }))).toBe('28000');
  });

  test('nobody writes to the archive, and the log says why', async () => {
    expect(await stateOf(who(jobs(archived)))).toBe('08004');
    await expect.poll(gateway.output).toContain('has no password for role \\"writer\\"');
  });

  test('a changed password counts from the next server connection', async () => {
    secret('archive-reader', 'wrong');
    expect(await who(people(archived))).toMatchObject({ role: 'reader' });
    await postgres.sql(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${archived}'`,
    );
    await expect.poll(() => stateOf(who(people(archived)))).toBe('08004');
  });

  test('the admin listener says that it is ready', async () => {
    for (const path of ['livez', 'readyz'])
      expect(await fetch(`http://127.0.0.1:${adminPort}/${path}`)).toHaveProperty('status', 200);
  });
});

describe('your-own-plugin', () => {
  let gateway: RunningExample;
  let database: string;
  const writer = (sub: string): Visit => {
    return { port: gateway.ports['default'], database, token: good.sign({ sub, role: 'writer' }) };
  };
  beforeAll(async () => {
    database = await freshDatabase();
    await postgres.sql(
      'create table t (); grant all on t to writer; grant all on schema public to writer',
      database,
    );
    gateway = await start('npx postern start', join(examples.folder, 'your-own-plugin'), {
      DATABASE_HOST: postgres.host,
      DATABASE_PORT: postgres.port,
      WRITER_PASSWORD: postgres.passwords.writer,
      PORT: 0,
    });
  });
  afterAll(() => gateway.stop());

  test('a schema change is refused with a hint, in both protocols, and the session goes on', async () => {
    await visit(writer('ada'), async (client) => {
      for (const query of ['create table mine ()', { name: 'prepared', text: '/* quietly */ drop table t' }])
        await expect(client.query(query)).rejects.toMatchObject({
          code: '42501',
          severity: 'ERROR',
          message: 'schema changes go through migrations',
          hint: 'Put it into a migration, or work on a temporary table.',
        });
      expect((await client.query('select count(*)::int as n from t')).rows).toEqual([{ n: 0 }]);
    });
    expect(await postgres.sql("select to_regclass('mine') as mine, to_regclass('t') as t", database)).toEqual(
      [{ mine: null, t: 't' }],
    );
  });

  test('a refusal spoils the transaction as any other error does', async () => {
    await visit(writer('ada'), async (client) => {
      await client.query('begin');
      await expect(client.query('drop table t')).rejects.toMatchObject({ code: '42501' });
      await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
      expect(await client.query('commit')).toHaveProperty('command', 'ROLLBACK');
    });
  });

  test('temporary tables pass, and so does everything for who migrates', async () => {
    await visit(writer('ada'), (client) => client.query('create temp table mine ()'));
    await visit(writer('migrations'), (client) => client.query('create table made ()'));
    expect(await postgres.sql("select to_regclass('made') as made", database)).toEqual([{ made: 'made' }]);
  });
});

describe('many-tenants', () => {
  const folder = join(examples.folder, 'many-tenants');
  let gateway: RunningExample;
  let database: string;
  const as = (sub: string, tenant: string): Visit => ({
    port: gateway.ports['default'],
    database: 'orders',
    token: good.sign({ sub, tenant, role: 'writer' }),
  });
  const tenants = async (how: Visit): Promise<unknown[]> =>
    visit(how, async (client) => (await client.query('select tenant, made_by from orders')).rows);

  beforeAll(async () => {
    database = await freshDatabase();
    writeFileSync(join(folder, 'claims.key'), 'a secret that both sides have, of 32 bytes');
    const config = readFileSync(join(folder, 'gateway.config.ts'), 'utf8');
    // The example's database has its own name on the shared server.
    writeFileSync(
      join(folder, 'gateway.config.ts'),
      config.replace('orders: {', `orders: { database: '${database}',`),
    );
    const key = readFileSync(join(folder, 'claims.key'), 'utf8');
    await postgres.sql(INSTALL.replace(/\\getenv[^]*\\endif/, `select postern.add_key('${key}');`), database);
    await postgres.sql(readFileSync(join(folder, 'policies.sql'), 'utf8'), database);
    gateway = await start('npx postern start', folder, {
      ORDERS_PORT: postgres.port,
      WRITER_PASSWORD: postgres.passwords.writer,
      PORT: 0,
    });
  });
  afterAll(() => gateway.stop());

  test('who writes a row is filled in, and each tenant sees its own', async () => {
    await visit(as('ada', 'acme'), (client) =>
      client.query("insert into orders (customer) values ('Grace')"),
    );
    await visit(as('eve', 'evil'), (client) =>
      client.query("insert into orders (customer) values ('Mallory')"),
    );
    expect(await tenants(as('bob', 'acme'))).toEqual([{ tenant: 'acme', made_by: 'ada' }]);
    expect(await tenants(as('bob', 'evil'))).toEqual([{ tenant: 'evil', made_by: 'eve' }]);
    expect(await tenants(as('bob', 'other'))).toEqual([]);
  });

  test('nobody writes rows of another tenant, or in another name', async () => {
    await visit(as('eve', 'evil'), async (client) => {
      for (const columns of [
        "(tenant, customer) values ('acme', 'x')",
        "(made_by, customer) values ('ada', 'x')",
      ]) {
        await expect(client.query(`insert into orders ${columns}`)).rejects.toMatchObject({ code: '42501' });
      }
    });
  });
});

describe('every example', () => {
  const configs = EXAMPLES.flatMap((name) =>
    readdirSync(join(root, 'examples', name))
      .filter((file) => file.endsWith('.config.ts'))
      .map((file) => join(name, file)),
  );

  test.each(configs)('%s has nothing wrong with it', async (path) => {
    const own = copyExamples();
    const config = join(own.folder, path);
    furnish(dirname(config));
    const sources = `${readFileSync(config, 'utf8')}${path.startsWith('from-') ? readFileSync(join(dirname(config), 'common.ts'), 'utf8') : ''}`;
    for (const [, file = ''] of sources.matchAll(/file\('([^']+)'\)/g)) {
      mkdirSync(dirname(join(dirname(config), file)), { recursive: true });
      writeFileSync(join(dirname(config), file), 'a secret of at least thirty-two bytes');
    }
    const [verifier] = await postgres.sql("select rolpassword from pg_authid where rolname = 'reader'");
    writeFileSync(join(dirname(config), 'userlist.txt'), `"shop" "${String(verifier?.['rolpassword'])}"\n`, {
      mode: 0o640,
    });
    const needed = [...sources.matchAll(/env\('(\w+)'\)/g)].map(([, name = '']) => [name, 'localhost']);
    const env = {
      ...process.env,
      ...(Object.fromEntries(needed) as Record<string, string>),
      JWKS: 'jwks.json',
    };
    const words = [join(root, 'core/cli/postern.js'), 'check', '--config', config];
    const { stdout, stderr } = spawnSync(process.execPath, words, { env, encoding: 'utf8' });
    own.remove();
    expect({ stdout, stderr }).toEqual({ stdout: expect.stringContaining('is valid') as string, stderr: '' });
  });

  test('is tested here', () => {
    const folders = readdirSync(join(root, 'examples'), { withFileTypes: true }).filter((one) =>
      one.isDirectory(),
    );
    expect(folders.map(({ name }) => name).sort()).toEqual(EXAMPLES);
  });

  test('that moves from PgBouncer has a pgbouncer.ini that can be imported', async () => {
    const own = copyExamples();
    const folder = join(own.folder, 'from-pgbouncer');
    const [verifier] = await postgres.sql("select rolpassword from pg_authid where rolname = 'reader'");
    writeFileSync(join(folder, 'userlist.txt'), `"shop" "${String(verifier?.['rolpassword'])}"\n`, {
      mode: 0o640,
    });
    const words = [join(root, 'core/cli/postern.js'), 'import', 'pgbouncer.ini', '--force'];
    const { status, stderr } = spawnSync(process.execPath, words, { cwd: folder, encoding: 'utf8' });
    own.remove();
    expect(stderr).toContain('gateway.config.ts is written and valid: 1 databases, 1 users.');
    expect(status).toBe(0);
  });
});
