/** Claims in SQL: policies that read them, and a corpus of forgeries that never makes signed ones somebody else's. */
import { execFileSync } from 'node:child_process';
import { Client } from 'pg';
import type { DatabaseError } from 'pg';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { claims } from '../../plugins/claims/index.ts';
import type { ClaimsOptions } from '../../plugins/claims/index.ts';
import { INSTALL } from '../../plugins/claims/install.ts';
import { adoption } from '../../plugins/claims/sign.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import type { JwtOptions } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { parseRole } from '../../core/index.ts';
import type { PoolOptions } from '../../core/index.ts';
import { executable } from '../support/executable.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { forge, issuer, now } from '../support/token.ts';

const KEY = 'a secret of the gateway and the database, canary 81f2';
const keys = issuer({ algorithms: ['ES256'] });
const server = sharedPostgres();
const clients = new Set<Client>();
let database: string;
let running: RunningGateway;

/** What psql would have of it: the key comes by a variable there. */
const script = (key: string): string =>
  INSTALL.replace(/\\getenv[^]*\\endif/, `select postern.add_key('${key}');`);

beforeAll(async () => {
  database = await freshDatabase();
  await server.sql(script(KEY), database);
  await server.sql(
    `create table orders (id int, tenant text);
     insert into orders values (1, 'a'), (2, 'b'), (3, 'b');
     alter table orders enable row level security;
     create policy own on orders using (tenant = (select postern.claim('tenant')));
     create table trusted (id int, tenant text);
     insert into trusted values (1, 'a'), (2, 'b');
     alter table trusted enable row level security;
     create policy own on trusted using (tenant = current_setting('request.jwt.claims', true)::jsonb ->> 'tenant');
     create table leaked (value text);
     grant select on orders, trusted to reader;
     grant all on leaked to reader;
     grant create, temporary on database ${database} to reader;
     grant create on schema public to reader;`,
    database,
  );
});

afterEach(async () => {
  for (const client of clients) await client.end().catch(() => {});
  clients.clear();
  await running.gateway.stop();
});

async function start(
  options: ClaimsOptions,
  pool: PoolOptions = { size: 1 },
  more: Partial<JwtOptions> = {},
): Promise<void> {
  running = await startGateway({
    databases: { orders: databaseOf(server, { database, pool }) },
    plugins: [
      jwt({ issuers: [keys.options], ...more }),
      roles({ claim: 'role', allow: ['reader', 'writer'] }),
      claims(options),
    ],
  });
}

async function login(tenant: string, more: object = {}, config: object = {}): Promise<Client> {
  const password = keys.sign({ sub: `of ${tenant}`, tenant, ...more });
  const client = new Client({
    host: '127.0.0.1',
    port: running.port,
    user: '_',
    database: 'orders',
    password,
    ...config,
  });
  client.on('error', () => {});
  await client.connect();
  clients.add(client);
  return client;
}

async function leave(client: Client): Promise<void> {
  clients.delete(client);
  await client.end();
}

async function value(client: Client, sql: string, parameters: unknown[] = []): Promise<unknown> {
  const { rows } = await client.query<unknown[]>({ text: sql, values: parameters, rowMode: 'array' });
  return rows[0]?.[0];
}

/** The rows that a session sees. */
async function seen(client: Client, table = 'orders'): Promise<readonly string[]> {
  const { rows } = await client.query<{ tenant: string }>(`select tenant from ${table}`);
  return rows.map(({ tenant }) => tenant);
}

const MODES = [
  ['session', { mode: 'session', size: 1 }],
  ['transaction', { mode: 'transaction', size: 1 }],
] as const satisfies readonly (readonly [string, PoolOptions])[];

