/** A gateway none of whose servers was ever reachable is not ready, and says why. */
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { checkConfig } from '../../../core/config/check.ts';
import type { ResolvedConfig } from '../../../core/config/resolved.ts';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import { Reachability } from '../../../core/gateway/reachability.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import { freePort } from '../../support/free-port.ts';
import { databaseOf, mapTo, pgClient, startGateway } from '../../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../../support/gateway.ts';
import { sharedPostgres, startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';

let pems: Certificates;
let encrypted: OwnPostgres;

beforeAll(async () => {
  pems = await certificates();
  encrypted = await startPostgres({ ssl: pems.server });
});
afterAll(async () => {
  await encrypted.stop();
  pems.remove();
});

const at = (port: number, more: Partial<DatabaseOptions> = {}): DatabaseOptions => ({
  host: '127.0.0.1',
  port,
  login: { kind: 'trust' },
  ...more,
});

async function start(
  databases: TestConfig['databases'],
  more: Partial<TestConfig> = {},
): Promise<RunningGateway> {
  const running = await startGateway({ databases, plugins: [mapTo('reader')], admin: { port: 0 }, ...more });
  onTestFinished(() => running.gateway.stop());
  return running;
}

/** What `/readyz?verbose` answers. */
async function readyz({ adminPort }: RunningGateway): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/readyz?verbose`);
  return `${response.status} ${await response.text()}`;
}

/** Its line about servers; undefined where it has none. */
async function servers(running: RunningGateway): Promise<string | undefined> {
  return (await readyz(running)).split('\n').find((line) => line.slice(4).startsWith('servers'));
}

/** A server that accepts connections and says nothing. */
async function silent(): Promise<{
  readonly port: number;
  readonly open: () => number;
  readonly all: () => number;
}> {
  const sockets = new Set<net.Socket>();
  let all = 0;
  const server = net.createServer((socket) => {
    all += 1;
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => void sockets.delete(socket));
    socket.resume();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, open: () => sockets.size, all: () => all };
}

function resolved(databases: TestConfig['databases'], more: Partial<TestConfig> = {}): ResolvedConfig {
  return checkConfig(
    { listen: { port: 0 }, admin: { port: 0 }, databases, plugins: [mapTo('reader')], ...more },
    tmpdir(),
  );
}

test('a wrong port: not ready, and the entry, the address and the reason', async () => {
  const port = await freePort();
  const running = await start({ orders: at(port) });
  await expect
    .poll(() => servers(running))
    .toBe(
      `[-] servers: no server was ever reachable: orders: connecting to 127.0.0.1 port ${port} failed: connect ECONNREFUSED 127.0.0.1:${port}`,
    );
  expect(await readyz(running)).toMatch(/^503 [^]*\nnot ready\n$/);
});

test('a CA that did not sign the certificate of the server: not ready; the right one, by a reload: ready', async () => {
  const entry = (ca: string): DatabaseOptions =>
    databaseOf(encrypted, { tls: { mode: 'verify-full', ca, servername: 'localhost' } });
  const running = await start({ orders: entry(pems.wrongCa.certFile) });
  await expect
    .poll(() => servers(running))
    .toMatch(/^\[-\] servers: no server was ever reachable: orders: connecting to .* failed: .*certificate/);
  await running.gateway.reload(resolved({ orders: entry(pems.ca.certFile) }));
  await expect.poll(() => readyz(running)).toMatch(/^200 [^]*\[\+\] servers\n/);
});

test('one reachable server of one entry is enough, and a later outage does not count', async () => {
  const port = await freePort();
  const own = await startPostgres();
  onTestFinished(() => own.stop());
  const running = await start({
    away: at(port),
    orders: { ...databaseOf(own), host: [{ host: '127.0.0.1', port }, own.host] },
  });
  await expect.poll(() => readyz(running)).toMatch(/^200 /);
  await own.stop();
  await running.gateway.reload(resolved({ away: at(port) }));
  expect(await servers(running)).toBe('[+] servers');
});

test('no login is attempted, and the server’s log has no complaint', async () => {
  const own = await startPostgres({ ssl: pems.server });
  onTestFinished(() => own.stop());
  const before = own.log().length;
  const tls = { mode: 'verify-full', ca: pems.ca.certFile, servername: 'localhost' } as const;
  const running = await start({ orders: databaseOf(own, { tls }) });
  await expect.poll(() => readyz(running)).toMatch(/^200 /);
  await expect.poll(() => own.log().slice(before)).toContain('connection received');
  await running.gateway.stop();
  await own.stop();
  expect(own.log().slice(before)).not.toMatch(/FATAL|ERROR|incomplete|could not|authenticat/);
});

test('a server that comes later makes the gateway ready without a login, and is not probed again', async () => {
  const port = await freePort();
  const probing = new Reachability({ connected: false, everyOne: () => [] }, 20);
  onTestFinished(() => probing.stop());
  probing.begin(resolved({ orders: at(port) }));
  expect(probing.checks).toEqual([
    { name: 'servers', problem: 'no server has been reached yet, and none has failed' },
  ]);
  await expect.poll(() => probing.checks[0]?.problem).toContain('ECONNREFUSED');
  let connections = 0;
  const server = net.createServer((socket) => void (connections++, socket.destroy()));
  await once(server.listen(port, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  await expect.poll(() => probing.checks).toEqual([{ name: 'servers', problem: undefined }]);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(connections).toBe(1);
});

test('a server connection of a session counts, whatever probes say', async () => {
  const { port } = await silent();
  const pools = { connected: false, everyOne: () => [] };
  const probing = new Reachability(pools, 20);
  onTestFinished(() => probing.stop());
  probing.begin(resolved({ orders: at(port, { tls: { mode: 'require' } }) }));
  expect(probing.checks[0]?.problem).toBeDefined();
  pools.connected = true;
  expect(probing.checks).toEqual([{ name: 'servers', problem: undefined }]);
});

test('a stop while a probe hangs leaves no connection, and none is made after it', async () => {
  const hanging = await silent();
  const running = await start({ orders: at(hanging.port, { tls: { mode: 'require' } }) });
  await expect.poll(hanging.open).toBe(1);
  expect(await servers(running)).toBe('[-] servers: no server has been reached yet, and none has failed');
  await running.gateway.stop();
  await expect.poll(hanging.open).toBe(0);
  expect(hanging.all()).toBe(1);
});

test('at most eight servers are probed at once, each once per round, and few reasons are told', async () => {
  const hanging = await silent();
  const port = await freePort();
  const tls = { mode: 'require' } as const;
  const many = Array.from({ length: 20 }, (_, number) => [
    `slow${number}`,
    at(hanging.port, { tls: { ...tls, servername: `s${number}.example` } }),
  ]);
  const running = await start(Object.fromEntries(many));
  await expect.poll(hanging.open).toBe(8);
  const equal = Array.from({ length: 20 }, (_, number) => [`away${number}`, at(port)]);
  await running.gateway.reload(resolved(Object.fromEntries(equal)));
  await expect.poll(hanging.open).toBe(0);
  expect(hanging.all()).toBe(8);
  await expect.poll(() => servers(running)).toMatch(/: away0: .*; away1: .*; away2: [^;]*; and 17 more$/);
});

test('a refused password is a note, as long as no login of the gateway has succeeded', async () => {
  const { passwords, ...address } = sharedPostgres();
  const login = { kind: 'password', passwords: { reader: `not-${passwords.reader}` } } as const;
  const running = await start({ orders: databaseOf({ ...address, passwords }, { login }) });
  await expect.poll(() => servers(running)).toBe('[+] servers');
  await expect(pgClient(running).connect()).rejects.toMatchObject({ code: '08004' });
  expect(await servers(running)).toBe(
    '[+] servers: no login of the gateway has succeeded; the log says why for orders',
  );
  expect(await readyz(running)).toMatch(/^200 /);
});

test.each<[string, (entry: DatabaseOptions) => TestConfig['databases']]>([
  ["only '*'", (entry) => ({ '*': entry })],
  ['a function', (entry) => () => entry],
])('%s: nothing is probed, and the gateway is ready', async (_, databases) => {
  const hanging = await silent();
  const running = await start(databases(at(hanging.port)));
  expect(await readyz(running)).toMatch(/^200 /);
  expect(await servers(running)).toBeUndefined();
  expect(hanging.all()).toBe(0);
});

test("beside names, the server of '*' counts as well", async () => {
  const running = await start({ orders: at(await freePort()), '*': databaseOf(sharedPostgres()) });
  await expect.poll(() => readyz(running)).toMatch(/^200 [^]*\[\+\] servers\n/);
});

test('without admin nothing is probed', async () => {
  const hanging = await silent();
  const probing = new Reachability({ connected: false, everyOne: () => [] }, 20);
  const { admin: _, ...config } = resolved({ orders: at(hanging.port) });
  probing.begin({ ...config, admin: undefined });
  expect(probing.checks).toEqual([]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(hanging.all()).toBe(0);
});
