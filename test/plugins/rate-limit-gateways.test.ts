/** Rate limits of two gateways that are workers of one, before a real PostgreSQL. */
import type { DatabaseError } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { AnyPlugin, GatewayConfig } from '../../core/index.ts';
import { rateLimit } from '../../plugins/rate-limit/index.ts';
import type { RateLimitOptions } from '../../plugins/rate-limit/index.ts';
import { databaseOf, mapTo, pgClient, startWorker } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { linkWorkers } from '../support/worker-links.ts';

function configOf(options: RateLimitOptions): Pick<GatewayConfig, 'databases' | 'plugins'> {
  const plugins: readonly AnyPlugin[] = [rateLimit(options), mapTo('reader')];
  return { databases: { orders: databaseOf(sharedPostgres()) }, plugins };
}

async function startTwo(options: RateLimitOptions): Promise<readonly RunningGateway[]> {
  const workers = linkWorkers(2);
  onTestFinished(() => workers.close());
  const started: RunningGateway[] = [];
  for (const link of workers.links) {
    const running = await startWorker(configOf(options), link);
    onTestFinished(() => running.gateway.stop());
    started.push(running);
  }
  return started;
}

/** How it ends: '' where it is let through. */
const ended = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => '',
    ({ code }: DatabaseError) => String(code),
  );

async function visit(running: RunningGateway | undefined): Promise<string> {
  const client = pgClient(running as RunningGateway);
  const end = await ended(client.connect());
  await client.end().catch(() => {});
  return end;
}

const RARE = { connections: { per: 'address', limit: '5/d' } } as const;

test('logins at both are counted together, after a reload as well', async () => {
  const [first, second] = await startTwo(RARE);
  const ends: string[] = [];
  for (let n = 0; n < 3; n += 1) ends.push(await visit(first), await visit(second));
  expect(ends).toEqual(['', '', '', '', '', '53400']);
  for (const { gateway } of [first, second] as RunningGateway[])
    await gateway.reload(checkConfig({ listen: { port: 0 }, ...configOf(RARE) }, '/'));
  expect([await visit(first), await visit(second)]).toEqual(['53400', '53400']);
});

test('statements at both are counted together, those that are lent in parts as well', async () => {
  const running = await startTwo({ statements: { per: 'database', limit: '100/d' } });
  const clients = running.map((one) => pgClient(one));
  for (const client of clients) {
    await client.connect();
    onTestFinished(() => client.end().catch(() => {}));
  }
  let through = 0;
  for (let n = 0; n < 120; n += 1)
    for (const client of clients) if ((await ended(client.query('select 1'))) === '') through += 1;
  // Up to a part of one worker is held back.
  expect(through).toBeLessThanOrEqual(100);
  expect(through).toBeGreaterThanOrEqual(95);
});
