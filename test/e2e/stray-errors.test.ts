/** What nobody catches: a plugin's stray rejections, throwing timers and blocking hooks are its own, and everybody else goes on. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { prepareCheckout } from '../support/gateway-process.ts';
import { freePort } from '../support/free-port.ts';
import { logIn } from '../support/gateway.ts';
import type { LogLine } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { RawClient, message } from '../support/raw-client.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

const postgres = sharedPostgres();

/** Misbehaves where `application_name` says so, or the path of the request: `onAuth timer`. */
const PLUGIN = `
import type { Plugin, Session } from 'postern';

const acts = {
  rejection(where: string) { void Promise.reject(new Error('stray in ' + where)); },
  timer(where: string) { setTimeout(() => { throw new Error('stray in ' + where); }, 1); },
  later(where: string) { void new Promise((resolve) => setTimeout(resolve, 1)).then(() => { throw new Error('stray in ' + where); }); },
  block() { const until = performance.now() + 150; while (performance.now() < until); },
};
type Act = keyof typeof acts;

const act = (where: string, session: Session): void => {
  const [place, what] = (session.startup.parameters['application_name'] ?? '').split(' ');
  if (place === where) acts[what as Act](where);
};
const moment = () => new Promise((resolve) => setTimeout(resolve, 1));

/** The same behind an await. */
export function patient(): Plugin<never, never, 'patient'> {
  const later = (where: string) => async (session: Session) => { await moment(); act(where, session); };
  return {
    name: 'patient',
    checks: { identity: (_, session) => later('check-later')(session) },
    onStartup: later('onStartup-later'),
    onAuth: later('onAuth-later'),
    onQuery: later('onQuery-later'),
    onClose: later('onClose-later'),
    inBand: { 'postern.wait': later('inBand-later') },
  };
}

export function misbehaving(): Plugin<never, never, 'misbehaving'> {
  return {
    name: 'misbehaving',
    setup(gateway) {
      gateway.signal.addEventListener('abort', () => { throw new Error('stray in gateway.signal'); });
      let ready: Act | undefined;
      gateway.ready(() => { if (ready) acts[ready]('ready'); ready = undefined; });
      gateway.route('/act', async (request) => {
        const [where, what] = new URL(request.url).searchParams.get('act')?.split(' ') ?? [];
        if (where === 'ready') ready = what as Act;
        if (where === 'route') acts[what as Act]('route');
        return new Response('done');
      }, { public: true });
      gateway.route('/wait', async (request) => {
        await moment();
        acts[new URL(request.url).searchParams.get('act')?.split(' ')[1] as Act]('awaited');
        return new Response('done');
      }, { public: true });
      gateway.route('/later', () => {
        setTimeout(() => acts.timer('setup'), 1);
        return new Response('done');
      }, { public: true });
      return () => acts.timer('disposer');
    },
    checks: { identity: (_, session) => act('check', session) },
    onStartup(session) {
      act('onStartup', session);
      const [where] = (session.startup.parameters['application_name'] ?? '').split(' ');
      if (where === 'defer') session.defer(() => act('defer', session));
      if (where === 'signal') session.signal.addEventListener('abort', () => { throw new Error('stray in signal'); });
      if (where === 'asyncSignal') session.signal.addEventListener('abort', async () => { throw new Error('stray in asyncSignal'); });
    },
    onAuth(session, upstream) {
      act('onAuth', session);
      const ask = () => { act('onCheckout', session); return {}; };
      return { ...upstream, onCheckout: [...upstream.onCheckout, ask] };
    },
    onQuery: (session) => act('onQuery', session),
    onClose: (session) => act('onClose', session),
    inBand: { 'postern.act': (session) => act('inBand', session) },
    on: { login: ({ session }) => act('observer', session) },
    observe: (session) => ({ statement: () => act('statement', session) }),
  };
}
`;

let running: TokenGateway;
let bystander: RawClient;
let adminPort = 0;

