/** One login role that becomes the mapped one: what holds, what is refused, and that it is no boundary. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { causes, query, refusal, withConnection } from './support.ts';

let postgres: OwnPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
  await postgres.sql(`
    create role gate login noinherit password 'of gate';
    grant reader to gate; create role worker nologin; grant worker to gate;
    create role mighty nologin bypassrls; create role open_gate login superuser password 'of gate';
    create role wide_gate login noinherit password 'of gate'; grant reader, mighty to wide_gate;
    create table canary as select 1 as one; grant select on canary to reader;
    create schema tenant_a; grant usage on schema tenant_a to public`);
});
afterAll(() => postgres.stop());

const entry = (more: Partial<DatabaseOptions> = {}, user = 'gate'): DatabaseOptions => ({
  host: '127.0.0.1',
  port: postgres.port,
  login: { kind: 'set-role', user, password: 'of gate', trustedSql: true },
  ...more,
});
const who = 'select session_user, current_user';

test.each(['reader', 'worker'])('the session is %s, logged in as the gate', async (role) => {
  const rows = await withConnection(entry(), { role }, async (connection) => {
    expect(connection).toMatchObject({ role });
    return query(connection, who);
  });
  expect(rows).toEqual([['gate', role]]);
});

test('it has the rights of the mapped role, and RESET and DISCARD lead back to it', async () => {
  await withConnection(entry(), { role: 'reader' }, async (connection) => {
    expect(await query(connection, 'select one from canary')).toEqual([['1']]);
    for (const way of ['reset role', 'discard all']) {
      await query(connection, `set role worker`);
      await query(connection, way);
      expect(await query(connection, who)).toEqual([['gate', 'reader']]);
    }
  });
  await withConnection(entry(), { role: 'worker' }, async (connection) => {
    await expect(query(connection, 'select one from canary')).rejects.toThrow('42501');
  });
});

test('it is no boundary, which is why the config has to say trustedSql', async () => {
  await withConnection(entry(), { role: 'worker' }, async (connection) => {
    await query(connection, 'set role none');
    expect(await query(connection, who)).toEqual([['gate', 'gate']]);
    await query(connection, 'set role reader');
    expect(await query(connection, 'select one from canary')).toEqual([['1']]);
  });
});

test('a poisoned default of the login role does not change who the session is', async () => {
  await postgres.sql('alter role gate set role = worker');
  const rows = await withConnection(entry(), { role: 'reader' }, (connection) => query(connection, who));
  expect(rows).toEqual([['gate', 'reader']]);
  await postgres.sql('alter role gate reset role');
});

test.each([
  ['one that it may not become', 'writer', '42501'],
  ['one that does not exist', 'nobody', '22023'],
])('%s is refused', async (_which, role, sqlstate) => {
  expect((await refusal(entry(), { role })).sqlstate).toBe(sqlstate);
});

test('the login role itself is never mapped', async () => {
  const before = postgres.log();
  const error = await refusal(entry({ privilegedRoles: ['gate'] }), { role: 'gate' });
  expect(error).toMatchObject({
    sqlstate: '42501',
    message: 'role "gate" may not be used through the gateway',
  });
  expect(causes(error)).toContain('may become every other');
  expect(postgres.log()).toBe(before);
});

test.each([
  ['open_gate', 'role "open_gate" is privileged'],
  ['wide_gate', 'role "wide_gate" can become "mighty", which is privileged'],
])('a login role %s is refused unless the entry lists it', async (user, why) => {
  const error = await refusal(entry({}, user), { role: 'reader' });
  expect(error.sqlstate).toBe('42501');
  expect(causes(error)).toContain(why);
  const listed = entry({ privilegedRoles: [user] }, user);
  expect(await withConnection(listed, { role: 'reader' }, (connection) => query(connection, who))).toEqual([
    [user, 'reader'],
  ]);
});

test('a privileged role is refused although the login role is listed', async () => {
  const listed = entry({ privilegedRoles: ['wide_gate'] }, 'wide_gate');
  expect((await refusal(listed, { role: 'mighty' })).sqlstate).toBe('42501');
  const both = entry({ privilegedRoles: ['wide_gate', 'mighty'] }, 'wide_gate');
  const rows = await withConnection(both, { role: 'mighty' }, (connection) => query(connection, who));
  expect(rows).toEqual([['wide_gate', 'mighty']]);
});

test('schemas and settings are pinned as for every login', async () => {
  const wanted = { role: 'reader', schemas: ['tenant_a'], onCheckout: [() => ({ 'app.tenant': 'a' })] };
  const rows = await withConnection(entry(), wanted, (connection) =>
    query(connection, `select current_setting('search_path'), current_setting('app.tenant')`),
  );
  expect(rows).toEqual([['"tenant_a"', 'a']]);
  expect((await refusal(entry(), { role: 'reader', schemas: ['tenant_z'] })).sqlstate).toBe('3F000');
});

test('a wrong or missing password is 08004, and neither is told', async () => {
  for (const password of ['wrong-canary', '', () => Promise.reject(new Error('vault is sealed'))]) {
    const login = { kind: 'set-role', user: 'gate', password, trustedSql: true } as const;
    const error = await refusal(entry({ login }), { role: 'reader' });
    expect(error.sqlstate).toBe('08004');
    expect(causes(error)).toMatch(/28P01|databases\.main\.login\.password .*for role "gate"/);
    expect(causes(error)).not.toContain('canary');
  }
});
