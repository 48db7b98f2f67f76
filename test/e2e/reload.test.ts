/** A gateway process takes another config: told by SIGHUP, or because its file has changed. */
import { execFile } from 'node:child_process';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { hasProc, prepareCheckout } from '../support/gateway-process.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway, TokenGatewayOptions } from '../support/token-gateway.ts';

const run = promisify(execFile);
let postgres: Postgres;
let front: TokenGateway;
let files: Certificates;

beforeAll(async () => {
  prepareCheckout();
  postgres = sharedPostgres();
  files = await certificates();
}, 120_000);
afterEach(() => front.gateway.remove());
afterAll(() => files.remove());

async function start(options: TokenGatewayOptions = {}): Promise<void> {
  front = await startTokenGateway(postgres, options);
}

const path = (name = 'gateway.config.ts'): string => join(front.gateway.folder, name);
const replaceConfig: GatewayProcess['replaceConfig'] = (edit) => front.gateway.replaceConfig(edit);
const lines: GatewayProcess['linesWhen'] = (msg, count) => front.gateway.linesWhen(msg, count);

test('SIGHUP applies what the file says now to who comes, and who is there goes on; SIGTERM still ends it', async () => {
  await start({ args: ['--no-watch'], more: 'admin: { port: 0 },' });
  const writer = await front.login('writer');
  replaceConfig((text) =>
    text.replace('"reader","writer"', '"reader"').replace('orders:', 'sales: server, orders:'),
  );
  await (await front.login('writer')).end();
  front.gateway.signal('SIGHUP');
  expect(await lines('reloaded', 1)).toMatchObject([{ level: 'info', databases: { added: ['sales'] } }]);
  await expect(front.login('writer')).rejects.toMatchObject({ code: '28000' });
  await (await front.login('reader', { database: 'sales' })).end();
  expect((await writer.query('select current_user as me')).rows).toEqual([{ me: 'writer' }]);
  front.gateway.signal('SIGTERM');
  expect(await front.gateway.ended()).toBe(0);
});

test('a file that is replaced or written in place is reloaded without being told', async () => {
  await start();
  replaceConfig((text) => text.replace('orders:', 'sales: server, orders:'));
  await lines('reloaded', 1);
  await (await front.login('reader', { database: 'sales' })).end();
  writeFileSync(path(), readFileSync(path(), 'utf8').replace('sales: server,', ''));
  await lines('reloaded', 2);
  await expect(front.login('reader', { database: 'sales' })).rejects.toMatchObject({ code: '3D000' });
});

test('a broken file keeps the old config and says what is wrong, and its repair is applied', async () => {
  await start();
  const good = readFileSync(path(), 'utf8');
  const broken: readonly (readonly [text: string, reason: RegExp])[] = [
    [good.replace('defineConfig({', 'defineConfig({{'), /gateway\.config\.ts:\d+:\d+: syntax error/],
    [good.replace('port: 0', 'prot: 0'), /^listen: unknown key 'prot'; did you mean 'port'\?$/],
    [good.replace('port: 0', 'port: 1'), /^listen\.port: 1 instead of 0 needs a restart$/],
    [good.replace('jwks.json', 'none.json'), /jwt\.issuers\[0\]\.jwks: .*ENOENT/],
    [`throw new Error('not today');\n${good}`, /gateway\.config\.ts:\d+: not today$/],
  ];
  for (const [index, [text, reason]] of broken.entries()) {
    replaceConfig(() => text);
    const failed = await lines('reload failed', index + 1);
    expect(failed.at(-1)).toMatchObject({ level: 'error', reason: expect.stringMatching(reason) as string });
    await (await front.login('writer')).end();
  }
  rmSync(path());
  expect((await lines('reload failed', broken.length + 1)).at(-1)?.['reason']).toMatch(
    /cannot read .*gateway\.config\.ts/,
  );
  await (await front.login('writer')).end();
  writeFileSync(path(), good.replace('orders:', 'sales: server, orders:'));
  await lines('reloaded', 1);
  await (await front.login('writer', { database: 'sales' })).end();
});

test('a module that the config imports counts as a part of it', async () => {
  await start({
    before: "import { more } from './more.ts';",
    databases: '...more(server)',
    files: { 'more.ts': 'export const more = (server) => ({});' },
  });
  await expect(front.login('reader', { database: 'sales' })).rejects.toMatchObject({ code: '3D000' });
  writeFileSync(path('more.ts'), 'export const more = (server) => ({ sales: server });');
  await lines('reloaded', 1);
  await (await front.login('reader', { database: 'sales' })).end();
});

test('certificates that are replaced are shown to who comes, and sessions go on', async () => {
  const texts = (from: Certificates['server']): Record<string, string> => ({
    'tls.crt': readFileSync(from.certFile, 'utf8'),
    'tls.key': readFileSync(from.keyFile, 'utf8'),
  });
  await start({ listen: "tls: { cert: 'tls.crt', key: 'tls.key' }", files: texts(files.server) });
  const served = async (): Promise<string> => {
    const client = await (await RawClient.connect(front.gateway.port)).startTls();
    const name = (client.socket as TLSSocket).getPeerCertificate().subject.CN as string;
    client.destroy();
    return name;
  };
  const session = await front.login('reader', { ssl: { rejectUnauthorized: false } });
  expect(await served()).toBe('localhost');
  copyFileSync(files.other.certFile, path('tls.crt'));
  copyFileSync(files.other.keyFile, path('tls.key'));
  await expect.poll(served).toBe('other');
  expect((await session.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await expect
    .poll(() => front.gateway.lines('reloaded').at(-1))
    .toMatchObject({ certificates: ['default'] });
});

test.runIf(hasProc)('many reloads leave no file and no socket open', async () => {
  await start();
  const hup = async (count: number): Promise<void> => {
    const before = front.gateway.lines('reloaded').length;
    front.gateway.signal('SIGHUP');
    await lines('reloaded', before + count);
  };
  await hup(1);
  const before = front.gateway.descriptors;
  for (let count = 0; count < 20; count++) await hup(1);
  await expect.poll(() => front.gateway.descriptors).toBe(before);
});

describeWith('pgbench', (pgbench) => {
  test.each(['-C', '-M prepared'])('%s under ten reloads a second has no error', async (mode) => {
    await start();
    writeFileSync(path('load.sql'), 'select pg_backend_pid();\n');
    const args = ['-n', '-c', '4', '-T', '3', ...mode.split(' '), '-f', path('load.sql'), 'orders'];
    do {
      const done = new AbortController();
      const bench = run(pgbench, args, { env: front.environment('reader') }).finally(() => done.abort());
      // It is awaited below; until then a failure of it has to be nobody's.
      bench.catch(() => {});
      while (!done.signal.aborted) {
        front.gateway.signal('SIGHUP');
        await sleep(100);
      }
      const { stdout, stderr } = await bench;
      expect(stderr).not.toMatch(/error|aborted|fatal/i);
      expect(stdout).toContain('number of failed transactions: 0 (');
    } while (front.gateway.lines('reloaded').length <= 5);
    expect(front.gateway.lines('reload failed')).toEqual([]);
  });
});
