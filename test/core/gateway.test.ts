import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { GatewayError } from '../../core/contract/errors.ts';
import type { GatewayHandle } from '../../core/contract/gateway-handle.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { certificates } from '../support/certificates.ts';
import { databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { RawClient, SSL_REQUEST } from '../support/raw-client.ts';

let postgres: Postgres;
const stops: (() => Promise<void> | void)[] = [];

beforeAll(() => {
  postgres = sharedPostgres();
});
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

async function start(config: Partial<TestConfig> = {}): Promise<RunningGateway> {
  const running = await startGateway({
    databases: { orders: databaseOf(postgres) },
    plugins: [mapTo('reader')],
    ...config,
  });
  stops.push(() => running.gateway.stop());
  return running;
}

async function connect(port: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  stops.push(() => client.destroy());
  return client;
}

const get = (port: number, path: string, token?: string): Promise<Response> =>
  fetch(
    `http://127.0.0.1:${port}${path}`,
    token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
  );

test('each listener is logged with its real port, and serves', async () => {
  const running = await start({
    listen: [
      { name: 'one', port: 0 },
      { name: 'two', port: 0, host: '127.0.0.1' },
    ],
  });
  const lines = running.lines('listening');
  expect(lines).toMatchObject([
    { name: 'one', host: '127.0.0.1', port: running.port },
    { name: 'two', host: '127.0.0.1' },
  ]);
  await logIn(await connect(Number(lines[1]?.['port'])));
});

test('a port in use is a sentence, and what was started is undone', async () => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  stops.push(() => void taken.close());
  const { port } = taken.address() as AddressInfo;
  const calls: string[] = [];
  const plugin: AnyPlugin = { name: 'p', setup: () => () => void calls.push('disposed') };
  await expect(start({ listen: { name: 'public', port }, plugins: [plugin] })).rejects.toThrow(
    `listen 'public': port ${port} of 127.0.0.1 is in use by another program`,
  );
  expect(calls).toEqual(['disposed']);
});

test('plugins are set up in order and disposed of in reverse, and a failing setup undoes the earlier ones', async () => {
  const calls: string[] = [];
  const plugin = (name: string): AnyPlugin => ({
    name,
    setup() {
      calls.push(`up ${name}`);
      return () => void calls.push(`down ${name}`);
    },
  });
  const running = await start({ plugins: [plugin('a'), plugin('b')] });
  await running.gateway.stop();
  expect(calls).toEqual(['up a', 'up b', 'down b', 'down a']);
  calls.length = 0;
  const failing: AnyPlugin = {
    name: 'failing',
    setup() {
      throw new Error('no keys');
    },
  };
  await expect(start({ plugins: [plugin('a'), failing, plugin('b')] })).rejects.toThrow(
    "plugin 'failing' did not start: no keys",
  );
  expect(calls).toEqual(['up a', 'down a']);
});

test('a plugin sees the open sessions, lends services, and keeps values', async () => {
  let handle: GatewayHandle | undefined;
  let found: unknown;
  const verifier = { verify: () => Promise.reject(new GatewayError('invalid_password', 'no')) };
  const running = await start({
    plugins: [
      { name: 'lender', setup: (gateway) => gateway.provide('verifier', verifier) },
      {
        name: 'borrower',
        setup(gateway) {
          handle = gateway;
          found = gateway.service('verifier');
        },
      },
      mapTo('reader'),
    ],
  });
  expect(found).toBe(verifier);
  expect(handle?.keep('x', () => ({ a: 1 }))).toBe(handle?.keep('x', () => ({ a: 2 })));
  const { client } = await logIn(await connect(running.port));
  expect([...(handle?.sessions ?? [])].map(({ startup, state }) => [startup.user, state])).toEqual([
    ['alice', 'idle'],
  ]);
  client.destroy();
  await expect.poll(() => [...(handle?.sessions ?? [])]).toEqual([]);
  expect(handle?.signal.aborted).toBe(false);
  await running.gateway.stop();
  expect(handle?.signal.aborted).toBe(true);
});

