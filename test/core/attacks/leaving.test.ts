/** Clients, deadlines and shutdowns at every moment of a login: nothing may be left, and nobody may slip in. */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import type { CloseReason, Session } from '../../../core/contract/session.ts';
import { GOOD_TOKEN, logIn, mapTo } from '../../support/gateway.ts';
import { message, startup } from '../../support/raw-client.ts';
import { attacked } from './attacked.ts';

const here = attacked();
const HELLO = startup({ user: '_', database: 'orders' });

/** Promise reactions in a row, all before the next event. */
async function microtasks(count: number): Promise<void> {
  for (let done = 0; done < count; done += 1) await Promise.resolve();
}

/** Counts what each session must have exactly once. */
function counting(): {
  plugin: AnyPlugin;
  started: Session[];
  closed: CloseReason[];
  released: () => number;
} {
  const started: Session[] = [];
  const closed: CloseReason[] = [];
  let released = 0;
  const plugin: AnyPlugin = {
    name: 'counting',
    onStartup(session) {
      started.push(session);
      session.defer(() => void (released += 1));
    },
    onClose: (_, reason) => void closed.push(reason),
  };
  return { plugin, started, closed, released: () => released };
}

test('a session that is ended in any microtask between its login and its relay does not go on', async () => {
  const { plugin, closed } = counting();
  let wait = 0;
  const on: AnyPlugin['on'] = {
    connect: ({ session }) =>
      void microtasks(wait).then(() =>
        session.end(new GatewayError('too_many_connections', 'no room for you')),
      ),
  };
  const { port } = await here.gateway({ plugins: [plugin, mapTo('reader'), { name: 'ending', on }] });
  for (wait = 0; wait < 24; wait += 1) {
    const client = await here.connect(port);
    client.send(HELLO);
    await client.until('R');
    client.send(message('p', `${GOOD_TOKEN}\0`));
    // Before the relay a refusal, after it a FATAL: in both cases the last thing said.
    const all = await client.rest();
    expect([wait, all.includes('C53300\0')]).toEqual([wait, true]);
  }
  await expect.poll(() => closed.length).toBe(24);
  await expect.poll(() => here.backends()).toBe(0);
});

test('a token that was asked for and is awaited later harms nobody when its client leaves meanwhile', async () => {
  const { plugin, closed } = counting();
  const late: AnyPlugin = {
    name: 'late',
    async onAuth(session) {
      const token = session.token();
      await sleep(30);
      await token;
    },
  };
  const { port } = await here.gateway({ plugins: [plugin, late] });
  const client = await here.connect(port);
  client.send(HELLO);
  await client.until('R');
  client.destroy();
  await expect.poll(() => closed).toEqual([{ kind: 'lost' }]);
});

test('onClose comes after an onQuery that its session did not wait for', async () => {
  const order: string[] = [];
  let think = (): void => {};
  const thinking: AnyPlugin = {
    name: 'thinking',
    async onQuery() {
      order.push('query');
      await new Promise<void>((resolve) => (think = resolve));
      order.push('thought');
    },
    onClose: () => void order.push('close'),
  };
  const { port } = await here.gateway({ plugins: [mapTo('reader'), thinking] });
  const { client } = await logIn(await here.connect(port));
  client.send(message('Q', 'select 1\0'));
  await expect.poll(() => order).toEqual(['query']);
  client.destroy();
  await expect.poll(() => here.backends()).toBe(0);
  think();
  await expect.poll(() => order).toEqual(['query', 'thought', 'close']);
});

test('onClose comes after an in-band answer that its session did not wait for', async () => {
  const order: string[] = [];
  let answer = (): void => {};
  const answering: AnyPlugin = {
    name: 'answering',
    inBand: {
      'postern.x': async () => {
        order.push('asked');
        await new Promise<void>((resolve) => (answer = resolve));
        order.push('answered');
      },
    },
    onClose: () => void order.push('close'),
  };
  const { port } = await here.gateway({ plugins: [mapTo('reader'), answering] });
  const { client } = await logIn(await here.connect(port));
  client.send(message('Q', "SET postern.x = 'y'\0"));
  await expect.poll(() => order).toEqual(['asked']);
  client.destroy();
  await expect.poll(() => here.backends()).toBe(0);
  answer();
  await expect.poll(() => order).toEqual(['asked', 'answered', 'close']);
});

test('a plugin that ends a session with something else than a GatewayError ends it all the same', async () => {
  const { plugin, closed } = counting();
  const wrong = new TypeError('not for clients') as unknown as GatewayError;
  const ending: AnyPlugin = {
    name: 'ending',
    onAuth: (session) => {
      if (session.startup.user === 'at-once') session.end(wrong);
      if (session.startup.user === 'by-timer') session.endAt(new Date(Date.now() + 3_000), wrong);
    },
  };
  const { port } = await here.gateway({ plugins: [plugin, mapTo('reader'), ending] });
  await expect(logIn(await here.connect(port), { user: 'at-once' })).rejects.toThrow('"C":"XX000"');
  const { client } = await logIn(await here.connect(port), { user: 'by-timer' });
  const error = await client.error();
  expect([error['C'], error['M']?.includes('not for clients')]).toEqual(['XX000', false]);
  await expect.poll(() => closed.length).toBe(2);
});

test('a thousand clients that leave at random moments leave no place taken, no session, no timer', async () => {
  const { plugin, started, closed, released } = counting();
  const { proxy, database, policies, keys } = here;
  const login = { kind: 'password', passwords: here.postgres.passwords } as const;
  const orders = {
    host: proxy.host,
    port: proxy.port,
    database,
    login,
    pool: { size: 4, idleTimeout: '100ms' },
  } as const;
  const running = await here.gateway({ databases: { orders }, plugins: [plugin, ...policies] });
  const token = message('p', `${keys.sign()}\0`);
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  let random = 7;
  const next = (below: number): number => (random = (random * 48_271) % 2_147_483_647) % below;
  const one = async (): Promise<void> => {
    const client = await here.connect(running.port);
    client.send(HELLO);
    if (next(5) === 0) await nextTurn();
    else await client.until('R').then(() => client.send(token));
    await sleep(next(40));
    client.destroy();
  };
  for (let done = 0; done < 1_000; done += 50) await Promise.all(Array.from({ length: 50 }, one));
  await expect.poll(() => closed.length, { timeout: 60_000 }).toBe(started.length);
  expect([started.length > 500, released()]).toEqual([true, started.length]);
  await expect.poll(() => here.backends()).toBe(0);
  await expect.poll(timers).toBeLessThanOrEqual(before);
  // Every place is free again, and there are four.
  const four = await Promise.all(
    [1, 2, 3, 4].map(async () =>
      logIn(await here.connect(running.port), { user: '_' }, { token: keys.sign() }),
    ),
  );
  expect(four).toHaveLength(4);
});
