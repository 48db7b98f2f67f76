/** An OpenTelemetry collector that takes audit lines, and what happens while it does not. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { Client } from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { audit } from '../../plugins/audit/index.ts';
import type { AuditOptions } from '../../plugins/audit/index.ts';
import { databaseOf, GOOD_TOKEN, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { parseLines } from './audit-lines.ts';
import type { AuditLine } from './audit-lines.ts';

interface LogRecord {
  readonly timeUnixNano: string;
  readonly eventName: string;
  readonly body: { readonly stringValue: string };
}
interface LogsRequest {
  readonly resourceLogs: readonly {
    readonly scopeLogs: readonly { readonly logRecords: readonly LogRecord[] }[];
  }[];
}

let collector: Server;
let url: string;
let status: number;
/** Longest request that is taken, in bytes. */
let largest: number;
/** How many records of the next request are rejected. */
let rejected: number;
/** Whatever is in a request with this text is refused as it cannot be read. */
let poison: string | undefined;
/** `Retry-After` of refusals, if any. */
let retryAfter: (() => string) | undefined;
/** When requests came. */
let arrivals: number[];
let requests: IncomingMessage[];
let records: LogRecord[];
let running: RunningGateway;

beforeEach(async () => {
  status = 200;
  largest = Infinity;
  rejected = 0;
  poison = retryAfter = undefined;
  arrivals = [];
  requests = [];
  records = [];
  collector = createServer((request, response) => {
    requests.push(request);
    arrivals.push(Date.now());
    void text(request).then((body) => {
      const { resourceLogs } = JSON.parse(body) as LogsRequest;
      const sent = resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords));
      const readable = poison === undefined || !body.includes(poison);
      const code = body.length > largest ? 413 : readable ? status : 400;
      const partialSuccess = rejected > 0 ? { rejectedLogRecords: String(rejected) } : {};
      if (code === 200) records.push(...sent.slice(rejected));
      rejected = 0;
      response
        .writeHead(code, {
          'content-type': 'application/json',
          ...(retryAfter && code !== 200 && { 'retry-after': retryAfter() }),
        })
        .end(JSON.stringify({ partialSuccess }));
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/logs`;
});
afterEach(async () => {
  status = 200;
  await running.gateway.stop();
  collector.closeAllConnections();
  collector.close();
});

async function start(options: Partial<AuditOptions> = {}): Promise<void> {
  const sink = { otlp: url, headers: { 'x-key': () => 'canary-header' } };
  const databases = { orders: databaseOf(sharedPostgres()) };
  const plugins = [audit({ sink, ...options }), mapTo('reader')];
  running = await startGateway({ databases, plugins, admin: { port: 0 } });
}

async function login(): Promise<Client> {
  const address = { host: '127.0.0.1', port: running.port, user: 'ada', database: 'orders' };
  const client = new Client({ ...address, password: GOOD_TOKEN });
  client.on('error', () => {});
  await client.connect();
  return client;
}

const lines = (): AuditLine[] => parseLines(records.map(({ body }) => body.stringValue).join('\n'));
const readiness = async (): Promise<string> => {
  const response = await fetch(`http://127.0.0.1:${running.adminPort}/readyz`);
  return `${response.status} ${await response.text()}`;
};

test('each line is a log record, with its own time and name', async () => {
  await start();
  const client = await login();
  await client.query('select 1');
  await client.end();
  await running.gateway.stop();
  const types = ['opened', 'login', 'statement', 'logout', 'closed'];
  expect(lines().map(({ type }) => type)).toEqual(types);
  expect(records.map(({ eventName }) => eventName)).toEqual(types.map((type) => `postern.audit.${type}`));
  const [, first] = records;
  const time = String(lines()[1]?.['time']);
  expect(first?.timeUnixNano).toBe(`${Date.parse(time)}000000`);
  expect(requests[0]?.headers).toMatchObject({
    'content-type': 'application/json',
    'x-key': 'canary-header',
  });
  expect(running.text()).not.toContain('canary');
});

test('failClosed: sessions are ended, logins refused and readiness denied, until the collector is back', async () => {
  await start();
  expect(await readiness()).toBe('200 ready\n');
  const client = await login();
  const idle = await login();
  const ended = [client, idle].map(
    (one) => new Promise<unknown>((resolve) => one.once('error', (error) => resolve(error))),
  );
  await expect.poll(() => lines().filter(({ type }) => type === 'login').length).toBe(2);
  status = 503;
  await client.query('select 1');
  const error = { code: '57P01', message: 'the audit trail cannot be written' };
  expect(await Promise.all(ended)).toMatchObject([error, error]);
  await expect(login()).rejects.toMatchObject({
    code: '57P03',
    message: 'the audit trail cannot be written',
  });
  expect(await readiness()).toMatch(/^503 [^]*audit: the audit trail cannot be written/);
  expect(running.lines('the audit trail cannot be written')).toMatchObject([
    { reason: 'the collector answered 503' },
  ]);
  status = 200;
  await expect.poll(readiness).toBe('200 ready\n');
  const after = await login();
  await after.end();
  await running.gateway.stop();
  // Nothing was lost: the statement, the ends, and the login that was refused meanwhile.
  expect(lines().map(({ n }) => n)).toEqual(lines().map((_, index) => index + 1));
  const logins = lines().filter(({ type }) => type === 'login');
  expect(logins.map(({ sqlstate }) => sqlstate)).toEqual([undefined, undefined, '57P03', undefined]);
  expect(lines().filter(({ type }) => type === 'statement')).toHaveLength(1);
});

test('buffer: people go on, no more is kept than may be, and the trail says how much is missing', async () => {
  await start({ onFailure: 'buffer', bufferBytes: 65_536, statements: 'whole' });
  const client = await login();
  status = 500;
  const asked = 40;
  for (let i = 0; i < asked; i += 1) await client.query(`select ${i}, '${'x'.repeat(4_000)}'`);
  expect(await readiness()).toBe('200 ready\n');
  status = 200;
  await expect.poll(() => lines().some(({ type }) => type === 'dropped')).toBe(true);
  await client.query('select 1');
  await client.end();
  await running.gateway.stop();
  const found = lines();
  // On a slow machine the request with the login is still under way when the buffer is full: then two lines tell of what is missing.
  const dropped = found.reduce(
    (sum, line) => sum + (line['type'] === 'dropped' ? Number(line['count']) : 0),
    0,
  );
  expect(found.filter(({ type }) => type === 'statement')).toHaveLength(asked + 1 - dropped);
  expect(dropped).toBeGreaterThan(10);
  expect(found.map(({ n }) => n)).toEqual(found.map((_, index) => index + 1));
});

test('a collector that cannot be reached stops the boot', async () => {
  collector.close();
  collector.closeAllConnections();
  await expect(start()).rejects.toThrow("plugin 'audit' did not start");
  collector.listen(0);
  running = await startGateway({ databases: {}, plugins: [] });
});

test('what a collector rejects is not sent again, and the trail says that it is missing', async () => {
  await start({ onFailure: 'buffer' });
  const client = await login();
  await expect.poll(() => lines().length).toBe(2);
  rejected = 1;
  await client.query('select 1');
  await expect.poll(() => lines().at(-1)).toMatchObject({ type: 'dropped', count: 1, n: 4 });
  await client.query('select 2');
  await client.end();
  await running.gateway.stop();
  expect(lines().map(({ n }) => n)).toEqual([1, 2, 4, 5, 6, 7]);
  expect(running.lines('the audit trail cannot be written')).toMatchObject([
    { reason: 'the collector rejected 1 records' },
  ]);
});

test('a record that no collector takes is dropped and told, and those around it are written', async () => {
  await start({ onFailure: 'buffer', statements: 'whole' });
  const client = await login();
  await expect.poll(() => lines().length).toBe(2);
  poison = 'select 3';
  status = 503;
  for (let i = 1; i <= 6; i += 1) await client.query(`select ${i}`);
  status = 200;
  await expect.poll(() => lines().at(-1)).toMatchObject({ type: 'dropped', count: 1 });
  await client.end();
  await running.gateway.stop();
  const written = lines().filter(({ type }) => type === 'statement');
  expect(written.map(({ sql }) => sql)).toEqual([1, 2, 4, 5, 6].map((i) => `select ${i}`));
});

test('a collector that takes nothing at all is told of all that is lost, once it takes something', async () => {
  await start({ onFailure: 'buffer' });
  const client = await login();
  await expect.poll(() => lines().length).toBe(2);
  status = 413;
  for (let i = 0; i < 5; i += 1) await client.query('select 1');
  const before = requests.length;
  await expect.poll(() => requests.length).toBeGreaterThan(before + 5);
  status = 200;
  await expect.poll(() => lines().some(({ type }) => type === 'dropped')).toBe(true);
  await client.end();
  await running.gateway.stop();
  const found = lines();
  const lost = found.filter(({ type }) => type === 'dropped').map(({ count }) => Number(count));
  const written = found.filter(({ type }) => type === 'statement').length;
  expect(written + lost.reduce((sum, one) => sum + one, 0)).toBe(5);
});

test.each([
  ['seconds', () => '2'],
  ['a date', () => new Date(Date.now() + 3_000).toUTCString()],
])('a collector that asks for a pause in %s gets it', async (_, header) => {
  await start({ onFailure: 'buffer' });
  const client = await login();
  await expect.poll(() => lines().length).toBe(2);
  [status, retryAfter] = [429, header];
  const before = requests.length;
  await client.query('select 1');
  await expect.poll(() => requests.length).toBeGreaterThan(before + 1);
  const [first = 0, second = 0] = arrivals.slice(before);
  // Without being asked it would be half a second.
  expect(second - first).toBeGreaterThan(1_500);
  status = 200;
  await client.end();
});

test('a pause that is asked for holds up no end of the gateway for long, and loses nothing', async () => {
  await start({ onFailure: 'buffer' });
  const client = await login();
  await expect.poll(() => lines().length).toBe(2);
  [status, retryAfter] = [503, () => '3600'];
  const before = requests.length;
  await client.query('select 1');
  await expect.poll(() => requests.length).toBe(before + 1);
  status = 200;
  await client.end();
  await running.gateway.stop();
  expect(lines().map(({ type }) => type)).toEqual(['opened', 'login', 'statement', 'logout', 'closed']);
});

test('a request has an end, however long the statements are', async () => {
  largest = 2_000_000;
  await start({ statements: 'whole', onFailure: 'buffer' });
  const client = await login();
  const longs = Array.from({ length: 60 }, (_, i) => `select ${i} /* ${'"'.repeat(60_000)} */`);
  status = 503;
  await client.query('select 1');
  for (const sql of longs) await client.query(sql);
  status = 200;
  const statements = (): AuditLine[] => lines().filter(({ type }) => type === 'statement');
  await expect.poll(() => statements().length).toBe(longs.length + 1);
  await client.end();
});

test('a header that no request can have stops the boot, and is not shown', async () => {
  await expect(
    start({ sink: { otlp: url, headers: { 'x-key': () => 'canary\u0000header' } } }),
  ).rejects.toThrow("plugin 'audit' did not start");
  const thrown: unknown = await start({
    sink: { otlp: url, headers: { 'x-key': () => 'canary\u0000header' } },
  }).catch((error: unknown) => error);
  expect(inspect(thrown, { depth: 9 })).not.toContain('canary');
  running = await startGateway({ databases: {}, plugins: [] });
});
