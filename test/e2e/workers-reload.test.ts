/** A gateway with several workers takes another config: all of its workers, or none. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hasProc, prepareCheckout } from '../support/gateway-process.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway, TokenGatewayOptions } from '../support/token-gateway.ts';

const postgres = sharedPostgres();
let front: TokenGateway;

beforeAll(prepareCheckout, 120_000);
afterEach(async () => {
  // The workers of a parent that is killed drain first.
  front.gateway.signal('SIGTERM');
  await front.gateway.ended();
  await front.gateway.remove();
});

async function start({ more = '', ...options }: TokenGatewayOptions = {}): Promise<void> {
  front = await startTokenGateway(postgres, { ...options, more: `workers: 2, drainTimeout: '1s', ${more}` });
  await lines('worker ready', 2);
}

const path = (name = 'gateway.config.ts'): string => join(front.gateway.folder, name);

const replaceConfig: GatewayProcess['replaceConfig'] = (edit) => front.gateway.replaceConfig(edit);
const lines: GatewayProcess['linesWhen'] = (msg, count) => front.gateway.linesWhen(msg, count);

/** Logs in four times. A worker that is not late gets every other client. */
async function logIns(database: string): Promise<readonly unknown[]> {
  const settled = await Promise.allSettled(
    Array.from({ length: 4 }, () => front.login('reader', { database })),
  );
  const [clients, errors] = [
    settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])),
    settled.flatMap((one) => (one.status === 'rejected' ? [(one.reason as { code: unknown }).code] : [])),
  ];
  for (const client of clients) await client.end();
  return [clients.length, ...new Set(errors)];
}

const withSales = (text: string): string => text.replace('orders:', 'sales: server, orders:');

async function readyz(): Promise<string> {
  const [{ port }] = front.gateway.lines('admin listening') as [{ readonly port: number }];
  const response = await fetch(`http://127.0.0.1:${port}/readyz?verbose`);
  return `${response.status} ${await response.text()}`;
}

describe.runIf(hasProc)('two workers', () => {
  test('a drain takes as long as the config in force lets it, and not as the one at the start did', async () => {
    await start({ args: ['--no-watch'] });
    replaceConfig((text) => text.replace("drainTimeout: '1s'", "drainTimeout: '1min'"));
    front.gateway.signal('SIGHUP');
    await lines('reloaded', 1);
    const busy = await front.login('writer');
    await busy.query('begin');
    front.gateway.signal('SIGTERM');
    // By the first config all would have been killed after 7 s, or have been cut off by themselves after one.
    await sleep(8_000);
    expect((await busy.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await busy.query('commit');
    expect(await front.gateway.ended()).toBe(0);
  });

  test('SIGHUP to the parent reloads both, with one line; sessions go on under theirs', async () => {
    await start({ args: ['--no-watch'], more: 'admin: { port: 0 },' });
    const before = await front.login();
    expect(await logIns('sales')).toEqual([0, '3D000']);
    replaceConfig(withSales);
    front.gateway.signal('SIGHUP');
    expect(await lines('reloaded', 1)).toMatchObject([{ databases: { added: ['sales'] }, generation: 2 }]);
    expect(await logIns('sales')).toEqual([4]);
    expect((await before.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await before.end();
    expect(await readyz()).toMatch(
      /^200 (.*\n)*\[\+\] worker 1: ready, config 2\n\[\+\] worker 2: ready, config 2\nready\n$/,
    );
  });

  test('a broken file leaves both as they were, with one line, and its repair is applied without being told', async () => {
    await start({ more: 'admin: { port: 0 },' });
    const good = readFileSync(path(), 'utf8');
    replaceConfig((text) => withSales(text).replace('jwks.json', 'none.json'));
    const [failed] = await lines('reload failed', 1);
    expect(failed?.['reason']).toMatch(/jwt\.issuers\[0\]\.jwks: .*ENOENT/);
    expect(await logIns('orders')).toEqual([4]);
    expect(await logIns('sales')).toEqual([0, '3D000']);
    expect(await readyz()).toMatch(
      /^200 (.*\n)*\[\+\] config: as of .*; the reload of .* failed, the log says why\n/,
    );
    writeFileSync(path(), withSales(good));
    await lines('reloaded', 1);
    expect(await logIns('sales')).toEqual([4]);
    expect(front.gateway.lines('reload failed')).toHaveLength(1);
  });

  test('a successor that finds another file serves when all have it; one that cannot load it does not start, and the others serve', async () => {
    await start({ args: ['--no-watch'], more: 'admin: { port: 0 },' });
    const pidOf = (worker: number): number =>
      Number(front.gateway.lines('worker ready').findLast((line) => line['worker'] === worker)?.['pid']);
    replaceConfig(withSales);
    process.kill(pidOf(2), 'SIGKILL');
    await lines('reloaded', 1);
    await lines('worker ready', 3);
    expect(await logIns('sales')).toEqual([4]);
    const good = readFileSync(path(), 'utf8');
    replaceConfig((text) => text.replace('port: 0', 'prot: 0'));
    process.kill(pidOf(2), 'SIGKILL');
    await expect
      .poll(() => front.gateway.lines('a worker has ended').map((line) => line['reason']))
      .toContain("listen: unknown key 'prot'; did you mean 'port'?");
    expect(await logIns('sales')).toEqual([4]);
    expect(await readyz()).toMatch(
      /^200 (.*\n)*\[\+\] worker 1: ready, config 2\n\[\+\] worker 2: (not running|no answer)/,
    );
    writeFileSync(path(), good);
    await lines('worker ready', 4);
    expect(await readyz()).toMatch(/\[\+\] worker 2: ready, config 2\nready\n$/);
  });
});
