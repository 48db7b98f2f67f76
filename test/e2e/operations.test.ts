/** Operators of a gateway process: what RELOAD loads again is the config file. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Client } from 'pg';
import { prepareCheckout } from '../support/gateway-process.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

let front: TokenGateway;

beforeAll(async () => {
  prepareCheckout();
  front = await startTokenGateway(sharedPostgres(), {
    args: ['--no-watch'],
    before: `import { console } from 'postern/plugins/console';`,
    plugins: 'console(),',
    more: `admin: { port: 0, operators: { claim: 'groups', value: 'dba' } },`,
  });
}, 120_000);
afterAll(() => front.gateway.remove());

test('RELOAD puts the file in force, or says what is wrong with it', async () => {
  const password = front.issuer.sign({ sub: 'olga', groups: 'dba' });
  const desk = new Client({ ...front.address(), database: 'pgbouncer', password });
  await desk.connect();
  const path = join(front.gateway.folder, 'gateway.config.ts');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('orders:', 'sales: server, orders:'));
  expect((await desk.query('RELOAD')).command).toBe('RELOAD');
  await (await front.login('reader', { database: 'sales' })).end();
  writeFileSync(path, text.replace('orders:', 'orders: { ...server, pool: { size: 0 } }, x:'));
  await expect(desk.query('RELOAD')).rejects.toMatchObject({
    code: 'F0000',
    message: expect.stringContaining('databases.orders.pool.size') as string,
  });
  const names = (await desk.query<{ name: string }>('SHOW DATABASES')).rows.map(({ name }) => name);
  expect(names).toEqual(['sales', 'orders']);
  await desk.end();
  expect(front.gateway.lines('operator')).toMatchObject([
    { verb: 'RELOAD', subject: 'olga', via: 'console' },
    { verb: 'RELOAD', subject: 'olga', via: 'console' },
  ]);
});

test('SHUTDOWN has the process drain and end with 0', async () => {
  const password = front.issuer.sign({ sub: 'olga', groups: 'dba' });
  const desk = new Client({ ...front.address(), database: 'pgbouncer', password });
  desk.on('error', () => {});
  await desk.connect();
  const busy = await front.login('reader');
  await busy.query('begin');
  expect((await desk.query('SHUTDOWN')).command).toBe('SHUTDOWN');
  expect((await busy.query('select 1')).rows).toHaveLength(1);
  busy.on('error', () => {});
  await busy.query('commit');
  expect(await front.gateway.ended()).toBe(0);
  expect(front.gateway.complaints).toBe('');
  expect(front.gateway.lines('stopped')).toHaveLength(workersOf());
});
