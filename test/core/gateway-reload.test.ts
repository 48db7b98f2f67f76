/** A new config under a running gateway: all of it or nothing, for new sessions only. */
import { SingleProcess } from '../../core/workers/single-process.ts';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import type { Client } from 'pg';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { ResolvedConfig } from '../../core/config/check.ts';
import type { DatabaseOptions } from '../../core/contract/database.ts';
import { GatewayError } from '../../core/contract/errors.ts';
import { ConfigVersions } from '../../core/gateway/config-versions.ts';
import { createLogger } from '../../core/telemetry/log.ts';
import { makeShared } from '../../core/gateway/shared.ts';
import type { ListenOptions } from '../../core/contract/listen.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { json, keyIssuer } from '../plugins/key-issuer.ts';
import { certificates } from '../support/certificates.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, pgClient, startGateway } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { issuer } from '../support/token.ts';

let postgres: Postgres;
const stops: (() => Promise<void> | void)[] = [];

beforeAll(() => {
  postgres = sharedPostgres();
});
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

/** What differs between configs of a test; the rest is sensible. Plugins are made anew, as a config file makes them. */
function config(more: Partial<TestConfig> = {}): TestConfig {
  return {
    listen: { port: 0 },
    databases: { orders: databaseOf(postgres) },
    plugins: [mapTo('reader')],
    ...more,
  };
}

async function start(more: Partial<TestConfig> = {}): Promise<RunningGateway> {
  const running = await startGateway(config(more));
  stops.push(() => running.gateway.stop());
  return running;
}

const reload = ({ gateway }: RunningGateway, more: Partial<TestConfig> = {}): Promise<void> =>
  gateway.reload(checkConfig(config(more), tmpdir()));

async function client(running: RunningGateway, database = 'orders', password = GOOD_TOKEN): Promise<Client> {
  const one = pgClient(running, database, password);
  await one.connect();
  stops.push(() => one.end());
  return one;
}

async function raw(port: number): Promise<RawClient> {
  const one = await RawClient.connect(port);
  stops.push(() => one.destroy());
  return one;
}

const ask = async (one: Client, sql: string): Promise<unknown> =>
  Object.values((await one.query<Record<string, unknown>>(sql)).rows[0] ?? {})[0];
const pid = (one: Client): Promise<unknown> => ask(one, 'select pg_backend_pid()');
const page = async (port: number, path: string, token?: string): Promise<string> => {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
  return `${response.status} ${await response.text()}`;
};

/** Tells when it is set up and disposed of, and which session's end it hears of. */
function witness(name: string, calls: string[]): AnyPlugin {
  return {
    name,
    setup() {
      calls.push(`up ${name}`);
      return () => void calls.push(`down ${name}`);
    },
    onStartup: () => void calls.push(`${name} startup`),
    onClose: () => void calls.push(`${name} close`),
  };
}

test('ten reloads a second under load: no error, and every session keeps its server connection', async () => {
  const running = await start();
  const clients = await Promise.all([1, 2, 3, 4].map(() => client(running)));
  const before = await Promise.all(clients.map(pid));
  const over = new AbortController();
  let [queries, logins] = [0, 0];
  const querying = clients.map(async (one) => {
    for (; !over.signal.aborted; queries++) await one.query('select $1::text, pg_sleep(0.001)', ['x']);
  });
  const comingAndGoing = [1, 2].map(async () => {
    for (; !over.signal.aborted; logins++) await (await client(running)).end();
  });
  let count = 0;
  for (; count < 20 || Math.min(queries, logins) <= 20; count++) {
    await Promise.all([
      sleep(100),
      reload(running, { plugins: [witness(`witness-${count}`, []), mapTo('reader')] }),
    ]);
  }
  over.abort();
  await Promise.all([...querying, ...comingAndGoing]);
  expect(await Promise.all(clients.map(pid))).toEqual(before);
  expect(running.lines('reloaded')).toHaveLength(count);
  // A busy machine that lets the gateway wait looks to it like a plugin that does.
  const wrong = running.log().filter(({ level }) => level === 'error' || level === 'warn');
  expect(wrong.filter(({ msg }) => msg !== 'a plugin blocked the event loop')).toEqual([]);
});

