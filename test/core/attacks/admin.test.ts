/** The operators' interface: who is no operator gets nothing, and nobody brings it down. */
import { once } from 'node:events';
import net from 'node:net';
import { expect, test } from 'vitest';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { jwt } from '../../../plugins/jwt/index.ts';
import { issuer } from '../../support/token.ts';
import { attacked } from './attacked.ts';

const here = attacked();
let served: string[] = [];

const mounting: AnyPlugin = {
  name: 'mounting',
  setup(gateway) {
    gateway.route('/sessions', (request) => {
      served.push(request.url);
      return new Response('secret\n');
    });
    gateway.route('/sessions/:id', () => new Response('secret\n'));
    gateway.route('/text', () => {
      // oxlint-disable-next-line no-throw-literal, typescript/only-throw-error -- what a plugin may do
      throw 'canary-text';
    });
    gateway.route('/thrown', () => Promise.reject(new Error('canary-error')));
    gateway.route('/nothing', () => undefined as unknown as Response);
    gateway.route('/body', async (request) => new Response(String((await request.text()).length)));
  },
};

async function start(): Promise<number> {
  served = [];
  const admin = { port: 0, operators: { claim: 'groups', value: 'dba' } };
  const { adminPort } = await here.gateway({ plugins: [...here.policies, mounting], admin });
  return adminPort;
}

/** Sends bytes and gives all that comes back. */
async function raw(port: number, text: string): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(Buffer.from(chunk)));
  await once(socket, 'connect');
  socket.write(text);
  setTimeout(() => socket.destroy(), 500).unref();
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}

test('only a good token with the claim is an operator, however it is dressed up', async () => {
  const port = await start();
  const { keys } = here;
  const operator = keys.sign({ groups: ['x', 'dba'] });
  const get = async (headers: Record<string, string>): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}/sessions`, { headers })).status;
  expect(await get({ authorization: `Bearer ${operator}` })).toBe(200);
  const stranger = issuer({ algorithms: ['ES256'] });
  const wrong: Record<string, string>[] = [
    {},
    { authorization: '' },
    { authorization: operator },
    { authorization: `Basic ${operator}` },
    { authorization: `Bearer ${operator}, Bearer ${operator}` },
    { authorization: `Bearer  ${operator}x` },
    { authorization: `Bearer ${keys.sign({ groups: 'dba', aud: 'other' })}` },
    { authorization: `Bearer ${keys.sign({ groups: 'dba', exp: 1 })}` },
    { authorization: `Bearer ${keys.sign({ groups: 'dba', cnf: { 'x5t#S256': 'x' } })}` },
    { authorization: `Bearer ${keys.sign({ groups: 'DBA' })}` },
    { authorization: `Bearer ${keys.sign({ groups: { dba: true } })}` },
    { authorization: `Bearer ${keys.sign({ groups: [['dba']] })}` },
    { authorization: `Bearer ${keys.sign({ groups: 'dbadmin' })}` },
    { authorization: `Bearer ${stranger.sign({ groups: 'dba' })}` },
    { 'x-forwarded-authorization': `Bearer ${operator}` },
    { cookie: `authorization=Bearer ${operator}` },
  ];
  for (const headers of wrong)
    expect([headers, [401, 403].includes(await get(headers))]).toEqual([headers, true]);
  expect(served).toHaveLength(1);
});

test('a token whose rules only sessions enforce opens nothing here', async () => {
  const port = await start();
  for (const postern of [{ cidrs: ['10.0.0.0/8'] }, { databases: ['orders'] }, { max_connections: 1 }]) {
    const token = here.keys.sign({ groups: 'dba', postern });
    const { status } = await fetch(`http://127.0.0.1:${port}/sessions`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect([postern, status]).toEqual([postern, 401]);
  }
});

test('another issuer makes no operators where the config names one', async () => {
  const partner = issuer({ issuer: 'https://partner.example', algorithms: ['ES256'] });
  const both = jwt({ issuers: [here.keys.options, partner.options] });
  const admin = { port: 0, operators: { claim: 'groups', value: 'dba', issuer: here.keys.issuer } };
  const { adminPort } = await here.gateway({ plugins: [both, mounting], admin });
  const get = async (token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(`http://127.0.0.1:${adminPort}/sessions`, { headers })).status;
  };
  expect(await get(here.keys.sign({ groups: 'dba' }))).toBe(200);
  expect(await get(partner.sign({ groups: 'dba' }))).toBe(403);
});

test('no spelling of a path leads past the question who is asking', async () => {
  const port = await start();
  const paths = [
    '/sessions/',
    '//sessions',
    '/./sessions',
    '/livez/../sessions',
    '/%73essions',
    '/sessions?public',
  ];
  paths.push(
    '/SESSIONS',
    '/sessions%00',
    '/sessions;x',
    '/sessions/1',
    'http://x/sessions',
    '/livez/%2e%2e/sessions',
  );
  for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS', 'DELETE', 'PURGE', 'CONNECT']) {
    for (const path of paths) {
      const answer = await raw(port, `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      expect([method, path, answer.includes('secret')]).toEqual([method, path, false]);
    }
  }
  expect(served).toEqual([]);
});

test('requests that are none do not bring it down', async () => {
  const port = await start();
  const odd = [
    'GET /livez HTTP/1.1\r\n\r\n',
    'GET /livez HTTP/1.0\r\n\r\n',
    'GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n',
    'GET /livez HTTP/1.1\r\nHost: \u0000\r\n\r\n',
    'GET /livez HTTP/1.1\r\nHost: [\r\n\r\n',
    'GET * HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET http://[::bad/livez HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    `GET /livez HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
    `GET /livez HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${'a.'.repeat(5_000)}\r\n\r\n`,
    'POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\nx',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\u0016\u0003\u0001',
  ];
  for (const text of odd) await raw(port, text);
  expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
});

test('a route that throws, answers nothing or is left in the middle harms only its own request', async () => {
  const port = await start();
  const authorization = `Bearer ${here.keys.sign({ groups: 'dba' })}`;
  for (const path of ['/text', '/thrown', '/nothing']) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization } });
    expect([path, response.status >= 400]).toEqual([path, true]);
    expect(await response.text()).not.toContain('canary');
  }
  const head = `POST /body HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Length: 100\r\n\r\nhalf`;
  await raw(port, head);
  expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
});