describe.each(MODES)('in %s mode', (_, pool) => {
  test('a policy that reads a signed claim shows everybody their own rows, on one server connection', async () => {
    await start({ key: KEY }, pool);
    const pids = new Set<unknown>();
    for (const [tenant, own] of [
      ['a', ['a']],
      ['b', ['b', 'b']],
      ['c', []],
      ['a', ['a']],
    ] as const) {
      const client = await login(tenant);
      pids.add(await value(client, 'select pg_backend_pid()'));
      expect(await seen(client)).toEqual(own);
      expect(await value(client, "select postern.claim('sub')")).toBe(`of ${tenant}`);
      await leave(client);
    }
    expect(pids.size).toBe(1);
  });

  test('policies written for PostgREST work as they are', async () => {
    await start({}, pool);
    const client = await login('b');
    expect(await seen(client, 'trusted')).toEqual(['b']);
    const setting = JSON.parse(
      String(await value(client, "select current_setting('request.jwt.claims')")),
    ) as object;
    expect(Object.keys(setting).sort()).toEqual(['exp', 'iss', 'role', 'sub', 'tenant']);
  });

  test("no forgery makes the claims somebody else's", async () => {
    await start({ key: KEY }, pool);
    const bob = await login('b');
    const bobs = String(await value(bob, "select current_setting('postern.claims')"));
    const pid = await value(bob, 'select pg_backend_pid()');
    await leave(bob);
    const alice = await login('a');
    expect(await value(alice, 'select pg_backend_pid()')).toBe(pid);
    const own = String(await value(alice, "select current_setting('postern.claims')"));
    expect(own).not.toBe(bobs);
    const turned = own.replace('"tenant":"a"', '"tenant":"b"');
    expect(turned).not.toBe(own);
    const [mac = '', number = '', payload = ''] = own.split(/ (.*?) (.*)/s);
    const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
    const forgeries = [
      `select set_config('postern.claims', ${literal(bobs)}, false)`,
      `select set_config('postern.claims', ${literal(turned)}, false)`,
      `select set_config('postern.claims', ${literal(`${bobs.split(' ')[0]} ${number} ${turned.slice(turned.indexOf('{'))}`)}, false)`,
      `select set_config('postern.claims', ${literal(bobs.replace(/ \d+ /, ` ${number} `))}, false)`,
      `do $$ begin perform set_config('postern.claims', ${literal(bobs)}, false); end $$`,
      `begin; select set_config('postern.claims', ${literal(bobs)}, true); commit`,
      `discard sequences; select set_config('postern.claims', ${literal(bobs)}, false)`,
      `select postern.adopt(${literal(payload)}, ${literal(mac)})`,
      `select postern.adopt(${literal(bobs.slice(bobs.indexOf('{')))}, ${literal(bobs.split(' ')[0] ?? '')})`,
      `select postern.adopt(${literal(bobs.slice(bobs.indexOf('{')))}, '')`,
      `select postern.adopt(${literal(turned.slice(turned.indexOf('{')))}, null)`,
      "select postern.adopt('{}', 'x')",
      "select postern.adopt('', '')",
      "select setval('postern.adoptions', 1)",
      "select nextval('postern.adoptions')",
      `select setval('postern.adoptions', ${bobs.split(' ')[1]}); select set_config('postern.claims', ${literal(bobs)}, false)`,
      `create function public.currval(text) returns bigint language sql as $$ select ${bobs.split(' ')[1]}::bigint $$; set search_path = public, pg_catalog; select set_config('postern.claims', ${literal(bobs)}, false)`,
      `create function public.sha256(bytea) returns bytea language sql as $$ select ''::bytea $$; set search_path = public, pg_catalog; select set_config('postern.claims', ${literal(turned)}, false)`,
      'select * from postern.keys',
      "insert into postern.keys values ('x', '', '')",
      `select postern.add_key(repeat('x', 32))`,
      "select postern.mac('x', 'y')",
      'create or replace function postern.claim(name text) returns text language sql as $$ select $1 $$',
      'create function postern.mine() returns text language sql as $$ select 1::text $$',
      'drop function postern.claim(text)',
      'alter function postern.claims() set search_path = pg_temp',
      'alter function postern.claims() rename to other',
      'create schema authorization reader',
      `create function pg_temp.sha256(bytea) returns bytea language sql as $$ select ''::bytea $$; set search_path = pg_temp, pg_catalog`,
      `create function pg_temp.currval(text) returns bigint language sql as $$ select ${bobs.split(' ')[1]}::bigint $$; set search_path = pg_temp, pg_catalog`,
      `create table pg_temp.keys (id text, inner_pad bytea, outer_pad bytea); set search_path = pg_temp, postern`,
      `create function public.pg_backend_pid() returns int language sql as $$ select 1 $$; set search_path = public, pg_catalog`,
      `create function pg_temp.always(text, text) returns bool language sql as $$ select true $$; create operator pg_temp.= (leftarg = text, rightarg = text, function = pg_temp.always); set search_path = pg_temp, pg_catalog`,
      `set standard_conforming_strings = off; select set_config('postern.claims', ${literal(turned)}, false)`,
      "set plpgsql.extra_errors = 'all'",
      'set role none; set session authorization default; reset all',
      `prepare p as select set_config('postern.claims', ${literal(bobs)}, false); execute p`,
      "declare c cursor with hold for select set_config('postern.claims', 'x', false); fetch c",
      'discard all',
      "select set_config('postern.claims', '', false)",
      "select set_config('postern.claims', repeat('0', 64) || ' 999999999999999999 {}', false)",
      "select set_config('postern.claims', repeat('0', 64) || ' 1 {', false)",
      'savepoint s',
      'start transaction; savepoint s; select postern.claims(); rollback to s; commit',
    ];
    for (const forgery of forgeries) {
      await alice.query(forgery).catch(() => {});
      await alice.query('rollback');
      // Under the settings that it has made, and under the usual ones.
      for (let i = 0; i < 2; i += 1) {
        expect([null, 'a'], forgery).toContain(await value(alice, "select postern.claim('tenant')"));
        expect(await seen(alice, 'public.orders'), forgery).not.toContain('b');
        await alice.query('reset search_path');
      }
    }
    await leave(alice);
    const next = await login('b');
    expect(await seen(next)).toEqual(['b', 'b']);
    await leave(next);
    // Whatever she has prepared for whoever comes next.
    const again = await login('a');
    expect(await seen(again)).toEqual(['a']);
  });

  test("a value copied from a session that is still open is nobody's in another one", async () => {
    await start({ key: KEY }, { ...pool, size: 2 });
    const [alice, bob] = [await login('a'), await login('b')];
    // Both at once on a connection of their own.
    await Promise.all([alice.query('begin'), bob.query('begin')]);
    await bob.query("insert into leaked select current_setting('postern.claims')");
    const bobs = String(await value(bob, 'select value from leaked'));
    await value(alice, "select set_config('postern.claims', $1, false)", [bobs]);
    expect(await value(alice, 'select postern.claims()')).toBeNull();
    expect(await seen(alice)).toEqual([]);
    expect(await seen(bob)).toEqual(['b', 'b']);
    await Promise.all([alice.query('rollback'), bob.query('rollback')]);
  });

  test('a renewed token has its claims in SQL at once', async () => {
    await start({ key: KEY }, pool);
    const client = await login('a', { email: 'old' });
    const renewed = keys.sign({ sub: 'of a', tenant: 'a', email: 'new', exp: now() + 3_000 });
    expect(await value(client, "select postern.claim('email')")).toBe('old');
    await client.query(`set postern.token = '${renewed}'`);
    expect(await value(client, "select postern.claim('email')")).toBe('new');
    expect(await value(client, "select current_setting('request.jwt.claims')::jsonb ->> 'email'")).toBe(
      'new',
    );
    // Claims of whoever resets them are back as well.
    await client.query('discard all');
    expect(await value(client, "select postern.claim('tenant')")).toBe('a');
    expect(await seen(client)).toEqual(['a']);
  });

  test('settings of the gateway cannot come with the startup packet', async () => {
    await start({ key: KEY }, pool);
    const refused = await login('a', {}, { options: '-c postern.claims=x' }).catch(
      (error: DatabaseError) => error,
    );
    expect(refused).toMatchObject({ severity: 'FATAL' });
  });

  test('a role whose transactions are read-only by default has its claims', async () => {
    await server.sql(`alter role reader in database ${database} set default_transaction_read_only = on`);
    await start({ key: KEY }, pool);
    const client = await login('a');
    expect(await seen(client)).toEqual(['a']);
    await expect(client.query('insert into leaked values (1)')).rejects.toMatchObject({ code: '25006' });
    await server.sql(`alter role reader in database ${database} reset default_transaction_read_only`);
  });
});