test('databases come, go and change for new sessions, and the log says which', async () => {
  const second = await freshDatabase();
  const running = await start({
    databases: { orders: databaseOf(postgres), gone: databaseOf(postgres), same: databaseOf(postgres) },
  });
  const [old, lost] = [await client(running), await client(running, 'gone')];
  await reload(running, {
    databases: {
      orders: databaseOf(postgres, { database: second }),
      same: databaseOf(postgres),
      come: databaseOf(postgres),
    },
  });
  expect(running.lines('reloaded')).toMatchObject([
    { databases: { added: ['come'], removed: ['gone'], changed: ['orders'] } },
  ]);
  expect(await ask(old, 'select current_database()')).toBe('postgres');
  expect(await ask(lost, 'select 1')).toBe(1);
  expect(await ask(await client(running), 'select current_database()')).toBe(second);
  expect(await ask(await client(running, 'come'), 'select 1')).toBe(1);
  await expect(client(running, 'gone')).rejects.toMatchObject({ code: '3D000' });
});

test('a session meets the plugins it began with, and they go when the last such session has ended', async () => {
  const calls: string[] = [];
  const running = await start({ plugins: [witness('a', calls), witness('b', calls), mapTo('reader')] });
  const old = await client(running);
  await reload(running, { plugins: [witness('b', calls), mapTo('reader'), witness('c', calls)] });
  expect(calls.splice(0)).toEqual(['up a', 'up b', 'a startup', 'b startup', 'up b', 'up c']);
  await old.query('select 1');
  const young = await client(running);
  expect(calls.splice(0)).toEqual(['b startup', 'c startup']);
  await reload(running, { plugins: [witness('c', calls), mapTo('reader')] });
  expect(calls.splice(0)).toEqual(['up c']);
  await old.end();
  await expect.poll(() => calls.includes('down a')).toBe(true);
  expect(calls.splice(0)).toEqual(['a close', 'b close', 'down b', 'down a']);
  await young.end();
  await expect.poll(() => calls.includes('down b')).toBe(true);
  expect(calls.splice(0)).toEqual(['b close', 'c close', 'down c', 'down b']);
  await running.gateway.stop();
  expect(calls).toEqual(['down c']);
  expect(running.lines('reloaded').map(({ plugins }) => plugins)).toEqual([
    { added: ['c'], removed: ['a'] },
    { removed: ['b'], order: ['c', 'map-to'] },
  ]);
});

test('a setup that fails leaves the old config in force, and what was set up for the new one is undone', async () => {
  const calls: string[] = [];
  const running = await start({ plugins: [witness('old', calls), mapTo('reader')], admin: { port: 0 } });
  const failing: AnyPlugin = {
    name: 'failing',
    setup(gateway) {
      gateway.route('/new', () => new Response('new'), { public: true });
      throw new Error('no keys');
    },
  };
  const next = {
    databases: {},
    plugins: [witness('new', calls), failing, witness('never', calls)],
    admin: { port: 0 },
  };
  await expect(reload(running, next)).rejects.toThrow("plugin 'failing' did not start: no keys");
  expect(calls.splice(0)).toEqual(['up old', 'up new', 'down new']);
  expect(running.lines('reload failed')).toMatchObject([
    { level: 'error', reason: "plugin 'failing' did not start: no keys" },
  ]);
  await client(running);
  expect(calls).toEqual(['old startup']);
  expect(await page(running.adminPort, '/new')).toMatch(/^404/);
  const [since, failed] =
    /config: as of (\S+Z); the reload of (\S+Z) failed/
      .exec(await page(running.adminPort, '/readyz?verbose'))
      ?.slice(1) ?? [];
  expect(Date.parse(since ?? '')).toBeLessThanOrEqual(Date.parse(failed ?? ''));
  expect(await page(running.adminPort, '/readyz')).toBe('200 ready\n');
  await reload(running, { admin: { port: 0 } });
  expect(await page(running.adminPort, '/readyz?verbose')).toMatch(/config: as of \S+Z\n/);
});

test('kept values outlive reloads and go with the last config that has their plugin', async () => {
  const seen: object[] = [];
  const keeper = (): AnyPlugin => ({
    name: 'keeper',
    setup: (gateway) => void seen.push(gateway.keep('counter', () => ({}))),
  });
  const running = await start({ plugins: [keeper(), mapTo('reader')] });
  await reload(running, { plugins: [keeper(), mapTo('reader')] });
  expect(seen[1]).toBe(seen[0]);
  await reload(running);
  await reload(running, { plugins: [keeper(), mapTo('reader')] });
  expect(seen[2]).not.toBe(seen[0]);
});

