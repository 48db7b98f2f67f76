/** Database names: nothing about them before the token, nothing of them in another's place, limits for all of them. */
import { expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import { parseDatabase } from '../../../core/contract/names.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { databaseOf, logIn, mapTo } from '../../support/gateway.ts';
import { message, startup } from '../../support/raw-client.ts';
import { attacked } from './attacked.ts';

const here = attacked();

const STRANGE = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '*',
  'no such',
  'ORDERS',
  'orders ',
  'ordersé',
];
STRANGE.push(
  'a'.repeat(63),
  "'; drop table x; --",
  '../orders',
  'orders?sslmode=disable',
  '\u202eorders',
  '0',
);

test('every name that is not served reads the same: 28P01 without a token, 3D000 with one', async () => {
  const { port } = await here.gateway();
  const before = here.proxy.count();
  for (const database of STRANGE) {
    const bad = logIn(await here.connect(port), { user: '_', database }, { token: 'bad' });
    await expect(bad, database).rejects.toThrow('"C":"28P01"');
    const good = logIn(await here.connect(port), { user: '_', database }, { token: here.keys.sign() });
    await expect(good, database).rejects.toThrow('"C":"3D000"');
  }
  expect(here.proxy.count()).toBe(before);
});

test('under a star, names that PostgreSQL may have but the gateway cannot pass on are 3D000 as well', async () => {
  const { proxy } = here;
  const star = databaseOf(here.postgres, { host: proxy.host, port: proxy.port });
  const { database: _, ...rest } = star;
  const { port } = await here.gateway({ databases: { '*': rest } });
  for (const database of STRANGE) {
    const bad = logIn(await here.connect(port), { user: '_', database }, { token: 'bad' });
    await expect(bad, database).rejects.toThrow('"C":"28P01"');
    const good = logIn(await here.connect(port), { user: '_', database }, { token: here.keys.sign() });
    await expect(good, database).rejects.toThrow('"C":"3D000"');
  }
});

test('names beyond 63 bytes, and none at all, are refused without a question', async () => {
  const { port } = await here.gateway();
  for (const database of ['a'.repeat(64), 'é'.repeat(32), 'a'.repeat(5000)]) {
    const client = await here.connect(port);
    client.send(startup({ user: '_', database }));
    expect((await client.error())['C']).toBe('3D000');
  }
});

test('a database function is not asked for whoever has no good token', async () => {
  const asked: string[] = [];
  const orders = databaseOf(here.postgres, { database: here.database });
  const { port } = await here.gateway({
    databases: (name) => {
      asked.push(name);
      return name === 'orders' ? orders : undefined;
    },
  });
  for (const token of ['bad', here.keys.sign({ aud: 'other' })]) {
    await expect(logIn(await here.connect(port), { user: '_' }, { token })).rejects.toThrow('28P01');
  }
  const client = await here.connect(port);
  client.send(startup({ user: '_', database: 'orders' }));
  await client.until('R');
  expect(asked).toEqual([]);
  await logIn(await here.connect(port), { user: '_' }, { token: here.keys.sign() });
  expect(asked).toEqual(['orders']);
});

test('a database function that makes its entry anew each time has one pool, and its limit holds', async () => {
  const { port } = await here.gateway({
    databases: (name) => ({
      ...databaseOf(here.postgres, { database: here.database, pool: { size: 2 } }),
      login: {
        kind: 'password',
        passwords: (role) => (name === 'orders' ? here.postgres.passwords[role as 'reader'] : undefined),
      },
    }),
    loginTimeout: '3s',
  });
  const token = here.keys.sign();
  for (const _ of [1, 2]) await logIn(await here.connect(port), { user: '_' }, { token });
  // Waits for a place until the deadline.
  await expect(logIn(await here.connect(port), { user: '_' }, { token })).rejects.toThrow('57014');
  expect(await here.backends()).toBe(2);
});

test('a plugin can lead to another entry, whose server database it then is', async () => {
  const { proxy, database } = here;
  const real = databaseOf(here.postgres, { host: proxy.host, port: proxy.port, database });
  const leading: AnyPlugin = {
    name: 'leading',
    onAuth: (_, upstream) => ({ ...upstream, entry: upstream.entry === 'nowhere' ? 'gone' : 'real' }),
  };
  const { port } = await here.gateway({ databases: { real }, plugins: [mapTo('reader'), leading] });
  const { client } = await logIn(await here.connect(port), { database: 'a name with spaces' });
  client.send(message('Q', 'select current_database()\0'));
  const row = (await client.until('Z')).find(({ type }) => type === 'D');
  expect(row?.body.toString()).toContain(database);
  await expect(logIn(await here.connect(port), { database: 'nowhere' })).rejects.toThrow('"C":"3D000"');
});

test('a plugin can choose the database on the server, and keeps that choice', async () => {
  const { database } = here;
  const choosing: AnyPlugin = {
    name: 'choosing',
    onAuth: (_, upstream) => ({ ...upstream, database: parseDatabase(database) }),
  };
  const orders = databaseOf(here.postgres, { database: 'postgres' });
  const { port } = await here.gateway({ databases: { orders }, plugins: [mapTo('reader'), choosing] });
  const { client } = await logIn(await here.connect(port));
  client.send(message('Q', 'select current_database()\0'));
  const row = (await client.until('Z')).find(({ type }) => type === 'D');
  expect(row?.body.toString()).toContain(database);
});

test('what a database function throws after the token is its own error or XX000, never a hang', async () => {
  const { port } = await here.gateway({
    databases: async (name) => {
      if (name === 'refused') throw new GatewayError('too_many_connections', 'tenant is suspended');
      throw new Error('canary: directory down');
    },
  });
  for (const [database, code] of [
    ['refused', '53300'],
    ['broken', 'XX000'],
  ] as const) {
    const login = logIn(await here.connect(port), { user: '_', database }, { token: here.keys.sign() });
    const error: unknown = await login.catch((reason: unknown) => reason);
    expect(String(error)).toContain(`"C":"${code}"`);
    expect(String(error)).not.toContain('canary');
  }
});
