/** Operations over HTTP: where the routes are, who is told that they lack, and what a request that waits leaves behind. */
import { expect, inject, onTestFinished, test } from 'vitest';
import type { AnyPlugin } from '../../core/index.ts';
import { operations } from '../../plugins/operations/index.ts';
import { operatedConfig, startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';

const IDLE = 'admin.operators: no plugin of the config takes the orders of operators';

async function start(
  plugins: (usual: readonly AnyPlugin[]) => readonly AnyPlugin[],
  admin = {},
): Promise<Operated> {
  const usual = operatedConfig(inject('postgres'));
  const running = await startOperated(inject('postgres'), {
    plugins: plugins(usual.plugins as readonly AnyPlugin[]),
    admin: { ...usual.admin, ...admin },
  });
  onTestFinished(() => running.gateway.stop());
  return running;
}

const without = (usual: readonly AnyPlugin[]): readonly AnyPlugin[] =>
  usual.filter(({ name }) => name !== 'operations' && name !== 'console');

test('operators without a plugin that takes their orders: a warning says which to list, and the routes are not there', async () => {
  const running = await start(without);
  expect(running.lines(IDLE)).toMatchObject([{ level: 'warn', list: ['console()', 'operations()'] }]);
  expect((await running.ask('GET', '/v1/databases')).status).toBe(404);
  expect((await fetch(`http://127.0.0.1:${running.adminPort}/livez`)).status).toBe(200);
});

test('with the plugin, or without operators, there is no such warning', async () => {
  expect((await start((usual) => usual)).lines(IDLE)).toEqual([]);
  expect((await start(without, { operators: undefined })).lines(IDLE)).toEqual([]);
});

test('wait says how long a request waits that does not say it itself', async () => {
  const running = await start((usual) => [operations({ wait: '50ms' }), ...without(usual)]);
  const client = await running.client();
  const paused = await running.ask('POST', '/v1/databases/orders/pause');
  expect([paused.status, paused.body]).toMatchObject([202, { paused: true, connections: 1 }]);
  const { body } = await running.ask('GET', '/openapi.json', '');
  const post = (body as { paths: Record<string, { post: { parameters: object[] } }> }).paths[
    '/v1/databases/{name}/pause'
  ]?.post;
  const parameters = [{}, { name: 'wait', schema: { default: '50ms' } }, { name: 'scope' }, { name: 'for' }];
  expect(post?.parameters).toMatchObject(parameters);
  await client.end();
});

test('what an order begins is not the plugin’s: a request that waits for it is no call that is cut off', async () => {
  const running = await start((usual) => usual);
  const client = await running.client();
  client.on('error', () => {});
  const waiting = running.ask('POST', '/v1/databases/orders/pause?wait=10m').catch(() => 'closed');
  await expect
    .poll(async () => (await running.ask('GET', '/v1/databases/orders')).body)
    .toMatchObject({ paused: true });
  await running.gateway.stop();
  await waiting;
  expect(running.lines('cut off at the end')).toEqual([]);
});