test('key sets are not fetched again, and tokens of the time before are good', async () => {
  const keys = issuer({ algorithms: ['ES256'] });
  const server = await keyIssuer(json(keys.jwks));
  const plugins = (): readonly AnyPlugin[] => [
    jwt({ issuers: [{ issuer: keys.issuer, audience: keys.audience, jwks: server.url }] }),
    roles({ claim: 'role', allow: ['reader'] }),
  ];
  const running = await start({ plugins: plugins() });
  const token = keys.sign();
  await client(running, 'orders', token);
  for (let count = 0; count < 5; count++) await reload(running, { plugins: plugins() });
  await server.stop();
  await reload(running, { plugins: plugins() });
  await client(running, 'orders', token);
  await client(running, 'orders', keys.sign({ sub: 'another' }));
  expect(server.requests()).toBe(1);
});

test('what needs a restart is refused by its path, and the rest does not happen either', async () => {
  const running = await start({
    listen: [
      { name: 'one', port: 0 },
      { name: 'two', port: 0 },
    ],
    admin: { port: 0 },
  });
  await expect(
    reload(running, {
      databases: {},
      admin: { host: '127.0.0.2', port: 0 },
      listen: [
        { name: 'one', port: 0 },
        { name: 'three', port: 7000, host: '::1' },
        { name: 'two', port: 6999 },
      ],
    }),
  ).rejects.toThrow(
    [
      "listen[1]: the new listener 'three' needs a restart",
      'listen[2].port: 6999 instead of 0 needs a restart',
      'admin.host: 127.0.0.2 instead of 127.0.0.1 needs a restart',
    ].join('\n'),
  );
  await expect(reload(running, { listen: { name: 'one', port: 0 }, databases: {} })).rejects.toThrow(
    "listen: to go without the listener 'two' needs a restart\nadmin: to go without it needs a restart",
  );
  await client(running);
});

test('certificates change under TLS load without an error: a broken one is refused, an equal one is no change', async () => {
  const files = await certificates();
  const folder = mkdtempSync(join(tmpdir(), 'postern-reload-'));
  stops.push(
    () => rmSync(folder, { recursive: true }),
    () => files.remove(),
  );
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const put = (from: typeof files.server): void => {
    copyFileSync(from.certFile, cert);
    copyFileSync(from.keyFile, key);
  };
  put(files.server);
  const withTls = { listen: { port: 0, tls: { cert, key } } };
  const running = await start(withTls);
  const served = async (): Promise<unknown> => {
    const one = await RawClient.connect(running.port);
    await one.startTls();
    const name = (one.socket as TLSSocket).getPeerCertificate().subject.CN;
    await logIn(one);
    one.destroy();
    return name;
  };
  const old = await (await raw(running.port)).startTls();
  const session = await logIn(await (await raw(running.port)).startTls());
  const names = new Set<unknown>();
  const over = new AbortController();
  const load = [1, 2, 3].map(async () => {
    while (!over.signal.aborted) names.add(await served());
  });
  for (const next of [files.other, files.server, files.server, files.other]) {
    put(next);
    await reload(running, withTls);
    expect(await served()).toBe(next === files.other ? 'other' : 'localhost');
  }
  writeFileSync(cert, 'not a certificate');
  const broken = checkConfigLater(withTls);
  await expect(running.gateway.reload(broken)).rejects.toThrow(cert);
  expect(await served()).toBe('other');
  over.abort();
  await Promise.all(load);
  expect(names).toEqual(new Set(['localhost', 'other']));
  expect(running.lines('reloaded').map(({ certificates: changed }) => changed)).toEqual([
    ['default'],
    ['default'],
    undefined,
    ['default'],
  ]);
  // Who had shaken hands before the first swap goes on.
  await logIn(old);
  expect((session.client.socket as TLSSocket).destroyed).toBe(false);
});

/** What loads a config, as a config file's text would: errors come from within the reload. */
function checkConfigLater(more: Partial<TestConfig>): () => Promise<ReturnType<typeof checkConfig>> {
  return async () => checkConfig(config(more), tmpdir());
}