test('livez answers, readyz tells which check fails', async () => {
  let problem: string | undefined = 'no key set yet';
  const { adminPort } = await start({
    admin: { port: 0 },
    plugins: [{ name: 'keys', setup: (gateway) => gateway.ready(() => problem) }, mapTo('reader')],
  });
  expect(await (await get(adminPort, '/livez')).text()).toBe('ok\n');
  await expect
    .poll(async () => (await get(adminPort, '/readyz?verbose')).text())
    .toMatch(/^\[\+\] servers$/m);
  const not = await get(adminPort, '/readyz');
  expect([not.status, await not.text()]).toEqual([
    503,
    expect.stringMatching(
      /^\[\+\] listener default\n\[\+\] logins\n\[\+\] config: as of .*Z\n\[\+\] servers\n\[-\] keys: no key set yet\nnot ready\n$/,
    ),
  ]);
  problem = undefined;
  const ready = await get(adminPort, '/readyz');
  expect([ready.status, await ready.text()]).toEqual([200, 'ready\n']);
  expect(await (await get(adminPort, '/readyz?verbose')).text()).toContain('[+] keys');
});

test('routes of plugins are for operators: by a good token with the claim, and for nobody where that is unset', async () => {
  const plugin: AnyPlugin = {
    name: 'routes',
    setup(gateway) {
      gateway.provide('verifier', {
        verify(token) {
          if (token === 'bad') return Promise.reject(new GatewayError('invalid_password', 'no'));
          const claims = { groups: token.split('.') };
          return Promise.resolve({ issuer: 'i', subject: 's', expiresAt: new Date(), claims });
        },
      });
      gateway.route('/things', () => new Response('things'));
      gateway.route('/public', () => new Response('public'), { public: true });
      gateway.route('/broken', () => Promise.reject(new Error('inside')), { public: true });
    },
  };
  const operators = { claim: 'groups', value: 'dba' };
  const { adminPort, lines } = await start({ admin: { port: 0, operators }, plugins: [plugin] });
  const status = async (path: string, token?: string): Promise<number> =>
    (await get(adminPort, path, token)).status;
  expect(await status('/things')).toBe(401);
  expect(await status('/things', 'bad')).toBe(401);
  expect(await status('/things', 'dev.qa')).toBe(403);
  expect(await (await get(adminPort, '/things', 'dev.dba')).text()).toBe('things');
  expect(await (await get(adminPort, '/public')).text()).toBe('public');
  expect(await status('/nothing')).toBe(404);
  expect(await (await get(adminPort, '/broken')).text()).not.toContain('inside');
  expect(lines('internal error')).toHaveLength(1);
  const unset = await start({ admin: { port: 0 }, plugins: [plugin] });
  expect((await get(unset.adminPort, '/things', 'dev.dba')).status).toBe(403);
});

test('a certificate is chosen by the server name, one label under a star', async () => {
  const files = await certificates();
  stops.push(() => files.remove());
  const pair = (from: typeof files.server): { cert: string; key: string } => ({
    cert: from.certFile,
    key: from.keyFile,
  });
  const { port } = await start({
    listen: { port: 0, tls: { ...pair(files.server), servernames: { '*.example': pair(files.other) } } },
  });
  const names: unknown[] = [];
  for (const servername of ['OTHER.example', 'deep.other.example', 'localhost']) {
    const client = await (await connect(port)).startTls({ servername });
    names.push((client.socket as tls.TLSSocket).getPeerCertificate().subject.CN);
  }
  expect(names).toEqual(['other', 'localhost', 'localhost']);
});

test('TLS below 1.2 is not spoken', async () => {
  const files = await certificates();
  stops.push(() => files.remove());
  const { certFile: cert, keyFile: key } = files.server;
  const { port } = await start({ listen: { port: 0, tls: { cert, key } } });
  const client = await connect(port);
  client.send(SSL_REQUEST);
  await client.read(1);
  client.socket.removeAllListeners('data');
  const old = tls.connect({
    socket: client.socket,
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
    rejectUnauthorized: false,
  });
  const [error] = (await once(old, 'error')) as [Error];
  expect(error.message).toMatch(/protocol version|unsupported protocol/i);
});
