/** Metrics as Prometheus reads them: well-formed, true, about nobody in particular, and all that the example's dashboard wants. */
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterEach, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { tracing } from '../../plugins/tracing/index.ts';
import type { TracingOptions } from '../../plugins/tracing/index.ts';
import { GOOD_TOKEN, databaseOf, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { startCollector } from '../support/otlp-collector.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { parsePrometheus } from '../support/prometheus.ts';
import type { Sample } from '../support/prometheus.ts';

const WAIT = { timeout: 20_000, interval: 50 };
const example = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../examples/monitoring/${name}`, import.meta.url)), 'utf8');

let front: RunningGateway | undefined;
afterEach(async () => {
  await front?.gateway.stop();
  front = undefined;
});

const configOf = (options: TracingOptions): TestConfig => ({
  admin: { port: 0 },
  plugins: [tracing(options), mapTo('reader')],
  databases: { orders: databaseOf(sharedPostgres()) },
});

async function start(options: TracingOptions): Promise<RunningGateway> {
  front = await startGateway(configOf(options));
  return front;
}

async function login(password = GOOD_TOKEN): Promise<Client> {
  const where = { host: '127.0.0.1', port: front?.port ?? 0, user: '_', database: 'orders', password };
  const client = new Client(where);
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function scrape(): Promise<readonly Sample[]> {
  const response = await fetch(`http://127.0.0.1:${front?.adminPort}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return parsePrometheus(await response.text());
}

/** The sum of all samples of a name with these labels. */
async function value(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
  const found = (await scrape()).filter(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([label, is]) => sample.labels[label] === is),
  );
  return found.reduce((sum, one) => sum + one.value, 0);
}

test('what sessions do is counted, by database and never by person', async () => {
  await start({ metrics: { public: true } });
  const client = await login();
  await client.query('select 1');
  await client.query('begin');
  await client.query('commit');
  await expect(login('wrong')).rejects.toMatchObject({ code: '28P01' });
  const orders = { database: 'orders' };
  await expect.poll(() => value('postern_queries_total', orders), WAIT).toBe(3);
  expect(await value('postern_transactions_total', orders)).toBe(2);
  expect(await value('postern_bytes_total', { ...orders, direction: 'sent' })).toBeGreaterThan(50);
  expect(await value('postern_client_connections', { ...orders, state: 'idle' })).toBe(1);
  expect(await value('postern_server_connections', { ...orders, state: 'lent' })).toBe(1);
  expect(await value('postern_server_connections_limit', orders)).toBe(20);
  expect(await value('postern_auth_attempts_total', { outcome: 'accepted' })).toBe(1);
  expect(await value('postern_auth_attempts_total', { outcome: 'refused', sqlstate: '28P01' })).toBe(1);
  expect(await value('postern_auth_duration_seconds_count', { outcome: 'accepted' })).toBe(1);
  await client.end();
  await expect.poll(() => value('postern_sessions_ended_total', { reason: 'client' }), WAIT).toBe(1);
  expect(await value('postern_queries_total', orders)).toBe(3);
  const labels = new Set((await scrape()).flatMap((sample) => Object.keys(sample.labels)));
  expect([...labels].toSorted()).toEqual(
    ['database', 'direction', 'le', 'outcome', 'reason', 'side', 'sqlstate', 'state', 'version'].toSorted(),
  );
});

test('every metric of the dashboard and of the alerts exists', async () => {
  const collector = await startCollector();
  await start({ traces: { endpoint: collector.endpoint }, metrics: { public: true } });
  const client = await login();
  await client.query('select $1::int', [1]);
  await client.end();
  await startRefused();
  await expect.poll(() => value('postern_spans_total', { outcome: 'exported' }), WAIT).toBeGreaterThan(0);
  const there = new Set((await scrape()).map(({ name }) => name));
  const wanted = new Set(
    `${example('dashboard.json')} ${example('alerts.yml')}`.match(/\b(?:postern|process|db_client)_[a-z_]+/g),
  );
  // Counted from the first one on; nobody presents a token twice here.
  wanted.delete('postern_renewals_total');
  // Told by a plugin that has keys: see jwt-key-watch.test.ts.
  for (const name of ['postern_issuer_keys', 'postern_issuer_keys_kept'])
    expect(wanted.delete(name)).toBe(true);
  expect(wanted.size).toBeGreaterThan(20);
  expect([...wanted].filter((name) => !there.has(name))).toEqual([]);
  await collector.stop();
});

/** A connection that says nothing of use. */
async function startRefused(): Promise<void> {
  await fetch(`http://127.0.0.1:${front?.port}/`).catch(() => undefined);
  await expect.poll(() => value('postern_refused_connections_total'), WAIT).toBeGreaterThan(0);
}

test('the dashboard is one that Grafana takes: panels with targets, none of them over another', () => {
  const { panels } = JSON.parse(example('dashboard.json')) as {
    panels: { id: number; title: string; gridPos: { x: number; y: number }; targets: { expr: string }[] }[];
  };
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  expect(new Set(panels.map(({ gridPos: { x, y } }) => `${x} ${y}`)).size).toBe(panels.length);
  for (const { targets } of panels) for (const { expr } of targets) expect(expr).toMatch(/postern_|process_/);
});

