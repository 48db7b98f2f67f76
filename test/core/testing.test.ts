/** `postern/testing`: what a test of a plugin gets, in front of a real PostgreSQL. */
import { createConnection } from 'node:net';
import { expect, test } from 'vitest';
import type { AnyPlugin, Plugin } from '../../core/index.ts';
import { GatewayError, parseRole } from '../../core/index.ts';
import { testGateway } from '../../core/testing/test-gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';

const postgres = sharedPostgres().url();

/** Refuses one word in statements, and those who are called eve. */
const watchful: Plugin<'identity'> = {
  name: 'watchful',
  needs: ['identity'],
  onAuth({ facts }) {
    if (facts.identity.subject === 'eve')
      throw new GatewayError('invalid_authorization_specification', 'not eve');
  },
  onQuery({ log }, statement) {
    if ((statement.kind !== 'query' && statement.kind !== 'parse') || !statement.sql.includes('pepper'))
      return;
    log.warn({ plugin: 'watchful' }, 'pepper refused');
    throw new GatewayError('insufficient_privilege', 'no pepper', { hint: 'Take salt.' });
  },
};

/** Whether something listens on a port of this machine. */
async function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

const rolesLike = async (name: string): Promise<unknown[]> =>
  sharedPostgres().sql(`select rolname from pg_roles where rolname like '${name}'`);
const databases = async (): Promise<unknown[]> =>
  sharedPostgres().sql("select datname from pg_database where datname like 'postern_test_%'");

test('a client logs in as the role of its claims, by rows and both protocols', async () => {
  await using gateway = await testGateway({ plugins: [watchful], roles: ['kit_a', 'kit_b'], postgres });
  await using first = await gateway.connect();
  expect(await first.query('select current_user::text as role, 1 as one')).toEqual([
    { role: 'kit_a', one: 1 },
  ]);
  await using second = await gateway.connect({ sub: 'bob', role: 'kit_b' });
  expect(await second.query('select session_user::text as role, $1::int as n', [7])).toEqual([
    { role: 'kit_b', n: 7 },
  ]);
});

test('what a plugin refuses has its SQLSTATE, hint and severity; the session goes on, and the log tells', async () => {
  await using gateway = await testGateway({ plugins: [watchful], roles: ['kit_c'], postgres });
  await using client = await gateway.connect();
  for (const values of [undefined, [1]]) {
    const refused = client.query('select 1 as pepper', values?.slice(1));
    await expect(refused).rejects.toMatchObject({
      sqlstate: '42501',
      severity: 'ERROR',
      message: 'no pepper',
      hint: 'Take salt.',
    });
  }
  expect(await client.query('select 2 as n')).toEqual([{ n: 2 }]);
  expect(gateway.log.filter(({ msg }) => msg === 'pepper refused')).toHaveLength(2);
  await expect(gateway.connect({ sub: 'eve' })).rejects.toMatchObject({
    sqlstate: '28000',
    severity: 'FATAL',
  });
});

test('a token that is expired, or that another issuer has signed, is refused', async () => {
  await using gateway = await testGateway({ plugins: [], roles: ['kit_d'], postgres });
  await using other = await testGateway({ plugins: [], postgres: false });
  await expect(gateway.connect({ exp: 1 })).rejects.toMatchObject({ sqlstate: '28P01' });
  await expect(gateway.connect({}, { password: other.token({ role: 'kit_d' }) })).rejects.toMatchObject({
    sqlstate: '28P01',
  });
});

test('events are there, or come', async () => {
  await using gateway = await testGateway({ plugins: [], roles: ['kit_e'], postgres });
  const closed = gateway.event('close');
  await using client = await gateway.connect({ sub: 'ada' });
  await client.query('select 1');
  await client.query('select 2');
  await client.query("do $$ begin raise notice 'so far'; end $$");
  expect(client.notices).toEqual(['so far']);
  await client.end();
  expect((await closed).reason.kind).toBe('client');
  expect((await gateway.event('login')).session.facts.identity?.subject).toBe('ada');
  const statements = gateway.events.flatMap((told) => (told.name === 'statement' ? [told.event.sql] : []));
  expect(statements.slice(0, 2)).toEqual(['select 1', 'select 2']);
});

