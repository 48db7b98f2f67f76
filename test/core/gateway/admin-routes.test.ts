/** The routes of `admin`: how many tokens of strangers are checked at once, and who is answered meanwhile. */
import { once } from 'node:events';
import net from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { Identity } from '../../../core/contract/facts.ts';
import { AdminRoutes } from '../../../core/admin/admin-routes.ts';
import { createLogger } from '../../../core/telemetry/log.ts';
import type { Operators } from '../../../core/admin/operators.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { jwt } from '../../../plugins/jwt/index.ts';
import { startGateway } from '../../support/gateway.ts';
import { issuer } from '../../support/token.ts';

/** As many as are checked at once. */
const MOST = 64;
const OLGA: Identity = { issuer: 'i', subject: 'olga', expiresAt: new Date(2 ** 42), claims: {} };

interface Pending {
  resolve(found: Awaited<ReturnType<Operators['check']>>): void;
  reject(error: unknown): void;
}

/** Routes whose tokens wait until the test decides about them. */
interface Held {
  readonly pending: Pending[];
  readonly ask: (path: string, token?: string) => Promise<Response>;
}

function routes(): Held {
  const pending: Pending[] = [];
  const check = (): ReturnType<Operators['check']> =>
    new Promise((resolve, reject) => pending.push({ resolve, reject }));
  const made = new AdminRoutes({
    operators: { check } as unknown as Operators,
    log: createLogger('silent'),
    checks: () => [],
  });
  made.mount('/secret', () => new Response('secret'));
  made.mount('/open', () => new Response('open'), { public: true });
  const ask = (path: string, token?: string): Promise<Response> =>
    made.answer(
      new Request(
        `http://admin${path}`,
        token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
      ),
    );
  return { pending, ask };
}

test('64 tokens are checked at once: one more is asked to come again, and public paths are answered', async () => {
  const { pending, ask } = routes();
  const waiting = Array.from({ length: MOST }, () => ask('/secret', 'a.b.c'));
  await expect.poll(() => pending.length).toBe(MOST);
  const more = await ask('/secret', 'a.b.c');
  expect([more.status, more.headers.get('retry-after'), pending.length]).toEqual([503, '1', MOST]);
  for (const path of ['/livez', '/readyz', '/open'])
    expect([path, (await ask(path)).status]).toEqual([path, 200]);
  // Without a token there is nothing to check.
  expect((await ask('/secret')).status).toBe(401);
  for (const one of pending) one.resolve({ identity: OLGA });
  for (const one of await Promise.all(waiting))
    expect([one.status, await one.text()]).toEqual([200, 'secret']);
});

test('each check that ends makes room for another one, however it ends', async () => {
  const { pending, ask } = routes();
  const ends: ((one: Pending) => void)[] = [
    (one) => one.resolve({ identity: OLGA }),
    (one) => one.resolve({ why: 'no operator' }),
    (one) => one.reject(new GatewayError('invalid_password', 'no')),
    (one) => one.reject(new Error('a mistake of the verifier')),
  ];
  for (const [round, end] of ends.entries()) {
    const waiting = Array.from({ length: MOST }, () => ask('/secret', 'a.b.c'));
    await expect.poll(() => pending.length).toBe(MOST);
    expect((await ask('/secret', 'a.b.c')).status).toBe(503);
    for (const one of pending.splice(0)) end(one);
    const statuses = new Set((await Promise.all(waiting)).map(({ status }) => status));
    expect([...statuses]).toEqual([[200], [403], [401], [500]][round]);
  }
});

test.each([
  ['throws', () => Promise.reject(new Error('a mistake'))],
  ['throws what is no Error', () => Promise.reject<Response>(null)],
  ['gives no Response', () => undefined as unknown as Response],
])('a route of a plugin that %s is answered with an id, which is in the log', async (_, handler) => {
  const broken: AnyPlugin = {
    name: 'broken',
    setup(gateway) {
      gateway.route('/broken', handler, { public: true });
    },
  };
  const running = await startGateway({ plugins: [broken], databases: {}, admin: { port: 0 } });
  onTestFinished(() => running.gateway.stop());
  const answer = await fetch(`http://127.0.0.1:${running.adminPort}/broken`);
  const [line] = running.lines('internal error');
  expect(line).toMatchObject({ errorId: expect.stringMatching(/^[0-9a-f]{8}$/) });
  expect(answer.status).toBe(500);
  expect(await answer.json()).toEqual({ error: `internal error, id ${String(line?.['errorId'])}` });
});

test('health checks are answered while 256 clients wait for keys that do not come', async () => {
  const keys = issuer({ algorithms: ['ES256'] });
  let hanging = false;
  const given = (): Promise<object> => (hanging ? new Promise(() => {}) : Promise.resolve(keys.jwks));
  const mounting: AnyPlugin = {
    name: 'mounting',
    setup: (gateway) => gateway.route('/secret', () => new Response('secret')),
  };
  const { gateway, adminPort } = await startGateway({
    databases: {},
    plugins: [jwt({ issuers: [{ ...keys.options, jwks: given as never }] }), mounting],
    admin: { port: 0, operators: { claim: 'groups', value: 'dba' } },
  });
  onTestFinished(() => gateway.stop());
  hanging = true;
  const request = `GET /secret HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${keys.sign({ groups: ['dba'] })}\r\n\r\n`;
  const clients = await Promise.all(
    Array.from({ length: 256 }, async () => {
      const socket = net.connect(adminPort, '127.0.0.1').on('error', () => {});
      onTestFinished(() => void socket.destroy());
      const client = { answer: '' };
      socket.on('data', (chunk: Buffer) => (client.answer += String(chunk)));
      await once(socket, 'connect');
      socket.write(request);
      return client;
    }),
  );
  const answered = (status: string): number =>
    clients.filter(({ answer }) => answer.startsWith(`HTTP/1.1 ${status} `)).length;
  // On a busy machine some have waited for the keys as long as they may, and others have come after them.
  await expect.poll(() => clients.filter(({ answer }) => answer === '').length).toBeLessThanOrEqual(MOST);
  expect(answered('503')).toBeGreaterThan(0);
  expect((await fetch(`http://127.0.0.1:${adminPort}/livez`)).status).toBe(200);
  expect((await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status).toBe(200);
});
