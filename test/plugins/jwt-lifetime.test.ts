/** A session lives as long as its token: whatever it is doing it ends, and says before that it will. */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { logIn } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { RawClient, fieldsOf, message } from '../support/raw-client.ts';
import { now } from '../support/token.ts';
import { errorOf, past, session, shortToken, tokenGateway, tokens } from './token-sessions.ts';

const postgres = sharedPostgres();
const database = await freshDatabase();
await postgres.sql('create table t (n int); grant all on t to writer', database);

const LIFE = 4;
const expiring = (): { exp: number; token: string } => {
  const exp = now() + LIFE;
  return { exp, token: shortToken(LIFE, { exp, role: 'writer' }) };
};

describe.each(['session', 'transaction'] as const)('in %s mode', (mode) => {
  test('an idle session ends at exp, after its notice, and reads how to go on', async () => {
    const gateway = await tokenGateway({ mode, jwt: { notice: '3s', hint: 'Run: acme login.' } });
    const { exp, token } = expiring();
    const { client, notices, ended } = await session(gateway, token);
    await client.query('select 1');
    const error = await ended;
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1_000);
    expect(error).toMatchObject({ code: '57P01', severity: 'FATAL', message: 'the token has expired' });
    expect(error?.hint).toMatch(/^Run: acme login\. Connect again .* SET postern\.token = /);
    expect(notices).toHaveLength(1);
    expect(notices[0]).toContain(new Date(exp * 1_000).toISOString());
    expect(notices[0]).toContain('Run: acme login.');
  });

  test('a transaction is rolled back at exp', async () => {
    const gateway = await tokenGateway({ mode, database });
    const { client, ended } = await session(gateway, expiring().token);
    await client.query('begin; insert into t values (1)');
    expect((await ended)?.code).toBe('57P01');
    await vi.waitFor(async () => {
      const open = `select 1 from pg_stat_activity where datname = '${database}' and state like 'idle in%'`;
      expect(await postgres.sql(open)).toEqual([]);
    }, 30_000);
    expect(await postgres.sql('select * from t where n = 1', database)).toEqual([]);
  });

  test('a running statement is cancelled at exp', async () => {
    const gateway = await tokenGateway({ mode, database });
    const { client } = await session(gateway, expiring().token);
    const mark = `mark ${mode}`;
    const error = await errorOf(client.query(`select pg_sleep(60) /* ${mark} */`));
    expect(error).toMatchObject({ code: '57P01', message: 'the token has expired' });
    await vi.waitFor(async () => {
      const running = `select 1 from pg_stat_activity where state = 'active' and query like 'select pg_sleep%${mark}%'`;
      expect(await postgres.sql(running)).toEqual([]);
    }, 30_000);
  });

  test.each([
    ['into', 'copy t from stdin', 'G'],
    [
      'out of',
      `copy (select repeat('x', 9000), pg_sleep(0.01) from generate_series(1, 100000)) to stdout`,
      'H',
    ],
  ])('a COPY %s the server ends at exp, and nothing of it stays', async (_way, sql, begun) => {
    const gateway = await tokenGateway({ mode, database });
    const { client } = await logIn(await RawClient.connect(gateway.port), { user: '_' }, expiring());
    onTestFinished(() => client.destroy());
    client.send(message('Q', `${sql}\0`));
    await client.until(begun);
    if (begun === 'G') client.send(message('d', '2\n'));
    const last = (await client.until('E')).at(-1);
    expect(fieldsOf(last?.body ?? Buffer.alloc(0))).toMatchObject({ S: 'FATAL', C: '57P01' });
    await client.rest();
    expect(await postgres.sql('select * from t where n = 2', database)).toEqual([]);
  });

  test('a transaction may finish within its grace, and the session ends with it', async () => {
    const gateway = await tokenGateway({ mode, database, jwt: { onExpiry: 'finish-transaction' } });
    const { exp, token } = expiring();
    const { client, ended, isOpen } = await session(gateway, token);
    const n = mode === 'session' ? 3 : 4;
    await client.query(`begin; insert into t values (${n})`);
    await past(exp);
    expect(isOpen()).toBe(true);
    const late = await errorOf(client.query(`set postern.token = '${tokens.sign({ role: 'writer' })}'`));
    expect([late.code, late.severity]).toEqual(['28000', 'ERROR']);
    await client.query('rollback; begin');
    await client.query(`insert into t values (${n})`);
    await client.query('commit');
    expect((await ended)?.message).toBe('the token has expired');
    expect(await postgres.sql(`select n from t where n = ${n}`, database)).toEqual([{ n }]);
  });

  test('a transaction that does not finish within its grace is rolled back', async () => {
    const options = { onExpiry: 'finish-transaction', grace: '500ms' } as const;
    const gateway = await tokenGateway({ mode, database, jwt: options });
    const { exp, token } = expiring();
    const { client, ended } = await session(gateway, token);
    await client.query('begin; insert into t values (5)');
    expect((await ended)?.code).toBe('57P01');
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1_000 + 500);
    expect(await postgres.sql('select * from t where n = 5', database)).toEqual([]);
  });
});

test('there is no notice where none is wanted', async () => {
  const gateway = await tokenGateway({ jwt: { notice: '0s' } });
  const { notices, ended } = await session(gateway, expiring().token);
  expect((await ended)?.code).toBe('57P01');
  expect(notices).toEqual([]);
});
