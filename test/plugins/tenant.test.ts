/** The tenant plugin: which names it takes, where they lead, and that a tenant's role cannot reach another's rows. */
import { Client } from 'pg';
import type { DatabaseError } from 'pg';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { AnyPlugin, DatabaseOptions, PoolOptions } from '../../core/index.ts';
import { GatewayError, only } from '../../core/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { limits } from '../../plugins/limits/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { tenant } from '../../plugins/tenant/index.ts';
import type { TenantOptions } from '../../plugins/tenant/index.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';

const keys = issuer({ algorithms: ['ES256'] });
const issuers = [keys.options];

/** What a login comes to, in memory. */
async function connected(options: TenantOptions, claims: object, user?: string) {
  const running = await host([jwt({ issuers }), tenant(options)]);
  try {
    return await running.login({ token: keys.sign({ ...claims }), ...(user !== undefined && { user }) });
  } finally {
    await running.stop();
  }
}

describe('the name of a tenant', () => {
  test.each(['acme', 'a', '7', 'acme-eu', 'acme_eu', 'x'.repeat(63)])('%s is one', async (name) => {
    const { facts } = await connected({ claim: 'tenant' }, { tenant: name });
    expect(facts.tenant).toBe(name);
  });

  test.each([
    ['an empty text', ''],
    ['capitals', 'Acme'],
    ['a space', 'acme '],
    ['a quote', 'acme"'],
    ['a semicolon', 'acme;drop'],
    ['a dot', 'acme.orders'],
    ['a path', '../acme'],
    ['a sign in front', '-acme'],
    ['a placeholder', '{tenant}'],
    ['a Cyrillic a', '\u0430cme'],
    ['a full-width a', '\uff41cme'],
    ['a combining accent', 'acme\u0301'],
    ['a zero-width joiner', 'ac\u200dme'],
    ['a NUL', 'acme\0'],
    ['a line break', 'acme\n'],
    ['64 characters', 'x'.repeat(64)],
    ['a number', 7],
    ['a list', ['acme']],
    ['an object', { toString: 'acme' }],
    ['null', null],
    ['true', true],
    ['nothing', undefined],
  ])('%s is none', async (_, name) => {
    const error = await refusalOf(connected({ claim: 'tenant', schema: 't_{tenant}' }, { tenant: name }));
    expect([error.sqlstate, error.message]).toEqual(['28000', 'the token names no tenant']);
  });

  test('a path reaches into objects, and a default is for tokens without the claim only', async () => {
    const options = { claim: 'app.tenant', default: 'nobody' };
    expect((await connected(options, { app: { tenant: 'acme' } })).facts.tenant).toBe('acme');
    expect((await connected(options, {})).facts.tenant).toBe('nobody');
    await refusalOf(connected(options, { app: { tenant: '' } }));
  });

  test('one that is too long with what the template adds is refused, and not cut', async () => {
    const error = await refusalOf(
      connected({ claim: 'tenant', schema: 't_{tenant}' }, { tenant: 'x'.repeat(62) }),
    );
    expect(error.sqlstate).toBe('28000');
  });

  test('two tenants never come to one schema', async () => {
    await refusalOf(connected({ claim: 'tenant', schema: 't_{tenant}' }, { tenant: 'a-b' }));
    const { upstream } = await connected({ claim: 'tenant', schema: 't_{tenant}' }, { tenant: 'a_b' });
    expect(upstream.schemas).toEqual(['t_a_b']);
  });
});

test('templates lead to a role, schemas, a database and an entry', async () => {
  const options = {
    claim: 'tenant',
    role: 'app_{tenant}',
    schema: '{tenant}',
    shared: ['extensions', 'public'],
    database: '{tenant}_db',
    entry: 'shard-{tenant}',
  };
  const { upstream } = await connected(options, { tenant: 'acme' });
  expect(upstream).toMatchObject({
    role: 'app_acme',
    schemas: ['acme', 'extensions', 'public'],
    database: 'acme_db',
    entry: 'shard-acme',
  });
});

