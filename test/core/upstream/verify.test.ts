import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { causes, query, refusal, withConnection } from './support.ts';

let postgres: OwnPostgres;

// A server of its own: roles belong to the whole server, and these are mighty or poisoned.
beforeAll(async () => {
  postgres = await startPostgres({
    flags: { wal_level: 'logical' },
    hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust'],
  });
  await postgres.sql(`
    create role harmless login; create role weak; create role middle;
    create role mighty login superuser; create role copier login replication;
    create role seer login bypassrls; create role maker login createrole;
    create role member login in role mighty; create role quiet login noinherit in role maker;
    grant seer to middle; create role distant login in role middle;
    create role runner login in role pg_execute_server_program; create role watcher login in role pg_monitor;
    create role poisoned login; grant weak to poisoned;
    create schema evil authorization poisoned; create schema tenant_a; create schema "null"; grant usage on schema tenant_a to public`);
});

afterAll(() => postgres.stop());

const entry = (more: Partial<DatabaseOptions> = {}): DatabaseOptions => ({
  host: '127.0.0.1',
  port: postgres.port,
  login: { kind: 'trust' },
  ...more,
});

test.each(['harmless', 'watcher'])('%s is handed out as itself', async (role) => {
  const rows = await withConnection(entry(), { role }, (connection) => {
    expect(connection).toMatchObject({ role, host: '127.0.0.1' });
    return query(connection, 'select session_user, current_user, pg_backend_pid()::text');
  });
  expect(rows).toEqual([[role, role, expect.stringMatching(/^\d+$/)]]);
});

test.each([
  ['mighty', 'is privileged'],
  ['copier', 'is privileged'],
  ['seer', 'is privileged'],
  ['maker', 'is privileged'],
  ['postgres', 'is privileged'],
  ['member', 'can become "mighty"'],
  ['quiet', 'can become "maker"'],
  ['distant', 'can become "seer"'],
  ['runner', 'can become "pg_execute_server_program"'],
])('%s is refused with 42501 unless the entry lists it', async (role, why) => {
  const error = await refusal(entry({ privilegedRoles: ['other'] }), { role });
  expect(error).toMatchObject({
    sqlstate: '42501',
    message: `role "${role}" may not be used through the gateway`,
  });
  expect(causes(error)).toContain(why);
  const listed = entry({ privilegedRoles: ['other', role] });
  expect(
    await withConnection(listed, { role }, (connection) => query(connection, 'select session_user')),
  ).toEqual([[role]]);
});

test('a role that became privileged is refused at its next login', async () => {
  await postgres.sql('create role rising login');
  await withConnection(entry(), { role: 'rising' }, async () => {});
  await postgres.sql('alter role rising createrole');
  expect((await refusal(entry(), { role: 'rising' })).sqlstate).toBe('42501');
});

test('a missing schema is 3F000 and named; schemas that exist are the search_path, odd names too', async () => {
  const error = await refusal(entry(), { role: 'harmless', schemas: ['tenant_a', 'tenant_z'] });
  expect(error).toMatchObject({ sqlstate: '3F000', message: 'schema "tenant_z" does not exist' });
  const schemas = ['tenant_a', 'null', 'public'];
  const rows = await withConnection(entry(), { role: 'harmless', schemas }, (connection) =>
    query(connection, 'show search_path'),
  );
  expect(rows).toEqual([['"tenant_a", "null", "public"']]);
});

