/** What a dead worker's connections run is cancelled by another worker, by the way of their entry. */
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { hasProc, prepareCheckout } from '../support/gateway-process.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';
import { allReady, endAll, pidOf } from '../support/worker-processes.ts';

/** The codes of SSLRequest and CancelRequest. */
const [SSL_REQUEST, CANCEL_REQUEST] = [80_877_103, 80_877_102];

let pems: Certificates;
let postgres: OwnPostgres;
let running: TokenGateway | undefined;
/** Stands before the server, and notes the code of each connection's first packet. */
const codes: number[] = [];
const proxy = net.createServer((client) => {
  const server = net.connect(postgres.port, '127.0.0.1');
  client.once('data', (first) => codes.push(first.readInt32BE(4)));
  client.on('error', () => server.destroy());
  server.on('error', () => client.destroy());
  client.pipe(server).pipe(client);
});

beforeAll(async () => {
  prepareCheckout();
  pems = await certificates();
  postgres = await startPostgres({ ssl: { cert: pems.server.cert, key: pems.server.key } });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
}, 120_000);
afterEach(async () => {
  if (running) await endAll(running);
  running = undefined;
  codes.length = 0;
}, 60_000);
afterAll(async () => {
  proxy.close();
  await postgres.stop();
  pems.remove();
});

const sleepers = async (seconds: number): Promise<number> =>
  (
    await postgres.sql(`select from pg_stat_activity where query ~ 'pg_sleep\\(${seconds}' and state = 'active'
    and pid <> pg_backend_pid()`)
  ).length;

describe.runIf(hasProc)('two workers', () => {
  test.each([
    ['without TLS', () => `host: '127.0.0.1', port: ${proxyPort()}, tls: { mode: 'disable' },`],
    ['over TLS', () => `host: '127.0.0.1', port: ${proxyPort()}, tls: { ca: '${pems.ca.certFile}' },`],
    ['over a unix socket', () => `host: '${postgres.socketDir}', port: ${postgres.port},`],
  ])(
    'what clients of a killed worker run is cancelled, %s, and their connections serve others',
    { timeout: 60_000 },
    async (way, entry) => {
      running = await startTokenGateway(postgres, {
        database: `${entry()} pool: { mode: 'transaction', size: 2 },`,
        more: 'workers: 2,',
      });
      const gateway = running;
      await allReady(gateway, 2);
      const [one, bystander, other] = [await gateway.login(), await gateway.login(), await gateway.login()];
      const asked = [one, other].map((client) => client.query('select pg_sleep(100)'));
      const ended = Promise.allSettled(asked);
      await expect.poll(() => sleepers(100)).toBe(2);
      // They went to the workers in turn.
      const [first] = gateway.gateway.lines('login');
      process.kill(pidOf(gateway, Number(first?.['worker'])), 'SIGKILL');
      expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
      await bystander.query('select 1');
      await expect.poll(() => sleepers(100)).toBe(0);
      const plain = codes.filter((code) => code === CANCEL_REQUEST).length;
      const encrypted = codes.filter((code) => code === SSL_REQUEST).length;
      if (way === 'over TLS') expect([plain, encrypted]).toEqual([0, codes.length]);
      if (way === 'without TLS') expect([plain > 0, encrypted]).toEqual([true, 0]);
      gateway.gateway.signal('SIGTERM');
      expect(await gateway.gateway.ended()).toBe(0);
    },
  );
});

const proxyPort = (): number => (proxy.address() as AddressInfo).port;
