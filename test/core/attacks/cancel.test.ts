/** Cancel requests: only the owner's, only what runs, and no number of them disturbs anybody. */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { databaseOf, logIn } from '../../support/gateway.ts';
import type { LoggedIn } from '../../support/gateway.ts';
import { cancelRequest, message, startup } from '../../support/raw-client.ts';
import { attacked } from './attacked.ts';

const here = attacked();

async function session(port: number): Promise<LoggedIn> {
  return logIn(await here.connect(port), { user: '_' }, { token: here.keys.sign(), minor: 2 });
}

async function cancel(port: number, processId: number, secret: Buffer): Promise<void> {
  const client = await here.connect(port);
  client.send(cancelRequest(processId, secret));
  expect((await client.rest()).length).toBe(0);
}

test('guesses near a key hit nothing and open no connection to PostgreSQL', async () => {
  const { port } = await here.gateway();
  const { client, processId, secret } = await session(port);
  client.send(message('Q', 'select pg_sleep(2)\0'));
  const before = here.proxy.count();
  const longer = Buffer.concat([secret, Buffer.alloc(1)]);
  const flipped = Buffer.from(secret);
  flipped.writeUInt8(flipped.readUInt8(31) ^ 1, 31);
  for (const wrong of [secret.subarray(0, 31), secret.subarray(0, 4), longer, flipped, randomBytes(256)]) {
    await cancel(port, processId, wrong);
  }
  await cancel(port, processId + 1, secret);
  await cancel(port, 0, secret);
  await cancel(port, 0xffff_ffff, secret);
  expect(here.proxy.count()).toBe(before);
  const answer = await client.until('Z');
  expect(answer.map(({ type }) => type).join('')).toBe('TDCZ');
});

test('a flood of good cancels is one cancel at a time, and hits nothing that comes later', async () => {
  const { port } = await here.gateway();
  const { client, processId, secret } = await session(port);
  client.send(message('Q', 'select pg_sleep(20)\0'));
  await expect.poll(() => here.backends()).toBe(1);
  const before = here.proxy.count();
  await Promise.all(Array.from({ length: 200 }, () => cancel(port, processId, secret)));
  expect((await client.until('E')).at(-1)?.body.toString()).toContain('C57014');
  expect((await client.message()).type).toBe('Z');
  expect(here.proxy.count() - before).toBeLessThan(20);
  for (let round = 0; round < 50; round += 1) {
    const late = cancel(port, processId, secret);
    await late;
    client.send(message('Q', 'select pg_sleep(0.002)\0'));
    expect((await client.until('Z')).map(({ type }) => type).join('')).toBe('TDCZ');
  }
});

test('a key is of no use before its session is logged in and after it has ended', async () => {
  const { port } = await here.gateway({ loginTimeout: '10s' });
  const first = await session(port);
  first.client.send(message('X'));
  await first.client.rest();
  const before = here.proxy.count();
  await cancel(port, first.processId, first.secret);
  const waiting = await here.connect(port);
  waiting.send(startup({ user: '_', database: 'orders' }));
  await waiting.until('R');
  for (let processId = 1; processId < 50; processId += 1) await cancel(port, processId, Buffer.alloc(4));
  expect(here.proxy.count()).toBe(before);
  waiting.send(message('p', `${here.keys.sign()}\0`));
  await waiting.until('Z');
});

test('a cancel that hangs at the server ends with its own deadline and keeps nobody else waiting', async () => {
  const { proxy, database } = here;
  const orders = databaseOf(here.postgres, { host: proxy.host, port: proxy.port, database });
  const { port } = await here.gateway({ databases: { orders }, loginTimeout: '3s' });
  const { client, processId, secret } = await session(port);
  // Idle: nothing to cancel, and nothing is connected.
  const before = proxy.count();
  await Promise.all(Array.from({ length: 100 }, () => cancel(port, processId, secret)));
  expect(proxy.count()).toBe(before);
  client.send(message('Q', 'select 1\0'));
  expect((await client.until('Z')).at(-1)?.type).toBe('Z');
});