beforeAll(async () => {
  prepareCheckout();
  adminPort = await freePort();
  running = await startTokenGateway(postgres, {
    files: { 'misbehaving.ts': PLUGIN },
    before: `import { misbehaving, patient } from './misbehaving.ts';`,
    plugins: 'misbehaving(), patient(),',
    more: `admin: { port: ${adminPort} }`,
  });
  bystander = await login('');
}, 120_000);
afterAll(() => running.gateway.remove());

async function login(applicationName: string): Promise<RawClient> {
  const client = await RawClient.connect(running.gateway.port);
  const { password: token } = running.address();
  await logIn(client, { user: '_', application_name: applicationName }, { token });
  return client;
}

const query = (text: string): Buffer => message('Q', `${text}\0`);

/** A session from its login to its end. */
async function visit(applicationName: string): Promise<void> {
  const client = await login(applicationName);
  client.send(query('select 1'));
  await client.until('Z');
  for (const name of ['act', 'wait']) {
    client.send(query(`set postern.${name} = 'x'`));
    await client.until('Z');
  }
  client.send(message('X'));
  await client.rest();
}

async function isServed(client: RawClient): Promise<boolean> {
  client.send(query('select 1'));
  return (await client.until('Z')).some(({ type }) => type === 'D');
}

/** Lines of the log that tell of a stray error with this text. */
const told = (where: string): LogLine[] =>
  ['unhandled rejection', 'uncaught exception'].flatMap((msg) =>
    running.gateway.lines(msg).filter(({ error }) => String(error).includes(`stray in ${where}\n`)),
  );

const PLACES = [
  ['onStartup', 'misbehaving', 'onStartup'],
  ['onAuth', 'misbehaving', 'onAuth'],
  ['onCheckout', 'misbehaving', 'onCheckout'],
  ['check', 'misbehaving', 'checks.identity'],
  ['onQuery', 'misbehaving', 'onQuery'],
  ['inBand', 'misbehaving', 'inBand.postern.act'],
  ['observer', 'misbehaving', 'on.login'],
  ['statement', 'misbehaving', 'observe.statement'],
  ['onClose', 'misbehaving', 'onClose'],
  ['defer', 'misbehaving', 'defer'],
  ['onStartup-later', 'patient', 'onStartup'],
  ['onAuth-later', 'patient', 'onAuth'],
  ['check-later', 'patient', 'checks.identity'],
  ['onQuery-later', 'patient', 'onQuery'],
  ['inBand-later', 'patient', 'inBand.postern.wait'],
  ['onClose-later', 'patient', 'onClose'],
] as const;

describe.each(PLACES)('in %s', (where, plugin, hook) => {
  test.each([
    ['rejection', 'unhandled rejection'],
    ['later', 'unhandled rejection'],
    ['timer', 'uncaught exception'],
  ])('a stray %s is told, with an id and the plugin, and ends nobody', async (what, msg) => {
    const before = told(where).length;
    await visit(`${where} ${what}`);
    await expect.poll(() => told(where).length).toBeGreaterThan(before);
    for (const line of told(where).slice(before))
      expect(line).toMatchObject({
        level: 'error',
        plugin,
        hook,
        msg,
        errorId: expect.stringMatching(/^[0-9a-f]{8}$/) as unknown,
      });
    expect(await isServed(bystander)).toBe(true);
  });

  test('what blocks the event loop is told, with the plugin', async () => {
    const mine = (): LogLine[] =>
      running.gateway
        .lines('a plugin blocked the event loop')
        .filter((line) => line['plugin'] === plugin && line['hook'] === hook);
    await visit(`${where} block`);
    await expect.poll(mine).not.toEqual([]);
    expect(mine()[0]).toMatchObject({ level: 'warn', durationMs: expect.any(Number) as unknown });
  });
});

test.each(['signal', 'asyncSignal'])(
  'a listener of session.signal that throws is the plugin’s: %s',
  async (where) => {
    await visit(where);
    await expect.poll(() => told(where)).toMatchObject([{ plugin: 'misbehaving', hook: 'signal' }]);
    expect(await isServed(bystander)).toBe(true);
  },
);

