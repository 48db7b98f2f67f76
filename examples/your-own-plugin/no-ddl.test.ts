/** The plugin in a gateway, in front of a PostgreSQL database of its own: `npm test`. */
import { equal, deepEqual, rejects, throws } from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { testGateway } from 'postern/testing';
import type { TestGateway } from 'postern/testing';
import { noDdl } from './no-ddl.ts';

let gateway: TestGateway;
before(async () => {
  gateway = await testGateway({ plugins: [noDdl({ migrators: ['migrations'] })], roles: ['no_ddl_writer'] });
  await gateway.sql('create table t (n int); grant all on schema public to no_ddl_writer');
});
after(() => gateway?.close());

void test('DDL is refused with a hint, however it is written, and the session goes on', async () => {
  await using client = await gateway.connect({ sub: 'ada' });
  for (const sql of ['drop table t', '  ALTER table t add c int', '/* me */ -- too\n create table u ()']) {
    await rejects(client.query(sql), { sqlstate: '42501', severity: 'ERROR', hint: /migration/ });
  }
  deepEqual(
    await client.query('select count(*)::int as n from pg_tables where tablename in ($1, $2)', ['t', 'u']),
    [{ n: 1 }],
  );
});

void test('a prepared statement is refused as well, and the log tells', async () => {
  await using client = await gateway.connect({ sub: 'ada' });
  const told = () => gateway.log.filter(({ msg }) => msg === 'schema change refused').length;
  const before = told();
  await rejects(client.query('drop table t -- $1', [1]), { sqlstate: '42501' });
  equal(told(), before + 1);
});

void test('everything else passes, temporary tables too', async () => {
  await using client = await gateway.connect({ sub: 'ada' });
  await client.query('create temp table mine (text text)');
  deepEqual(await client.query("insert into mine values ('drop table t') returning text"), [
    { text: 'drop table t' },
  ]);
});

void test('who migrates may do it', async () => {
  await using client = await gateway.connect({ sub: 'migrations' });
  await client.query('create table made ()');
});

void test('without migrators the gateway does not start', () => {
  throws(() => noDdl({ migrators: [] }), { message: 'noDdl.migrators: name at least one subject' });
});
