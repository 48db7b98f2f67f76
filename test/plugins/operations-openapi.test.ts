/** The OpenAPI document is valid, and says of the routes what they do. */
import { Validator } from '@seriousme/openapi-schema-validator';
import { afterEach, describe, expect, inject, test } from 'vitest';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { operatedConfig, startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';

interface Operation {
  readonly security: readonly object[];
  readonly responses: Readonly<Record<string, unknown>>;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
}
interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const running: Operated[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.gateway.stop();
});

async function start(...more: readonly AnyPlugin[]): Promise<Operated> {
  const usual = operatedConfig(inject('postgres'));
  const one = await startOperated(inject('postgres'), { plugins: [...usual.plugins, ...more] });
  running.push(one);
  return one;
}

async function documentOf(one: Operated): Promise<Document> {
  const { status, body } = await one.ask('GET', '/openapi.json', '');
  expect(status).toBe(200);
  return body as Document;
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

describe('/openapi.json', () => {
  test('is valid OpenAPI 3.1, and shown to whoever asks', async () => {
    const document = await documentOf(await start());
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(await new Validator().validate({ ...document })).toMatchObject({ valid: true });
  });

  test('names every route that comes with Postern', async () => {
    const { paths } = await documentOf(await start());
    expect(Object.keys(paths)).toEqual([
      '/livez',
      '/readyz',
      '/openapi.json',
      '/v1/databases',
      '/v1/databases/{name}',
      '/v1/databases/{name}/pause',
      '/v1/databases/{name}/resume',
      '/v1/databases/{name}/disable',
      '/v1/databases/{name}/enable',
      '/v1/databases/{name}/reconnect',
      '/v1/databases/{name}/wait-close',
      '/v1/databases/{name}/kill',
      '/v1/sessions',
      '/v1/sessions/{id}',
      '/v1/pools',
      '/v1/plugins',
      '/v1/fleet',
      '/v1/reload',
      '/v1/suspend',
      '/v1/resume',
      '/v1/shutdown',
      '/v1/revocations',
      '/v1/keys/purge',
    ]);
  });

  test('is so: other methods are refused with those that are there, strangers with 401', async () => {
    const one = await start();
    const { paths } = await documentOf(one);
    for (const [path, operations] of Object.entries(paths)) {
      const address = `http://127.0.0.1:${one.adminPort}${path.replace(/\{\w+\}/g, 'x')}`;
      const isPublic = Object.values(operations).every(({ security }) => security.length === 0);
      if (!isPublic) {
        const wrong = METHODS.find((method) => !Object.hasOwn(operations, method)) ?? '';
        const headers = { authorization: `Bearer ${one.operator}` };
        const answer = await fetch(address, { method: wrong.toUpperCase(), headers });
        expect([path, answer.status]).toEqual([path, 405]);
        expect(answer.headers.get('allow')?.toLowerCase()).toContain(Object.keys(operations)[0]);
      }
      for (const method of Object.keys(operations)) {
        const { status } = await fetch(address, { method: method.toUpperCase() });
        expect([path, method, status]).toEqual([path, method, isPublic ? 200 : 401]);
      }
    }
  });

  test('has what plugins say of their routes, and not those that say nothing', async () => {
    const get = { summary: 'A thing', responses: { 200: { description: 'It.' } } };
    const handler = ({ method }: Request): Response => new Response(method);
    const one = await start({
      name: 'things',
      setup(gateway) {
        gateway.route('/things/:id', handler, { openapi: { get } });
        gateway.route('/open', handler, { public: true, openapi: { get: { ...get, security: 'caller' } } });
        gateway.route('/silent', handler);
      },
    });
    const document = await documentOf(one);
    expect(await new Validator().validate({ ...document })).toMatchObject({ valid: true });
    const things = document.paths['/things/{id}']?.['get'];
    expect(things?.parameters).toEqual([
      { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
    ]);
    expect(things?.security).toEqual([{ operator: [] }]);
    expect(Object.keys(things?.responses ?? {})).toEqual(['200', '401', '403', 'default']);
    expect(document.paths['/open']?.['get']?.security).toEqual([{ caller: [] }]);
    expect(document.paths).not.toHaveProperty('/silent');
    const headers = { authorization: `Bearer ${one.operator}` };
    const at = async (path: string, method: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${one.adminPort}${path}`, { method, headers })).status;
    expect([await at('/things/1', 'HEAD'), await at('/things/1', 'POST')]).toEqual([200, 405]);
    expect(await at('/silent', 'POST')).toBe(200);
  });
});

test('operators see pools and plugins', async () => {
  const one = await start({
    name: 'lame',
    setup(gateway) {
      gateway.ready(() => 'the moon is not full');
    },
  });
  const client = await one.client();
  await client.query('select 1');
  const pools = await one.ask('GET', '/v1/pools');
  expect(pools).toEqual({
    status: 200,
    body: {
      pools: [
        {
          database: 'orders',
          role: 'reader',
          sessions: 1,
          waiting: 0,
          longestWaitMs: 0,
          servers: { opening: 0, idle: 0, resetting: 0, lent: 1, closing: 0 },
        },
      ],
    },
  });
  await client.end();
  const plugins = await one.ask('GET', '/v1/plugins');
  const empty = { provides: [], needs: [], enforces: [], hooks: [], problems: [] };
  expect(plugins).toEqual({
    status: 200,
    body: {
      plugins: [
        { ...empty, name: 'operations' },
        {
          ...empty,
          name: 'jwt',
          credentials: ['password', 'oauthbearer'],
          provides: ['identity', 'rules'],
          hooks: ['onAuth', 'onClose'],
        },
        { ...empty, name: 'roles', needs: ['identity'], enforces: ['target'], hooks: ['onAuth'] },
        { ...empty, name: 'console' },
        { ...empty, name: 'lame', problems: ['the moon is not full'] },
      ],
    },
  });
});
