/** The limits plugin in a gateway before a real PostgreSQL: how many, how long, when, and where. */
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { DatabaseError } from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { AnyPlugin } from '../../core/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { limits } from '../../plugins/limits/index.ts';
import type { LimitsOptions } from '../../plugins/limits/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';

const keys = issuer({ algorithms: ['ES256'] });
const PATIENT = { timeout: 30_000 };
const server = sharedPostgres();
const clients = new Set<Client>();
let running: RunningGateway;
let database: string;

beforeAll(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  for (const client of clients) await client.end().catch(() => {});
  clients.clear();
  await running.gateway.stop();
});

async function start(options?: LimitsOptions, more: readonly AnyPlugin[] = []): Promise<void> {
  const entry = databaseOf(server, { database, pool: { size: 40, idleTimeout: '100ms' } });
  running = await startGateway({
    databases: { orders: entry, archive: entry },
    plugins: [
      jwt({ issuers: [keys.options] }),
      roles({ claim: 'role', allow: ['reader', 'writer'] }),
      limits(options),
      ...more,
    ],
  });
}

type Claims = Readonly<Record<string, unknown>>;

async function login(claims: Claims = {}, name = 'orders'): Promise<Client> {
  const client = new Client({
    host: '127.0.0.1',
    port: running.port,
    user: '_',
    database: name,
    password: keys.sign(claims),
  });
  client.on('error', () => {});
  await client.connect();
  clients.add(client);
  return client;
}

/** How a login or a query ends: with this SQLSTATE and text. */
async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'it was not refused',
    (error: DatabaseError) => `${error.code}: ${error.message}`,
  );
}

/** The error with which a session ends. */
function ended(client: Client): Promise<string> {
  return new Promise((resolve) => {
    client.on('error', (error) => resolve(`${(error as DatabaseError).code}: ${error.message}`));
  });
}

async function backends(): Promise<number> {
  const found = await server.sql(
    `select from pg_stat_activity where datname = '${database}' and usename in ('reader', 'writer')`,
  );
  return found.length;
}