test('only the claims that are selected reach SQL, and those about the token itself do not', async () => {
  await start({ key: KEY, select: ['tenant', 'groups'], setting: 'app.claims' });
  const client = await login('a', { groups: ['x'], email: 'a@example.com' });
  expect(await value(client, 'select postern.claims()')).toEqual({ tenant: 'a', groups: ['x'] });
  expect(await value(client, "select current_setting('app.claims')")).toBe('{"tenant":"a","groups":["x"]}');
  expect(await value(client, "select postern.claim('groups')")).toBe('["x"]');
  expect(await value(client, "select postern.claim('email')")).toBeNull();
});

test('quotes, backslashes and every script arrive as they are', async () => {
  await start({ key: KEY });
  const name = `'"\\ $$ {} é 漢 😀 \u2028`;
  const client = await login('a', { name });
  expect(await value(client, "select postern.claim('name')")).toBe(name);
  await client.query("set client_encoding = 'LATIN1'");
  expect(await value(client, "select postern.claim('tenant')")).toBe('a');
});

test('a number that JavaScript would round refuses the login: it would be somebody else’s as well', async () => {
  await start({ key: KEY, select: ['tenant', 'org'] });
  for (const org of ['9007199254740993', '-9007199254740992', '1e400', '{"ids":[12345678901234567890]}']) {
    const claims = JSON.stringify({
      iss: keys.issuer,
      aud: keys.audience,
      sub: 'a',
      role: 'reader',
      exp: now() + 60,
      org: 0,
    }).replace('"org":0', `"org":${org}`);
    const token = forge({ alg: 'ES256', kid: keys.kid('ES256') }, claims, 'ES256', keys.privateKey('ES256'));
    await expect(login('a', {}, { password: token })).rejects.toMatchObject({ code: '28000' });
  }
  expect(running.text()).toContain('claim org is a number of 2^53 or more');
  const client = await login('a', { org: Number.MAX_SAFE_INTEGER, other: 2 ** 60 });
  expect(await value(client, "select postern.claim('org')")).toBe('9007199254740991');
});