test('TLS and plaintext rules of a listener are for new connections', async () => {
  const files = await certificates();
  stops.push(() => files.remove());
  const tls = { cert: files.server.certFile, key: files.server.keyFile };
  const running = await start();
  const before = await client(running);
  await reload(running, { listen: { port: 0, tls, plaintext: 'never' } });
  await expect(client(running)).rejects.toMatchObject({ code: '28000' });
  await logIn(await (await raw(running.port)).startTls());
  expect(await ask(before, 'select 1')).toBe(1);
});

test('a reload says that a listener trusts other proxies', async () => {
  const running = await start();
  const listen = (trusted: string): ListenOptions => ({
    port: 0,
    proxyProtocol: { trusted: [trusted] },
  });
  await reload(running, { listen: listen('10.0.0.0/8') });
  await reload(running, { listen: listen('10.0.0.0/8') });
  await reload(running, { listen: listen('10.1.0.0/16') });
  const options = running.lines('reloaded').map((line) => line['options']);
  expect(options).toEqual([['listen.proxyProtocol'], undefined, ['listen.proxyProtocol']]);
});

test('a reload says that a listener asks for another credential', async () => {
  const plugins = (): readonly AnyPlugin[] => [
    jwt({ issuers: [{ ...issuer().options, oauth: { scope: 'openid' } }] }),
    mapTo('reader'),
  ];
  const running = await start({ plugins: plugins() });
  await reload(running, { listen: { port: 0, auth: 'oauthbearer' }, plugins: plugins() });
  expect(running.lines('reloaded')).toMatchObject([{ options: ['listen.auth'] }]);
});

test('rules for startup parameters of a listener are those of the config in force', async () => {
  const running = await start();
  const before = await client(running);
  await reload(running, { listen: { port: 0, startup: { default: { statement_timeout: '7s' } } } });
  expect(await ask(before, 'show statement_timeout')).toBe('0');
  expect(await ask(await client(running), 'show statement_timeout')).toBe('7s');
  expect(running.lines('reloaded')).toMatchObject([{ options: ['listen.startup'] }]);
});

test('operators and routes of the admin listener are those of the config in force', async () => {
  const plugin = (path: string): AnyPlugin => ({
    name: 'routes',
    setup(gateway) {
      const identity = { issuer: 'i', subject: 's', expiresAt: new Date() };
      gateway.provide('verifier', {
        verify: (token) => Promise.resolve({ ...identity, claims: { groups: token } }),
      });
      gateway.route(path, () => new Response(path));
      gateway.ready(() => `not ${path}`);
    },
  });
  const admin = (value: string): object => ({ port: 0, operators: { claim: 'groups', value } });
  const running = await start({ plugins: [plugin('/one')], admin: admin('dba') });
  expect(await page(running.adminPort, '/one', 'dba')).toBe('200 /one');
  await reload(running, { plugins: [plugin('/two')], admin: admin('sre') });
  expect(await page(running.adminPort, '/one', 'sre')).toMatch(/^404/);
  expect(await page(running.adminPort, '/two', 'dba')).toMatch(/^403/);
  expect(await page(running.adminPort, '/two', 'sre')).toBe('200 /two');
  expect(await page(running.adminPort, '/readyz')).toMatch(/not \/two\n/);
  expect(running.lines('reloaded')).toMatchObject([{ options: ['admin.operators'] }]);
});

test('the log level and the time-outs are applied', async () => {
  const running = await start({ loginTimeout: '10m' });
  const silent = (await raw(running.port)).rest();
  await reload(running, { logLevel: 'error', loginTimeout: '2s' });
  const lines = running.log().length;
  await client(running);
  expect((await (await raw(running.port)).rest()).length).toBe(0);
  expect(running.log()).toHaveLength(lines);
  await reload(running, { logLevel: 'info', loginTimeout: '10m' });
  expect(running.lines('reloaded').at(-1)).toMatchObject({ options: ['loginTimeout', 'logLevel'] });
  await client(running);
  expect(running.lines('login')).toHaveLength(1);
  // It came when the login time-out was 10 min.
  expect(await Promise.race([silent, sleep(200).then(() => 'open')])).toBe('open');
});