test.each([
  ['_', true],
  ['alice', true],
  ['app_acme', true],
  ['app_other', false],
  ['postgres', false],
])('where it maps the role, the user name %s is accepted: %s', async (user, accepted) => {
  const login = connected({ claim: 'tenant', role: 'app_{tenant}' }, { tenant: 'acme' }, user);
  if (accepted) expect((await login).upstream.role).toBe('app_acme');
  else expect((await refusalOf(login)).sqlstate).toBe('28000');
});

/** What `postern sql tenant` prints. */
async function setupSql(name: string, options: TenantOptions): Promise<string> {
  let printed = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  try {
    const line = { options: {}, operands: [name] };
    expect(await tenant(options).commands?.['sql tenant']?.run(line)).toBe(0);
  } finally {
    write.mockRestore();
  }
  return printed;
}

test('a plugin that makes neither roles nor schemas prints that there is nothing to run', async () => {
  expect(await setupSql('one', { claim: 'tenant', database: 'db_{tenant}' })).toMatch(
    /^-- Tenant one: nothing to make, .*\n$/,
  );
});

describe('before PostgreSQL', () => {
  const server = sharedPostgres();
  const names = ['one', 'two', 'nobody'] as const;
  const clients = new Set<Client>();
  let database: string;
  let running: RunningGateway;

  const walls: TenantOptions = {
    claim: 'tenant',
    role: 'te_{tenant}',
    schema: 'te_{tenant}',
    shared: ['public'],
  };

  beforeAll(async () => {
    database = await freshDatabase();
    for (const name of ['one', 'two']) {
      const sql = await setupSql(name, walls);
      // Run again, it changes nothing.
      await server.sql(sql, database);
      await server.sql(sql, database);
      await server.sql(
        `alter role te_${name} password 'secret of ${name}';
         create table te_${name}.orders (owner text); insert into te_${name}.orders values ('${name}')`,
        database,
      );
    }
    return async () => {
      for (const name of ['one', 'two']) {
        await server.sql(`drop owned by te_${name} cascade`, database);
        await server.sql(`revoke all on database ${database} from te_${name}; drop role te_${name}`);
      }
    };
  });

  afterEach(async () => {
    for (const client of clients) await client.end().catch(() => {});
    clients.clear();
    // Not every test starts one.
    await (running as RunningGateway | undefined)?.gateway.stop();
  });

  async function start(
    plugins: readonly AnyPlugin[],
    pool: PoolOptions = {},
    more: Readonly<Record<string, DatabaseOptions>> = {},
  ) {
    const login = {
      kind: 'password',
      passwords: { ...server.passwords, te_one: 'secret of one', te_two: 'secret of two' },
    } as const;
    const entry = databaseOf(server, { database, login, pool: { idleTimeout: '100ms', ...pool } });
    running = await startGateway({
      databases: { orders: entry, ...more },
      plugins: [jwt({ issuers }), ...plugins],
    });
  }

  async function enter(name: string, db = 'orders', more: object = {}): Promise<Client> {
    const password = keys.sign({ tenant: name, sub: 'same person', role: 'reader', ...more });
    const client = new Client({ host: '127.0.0.1', port: running.port, user: '_', database: db, password });
    client.on('error', () => {});
    await client.connect();
    clients.add(client);
    return client;
  }

  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'done',
      (error: DatabaseError) => error.code,
    );

  test.each(['session', 'transaction'] as const)(
    'in %s mode each tenant has its own table, and none reaches another, whatever it sets',
    async (mode) => {
      await start([tenant(walls)], { mode, size: 2 });
      for (const [name, other] of [
        ['one', 'two'],
        ['two', 'one'],
        ['one', 'two'],
      ] as const) {
        const client = await enter(name);
        expect((await client.query('select owner from orders')).rows).toEqual([{ owner: name }]);
        expect(await codeOf(client.query(`select owner from te_${other}.orders`))).toBe('42501');
        for (const attempt of [`set role te_${other}`, `set session authorization te_${other}`]) {
          expect(await codeOf(client.query(attempt))).not.toBe('done');
        }
        await client.query(`set search_path = te_${other}`);
        await client.query('reset all');
        expect((await client.query('show search_path')).rows).toEqual([
          { search_path: `"te_${name}", "public"` },
        ]);
        await client.end();
      }
    },
  );

  test('a tenant that does not exist is refused with 3F000 before any query', async () => {
    await start([
      tenant({ claim: 'tenant', schema: 'te_{tenant}' }),
      roles({ claim: 'role', allow: ['reader'] }),
    ]);
    expect(await codeOf(enter('nobody'))).toBe('3F000');
    expect(running.log().filter(({ msg }) => msg === 'login')).toEqual([]);
  });

  test("a tenant's entry leads to its own server and database", async () => {
    const own = await freshDatabase();
    await start(
      [tenant({ claim: 'tenant', entry: 'shard-{tenant}' }), roles({ claim: 'role', allow: ['reader'] })],
      {},
      { 'shard-one': databaseOf(server, { database: own }) },
    );
    const client = await enter('one');
    expect((await client.query('select current_database()')).rows).toEqual([{ current_database: own }]);
    expect(await codeOf(enter('two'))).toBe('3D000');
  });

  describe('where the tenant chooses the entry, the name that a client writes chooses nothing else:', () => {
    const byTenant = tenant({ claim: 'tenant', entry: 'shard-{tenant}' });
    const reader = { claim: 'role', allow: ['reader'] } as const;
    const nobody: AnyPlugin = {
      name: 'nobody',
      onStartup() {
        throw new GatewayError('insufficient_privilege', 'nobody gets in');
      },
    };
    const shards = (): Record<string, DatabaseOptions> => ({ 'shard-one': databaseOf(server) });

    test('not whose plugins it meets', async () => {
      await start([byTenant, roles(reader), ...only({ databases: ['shard-one'] }, nobody)], {}, shards());
      expect(await codeOf(enter('one'))).toBe('28000');
      expect(await codeOf(enter('one', 'nowhere'))).toBe('28000');
      expect(await codeOf(enter('one', 'shard-one'))).toBe('42501');
      expect(running.text()).toContain('only() has other plugins for entry');
    });

    test('who writes the name of the entry gets in where only() lets them', async () => {
      await start([byTenant, roles(reader), ...only({ databases: ['orders'] }, nobody)], {}, shards());
      expect(await codeOf(enter('one', 'shard-one'))).toBe('done');
      expect(await codeOf(enter('one', 'other'))).toBe('done');
    });

    test('not which entry of roles is for it', async () => {
      const entries = [
        { ...reader, databases: ['orders'] },
        { ...reader, allow: ['writer'], databases: ['shard-one'] },
      ];
      await start([byTenant, roles(entries)], {}, shards());
      expect(await codeOf(enter('one'))).toBe('28000');
      expect(running.text()).toContain('names no role that is allowed');
    });

    test('nor whether a token may come there', async () => {
      await start([byTenant, roles(reader), limits()], {}, shards());
      const postern = { databases: ['orders'] };
      expect(await codeOf(enter('one', 'orders', { postern }))).toBe('42501');
      expect(await codeOf(enter('one', 'orders', { postern: { databases: ['shard-one'] } }))).toBe('done');
    });

    test.each<[string, AnyPlugin[], object]>([
      ['roles', [roles({ ...reader, databases: ['orders'] }), byTenant], {}],
      ['a token rule', [roles(reader), limits(), byTenant], { postern: { databases: ['orders'] } }],
    ])('in a list in which %s decides before the tenant nobody gets in', async (_, plugins, claims) => {
      await start(plugins, {}, shards());
      expect(await codeOf(enter('one', 'orders', claims))).toBe('28000');
      expect(running.text()).toContain('list them the other way round');
    });
  });

  test("a tenant's database on the same server is made of its name", async () => {
    const own = await freshDatabase();
    const name = own.replace('test_', '');
    await start([
      tenant({ claim: 'tenant', database: 'test_{tenant}' }),
      roles({ claim: 'role', allow: ['reader'] }),
    ]);
    const client = await enter(name);
    expect((await client.query('select current_database()')).rows).toEqual([{ current_database: own }]);
    expect(await codeOf(enter(names[2]))).toBe('3D000');
  });
});