describe('how many at once', () => {
  test.each([
    ['subject', { maxConnections: { subject: 2 } }, { sub: 'alice' }, { sub: 'bob' }, 'this subject'],
    ['role', { maxConnections: { role: 2 } }, { role: 'writer' }, { role: 'reader' }, 'role "writer"'],
  ])('by %s', async (_, options, one, other, whose) => {
    await start(options);
    const first = await login(one);
    await login(one);
    expect(await refusal(login(one))).toBe(`53300: too many connections for ${whose}`);
    await login(other);
    await first.end();
    await vi.waitFor(() => login(one), PATIENT);
  });

  test('by database, as clients name it', async () => {
    await start({ maxConnections: { database: 1 } });
    await login();
    expect(await refusal(login({ sub: 'bob' }))).toBe('53300: too many connections for database "orders"');
    await login({}, 'archive');
  });

  test('by tenant, and sessions without one are not counted', async () => {
    const stating: AnyPlugin = {
      name: 'stating',
      needs: ['identity'],
      provides: ['tenant'],
      onAuth: (session) => session.establish('tenant', session.facts.identity.subject as never),
    };
    const entry = databaseOf(server, { database });
    const plugins = [jwt({ issuers: [keys.options] }), stating, roles({ claim: 'role', allow: ['reader'] })];
    running = await startGateway({
      databases: { orders: entry },
      plugins: [...plugins, limits({ maxConnections: { tenant: 1 } })],
    });
    await login({ sub: 'acme' });
    expect(await refusal(login({ sub: 'acme' }))).toBe('53300: too many connections for tenant "acme"');
    await login({ sub: 'other' });
  });

  test('a limit for tenants above the plugin that states them refuses logins: it would count nobody', async () => {
    const stating: AnyPlugin = {
      name: 'stating',
      needs: ['identity'],
      provides: ['tenant'],
      onAuth: (session) => session.establish('tenant', session.facts.identity.subject as never),
    };
    await start({ maxConnections: { tenant: 1 } }, [stating]);
    expect(await refusal(login({ sub: 'acme' }))).toMatch(/^XX000/);
    expect(running.text()).toContain('limits: list it below the plugin that states the tenant');
  });

  test("a token's own limit narrows that of the config, and never widens it", async () => {
    await start({ maxConnections: { subject: 2 } });
    await login({ postern: { max_connections: 1 } });
    expect(await refusal(login({ postern: { max_connections: 1 } }))).toMatch(/^53300/);
    await login({ postern: { max_connections: 9 } });
    expect(await refusal(login({ postern: { max_connections: 9 } }))).toMatch(/^53300/);
  });

  test('a limit that a reload brings counts those who are there already', async () => {
    const entry = databaseOf(server, { database });
    const config = (options: LimitsOptions) => ({
      databases: { orders: entry },
      plugins: [
        jwt({ issuers: [keys.options] }),
        roles({ claim: 'role', allow: ['reader'] }),
        limits(options),
      ],
    });
    running = await startGateway(config({}));
    const first = await login();
    const next = { listen: { port: 0 }, ...config({ maxConnections: { role: 1, database: 1 } }) };
    await running.gateway.reload(checkConfig(next, tmpdir()));
    expect(await refusal(login({ sub: 'bob' }))).toMatch(/^53300: too many connections for role/);
    await first.end();
    await vi.waitFor(() => login({ sub: 'bob' }), PATIENT);
  });

  test('two issuers may have a subject of the same name', async () => {
    const other = issuer({ algorithms: ['ES256'], issuer: 'https://other.example' });
    running = await startGateway({
      databases: { orders: databaseOf(server, { database }) },
      plugins: [
        jwt({ issuers: [keys.options, other.options] }),
        roles({ claim: 'role', allow: ['reader'] }),
        limits({ maxConnections: { subject: 1 } }),
      ],
    });
    await login();
    const theirs = new Client({
      host: '127.0.0.1',
      port: running.port,
      user: '_',
      database: 'orders',
      password: other.sign(),
    });
    await theirs.connect();
    clients.add(theirs);
  });

  test('a login that a later plugin refuses gives its place back', async () => {
    let refuse = true;
    const moody: AnyPlugin = {
      name: 'moody',
      onAuth() {
        if (refuse) throw new Error('not today');
      },
    };
    await start({ maxConnections: { subject: 1 } }, [moody]);
    for (let i = 0; i < 3; i += 1) expect(await refusal(login())).toMatch(/^XX000/);
    refuse = false;
    await vi.waitFor(() => login(), PATIENT);
  });

  test('200 clients that storm a limit of 5 and are killed at random: never more, and none is left', async () => {
    await start({ maxConnections: { subject: 5 } });
    let most = 0;
    const over = new AbortController();
    const watching = (async () => {
      while (!over.signal.aborted) most = Math.max(most, await backends());
    })();
    let let_in = 0;
    const visit = async (): Promise<void> => {
      const client = await login().catch((error: DatabaseError) => {
        if (error.code !== '53300') throw error;
      });
      if (!client) return;
      let_in += 1;
      const socket = (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream;
      if (Math.random() < 0.3) socket.destroy();
      else {
        const work = client.query('select pg_sleep(random() * 0.05)');
        if (Math.random() < 0.5) {
          await sleep(Math.random() * 20);
          socket.destroy();
        }
        await work.catch(() => {});
        await client.end().catch(() => {});
      }
    };
    for (let round = 0; round < 4; round += 1) await Promise.all(Array.from({ length: 50 }, visit));
    over.abort();
    await watching;
    expect(let_in).toBeGreaterThan(5);
    expect(most).toBeLessThanOrEqual(5);
    await vi.waitFor(async () => expect(await backends()).toBe(0), PATIENT);
    // Every place is free again, and not one more.
    for (let i = 0; i < 5; i += 1) await vi.waitFor(() => login(), PATIENT);
    expect(await refusal(login())).toMatch(/^53300/);
  });
});

describe('where', () => {
  test('a token may name the databases it is good for', async () => {
    await start();
    await login({ postern: { databases: ['orders'] } });
    expect(await refusal(login({ postern: { databases: ['orders'] } }, 'archive'))).toBe(
      '42501: permission denied for database "archive"',
    );
    expect(await refusal(login({ postern: { databases: [] } }))).toMatch(/^42501/);
  });
});

describe('how long', () => {
  test.each([
    ['the config', { maxSession: '2s' } as const, {}],
    ['the token', {}, { postern: { max_session_duration: '2s' } }],
    ['the shorter of both', { maxSession: '2s' } as const, { postern: { max_session_duration: '1h' } }],
  ])('a session ends after what %s says, busy or not', async (_, options, claims) => {
    await start(options);
    const [idle, busy] = [await login(claims), await login(claims)];
    const ends = [ended(idle), refusal(busy.query('select pg_sleep(30)'))];
    expect(await Promise.all(ends)).toEqual(
      Array(2).fill('57P01: terminating connection: the session has lasted as long as it may'),
    );
  });

  test('an idle session ends with 57P05, one that works does not', async () => {
    await start({ idle: '2s' });
    const [idle, busy] = [await login(), await login()];
    const end = ended(idle);
    await busy.query('select pg_sleep(5)');
    expect(await end).toBe('57P05: terminating connection due to idle-session timeout');
  });

  test('a client that sets the time-out of a transaction to nothing is ended by the gateway', async () => {
    await start({ timeouts: { idleInTransaction: '300ms' } });
    const client = await login();
    await client.query('set idle_in_transaction_session_timeout = 0');
    const end = ended(client);
    await client.query('begin');
    expect(await end).toBe('25P03: terminating connection due to idle-in-transaction timeout');
  });

  test('time-outs are pinned: what PostgreSQL keeps, and what RESET returns to', async () => {
    await start({ timeouts: { statement: '3s', lock: '700ms' } });
    const client = await login();
    await client.query("set statement_timeout = '1h'");
    await client.query('reset all');
    const shown = await client.query('show statement_timeout');
    expect(shown.rows).toEqual([{ statement_timeout: '3s' }]);
    expect((await client.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '700ms' }]);
    expect(await refusal(client.query('select pg_sleep(30)'))).toBe(
      '57014: canceling statement due to statement timeout',
    );
  });
});