test('reloads wait for one another and for the start, and the last one stays', async () => {
  const running = await startGateway(config());
  stops.push(() => running.gateway.stop());
  const order: string[] = [];
  const slow = (name: string, ms: number): Partial<TestConfig> => ({
    databases: { [name]: databaseOf(postgres) },
    plugins: [
      {
        name: 'slow',
        async setup() {
          order.push(`begin ${name}`);
          await sleep(ms);
          order.push(`end ${name}`);
        },
      },
      mapTo('reader'),
    ],
  });
  await Promise.all([
    reload(running, slow('one', 50)),
    reload(running, slow('two', 1)),
    reload(running, slow('three', 20)),
  ]);
  expect(order).toEqual(['begin one', 'end one', 'begin two', 'end two', 'begin three', 'end three']);
  await client(running, 'three');
  await expect(client(running, 'one')).rejects.toMatchObject({ code: '3D000' });
});

test('a gateway told to stop while it reloads undoes what the reload has set up', async () => {
  const calls: string[] = [];
  const running = await start();
  let goOn = (): void => {};
  const slow: AnyPlugin = {
    name: 'slow',
    async setup() {
      await new Promise<void>((resolve) => (goOn = resolve));
      return () => void calls.push('down slow');
    },
  };
  const reloading = expect(
    reload(running, { plugins: [witness('first', calls), slow, witness('last', calls)] }),
  ).rejects.toThrow('stopped');
  await expect.poll(() => calls).toEqual(['up first']);
  const stopping = running.gateway.stop();
  goOn();
  await Promise.all([reloading, stopping]);
  expect(calls.toSorted()).toEqual(['down first', 'down slow', 'up first']);
  await expect(reload(running)).rejects.toThrow('stopped');
});

test('a setup that does not end in time is given up, and undone when it ends after all', async () => {
  const calls: string[] = [];
  const log = createLogger('silent');
  const of = (...plugins: readonly AnyPlugin[]): ResolvedConfig => checkConfig(config({ plugins }), tmpdir());
  const nothing = (): Promise<void> => Promise.resolve();
  const addresses = (): readonly [] => [];
  const observers = { tell() {}, addresses, plugins: () => [] };
  const told = { ...observers, reload: nothing, shutDown: nothing, accept() {} };
  const shared = makeShared({ coordination: new SingleProcess(), log, config: () => of(), ...told });
  const configVersions = new ConfigVersions(of(), { shared, log, checks: () => [] });
  let goOn = (): void => {};
  const slow: AnyPlugin = {
    name: 'slow',
    async setup(gateway) {
      gateway.signal.addEventListener('abort', () => void calls.push('told slow'));
      await new Promise<void>((resolve) => (goOn = resolve));
      return () => void calls.push('down slow');
    },
  };
  const limit = new AbortController();
  const late = configVersions.prepare(
    of(witness('first', calls), slow, witness('last', calls)),
    limit.signal,
  );
  await expect.poll(() => calls).toEqual(['up first']);
  limit.abort(new Error('too slow'));
  await expect(late).rejects.toThrow('too slow');
  expect(calls.splice(0)).toEqual(['up first', 'told slow', 'down first']);
  const next = await configVersions.prepare(of(witness('next', calls)), new AbortController().signal);
  next.commit();
  goOn();
  await expect.poll(() => calls).toEqual(['up next', 'down slow']);
});

test('server connections of an unchanged entry stay, those of others close as soon as no session has them', async () => {
  const [first, second, third] = [await freshDatabase(), await freshDatabase(), await freshDatabase()];
  const entry = (database: string, size = 5): DatabaseOptions =>
    databaseOf(postgres, { database, pool: { size, min: 1 } });
  const identified = (): AnyPlugin => ({
    name: 'identified',
    provides: ['identity'],
    onAuth(session) {
      const identity = { issuer: 'i', subject: 's', expiresAt: new Date(Date.now() + 60_000), claims: {} };
      session.establish('identity', identity);
    },
  });
  const plugins = (): readonly AnyPlugin[] => [identified(), mapTo('reader')];
  const running = await start({
    databases: { same: entry(first), changed: entry(second), removed: entry(third) },
    plugins: plugins(),
  });
  const server = async (name: string): Promise<unknown> => {
    const one = await client(running, name);
    const id = await pid(one);
    await one.end();
    return id;
  };
  const before = await Promise.all(['same', 'changed', 'removed'].map(server));
  const lent = await client(running, 'removed');
  await lent.query('select 1');
  const open = async (database: string): Promise<unknown> =>
    (
      await postgres.sql(
        `select count(*)::int as n from pg_stat_activity where datname = '${database}' and usename = 'reader'`,
      )
    )[0]?.['n'];
  await reload(running, { databases: { same: entry(first), changed: entry(second, 6) }, plugins: plugins() });
  await expect.poll(() => open(second)).toBe(0);
  expect(await server('same')).toBe(before[0]);
  expect(await server('changed')).not.toBe(before[1]);
  expect(await pid(lent)).toBe(before[2]);
  await lent.end();
  await expect.poll(() => open(third)).toBe(0);
});