const ask = async (path: string): Promise<string> =>
  (await fetch(`http://127.0.0.1:${adminPort}${path}`)).text();

test.each([
  ['route', '/act', 'route /act'],
  ['awaited', '/wait', 'route /wait'],
  ['ready', '/act', 'ready'],
])('what a plugin does for admin is the plugin’s: %s', async (where, path, hook) => {
  for (const what of ['rejection', 'timer', 'later', 'block']) {
    await ask(`${path}?act=${where}%20${what}`);
    expect(await ask('/readyz')).toBe('ready\n');
  }
  await expect.poll(() => told(where)).toHaveLength(3);
  for (const line of told(where)) expect(line).toMatchObject({ plugin: 'misbehaving', hook });
  await expect
    .poll(() => running.gateway.lines('a plugin blocked the event loop'))
    .toContainEqual(expect.objectContaining({ plugin: 'misbehaving', hook }));
});

test('the plugin is known of a timer that a timer has started', async () => {
  await ask('/later');
  await expect.poll(() => told('setup')).toMatchObject([{ plugin: 'misbehaving', hook: 'route /later' }]);
});

test('a gateway that has survived all this ends with 0', async () => {
  expect(await isServed(bystander)).toBe(true);
  running.gateway.signal('SIGTERM');
  expect(await running.gateway.ended()).toBe(0);
  expect(running.gateway.complaints).toBe('');
  // Each worker ends with its own.
  const own = Array.from({ length: workersOf() }, () => ({ plugin: 'misbehaving', hook: 'signal' }));
  expect(told('gateway.signal')).toMatchObject(own);
});

test('what a listener of gateway.signal throws is told also where nothing else has to end', async () => {
  const plugins = `{ name: 'misbehaving', setup(gateway) {
    gateway.signal.addEventListener('abort', () => { throw new Error('stray at the end'); });
  } },`;
  const { gateway } = await startTokenGateway(postgres, { plugins });
  gateway.signal('SIGTERM');
  expect(await gateway.ended()).toBe(0);
  const own = Array.from({ length: workersOf() }, () => ({ plugin: 'misbehaving', hook: 'signal' }));
  expect(gateway.lines('uncaught exception')).toMatchObject(own);
  await gateway.remove();
});

describe('outside of every plugin', () => {
  const before = `let heard = 0;
process.on('SIGUSR2', () => {
  heard += 1;
  if (heard === 1) void Promise.reject(new Error('stray rejection'));
  else setTimeout(() => { throw new Error('stray exception'); }, 1);
});`;

  test('a rejection is told and ends nobody; after an exception the gateway drains and ends with 1', async () => {
    const onlyOne = 'an exception ends the worker that it comes to, and another one takes its place';
    const { gateway, ...own } = await startTokenGateway(postgres, { before, onlyOne });
    try {
      const { password: token } = own.address('writer');
      const client = await RawClient.connect(gateway.port);
      await logIn(client, { user: '_' }, { token });
      client.send(query('begin'));
      await client.until('Z');
      gateway.signal('SIGUSR2');
      await expect.poll(() => gateway.lines('unhandled rejection')).toHaveLength(1);
      expect(gateway.lines('unhandled rejection')[0]).not.toHaveProperty('plugin');
      expect(await isServed(client)).toBe(true);
      gateway.signal('SIGUSR2');
      await expect.poll(() => gateway.lines('draining')).toHaveLength(1);
      expect(gateway.lines('uncaught exception')[0]).toMatchObject({
        errorId: expect.anything() as unknown,
        error: expect.stringContaining('stray exception') as unknown,
      });
      expect(gateway.lines('uncaught exception')[0]).not.toHaveProperty('plugin');
      expect(await isServed(client)).toBe(true);
      client.send(query('commit'));
      await client.until('Z');
      expect(await client.error()).toMatchObject({ C: '57P01' });
      expect(await gateway.ended()).toBe(1);
      expect(gateway.complaints).toBe('');
    } finally {
      await gateway.remove();
    }
  });
});