describe('when', () => {
  const daily = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

  beforeEach(() => {
    // A moment that is twelve o'clock; timers stay real.
    vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-11-23T12:00:00Z') });
    return () => vi.useRealTimers();
  });

  test('a login outside of all windows is refused', async () => {
    await start({ windows: [{ days: daily, from: '13:00', to: '14:00', tz: 'UTC' }] });
    expect(await refusal(login())).toBe('28000: access is not allowed at this time');
    expect(running.lines('closed').length + running.lines('login refused').length).toBeGreaterThan(0);
  });

  test('both the config and the token have to have one that is open', async () => {
    await start({ windows: [{ days: daily, from: '11:00', to: '14:00', tz: 'UTC' }] });
    const early = { days: daily, from: '08:00', to: '12:00', tz: 'UTC' };
    expect(await refusal(login({ postern: { windows: [early] } }))).toMatch(/^28000/);
    await login({ postern: { windows: [early, { ...early, from: '12:00', to: '13:00' }] } });
  });

  test('a session ends when its window closes', async () => {
    const closing = new Date('2026-11-23T12:00:59.500Z');
    vi.setSystemTime(closing);
    await start({ windows: [{ days: daily, from: '08:00', to: '12:01', tz: 'UTC' }] });
    const client = await login();
    const end = ended(client);
    vi.setSystemTime(new Date('2026-11-23T12:01:00.001Z'));
    expect(await end).toBe('57P01: terminating connection: the time of access is over');
    expect(await refusal(login())).toMatch(/^28000/);
  });
});