test('a session that is logging in finishes under the config it came under', async () => {
  let goOn: (() => void) | undefined;
  const waiting: AnyPlugin = {
    name: 'waiting',
    onStartup: () => new Promise<void>((resolve) => (goOn = resolve)),
  };
  const running = await start({
    plugins: [waiting, mapTo('reader')],
    databases: { old: databaseOf(postgres) },
  });
  const old = client(running, 'old');
  await expect.poll(() => goOn).toBeDefined();
  const refuse: AnyPlugin = {
    name: 'refuse',
    onAuth() {
      throw new GatewayError('insufficient_privilege', 'nobody');
    },
  };
  await reload(running, { plugins: [refuse] });
  goOn?.();
  expect(await ask(await old, 'select current_user')).toBe('reader');
  await expect(client(running)).rejects.toMatchObject({ code: '42501' });
});

test('a function for databases is that of the config in force', async () => {
  const only = (wanted: string) => (name: string) => (name === wanted ? databaseOf(postgres) : undefined);
  const running = await start({ databases: only('one') });
  const old = await client(running, 'one');
  await reload(running, { databases: only('two') });
  expect(await ask(await client(running, 'two'), 'select 1')).toBe(1);
  expect(await ask(old, 'select 1')).toBe(1);
  await expect(client(running, 'one')).rejects.toMatchObject({ code: '3D000' });
});

test('a gateway that does not run cannot reload', async () => {
  const { gateway } = await start();
  await gateway.stop();
  await expect(gateway.reload(checkConfig(config(), tmpdir()))).rejects.toThrow('stopped');
});

test('after many reloads and a stop, no timer, socket or server is left', async () => {
  const kinds = ['TCPServerWrap', 'TCPSocketWrap', 'TLSWrap', 'Timeout', 'FSEventWrap'];
  const left = (): string[] => process.getActiveResourcesInfo().filter((name) => kinds.includes(name));
  // expect.poll has timers of its own.
  const settled = async (): Promise<string[]> => {
    for (let count = 0; left().length > 0 && count < 600; count++) await sleep(50);
    return left();
  };
  expect(await settled()).toEqual([]);
  const running = await startGateway(config({ admin: { port: 0 } }));
  const one = await client(running);
  for (let count = 0; count < 20; count++) await reload(running, { admin: { port: 0 } });
  expect(left().length).toBeGreaterThan(2);
  await one.end();
  await running.gateway.stop();
  expect(await settled()).toEqual([]);
});

test('the log names the options of plugins that have another value, and never the values', async () => {
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  const config = (options: object, allow: string): TestConfig => ({
    databases: {},
    plugins: [
      jwt({ issuers: [{ issuer: 'https://id.example', audience: 'x', jwks: issuer().jwks }] }),
      roles({ claim: 'role', allow: [allow] }),
      { name: 'own', options: { circular, ...options } },
    ],
  });
  const started = await startGateway(config({ from: 9, to: 17, by: () => 1 }, 'reader'));
  try {
    const next = config({ from: 9, to: 18, key: 'canary', by: () => 2 }, 'writer');
    await started.gateway.reload(checkConfig({ listen: { port: 0 }, ...next }, tmpdir()));
    expect(started.lines('reloaded')).toMatchObject([
      { plugins: { changed: ['jwt.issuers', 'roles.allow', 'own.to', 'own.key'] } },
    ]);
    expect(started.text()).not.toContain('canary');
  } finally {
    await started.gateway.stop();
  }
});