test('the error that ends a session is known, also where it answers a statement', async () => {
  const ending: AnyPlugin = {
    name: 'ending',
    onQuery(session) {
      session.end(new GatewayError('admin_shutdown', 'enough'));
    },
  };
  await using gateway = await testGateway({ plugins: [ending], roles: ['kit_f'], postgres });
  const client = await gateway.connect();
  await client.query('select 1').catch(() => undefined);
  expect(await client.ended).toMatchObject({ sqlstate: '57P01', message: 'enough' });
});

test('a plugin may say itself who a client is, and what its role is', async () => {
  const own: Plugin<never, 'identity', 'roles'> = {
    name: 'roles',
    provides: ['identity'],
    async onAuth(session, upstream) {
      const subject = await session.token();
      session.establish('identity', {
        issuer: 'own',
        subject,
        claims: {},
        expiresAt: new Date(Date.now() + 60_000),
      });
      return { ...upstream, role: parseRole('kit_g') };
    },
  };
  await using gateway = await testGateway({ plugins: [own], roles: ['kit_g'], postgres });
  await using client = await gateway.connect({}, { password: 'carol' });
  expect(await client.query('select current_user::text as role')).toEqual([{ role: 'kit_g' }]);
});

test('SQL of the superuser prepares the database; more of the config is taken', async () => {
  await using gateway = await testGateway({
    plugins: [],
    roles: ['kit_h'],
    postgres,
    database: { pool: { mode: 'transaction' } },
    config: { admin: { port: 0 } },
  });
  await gateway.sql('create table t (n int); insert into t values (3); grant select on t to kit_h');
  await using client = await gateway.connect();
  expect(await client.query('select n from t')).toEqual([{ n: 3 }]);
  expect((await fetch(`http://127.0.0.1:${gateway.adminPort}/livez`)).status).toBe(200);
});

test('a wrong plugin or option stops the start as it stops a boot, and nothing stays behind', async () => {
  const before = await databases();
  const lonely: AnyPlugin = { name: 'lonely', needs: ['tenant'] };
  await expect(testGateway({ plugins: [lonely], roles: ['kit_i'], postgres })).rejects.toThrow(/tenant/);
  await expect(testGateway({ plugins: [], postgres: 'mysql://x' })).rejects.toThrow(/^postgres: the URL/);
  await expect(testGateway({ plugins: [], roles: ['kit_i', 'reader'], postgres })).rejects.toMatchObject({
    sqlstate: '42710',
  });
  expect(await rolesLike('kit_i')).toEqual([]);
  expect(await databases()).toEqual(before);
});

test('close ends sessions, frees the port, drops database and roles, and may be called twice', async () => {
  const gateway = await testGateway({ plugins: [], roles: ['kit_j'], postgres });
  const client = await gateway.connect();
  await Promise.all([gateway.close(), gateway.close()]);
  expect(await client.ended).toMatchObject({ sqlstate: '57P01' });
  expect(await listens(gateway.port)).toBe(false);
  expect(await rolesLike('kit_j')).toEqual([]);
});

test('without a server the plugins are asked, and the login ends there', async () => {
  await using gateway = await testGateway({ plugins: [watchful], postgres: false });
  await expect(gateway.connect({ sub: 'eve' })).rejects.toMatchObject({ sqlstate: '28000' });
  await expect(gateway.connect()).rejects.toMatchObject({
    sqlstate: expect.stringMatching(/^08|^57/) as string,
  });
  expect(() => gateway.sql('select 1')).toThrow('there is no PostgreSQL server');
});

test('a server is started where none is named, and is gone afterwards', async () => {
  await using gateway = await testGateway({ plugins: [watchful] });
  await using client = await gateway.connect();
  const [row] = await client.query('select current_user::text as role, inet_server_port() as port');
  expect(row).toMatchObject({ role: 'tester' });
  await client.end();
  await gateway.close();
  expect(await listens(Number(row?.['port']))).toBe(false);
});
