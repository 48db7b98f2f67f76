/** What a client with raw SQL tries in order to be somebody else, and that it stays who its token says. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ESCAPES, HARMLESS_STARTUPS, REFUSED_STARTUPS } from '../support/escapes.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { CANARIES, OF_READER, attempt, outlook } from '../support/outlook.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { RawClient, fieldsOf, message, startup } from '../support/raw-client.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

const MIGHTY = [
  'superuser',
  'bypassrls',
  'createrole',
  'replication',
  'of_superuser',
  'of_of_superuser',
  'files',
];

const SET_UP = `
  ${CANARIES}
  create role superuser login superuser; create role bypassrls login bypassrls;
  create role createrole login createrole; create role replication login replication;
  create role of_superuser login in role superuser; create role of_of_superuser login in role of_superuser;
  create role files login in role pg_read_server_files; create role "listed" login bypassrls;
  grant create on database postgres to reader;
`;

let postgres: OwnPostgres;
let front: TokenGateway;

beforeAll(async () => {
  prepareCheckout();
  postgres = await startPostgres();
  const others = [...MIGHTY, 'listed'];
  const passwords = Object.fromEntries(others.map((role) => [role, `of ${role}`]));
  await postgres.sql(SET_UP);
  await postgres.sql(others.map((role) => `alter role ${role} password 'of ${role}'`).join('; '));
  front = await startTokenGateway(postgres, {
    roles: ['reader', 'writer', ...others],
    passwords,
    // In `fresh` no connection is handed out twice: each login of a client is one of the gateway.
    databases:
      'pinned: server, fresh: { ...server, pool: { maxLifetime: "1ms" } }, listing: { ...server, privilegedRoles: ["listed"] }',
    plugins: `...only({ databases: ['pinned'] }, {
      name: 'schemas',
      onAuth: (_: unknown, upstream: object) => ({ ...upstream, schemas: [parseSchema('tenant')] }),
    } as never),`,
  });
}, 120_000);
afterAll(async () => {
  await front.gateway.remove();
  await postgres.stop();
});
afterEach(async () => {
  await postgres.sql('alter role reader reset all; alter role reader in database postgres reset all');
});

describe('a client as reader stays reader after', () => {
  test.each(ESCAPES)('%s', async (sql) => {
    const client = await front.login('reader');
    await attempt(client, sql);
    expect(await outlook(client)).toEqual(OF_READER);
    await client.end();
  });

  test('the same statements in the extended protocol, one after another', async () => {
    const client = await front.login('reader');
    for (const sql of ESCAPES.filter((each) => !each.includes(';'))) {
      await client.query({ text: sql, values: [] }).catch(() => {});
      await client.query({ name: `n${sql.length}`, text: sql, values: [] }).catch(() => {});
    }
    expect(await outlook(client)).toEqual(OF_READER);
    await client.end();
  });
});

test('what a role grants to another is all that another can be, and a reset leads back', async () => {
  await postgres.sql('create role team; grant team to reader');
  const client = await front.login('reader');
  await client.query('set role team');
  expect((await client.query('select current_user::text as now')).rows).toEqual([{ now: 'team' }]);
  for (const way of ['reset role', 'set role none', 'discard all']) {
    await client.query('set role team');
    await client.query(way);
    expect(await outlook(client)).toEqual(OF_READER);
  }
  await client.end();
  await postgres.sql('drop role team');
});

describe('a role that poisons its own login', () => {
  test.each([
    "alter role reader set role = 'writer'",
    "alter role reader in database postgres set role = 'writer'",
    "alter role reader set session_authorization = 'postgres'",
    'alter role reader set search_path = evil, pg_catalog',
    'alter role reader set default_transaction_read_only = on',
    'alter role reader set default_transaction_deferrable = on',
    "alter role reader set standard_conforming_strings = off; alter role reader set client_encoding = 'SJIS'",
    "alter role reader set session_preload_libraries = 'auto_explain'",
  ])('is still itself the next time: %s', async (sql) => {
    const client = await front.login('reader', { database: 'fresh' });
    await attempt(client, sql);
    await client.end();
    const again = await front.login('reader', { database: 'fresh' });
    expect(await outlook(again)).toEqual(OF_READER);
    await again.end();
  });

  test('is still itself where it may become the other', async () => {
    await postgres.sql('create role team; grant team to reader; alter role reader set role = team');
    const client = await front.login('reader', { database: 'fresh' });
    expect(await outlook(client)).toEqual(OF_READER);
    await client.end();
    await postgres.sql('alter role reader reset role; drop role team');
  });

  test('cannot deceive the look at its login by functions of its own', async () => {
    const client = await front.login('reader', { database: 'fresh' });
    await client.query(`create or replace function evil.pg_has_role(name, oid, text) returns boolean
      language sql as 'select false'; create table if not exists evil.pg_roles ();
      alter role reader set search_path = evil, pg_catalog`);
    await client.end();
    await postgres.sql('alter role reader bypassrls');
    await expect(front.login('reader', { database: 'fresh' })).rejects.toMatchObject({ code: '42501' });
    await postgres.sql('alter role reader nobypassrls');
    await (await front.login('reader', { database: 'fresh' })).end();
  });

  test('does not change the schemas that a policy pins, nor does RESET or DISCARD', async () => {
    await postgres.sql('alter role reader set search_path = evil, pg_catalog');
    const client = await front.login('reader', { database: 'pinned' });
    const path = async (): Promise<unknown> => (await client.query('show search_path')).rows[0];
    expect(await path()).toEqual({ search_path: '"tenant"' });
    for (const way of ['reset all', 'discard all', 'reset search_path', 'set search_path to default']) {
      await client.query('set search_path = public');
      expect(await path()).toEqual({ search_path: 'public' });
      await client.query(way);
      expect(await path()).toEqual({ search_path: '"tenant"' });
    }
    await client.end();
  });
});

describe('the startup packet', () => {
  /** The SQLSTATE that refuses it, or who the session is. */
  async function outcome(parameters: Record<string, string>): Promise<string | undefined> {
    const { user, database, password, port } = front.address('reader');
    const client = await RawClient.connect(port);
    client.send(startup({ user, database, ...parameters }));
    try {
      const first = await client.message();
      if (first.type === 'E') return fieldsOf(first.body)['C'];
      client.send(message('p', `${password}\0`));
      await client.until('Z');
      client.send(message('Q', 'select session_user || $$ $$ || current_user\0'));
      const row = (await client.until('Z')).find(({ type }) => type === 'D');
      return row?.body.subarray(6).toString();
    } catch (error) {
      return /"C":"(\w+)"/.exec(String(error))?.[1] ?? String(error);
    } finally {
      client.destroy();
    }
  }

  test.each(REFUSED_STARTUPS)('with %j is refused, and PostgreSQL sees nothing of it', async (parameters) => {
    // Whoever came before may be leaving.
    const seen = (): string[] =>
      postgres
        .log()
        .split('\n')
        .filter((line) => !line.includes('disconnection:'));
    const before = seen();
    expect(await outcome(parameters)).toMatch(/^(08P01|22023|42601|0A000|28000)$/);
    expect(seen()).toEqual(before);
  });

  test.each(HARMLESS_STARTUPS)('with %j opens a session as the mapped role', async (parameters) => {
    const got = await outcome(parameters);
    expect(got).toBe('reader reader');
  });

  test('that asks for replication is refused', async () => {
    for (const replication of ['true', 'database', '1', 'on', 'yes']) {
      expect(await outcome({ replication })).toBe('0A000');
    }
  });
});

describe('a privileged role', () => {
  test.each(MIGHTY)('%s is refused', async (role) => {
    await expect(front.login(role)).rejects.toMatchObject({ code: '42501', severity: 'FATAL' });
  });

  test('that the entry lists is served, and only there', async () => {
    const client = await front.login('listed', { database: 'listing' });
    expect((await client.query('select current_user::text as now')).rows).toEqual([{ now: 'listed' }]);
    await client.end();
    await expect(front.login('listed')).rejects.toMatchObject({ code: '42501' });
    await expect(front.login('superuser', { database: 'listing' })).rejects.toMatchObject({ code: '42501' });
  });
});
