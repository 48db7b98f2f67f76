/** Transaction mode: a login that the pool knows already needs no server connection, and is told what PostgreSQL would say. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import postgresJs from 'postgres';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../core/contract/database.ts';
import type { PoolOptions } from '../../core/contract/pool.ts';
import type { Ended } from '../../core/contract/events.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import type { Session, Upstream } from '../../core/contract/session.ts';
import { console } from '../../plugins/console/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { operations } from '../../plugins/operations/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { home, startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { freshDatabase, sharedPostgres, startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';

const shared = sharedPostgres();
const PASSWORD = 'of-this-file';
let role: string;
let database: string;
let running: Operated;
let made = 0;
const clients: Client[] = [];

beforeEach(async () => {
  // Of its own: other tests use the roles of the server at the same time.
  role = `unlinked_${process.pid}_${(made += 1)}`;
  database = await freshDatabase();
  await shared.sql(`create role ${role} login password '${PASSWORD}'`);
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => {})));
  await running.gateway.stop();
  await shared.sql(`drop owned by ${role}`, database).catch(() => {});
  await shared.sql(`drop role if exists ${role}`);
});

interface Started {
  readonly postgres?: Postgres;
  readonly pool?: Partial<PoolOptions>;
  readonly plugins?: readonly AnyPlugin[];
  readonly entry?: Partial<DatabaseOptions>;
}

async function start({ postgres = shared, pool, plugins = [], entry }: Started = {}): Promise<void> {
  const login = { kind: 'password', passwords: { [role]: PASSWORD } } as const;
  running = await startOperated(postgres, {
    orders: {
      database,
      login,
      pool: { mode: 'transaction', size: 1, ...pool },
      ...entry,
    },
    plugins: [
      operations(),
      jwt({ issuers: [home.options] }),
      roles({ claim: 'role', allow: [role] }),
      console(),
      ...plugins,
    ],
  });
}

/** A client, and every ParameterStatus that it was told at its login and since. */
interface Told {
  readonly client: Client;
  readonly parameters: Record<string, string>;
}

async function logIn(config: ClientConfig): Promise<Told> {
  const client = new Client(config);
  clients.push(client);
  client.on('error', () => {});
  const parameters: Record<string, string> = {};
  const { connection } = client as unknown as {
    connection: {
      on(event: string, then: (said: { parameterName: string; parameterValue: string }) => void): void;
    };
  };
  connection.on('parameterStatus', ({ parameterName, parameterValue }) => {
    parameters[parameterName] = parameterValue;
  });
  await client.connect();
  return { client, parameters };
}

/** Through the gateway, as somebody. */
function come(more: ClientConfig = {}, sub = 'ada'): Promise<Told> {
  const password = home.sign({ sub, role });
  return logIn({ host: '127.0.0.1', port: running.port, user: '_', database: 'orders', password, ...more });
}

/** To PostgreSQL itself. */
const direct = (more: ClientConfig = {}): Promise<Told> =>
  logIn({ host: shared.host, port: shared.port, user: role, database, password: PASSWORD, ...more });

/** Once in each worker, since each learns for itself what the server reports: `served` comes, has a statement served, and says how to leave. */
async function inEachWorker(served: () => Promise<() => Promise<unknown>>): Promise<void> {
  const [before, closed] = [running.lines('login').length, running.lines('close').length];
  const leave: (() => Promise<unknown>)[] = [];
  const workers = (): Set<unknown> =>
    new Set(
      running
        .lines('login')
        .slice(before)
        .map(({ worker }) => worker),
    );
  // While they stay, the next one comes to the worker with fewer sessions.
  while (workers().size < workersOf()) leave.push(await served());
  await Promise.all(leave.map((one) => one()));
  await expect.poll(() => running.lines('close').length).toBeGreaterThanOrEqual(closed + leave.length);
}

/** As {@link come}, and its session gets a server connection. */
const settle = (more: ClientConfig = {}, sub = 'ada'): Promise<void> =>
  inEachWorker(async () => {
    const { client } = await come(more, sub);
    await client.query('select 1');
    return () => client.end();
  });