test('a text that PostgreSQL cannot hold refuses the login, at whatever depth it stands', async () => {
  await start({ key: KEY, select: ['tenant', 'org', 'half\udc00'] });
  const wrong = ['a\0b', '\ud83d', { ids: ['\ude00\ud83d'] }, { 'na\0me': 1 }];
  for (const org of wrong) {
    await expect(login('a', { org })).rejects.toMatchObject({
      code: '28000',
      hint: expect.stringContaining('U+0000') as string,
    });
  }
  await expect(login('a', { 'half\udc00': 1 })).rejects.toMatchObject({ code: '28000' });
  expect(running.text()).toContain('claim org has U+0000 or half of a surrogate pair');
  const client = await login('a', { org: 'of 😀', other: 'a\0b' });
  expect(await value(client, "select postern.claim('org')")).toBe('of 😀');
});

test.each(MODES)('a transaction in its grace has its claims to the end (%s)', async (_, pool) => {
  const exp = now() + 4;
  await start({ key: KEY }, pool, { onExpiry: 'finish-transaction' });
  const client = await login('b', { exp });
  const over = new Promise((resolve) => client.once('end', resolve));
  await client.query('begin');
  expect(await seen(client)).toEqual(['b', 'b']);
  while (Date.now() < exp * 1_000 + 1_000) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await seen(client)).toEqual(['b', 'b']);
  await client.query('commit');
  await over;
});

test('a key that the database does not know refuses the login, and the log says why without it', async () => {
  await start({ key: KEY.toUpperCase() });
  const refused = await login('a').catch((error: DatabaseError) => error);
  expect(refused).toMatchObject({ severity: 'FATAL', code: 'XX000' });
  expect(running.text()).toContain('postern.claims');
  expect(running.text().toLowerCase()).not.toContain('canary');
});

test('keys change without a gap: the database may know two', async () => {
  const next = 'another secret of the gateway and the database, canary 81f2';
  await server.sql(`select postern.add_key('${next}')`, database);
  for (const key of [KEY, next]) {
    await start({ key });
    expect(await seen(await login('a'))).toEqual(['a']);
    for (const client of clients) await leave(client);
    if (key === KEY) await running.gateway.stop();
  }
  await server.sql(
    `delete from postern.keys where id <> (select id from postern.keys order by added_at limit 1)`,
    database,
  );
});

