/** The plugin without a gateway: a hook is a function. Run it with `npx jiti no-ddl.test.ts`. */
import { doesNotThrow, throws } from 'node:assert/strict';
import { test } from 'node:test';
import type { Session, Statement } from 'postern';
import { noDdl } from './no-ddl.ts';

const plugin = noDdl({ migrators: ['migrations'] });

function run(subject: string, sql: string): void {
  const session = { facts: { identity: { subject } }, log: { warn() {} } };
  const statement = { kind: 'query', id: 1, sql };
  void plugin.onQuery?.(session as unknown as Session<'identity'>, statement as Statement);
}

void test('DDL is refused with a hint, however it is written', () => {
  for (const sql of ['drop table t', '  ALTER table t add c int', '/* me */ -- too\n create table t ()']) {
    throws(() => run('ada', sql), { code: 'insufficient_privilege', hint: /migration/ });
  }
});

void test('everything else passes, temporary tables too', () => {
  for (const sql of ['select 1', 'create temp table t ()', "insert into t values ('drop table t')"]) {
    doesNotThrow(() => run('ada', sql));
  }
});

void test('who migrates may do it', () => {
  doesNotThrow(() => run('migrations', 'drop table t'));
});