const operate = (what: string): Promise<unknown> => running.ask('POST', `/v1/databases/orders/${what}`);
const waiting = async (): Promise<unknown> =>
  ((await running.ask('GET', '/v1/databases/orders')).body as Record<string, unknown>)['waiting'];

/** A login at a paused pool: let in at once, or in the queue, and then it is served before this returns. */
async function arrive(
  more: ClientConfig = {},
  sub?: string,
): Promise<Told & { readonly how: 'let in' | 'waits' }> {
  const over = new AbortController();
  const login = come(more, sub).finally(() => over.abort());
  login.catch(() => {});
  while (!over.signal.aborted && (await waiting()) !== 1) await sleep(10);
  if (over.signal.aborted) return { ...(await login), how: 'let in' };
  await operate('resume');
  const told = await login;
  await operate('pause');
  return { ...told, how: 'waits' };
}

const cut = (): Promise<unknown> =>
  shared.sql(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`);
const backends = async (): Promise<unknown> =>
  (await shared.sql(`select count(*)::int as n from pg_stat_activity where usename = '${role}'`))[0]?.['n'];

const select = async (client: Client, sql = 'select 42 as answer'): Promise<unknown> =>
  (await client.query<Record<string, unknown>>(sql)).rows[0];

describeWith('pgbouncer', (program) => {
  test('on a paused and on a busy pool a client is let in at once, as by PgBouncer, and its statement waits', async () => {
    await start();
    const theirs = await startPgBouncer(program, shared, 'writer');
    const desk = await theirs.connect('pgbouncer');
    await desk.query("set pool_mode = 'transaction'");
    await desk.query('set default_pool_size = 1');
    const ways = [
      {
        come: async () => (await come()).client,
        pause: () => operate('pause'),
        resume: () => operate('resume'),
      },
      {
        come: async () => {
          const client = await theirs.connect('orders');
          clients.push(client);
          return client;
        },
        pause: () => desk.query('pause orders'),
        resume: () => desk.query('resume orders'),
      },
    ];
    const seen = [];
    await settle();
    for (const way of ways) {
      const first = await way.come();
      await first.query('begin');
      const busy = await way.come();
      const behind = select(busy);
      await expect(Promise.race([behind, sleep(200, 'waits')])).resolves.toBe('waits');
      await first.query('commit');
      const answer = await behind;
      await way.pause();
      const paused = await way.come();
      const later = select(paused);
      await expect(Promise.race([later, sleep(200, 'waits')])).resolves.toBe('waits');
      await way.resume();
      seen.push([answer, await later]);
    }
    expect(seen[0]).toEqual(seen[1]);
    await desk.end();
    await Promise.all(clients.splice(0).map((client) => client.end()));
    await theirs.stop();
  });
});

describe('what a client is told', () => {
  const KINDS: readonly (readonly [what: string, more: ClientConfig])[] = [
    ['nothing of its own', {}],
    ['a name', { application_name: 'Büro, tür 7' }],
    ['settings', { options: '-c DateStyle=german -c TimeZone=europe/berlin -c IntervalStyle=iso_8601' }],
    ['what is not reported', { options: '-c extra_float_digits=2' }],
  ];

  test.each(KINDS)('is what PostgreSQL reports to a login with %s', async (_, more) => {
    await shared.sql(
      `alter role ${role} set DateStyle = 'SQL, DMY'; alter role ${role} set TimeZone = 'Asia/Tokyo'`,
    );
    await start();
    const theirs = await direct(more);
    await settle(more);
    await operate('pause');
    expect((await come(more)).parameters).toEqual(theirs.parameters);
  });

  test('is what PostgreSQL reports to a login with an encoding', async () => {
    await start();
    const reported = (host: string, port: number, username: string, password: string, name: string) => {
      const parameters: Record<string, string> = {};
      const sql = postgresJs({
        host,
        port,
        username,
        password,
        database: name,
        max: 1,
        fetch_types: false,
        connection: { client_encoding: 'latin-1', application_name: 'encoded' },
        onparameter: (key: string, value: unknown) => void (parameters[key] = String(value)),
      });
      return { parameters, answer: sql`select 1`.catch(() => {}), end: () => sql.end({ timeout: 0 }) };
    };
    const theirs = reported(shared.host, shared.port, role, PASSWORD, database);
    const come = () => reported('127.0.0.1', running.port, '_', home.sign({ sub: 'ada', role }), 'orders');
    await theirs.answer;
    await inEachWorker(async () => {
      const { answer, end } = come();
      await answer;
      return end;
    });
    await operate('pause');
    const ours = come();
    await expect.poll(() => ours.parameters).toEqual(theirs.parameters);
    expect(ours.parameters['client_encoding']).toBe('LATIN1');
    await Promise.all([theirs.end(), ours.end()]);
  });

  test('comes from a server connection where just this has never been asked for', async () => {
    await start();
    await settle({ options: '-c TimeZone=UTC' });
    await operate('pause');
    const how = [];
    for (const zone of ['UTC', 'utc', 'UTC -c DateStyle=ISO', 'utc']) {
      const more = { options: `-c TimeZone=${zone}` };
      how.push((await arrive(more)).how);
      if (workersOf() === 1) continue;
      await operate('resume');
      await settle(more);
      await operate('pause');
    }
    expect(how).toEqual(['let in', 'waits', 'waits', 'let in']);
  });

  test('is refused where PostgreSQL refuses it, whatever else it has accepted', async () => {
    await start();
    await settle();
    for (const setting of ['TimeZone=nonsense', 'DateStyle=nonsense', 'extra_float_digits=99']) {
      const more = { options: `-c ${setting}` };
      const theirs: unknown = await direct(more).catch((error: unknown) => error);
      const { code, severity } = theirs as { code: string; severity: string };
      for (let time = 0; time < 2; time += 1)
        await expect(come(more)).rejects.toMatchObject({ code, severity });
    }
  });

  test('changes with the first statement if it has changed on the server, and from then on at logins', async () => {
    await start();
    await settle();
    const { TimeZone: before } = (await come()).parameters;
    await shared.sql(`alter role ${role} set TimeZone = 'Asia/Tokyo'`);
    await cut();
    await expect.poll(backends).toBe(0);
    const { client, parameters } = await come();
    expect(parameters['TimeZone']).toBe(before);
    expect(await select(client, 'show timezone')).toEqual({ TimeZone: 'Asia/Tokyo' });
    expect(parameters['TimeZone']).toBe('Asia/Tokyo');
    if (workersOf() > 1) await settle();
    await operate('pause');
    expect((await come()).parameters['TimeZone']).toBe('Asia/Tokyo');
  });

  test('is never a setting that another session has hidden in a function', async () => {
    await start();
    await settle();
    const { client } = await come();
    await shared.sql(
      `create function public.hide() returns text language sql as $$ select set_config('TimeZone', 'Asia/Tokyo', false) $$`,
      database,
    );
    await client.query('select public.hide()');
    await client.end();
    const kind = { application_name: 'new' };
    await select((await come(kind)).client, 'show timezone');
    await operate('pause');
    expect((await arrive(kind, 'grace')).parameters['TimeZone']).not.toBe('Asia/Tokyo');
  });
});

describe('a server that has changed its mind since', () => {
  test.each([
    ['the role may not log in', () => shared.sql(`alter role ${role} nologin`), '08004'],
    ['the password is another', () => shared.sql(`alter role ${role} password 'new'`), '08004'],
    ['the role is gone', () => shared.sql(`drop role ${role}`), '08004'],
    ['the role is dangerous', () => shared.sql(`alter role ${role} superuser`), '42501'],
    ['the database is gone', () => shared.sql(`drop database "${database}" with (force)`), '3D000'],
  ])(
    '%s: the first statement is the end of the session, with what a login reads',
    async (_, change, code) => {
      await start();
      await settle();
      await cut();
      await expect.poll(backends).toBe(0);
      await change();
      const { client } = await come();
      const ended = new Promise((resolve) => client.once('end', resolve));
      await expect(client.query('create table never ()')).rejects.toMatchObject({ severity: 'FATAL', code });
      await ended;
      expect(running.lines('no server connection')).toMatchObject([{ sqlstate: code }]);
      expect(running.lines('close').at(-1)).toMatchObject({ reason: 'ended', sqlstate: code });
      await expect(come()).rejects.toMatchObject({ code });
    },
  );

  test('a server that is down ends the session with 08001, and lets nobody in until it is up', async () => {
    const own = await startPostgres();
    try {
      database = 'postgres';
      await own.sql(`create role ${role} login password '${PASSWORD}'`);
      await start({ postgres: own });
      await settle();
      own.kill('SIGQUIT');
      await own.ended();
      const { client } = await come();
      await expect(client.query('select 1')).rejects.toMatchObject({ severity: 'FATAL', code: '08001' });
      await expect(come()).rejects.toMatchObject({ code: '08001' });
      await own.restart();
      await expect
        .poll(() =>
          settle().then(
            () => 'served',
            () => 'not yet',
          ),
        )
        .toBe('served');
      await operate('pause');
      await come();
    } finally {
      await own.stop();
    }
  });
});

describe('operators', () => {
  test('a disabled entry lets nobody in, and a kill ends who waits with the first statement', async () => {
    await start();
    await settle();
    await operate('pause');
    const { client } = await come();
    const statement = client.query('select 1').catch((error: unknown) => error);
    await expect.poll(waiting).toBe(1);
    await operate('kill');
    expect(await statement).toMatchObject({ code: '57P01', severity: 'FATAL' });
    expect(await waiting()).toBe(0);
    await operate('resume');
    await operate('disable');
    await expect(come()).rejects.toMatchObject({ code: '55000' });
  });

  test('after a RECONNECT a login asks the server again', async () => {
    await start();
    await settle();
    await operate('reconnect');
    await operate('pause');
    expect((await arrive()).how).toBe('waits');
  });

  test('what a login was told is not believed longer than a connection is used', async () => {
    await start({ pool: { maxLifetime: '2s' } });
    await settle();
    await operate('pause');
    const how = async (): Promise<string> => (await arrive()).how;
    await expect.poll(how).toBe('waits');
  });
});

describe('the first statement', () => {
  test('that finds no connection in time reads 53300, and the session goes on', async () => {
    const told: string[] = [];
    const tell = (event: string, { session, sqlstate = 'served' }: Ended): void =>
      void told.push(`${event} ${session.facts.identity?.subject ?? ''} ${sqlstate}`);
    const observer: AnyPlugin = {
      name: 'observer',
      on: { connect: (event) => tell('connect', event), queue: (event) => tell('queue', event) },
    };
    await start({ pool: { queueTimeout: '300ms' }, plugins: [observer] });
    await settle();
    const busy = await come();
    await busy.client.query('begin');
    const [{ client }, never] = [await come({}, 'one'), await come({}, 'never')];
    const before = running.lines('close').length;
    told.splice(0);
    for (const refused of [client, never.client, client])
      await expect(refused.query('select 1')).rejects.toMatchObject({ code: '53300', severity: 'ERROR' });
    await busy.client.query('commit');
    await never.client.end();
    for (let i = 0; i < 2; i += 1) expect(await select(client)).toEqual({ answer: 42 });
    await expect.poll(() => running.lines('close').length).toBe(before + 1);
    // The session that was never served is not told as connected.
    const refusals = ['one', 'never', 'one'].map((name) => `queue ${name} 53300`);
    const isOfInterest = (one: string): boolean => one.startsWith('connect') || one.endsWith('53300');
    expect(told.filter(isOfInterest)).toEqual([...refusals, 'connect one served']);
  });

  test('is never reached by a client that leaves before: no server connection is opened, and nobody waits', async () => {
    await start({ pool: { idleTimeout: '50ms' } });
    await settle();
    await expect.poll(backends).toBe(0);
    const before = running.lines('close').length;
    for (let i = 0; i < 5; i += 1) await (await come()).client.end();
    const lost = await come();
    (lost.client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await expect.poll(() => running.lines('close').length).toBe(before + 6);
    expect([await backends(), await waiting()]).toEqual([0, 0]);
  });

  test('runs with the settings of the client and of its policies, on a connection of somebody else', async () => {
    const claims: AnyPlugin = {
      name: 'claims',
      needs: ['identity'],
      onAuth: (session, upstream) => ({
        ...upstream,
        onCheckout: [...upstream.onCheckout, () => ({ 'app.who': session.facts.identity?.subject ?? '' })],
      }),
    };
    await start({ plugins: [claims] });
    const options = { options: '-c TimeZone=Asia/Tokyo' };
    await settle(options);
    const sees = `select current_setting('app.who') as who, current_setting('TimeZone') as zone`;
    for (const who of ['ada', 'grace', 'ada']) {
      await operate('pause');
      const { client } = await come(options, who);
      const row = select(client, sees);
      await operate('resume');
      expect(await row).toEqual({ who, zone: 'Asia/Tokyo' });
    }
  });

  test('ends the session where the server refuses what a policy wants, and does not run', async () => {
    let value = '1s';
    const timeouts: AnyPlugin = {
      name: 'timeouts',
      onAuth: (_, upstream) => ({
        ...upstream,
        onCheckout: [...upstream.onCheckout, () => ({ statement_timeout: value })],
      }),
    };
    await start({ plugins: [timeouts] });
    await settle();
    value = 'nonsense';
    const { client } = await come();
    const error = await client.query('create table never ()').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      severity: 'FATAL',
      code: 'XX000',
      message: 'the session could not be prepared',
    });
    expect(running.lines('no server connection')).toMatchObject([
      { reason: expect.stringContaining('setting statement_timeout failed: 22023') as string },
    ]);
    value = '1s';
    expect(await select((await come()).client, `select to_regclass('never') as made`)).toEqual({
      made: null,
    });
  });

  test('is waited for by a login whose policies set what a server reports: only they can say', async () => {
    const zones: AnyPlugin = {
      name: 'zones',
      onAuth: (_, upstream) => ({ ...upstream, onCheckout: [() => ({ timezone: 'Asia/Tokyo' })] }),
    };
    await start({ plugins: [zones] });
    for (let i = 0; i < 2; i += 1) {
      const { client, parameters } = await come();
      expect(parameters['TimeZone']).toBe('Asia/Tokyo');
      await client.end();
    }
    await operate('pause');
    expect((await arrive()).how).toBe('waits');
  });
});

test('a role that may not log in any more ends the session at its first statement, also where a plugin reads statements', async () => {
  await start({ plugins: [{ name: 'reads', onQuery() {} }] });
  await settle();
  await cut();
  await expect.poll(backends).toBe(0);
  await shared.sql(`alter role ${role} nologin`);
  const { client } = await come();
  await expect(client.query('select 1')).rejects.toMatchObject({ severity: 'FATAL', code: '08004' });
});

test('a value that a function of a policy has set for one person is told to no other at login', async () => {
  await shared.sql(
    `create schema app; grant usage on schema app to public; create function app.enter(who text) returns text
      language sql as $$ select set_config('application_name', who, false) $$`,
    database,
  );
  const policy = {
    name: 'enter',
    onAuth: (session: Session, upstream: Upstream) => ({
      ...upstream,
      onCheckout: [
        ...upstream.onCheckout,
        () => ({
          'app.enter': { function: 'app.enter', arguments: [session.facts.identity?.subject ?? ''] },
        }),
      ],
    }),
  };
  await start({ plugins: [policy as never] });
  const alice = await come({ application_name: 'psql' }, 'alice@example.com');
  await alice.client.query('select 1');
  await alice.client.end();
  const bob = await come({ application_name: 'psql' }, 'bob');
  expect(JSON.stringify(bob.parameters)).not.toContain('alice');
});

test('a role that PostgreSQL refuses is refused at the next login of each of its pools', async () => {
  const tenants = {
    name: 'tenants',
    onAuth: (session: Session, upstream: Upstream) => ({
      ...upstream,
      settings: { ...upstream.settings, 'app.t': session.facts.identity?.subject ?? '' },
    }),
  };
  await start({ plugins: [tenants], pool: { size: 5 } });
  for (const tenant of ['a', 'b', 'c']) await settle({}, tenant);
  await cut();
  await expect.poll(backends).toBe(0);
  await shared.sql(`alter role ${role} nologin`);
  const { client } = await come({}, 'a');
  await expect(client.query('select 1')).rejects.toMatchObject({ code: '08004' });
  for (const tenant of ['b', 'c']) await expect(come({}, tenant)).rejects.toMatchObject({ code: '08004' });
});
