/** Every policy at once, in both pool modes: good tokens work by each of their rules, and no bad one reaches PostgreSQL. */
import { Client } from 'pg';
import type { DatabaseError } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PluginList, PoolOptions } from '../../core/index.ts';
import { claims } from '../../plugins/claims/index.ts';
import { INSTALL } from '../../plugins/claims/install.ts';
import { ipFilter } from '../../plugins/ip-filter/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { limits } from '../../plugins/limits/index.ts';
import { rateLimit } from '../../plugins/rate-limit/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { tenant } from '../../plugins/tenant/index.ts';
import { badTokens } from '../support/bad-tokens.ts';
import { countingProxy } from '../support/counting-proxy.ts';
import type { CountingProxy } from '../support/counting-proxy.ts';
import { databaseOf, logIn, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { issuer } from '../support/token.ts';

const KEY = 'what the gateway and the database both know';
const good = issuer();
const server = sharedPostgres();
let database: string;
let proxy: CountingProxy;

beforeAll(async () => {
  database = await freshDatabase();
  proxy = await countingProxy(server);
  await server.sql(INSTALL.replace(/\\getenv[^]*\\endif/, `select postern.add_key('${KEY}');`), database);
  await server.sql(
    `create schema t_acme; grant usage on schema t_acme to reader;
     create table t_acme.orders (tenant text); insert into t_acme.orders values ('acme'), ('evil');
     grant select on t_acme.orders to reader;
     alter table t_acme.orders enable row level security;
     create policy own on t_acme.orders using (tenant = (select postern.claim('tenant')))`,
    database,
  );
});
afterAll(() => proxy.close());

const everything = (): PluginList => [
  ipFilter({ allow: ['127.0.0.0/8', '::1'], deny: ['127.0.0.66'] }),
  rateLimit({
    connections: { per: 'address', limit: '1000/s' },
    failedLogins: { per: 'address', limit: '10000/m' },
    statements: { per: 'subject', limit: '10000/s' },
    bytes: { per: 'subject', limit: '1GB/s' },
  }),
  jwt({ issuers: [good.options] }),
  roles({ claim: 'role', allow: ['reader', 'writer'] }),
  tenant({ claim: 'tenant', default: 'acme', schema: 't_{tenant}' }),
  claims({ key: KEY }),
  limits({ maxConnections: { subject: 10 }, maxSession: '1h', timeouts: { statement: '10s' } }),
];

/** The ways to present a token; each gives the SQLSTATE with which the login ends, or `logged in`. */
const PRESENTATIONS = {
  async 'as the password'(port: number, token: string): Promise<string | undefined> {
    const client = await RawClient.connect(port);
    const outcome = await logIn(client, { user: '_' }, { token }).catch((error: Error) => error.message);
    client.destroy();
    return typeof outcome === 'string' ? /"C":"(\w+)"/.exec(outcome)?.[1] : 'logged in';
  },
} as const;

const MODES = ['session', 'transaction'] as const satisfies readonly PoolOptions['mode'][];

describe.each(MODES)('with every plugin, in %s mode', (mode) => {
  let running: RunningGateway;
  const clients: Client[] = [];

  beforeAll(async () => {
    const pool = { mode, size: 4 };
    running = await startGateway({
      databases: { orders: databaseOf(server, { host: proxy.host, port: proxy.port, database, pool }) },
      plugins: everything(),
    });
  });
  afterAll(async () => {
    for (const client of clients) await client.end().catch(() => {});
    await running.gateway.stop();
  });

  async function login(more: object = {}): Promise<Client> {
    const at = { host: '127.0.0.1', port: running.port, user: '_', database: 'orders' };
    const client = new Client({ ...at, password: good.sign({ tenant: 'acme', ...more }) });
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    return client;
  }

  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'done',
      (error: DatabaseError) => error.code,
    );

  test('a good token is a role, a schema, a claim and its limits', async () => {
    const client = await login();
    const { rows } = await client.query(
      `select session_user::text as role, current_setting('search_path') as path, postern.claim('sub') as sub,
        current_setting('request.jwt.claims')::jsonb ->> 'sub' as plain, current_setting('statement_timeout') as timeout`,
    );
    expect(rows).toEqual([
      { role: 'reader', path: '"t_acme"', sub: 'alice', plain: 'alice', timeout: '10s' },
    ]);
    expect((await client.query('select tenant from orders')).rows).toEqual([{ tenant: 'acme' }]);
  });

  test.each([
    ['an address that is not its own', { cidrs: ['10.0.0.0/8'] }, '28000'],
    ['another database', { databases: ['archive'] }, '42501'],
    [
      'a window that is never open',
      { windows: [{ days: [], from: '00:00', to: '24:00', tz: 'UTC' }] },
      '28000',
    ],
    ['a rule that nobody knows', { colour: 'blue' }, '28P01'],
  ])('a token whose rules say %s is refused', async (_, postern, code) => {
    const before = proxy.count();
    expect(await codeOf(login({ postern }))).toBe(code);
    expect(proxy.count()).toBe(before);
  });

  test('a token with every rule is let in, and held to them', async () => {
    const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
    const postern = {
      databases: ['orders'],
      max_connections: 1,
      cidrs: ['127.0.0.0/8'],
      windows: [{ days, from: '00:00', to: '24:00', tz: 'UTC' }],
      rate: { statements: '5/h', connections: '50/m' },
      max_session_duration: '1h',
    };
    const client = await login({ sub: 'ruled', postern });
    expect(await codeOf(login({ sub: 'ruled', postern }))).toBe('53300');
    const codes = [];
    for (let i = 0; i < 7; i += 1) codes.push(await codeOf(client.query('select 1')));
    expect(codes).toEqual([...Array<string>(5).fill('done'), '53400', '53400']);
  });

  test.each(Object.entries(PRESENTATIONS))(
    'no bad token %s opens a session or a connection to PostgreSQL',
    async (_, present) => {
      const bad = badTokens(good);
      expect(bad.length).toBeGreaterThanOrEqual(60);
      await login();
      const before = proxy.count();
      const wrong: string[] = [];
      for (const { name, token } of bad) {
        const state = await present(running.port, token);
        if (state !== '28P01' && state !== '28000') wrong.push(`${name}: ${state}`);
      }
      expect(wrong).toEqual([]);
      expect(proxy.count()).toBe(before);
      expect(await present(running.port, good.sign({ tenant: 'acme' }))).toBe('logged in');
    },
    120_000,
  );
});
