/** A gateway that is told to end does so when `drainTimeout` is over, whoever does not read, answer or let go. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import net from 'node:net';
import { afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { logIn } from '../support/gateway.ts';
import { freePort } from '../support/free-port.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { RawClient, message } from '../support/raw-client.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway, TokenGatewayOptions } from '../support/token-gateway.ts';

const postgres = sharedPostgres();
let files: Certificates;
let running: TokenGateway;
const clients: RawClient[] = [];

beforeAll(async () => {
  prepareCheckout();
  files = await certificates();
  return () => files.remove();
}, 120_000);
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await running.gateway.remove();
});

/** Measured by the clock of the process itself: it is there although all should be over for seconds. */
const OVERRUN = `{ name: 'overrun', setup(gateway) {
  process.once('SIGTERM', () => setTimeout(() => gateway.log.error({}, 'overrun'), 5_000).unref());
} },`;

async function start({
  plugins = '',
  more = '',
  ...rest
}: TokenGatewayOptions = {}): Promise<GatewayProcess> {
  running = await startTokenGateway(postgres, {
    plugins: OVERRUN + plugins,
    more: `drainTimeout: '1s', ${more}`,
    ...rest,
  });
  return running.gateway;
}

async function login(tls = false): Promise<RawClient> {
  const client = await RawClient.connect(running.gateway.port);
  clients.push(client);
  if (tls) await client.startTls({ servername: 'localhost' });
  await logIn(client, { user: '_' }, { token: running.address('writer').password });
  return client;
}

/** Sends SIGTERM, and waits for the end. */
async function endsInTime(workers = workersOf()): Promise<void> {
  const { gateway } = running;
  gateway.signal('SIGTERM');
  expect(await gateway.ended()).toBe(0);
  expect([gateway.lines('overrun').length, gateway.lines('stopped').length]).toEqual([0, workers]);
}

const query = (text: string): Buffer => message('Q', `${text}\0`);
const state = async (mark: string): Promise<unknown[]> => {
  const sql = `select wait_event from pg_stat_activity where state = 'active' and query like '%/* ${mark} */%' and pid <> pg_backend_pid()`;
  return (await postgres.sql(sql)).map((row) => row['wait_event']);
};

describe('a client that does not read a large result', () => {
  test.each([
    ['session', 'plain', false],
    ['session', 'TLS', true],
    ['transaction', 'plain', false],
    ['transaction', 'TLS', true],
  ])('is cut off: %s mode, %s', async (mode, over, tls) => {
    const listen = tls
      ? `tls: { cert: ${JSON.stringify(files.server.certFile)}, key: ${JSON.stringify(files.server.keyFile)} }`
      : '';
    await start({ listen, database: `pool: { mode: '${mode}', idleTimeout: '200ms' }` });
    const client = await login(tls);
    client.socket.pause();
    const mark = `stalled ${mode} ${over}`;
    client.send(query(`select repeat('x', 1000) from generate_series(1, 1000000) /* ${mark} */`));
    await expect.poll(() => state(mark)).toEqual(['ClientWrite']);
    await endsInTime();
    expect(running.gateway.lines('the drain timeout is over')).toHaveLength(1);
    await expect.poll(() => state(mark)).toEqual([]);
  });
});

test('a client of admin that does not read keeps nothing up', async () => {
  const port = await freePort();
  const large = `{ name: 'large', setup(gateway) {
    gateway.route('/large', () => new Response(Buffer.alloc(64 * 1024 * 1024)), { public: true });
  } },`;
  await start({ plugins: large, more: `admin: { port: ${port} }` });
  const socket = net.connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  socket.write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(socket, 'readable');
  await endsInTime();
});

test('plugins that never let go are named, and others have time to', async () => {
  const never = `() => new Promise(() => {})`;
  await start({
    onlyOne: 'each worker names its own plugins',
    plugins: `
    { name: 'first', setup: (gateway) => () => gateway.log.info({}, 'let go') },
    { name: 'hanging', onStartup(session) { session.defer(${never}); }, setup: () => ${never} },
    { name: 'closing', onClose: ${never} },`,
  });
  const client = await login();
  client.send(message('X'));
  await client.rest();
  await endsInTime(1);
  expect(running.gateway.lines('let go')).toMatchObject([{ plugin: 'first' }]);
  const named = expect.arrayContaining(['closing onClose', 'hanging disposer']) as unknown;
  expect(running.gateway.lines('cut off at the end')).toMatchObject([{ sessions: 1, calls: named }]);
});