describe('what the database checks', () => {
  const good = { database: '', backend: { pid: 0, role: parseRole('reader') }, expiresAt: new Date(0) };

  test.each([
    ['is good as it is', {}, true],
    ['another database', { database: 'other' }, false],
    ['another process', { backend: { pid: 1, role: parseRole('reader') } }, false],
    ['another role', { backend: { pid: 0, role: parseRole('writer') } }, false],
    ['an expired token', { expiresAt: new Date((now() - 1) * 1000) }, false],
  ])('a signature for %s', async (_, differs, accepted) => {
    await start({});
    const client = await login('a');
    const pid = Number(await value(client, 'select pg_backend_pid()'));
    const usual = { database, backend: { ...good.backend, pid }, expiresAt: new Date((now() + 60) * 1000) };
    const bound = { ...usual, ...differs };
    if (bound.backend.pid === 0) bound.backend.pid = pid;
    const [payload, signature] = adoption(KEY, { tenant: 'b' }, bound).arguments;
    const adopting = client.query('select postern.adopt($1, $2)', [payload, signature]);
    if (accepted) await adopting;
    else await expect(adopting).rejects.toMatchObject({ code: '28000' });
    expect(await value(client, "select postern.claim('tenant')")).toBe(accepted ? 'b' : null);
  });

  test("somebody else's schema of that name stops the installation", async () => {
    const other = await freshDatabase();
    await server.sql('create schema postern authorization reader', other);
    await expect(
      server.sql(script(KEY).replace('begin;', 'begin; set local role pg_database_owner;'), other),
    ).rejects.toThrow();
    await server.sql(
      'alter schema postern owner to postgres; grant create on schema postern to reader',
      other,
    );
    await server.sql(
      'set role reader; create function postern.adopt(text, text) returns text language sql as $$ select $1 $$',
      other,
    );
    await expect(server.sql(script(KEY), other)).rejects.toThrow('belongs to somebody else');
  });

  test('a policy finds its claims in a query that works in parallel', async () => {
    await server.sql(
      `create table wide as select i as id, case when i % 2 = 0 then 'a' else 'b' end as tenant from generate_series(1, 20000) i;
       alter table wide enable row level security;
       create policy own on wide using (tenant = (select postern.claim('tenant')));
       grant select on wide to reader;
       analyze wide;`,
      database,
    );
    await start({ key: KEY });
    const client = await login('a');
    await client.query(
      `set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0`,
    );
    const { rows } = await client.query<Record<string, string>>('explain select count(*) from wide');
    expect(JSON.stringify(rows)).toContain('Parallel Seq Scan');
    expect(await value(client, 'select count(*) from wide')).toBe('10000');
    expect(await value(client, "select count(*) from wide where tenant = postern.claim('tenant')")).toBe(
      '10000',
    );
    await client.query('reset all');
    expect(await value(client, "select postern.claim('tenant')")).toBe('a');
  });
});

describe('the installation', () => {
  test.each([
    ['schema', 'create schema postern authorization reader'],
    [
      'table of keys',
      `create schema postern; grant usage, create on schema postern to reader; set role reader;
       create table postern.keys (id text primary key, inner_pad bytea, outer_pad bytea, added_at timestamptz default now())`,
    ],
    [
      'sequence',
      'create schema postern; grant usage, create on schema postern to reader; set role reader; create sequence postern.adoptions',
    ],
  ])("a %s of somebody else's stops a superuser as well, who could use it", async (_, before) => {
    const other = await freshDatabase();
    await server.sql(before, other);
    await expect(server.sql(script(KEY), other)).rejects.toThrow('belongs to somebody else');
  });

  test('what default privileges give to everybody they do not give of the keys', async () => {
    const other = await freshDatabase();
    for (const [kind, to] of [
      ['tables', 'reader'],
      ['sequences', 'reader'],
      ['functions', 'reader with grant option'],
      ['schemas', 'reader'],
    ]) {
      await server.sql(`alter default privileges grant all on ${kind} to ${to}`, other);
    }
    await server.sql(script(KEY), other);
    const [may] = await server.sql(
      `select has_table_privilege('reader', 'postern.keys', 'select, insert, update, delete, truncate, trigger') as keys,
         has_sequence_privilege('reader', 'postern.adoptions', 'usage, select, update') as adoptions,
         has_function_privilege('reader', 'postern.mac(text, text)', 'execute') as mac,
         has_schema_privilege('reader', 'postern', 'create') as create,
         has_function_privilege('reader', 'postern.claims()', 'execute') as claims`,
      other,
    );
    expect(may).toEqual({ keys: false, adoptions: false, mac: false, create: false, claims: true });
  });
});

const psql = executable('psql');
test.skipIf(psql === undefined)(
  'the script runs in psql as it is, twice, with the key in the environment only',
  async () => {
    const other = await freshDatabase();
    const run = (): string =>
      execFileSync(psql ?? '', ['-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', server.url(other)], {
        input: INSTALL,
        encoding: 'utf8',
        env: { ...process.env, POSTERN_CLAIMS_KEY: KEY },
      });
    expect(run().trim()).toBe(run().trim());
    expect(await server.sql('select from postern.keys', other)).toHaveLength(1);
  },
);