/** What any role may do to its own later logins: other defaults, and functions and operators that come first. */
const POISON = `
  alter role poisoned set role = 'weak';
  alter role poisoned set search_path = 'evil', 'pg_catalog';
  alter role poisoned set datestyle = 'German';
  alter role poisoned set standard_conforming_strings = off;
  alter role poisoned set client_encoding = 'LATIN1';
  alter role poisoned set bytea_output = 'escape';
  alter role poisoned set default_transaction_read_only = on;
  set role poisoned;
  create table evil.log (what text);
  create function evil.equal(name, name) returns bool language sql as 'insert into evil.log values (''name''); select true';
  create operator evil.= (leftarg = name, rightarg = name, function = evil.equal);
  create operator evil.<> (leftarg = name, rightarg = name, function = evil.equal);
  create function evil.pg_has_role(name, oid, text) returns bool language sql as 'select false';
  create function evil.unnest(text[]) returns setof text language sql as 'select null::text';
  create function evil.set_config(text, text, bool) returns text language sql as 'insert into evil.log values ($2); select $2';
  create function evil.convert_from(bytea, name) returns text language sql as 'select ''stolen''';
  create domain evil.text as int; create domain evil.name as int;
  create table evil.pg_roles as select 'harmless'::pg_catalog.name as rolname; create table evil.pg_namespace (nspname pg_catalog.text)`;

test('a role that poisoned its own defaults is still the mapped role, verified, with its settings set', async () => {
  await postgres.sql(POISON);
  const onCheckout = [() => ({ 'app.claims': '{"sub":"ü"}' })];
  const rows = await withConnection(entry(), { role: 'poisoned', onCheckout }, async (connection) => [
    ...(await query(
      connection,
      `select current_user, current_setting('app.claims') = '{"sub":"' || chr(252) || '"}'`,
    )),
    ...(await query(connection, 'reset role; select current_user, pg_catalog.count(*) from evil.log')),
  ]);
  expect(rows).toEqual([
    ['poisoned', 't'],
    ['poisoned', '0'],
  ]);
  const missing = await refusal(entry(), { role: 'poisoned', schemas: ['tenant_z'] });
  expect(missing.sqlstate).toBe('3F000');
});

test('what is pinned beats the poison and is what RESET and DISCARD return to', async () => {
  const wanted = { role: 'poisoned', schemas: ['tenant_a'], settings: { DateStyle: 'ISO, DMY' } };
  const shown = `select current_setting('search_path'), current_setting('datestyle'), current_setting('role')`;
  await withConnection(entry(), wanted, async (connection) => {
    const pinned = [['"tenant_a"', 'ISO, DMY', 'none']];
    expect(await query(connection, shown)).toEqual(pinned);
    await query(connection, `set search_path = evil; set datestyle = 'SQL'`);
    await query(connection, 'reset all');
    await query(connection, 'discard all');
    expect(await query(connection, shown)).toEqual(pinned);
  });
});

test('a poisoned role that became privileged cannot hide it', async () => {
  await postgres.sql('grant mighty to poisoned');
  expect((await refusal(entry(), { role: 'poisoned' })).sqlstate).toBe('42501');
  await postgres.sql('revoke mighty from poisoned');
});

test('a role that may not read the catalog is not handed out unverified', async () => {
  await postgres.sql('create database locked');
  await postgres.sql('revoke select on pg_catalog.pg_roles from public', 'locked');
  const error = await refusal(entry(), { role: 'harmless', database: 'locked' });
  expect(error.sqlstate).toBe('08001');
  expect(causes(error)).toContain('could not be verified: the server said 42501');
});

test('replication needs the entry and a role that it lists', async () => {
  const wanted = { role: 'copier', replication: 'database' };
  expect((await refusal(entry({ privilegedRoles: ['copier'] }), wanted)).sqlstate).toBe('0A000');
  expect((await refusal(entry({ replication: true }), wanted)).sqlstate).toBe('42501');
  const allowed = entry({ replication: true, privilegedRoles: ['copier'] });
  for (const replication of ['database', 'true']) {
    const rows = await withConnection(allowed, { role: 'copier', replication }, (connection) =>
      query(connection, 'IDENTIFY_SYSTEM'),
    );
    expect(rows).toHaveLength(1);
  }
  const onCheckout = [() => ({ 'app.claims': 'x' })];
  expect((await refusal(allowed, { ...wanted, onCheckout })).sqlstate).toBe('0A000');
});