test('a collector that does not answer any more keeps nothing up: what there is for it is cut off', async () => {
  let answers = true;
  const collector = createServer((request, response) => {
    request.resume();
    if (answers) response.end('{}');
  }).listen(0, '127.0.0.1');
  onTestFinished(() => {
    collector.close();
    collector.closeAllConnections();
  });
  await once(collector, 'listening');
  const url = `http://127.0.0.1:${(collector.address() as net.AddressInfo).port}`;
  await start({
    before: `import { audit } from 'postern/plugins/audit'; import { tracing } from 'postern/plugins/tracing';`,
    plugins: `
      audit({ sink: { otlp: '${url}/v1/logs' }, onFailure: 'buffer' }),
      tracing({ traces: { endpoint: '${url}/v1/traces' }, metrics: false }),`,
  });
  answers = false;
  const client = await login();
  client.send(query('select 1'));
  await client.until('Z');
  await endsInTime();
  expect(running.gateway.lines('audit events were lost')).toHaveLength(1);
  expect(running.gateway.lines('the collector did not take everything in time')).toHaveLength(1);
});

test('a second signal waits for nothing', async () => {
  const hanging = `{ name: 'hanging', setup: () => () => new Promise(() => {}) },`;
  await start({ plugins: hanging, more: `drainTimeout: '1h'` });
  const client = await login();
  client.send(query('begin'));
  await client.until('Z');
  // One that comes right behind the first is taken for the same. One that comes while Node takes the process down ends it.
  const again = setInterval(() => {
    if (running.gateway.lines('stopped').length === 0) running.gateway.signal('SIGTERM');
  }, 100);
  onTestFinished(() => clearInterval(again));
  running.gateway.signal('SIGTERM');
  expect(await running.gateway.ended()).toBe(0);
  expect(await client.error()).toMatchObject({ C: '57P01' });
});

describe('a log', () => {
  /** More than any pipe takes, and more than the gateway keeps. */
  const noise = `{ name: 'noise', setup(gateway) {
    gateway.route('/noise', () => {
      for (let i = 0; i < 200; i += 1) gateway.log.error({ pad: 'x'.repeat(100_000) }, 'noise');
      return new Response('made');
    }, { public: true });
  } },`;

  test.each(['stalls', 'goes'] as const)(
    'whose reader %s does not keep clients waiting, nor the process',
    async (how) => {
      const port = await freePort();
      const gateway = await start({ plugins: noise, more: `admin: { port: ${port} }` });
      gateway.loseReader(how);
      for (let i = 0; i < 2; i += 1)
        expect(await (await fetch(`http://127.0.0.1:${port}/noise`)).text()).toBe('made');
      const client = await login();
      client.send(query('select 1'));
      await client.until('Z');
      gateway.signal('SIGTERM');
      expect(await gateway.exited()).toBe(0);
    },
  );

  test('whose reader comes back says how many lines were lost', async () => {
    const port = await freePort();
    const gateway = await start({ plugins: noise, more: `admin: { port: ${port} }` });
    gateway.loseReader('stalls');
    for (let i = 0; i < 2; i += 1) await (await fetch(`http://127.0.0.1:${port}/noise`)).text();
    gateway.readOn();
    const lost = (): readonly number[] =>
      gateway.lines('log lines were lost').map(({ lines }) => Number(lines));
    // With the next line after there was room again. A worker whose parent reads on for a while may lose lines twice.
    const sum = (): number => lost().reduce((all, lines) => all + lines, gateway.lines('noise').length);
    await expect.poll(async () => ((await login()).destroy(), sum())).toBeGreaterThanOrEqual(400);
    expect(Math.min(...lost())).toBeGreaterThan(0);
    gateway.signal('SIGTERM');
    expect(await gateway.ended()).toBe(0);
  });
});
