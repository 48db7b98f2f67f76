/** What PostgreSQL looks at only when a connection logs in: when a change of it reaches clients whose connections are pooled. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import { operations } from '../../plugins/operations/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { onlyOneWorker } from '../support/only-one-worker.ts';
import { home, startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';

onlyOneWorker('sessions of several workers have no server connection in common');

const postgres = sharedPostgres();
/** Of its own: other tests use the roles of the server at the same time. */
const ROLE = `changing_${process.pid}`;
const PASSWORD = 'changing';
let database: string;
let running: Operated;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(`create role ${ROLE} login password '${PASSWORD}'`);
  running = await startOperated(postgres, {
    orders: { database, login: { kind: 'password', passwords: { [ROLE]: PASSWORD } }, pool: { size: 1 } },
    plugins: [operations(), jwt({ issuers: [home.options] }), roles({ claim: 'role', allow: [ROLE] })],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  await postgres.sql(`drop owned by ${ROLE}`, database);
  await postgres.sql(`drop role ${ROLE}`);
});

/** What a new session of somebody sees, on a connection that is reset for whom it has not been before. */
async function seen(sub: string, sql: string): Promise<unknown> {
  const client = await running.client({ password: home.sign({ sub, role: ROLE }) });
  try {
    const { rows } = await client.query<{ value: unknown }>(`select ${sql} as value`);
    return rows[0]?.value;
  } finally {
    await client.end();
  }
}

const TIMEOUT = "current_setting('statement_timeout')";
const reconnect = (): Promise<unknown> => running.ask('POST', '/v1/databases/orders/reconnect');

test.each([
  [`alter role ${ROLE} set statement_timeout = '7s'`, '7s'],
  [`alter role ${ROLE} in database %I set statement_timeout = '8s'`, '8s'],
])('%s is seen by new sessions once their connections are new', async (sql, now) => {
  const before = await seen('ada', TIMEOUT);
  await postgres.sql(sql.replace('%I', `"${database}"`));
  expect(await seen('ada', TIMEOUT)).toBe(before);
  expect(await seen('grace', TIMEOUT)).toBe(before);
  await reconnect();
  expect(await seen('ada', TIMEOUT)).toBe(now);
});

test('what is granted and revoked counts at once', async () => {
  await postgres.sql(`create table t (n int); grant select on t to ${ROLE}`, database);
  const count = '(select count(*)::int from t)';
  expect(await seen('ada', count)).toBe(0);
  await postgres.sql(`revoke select on t from ${ROLE}`, database);
  await expect(seen('ada', count)).rejects.toMatchObject({ code: '42501' });
});

test('a role that becomes dangerous is served on the connections there are, and refused on new ones', async () => {
  await seen('ada', '1');
  await postgres.sql(`alter role ${ROLE} bypassrls`);
  expect(await seen('grace', 'current_user::text')).toBe(ROLE);
  await reconnect();
  await expect(seen('grace', '1')).rejects.toMatchObject({ code: '42501' });
  await postgres.sql(`alter role ${ROLE} nobypassrls`);
  expect(await seen('grace', 'current_user::text')).toBe(ROLE);
});

test('a role that may not log in any more is served on the connections there are, and refused on new ones', async () => {
  await seen('ada', '1');
  await postgres.sql(`alter role ${ROLE} nologin`);
  expect(await seen('grace', 'current_user::text')).toBe(ROLE);
  await reconnect();
  await expect(seen('grace', '1')).rejects.toMatchObject({ code: '08004' });
});