test('histograms are there for whoever wants them', async () => {
  await start({ metrics: { public: true, hooks: true, statements: true, roles: true } });
  const client = await login();
  await client.query('select 1');
  await client.query('select 1/0').catch(() => undefined);
  await client.end();
  const statements = 'db_client_operation_duration_seconds';
  await expect.poll(() => value(`${statements}_count`, { database: 'orders' }), WAIT).toBe(2);
  expect(await value(`${statements}_count`, { error_type: '22012' })).toBe(1);
  const { host, port } = sharedPostgres();
  const [fine, failed] = (await scrape()).filter(({ name }) => name === `${statements}_count`);
  const where = {
    database: 'orders',
    db_system_name: 'postgresql',
    db_namespace: 'postgres',
    server_address: host,
    server_port: String(port),
  };
  expect(fine?.labels).toEqual({ ...where, db_operation_name: 'SELECT' });
  expect(failed?.labels).toEqual({ ...where, db_response_status_code: '22012', error_type: '22012' });
  const hooks = { plugin: 'map-to', hook: 'onAuth', outcome: 'passed' };
  expect(await value('postern_plugin_hook_duration_seconds_count', hooks)).toBe(1);
  expect(await value('postern_server_connections', { role: 'reader' })).toBeGreaterThanOrEqual(0);
});

test('SQLSTATEs that clients make up are no labels without end', async () => {
  await start({ metrics: { public: true, statements: true } });
  const client = await login();
  const made = Array.from({ length: 150 }, (_, i) => `Z${String(i).padStart(4, '0')}`);
  for (const code of made) {
    const raise = `do $$ begin raise exception 'x' using errcode = '${code}'; end $$`;
    await client.query(raise).catch(() => undefined);
  }
  const name = 'db_client_operation_duration_seconds_count';
  await expect.poll(() => value(name, { database: 'orders' }), WAIT).toBe(made.length);
  const labels = (await scrape()).flatMap((one) => (one.name === name ? [one.labels['error_type']] : []));
  expect(labels).toContain('_OTHER');
  expect(labels.length).toBeLessThanOrEqual(101);
  await client.end();
});

test('a reload that changes nothing goes on counting; only operators may look unless it is said', async () => {
  const options = { metrics: { public: true } };
  await start(options);
  await (await login()).end();
  await front?.gateway.reload(checkConfig({ listen: { port: 0 }, ...configOf(options) }, tmpdir()));
  await (await login()).end();
  await expect.poll(() => value('postern_auth_attempts_total'), WAIT).toBe(2);
  expect(await value('postern_config_last_reload_successful')).toBe(1);
  await front?.gateway.reload(checkConfig({ listen: { port: 0 }, ...configOf({}) }, tmpdir()));
  expect((await fetch(`http://127.0.0.1:${front?.adminPort}/metrics`)).status).toBe(401);
});

test('a collector gets them as well', async () => {
  const collector = await startCollector();
  await start({ metrics: { otlp: { endpoint: `${collector.endpoint}/`, interval: '1s' } } });
  await expect.poll(() => collector.metrics.has('postern.build_info'), WAIT).toBe(true);
  await front?.gateway.stop();
  await collector.stop();
});

test('the access log has a line per session: who, as what, how much, and why it ended', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-access-'));
  const file = join(folder, 'access.log');
  await start({ accessLog: { file } });
  const client = await login();
  await client.query('select 1');
  await client.end();
  await login('wrong').catch(() => undefined);
  await front?.gateway.stop();
  const lines = (await readFile(file, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  expect(lines).toMatchObject([
    { user: '_', database: 'orders', role: 'reader', address: '127.0.0.1', queries: 1, reason: 'client' },
    { user: '_', database: 'orders', reason: 'refused', sqlstate: '28P01' },
  ]);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await rm(folder, { recursive: true });
});

test('an access log that cannot be written goes to the log of the gateway', async () => {
  await start({ accessLog: { file: '/nowhere/at/all.log' } });
  await expect.poll(() => front?.lines('the access log cannot be written').length, WAIT).toBe(1);
  await (await login()).end();
  await expect.poll(() => front?.lines('access'), WAIT).toMatchObject([{ role: 'reader', reason: 'client' }]);
});

test('a reload opens the access log anew, for sessions that are older as well: the file may have been renamed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-access-'));
  const file = join(folder, 'access.log');
  const options = { accessLog: { file } };
  await start(options);
  const older = await login();
  await (await login()).end();
  const lines = (path: string): Promise<number> =>
    readFile(path, 'utf8').then((text) => text.split('\n').length - 1);
  await expect.poll(() => lines(file), WAIT).toBe(1);
  await rename(file, `${file}.1`);
  await front?.gateway.reload(checkConfig({ listen: { port: 0 }, ...configOf(options) }, tmpdir()));
  await older.end();
  await (await login()).end();
  await expect.poll(() => lines(file).catch(() => 0), WAIT).toBe(2);
  expect(await lines(`${file}.1`)).toBe(1);
  await front?.gateway.stop();
  await rm(folder, { recursive: true });
});

test('an access log that failed is written again when it can be, and no line is lost meanwhile', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-access-'));
  const file = join(folder, 'access.log');
  await mkdir(file);
  await start({ accessLog: { file } });
  await expect.poll(() => front?.lines('the access log cannot be written').length, WAIT).toBe(1);
  await (await login()).end();
  await expect.poll(() => front?.lines('access').length, WAIT).toBe(1);
  await rmdir(file);
  const written = async (): Promise<boolean> => {
    await (await login()).end();
    return readFile(file, 'utf8').then(
      (text) => text !== '',
      () => false,
    );
  };
  await expect.poll(written, WAIT).toBe(true);
  await front?.gateway.stop();
  await rm(folder, { recursive: true });
});
