/** OAUTHBEARER through a gateway with `jwt`, by raw messages: what PostgreSQL 18 says, and what operators see. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { only } from '../../core/contract/config.ts';
import { GatewayError } from '../../core/contract/errors.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { audit } from '../../plugins/audit/index.ts';
import { console } from '../../plugins/console/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { rateLimit } from '../../plugins/rate-limit/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { tracing } from '../../plugins/tracing/index.ts';
import { auditLines } from '../support/audit-files.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { databaseOf } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { gatewayForEach } from '../support/gateway-for-each.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { fieldsOf, message, startup } from '../support/raw-client.ts';
import type { RawClient, Received } from '../support/raw-client.ts';
import { issuer } from '../support/token.ts';

const good = issuer();
const withOAuth = { ...good.options, oauth: { scope: 'openid postern' } };
const plugins = [jwt({ issuers: [withOAuth] }), roles({ claim: 'role', allow: ['reader', 'writer'] })];
const DISCOVERY = 'n,,\x01auth=\x01\x01';
const STATUS = {
  status: 'invalid_token',
  'openid-configuration': 'https://id.example/.well-known/openid-configuration',
  scope: 'openid postern',
};

let files: Certificates;
const { start, connect } = gatewayForEach();

beforeAll(async () => {
  files = await certificates();
});
afterAll(() => files.remove());

async function gateway(config: Partial<TestConfig> = {}): Promise<RunningGateway> {
  return start({
    listen: { port: 0, auth: 'oauthbearer' },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins,
    ...config,
  });
}

const bearer = (token: string): string => `n,,\x01auth=Bearer ${token}\x01\x01`;

/** SASLInitialResponse; `response` undefined is none. */
function initial(response: string | undefined, mechanism = 'OAUTHBEARER'): Buffer {
  const length = Buffer.alloc(4);
  const data = Buffer.from(response ?? '', 'latin1');
  length.writeInt32BE(response === undefined ? -1 : data.length);
  return message('p', Buffer.concat([Buffer.from(`${mechanism}\0`), length, data]));
}

/** An authentication request: its code and its data. */
function request({ type, body }: Received): { readonly code: number; readonly data: string } {
  if (type !== 'R') throw new Error(JSON.stringify(fieldsOf(body)));
  return { code: body.readUInt32BE(0), data: body.toString('utf8', 4) };
}

/** Begins a login, up to the answer to the initial response. */
async function begin(
  at: RunningGateway,
  response: string | undefined,
  parameters: Record<string, string> = {},
): Promise<RawClient> {
  const client = await connect(at);
  client.send(startup({ user: '_', database: 'orders', ...parameters }));
  expect(request(await client.message())).toEqual({ code: 10, data: 'OAUTHBEARER\0\0' });
  client.send(initial(response));
  return client;
}

/** The FATAL of a client that says `^A` to the status, and nothing behind it. */
async function farewell(client: RawClient): Promise<Record<string, string>> {
  const { code, data } = request(await client.message());
  expect({ code, status: JSON.parse(data) as unknown }).toEqual({ code: 11, status: STATUS });
  client.send(message('p', '\x01'));
  const error = await client.error();
  expect(await client.rest()).toHaveLength(0);
  return error;
}

async function query(client: RawClient, sql: string): Promise<string> {
  client.send(message('Q', `${sql}\0`));
  const rows = (await client.until('Z')).filter(({ type }) => type === 'D');
  return rows.map(({ body }) => body.toString('utf8', 6)).join();
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('a token', () => {
  test.each([
    ['in the initial response', (token: string) => [initial(bearer(token))]],
    ['behind an empty challenge', (token: string) => [initial(undefined), message('p', bearer(token))]],
  ])('%s logs in, and AuthenticationOk follows at once', async (_, messages) => {
    const at = await gateway();
    const client = await connect(at);
    client.send(startup({ user: '_', database: 'orders' }));
    await client.message();
    const [first = Buffer.alloc(0), second] = messages(good.sign());
    client.send(first);
    if (second) {
      expect(request(await client.message())).toEqual({ code: 11, data: '' });
      client.send(second);
    }
    expect(request(await client.message())).toEqual({ code: 0, data: '' });
    await client.until('Z');
    expect(await query(client, 'select session_user')).toBe('reader');
    expect(at.lines('login')).toMatchObject([{ credential: 'oauthbearer', subject: 'alice' }]);
  });

  test('that is not good is told by a status, and then as every other refused login', async () => {
    const at = await gateway();
    const bad = [
      bearer(good.sign({ aud: 'billing' })),
      bearer('abc'),
      'n,,\x01auth=Basic x\x01\x01',
      bearer('a b'),
    ];
    for (const response of bad) {
      expect(await farewell(await begin(at, response))).toMatchObject({
        S: 'FATAL',
        C: '28P01',
        M: 'password authentication failed for user "_"',
      });
    }
    const refusals = at.lines('login refused');
    expect(refusals).toHaveLength(4);
    expect(refusals.every(({ credential }) => credential === 'oauthbearer')).toBe(true);
    expect(refusals.map(({ reason }) => reason)).toContainEqual(
      expect.stringContaining('another scheme than Bearer'),
    );
    expect(at.lines('discovery')).toEqual([]);
  });

  test('that is good, and leads nowhere, has its reason read: FATAL alone', async () => {
    const at = await gateway();
    const role = await begin(at, bearer(good.sign({ role: 'nobody' })));
    expect(await role.error()).toMatchObject({ C: '28000' });
    const database = await begin(at, bearer(good.sign()), { database: 'unknown' });
    expect(await database.error()).toMatchObject({ C: '3D000' });
  });

  test('of the longest message passes, and one byte more is a protocol violation', async () => {
    const at = await gateway();
    const overhead = initial(bearer('')).length - 1;
    const longest = await begin(at, bearer('a'.repeat(65_535 - overhead)));
    expect(await farewell(longest)).toMatchObject({ C: '28P01' });
    const longer = await begin(at, bearer('a'.repeat(65_536 - overhead)));
    expect(await longer.error()).toMatchObject({ C: '08P01', M: 'invalid message length' });
    expect(at.text()).not.toContain('aaaaaaaaaa');
  });
});

describe('what breaks the protocol is answered as PostgreSQL 18 does', () => {
  test.each<[string, Buffer, string, string]>([
    [
      'another mechanism',
      initial('n,,', 'SCRAM-SHA-256'),
      '08P01',
      'client selected an invalid SASL authentication mechanism',
    ],
    ['a query', message('Q', 'select 1\0'), '08P01', 'expected SASL response, got message type 81'],
    ['no length', message('p', 'OAUTHBEARER\0'), '08P01', 'insufficient data left in message'],
    ['no mechanism', message('p', 'OAUTHBEARER'), '08P01', 'invalid string in message'],
    ['channel binding', initial('p=tls-unique,,\x01auth=\x01\x01'), '08P01', 'malformed OAUTHBEARER message'],
    [
      'an authorization identity',
      initial('n,a=bob,\x01auth=\x01\x01'),
      '0A000',
      'client uses authorization identity, but it is not supported',
    ],
    ['an empty response', initial(''), '08P01', 'malformed OAUTHBEARER message'],
  ])('%s', async (_, said, sqlstate, text) => {
    const at = await gateway();
    const client = await connect(at);
    client.send(startup({ user: '_', database: 'orders' }));
    await client.message();
    client.send(said);
    expect(await client.error()).toMatchObject({ S: 'FATAL', C: sqlstate, M: text });
    expect(at.lines('login refused')).toMatchObject([{ credential: 'oauthbearer', sqlstate }]);
  });

  test.each<[string, Buffer, string]>([
    ['two separators', message('p', '\x01\x01'), 'malformed OAUTHBEARER message'],
    ['nothing', message('p', ''), 'malformed OAUTHBEARER message'],
    ['a query', message('Q', 'select 1\0'), 'expected SASL response, got message type 81'],
  ])('%s in answer to a status', async (_, said, text) => {
    const client = await begin(await gateway(), DISCOVERY);
    await client.message();
    client.send(said);
    expect(await client.error()).toMatchObject({ C: '08P01', M: text });
  });
});

describe('a discovery request', () => {
  test('gets the status, and is no failed login', async () => {
    const events: string[] = [];
    const watching: AnyPlugin = {
      name: 'watching',
      on: {
        login: ({ sqlstate }) => void events.push(`login ${sqlstate}`),
        discovery: ({ session, sqlstate }) => void events.push(`discovery ${session.credential} ${sqlstate}`),
        close: ({ reason, sqlstate }) => void events.push(`close ${reason.kind} ${sqlstate}`),
      },
    };
    const at = await gateway({ plugins: [watching, ...plugins] });
    const error = await farewell(await begin(at, DISCOVERY));
    expect(error).toMatchObject({
      S: 'FATAL',
      C: '28000',
      M: 'OAuth bearer authentication failed for user "_"',
    });
    await until(() => events.length === 2);
    expect(events).toEqual(['discovery oauthbearer undefined', 'close discovery undefined']);
    expect(at.lines('discovery')).toMatchObject([{ level: 'info', user: '_', credential: 'oauthbearer' }]);
    expect(at.lines('login refused')).toEqual([]);
    expect(at.lines('close')).toEqual([]);
  });

  test('is told whatever a plugin makes of its error, and although the client leaves', async () => {
    const swallowing: AnyPlugin = {
      name: 'swallowing',
      async onAuth(session) {
        await session.token().catch(() => {
          throw new GatewayError('invalid_password', 'something else');
        });
      },
    };
    const at = await gateway({ plugins: [swallowing, ...plugins] });
    expect(await farewell(await begin(at, DISCOVERY))).toMatchObject({ C: '28000' });
    const leaving = await begin(at, DISCOVERY);
    await leaving.message();
    leaving.destroy();
    await until(() => at.lines('discovery').length === 2);
    expect(at.lines('login refused')).toEqual([]);
  });

  test('is not counted with failed logins, and is counted as a connection', async () => {
    const limits = rateLimit({
      failedLogins: { per: 'address', limit: '2/h' },
      connections: { per: 'address', limit: '8/h' },
    });
    const at = await gateway({ plugins: [limits, ...plugins] });
    for (let time = 0; time < 5; time += 1)
      expect(await farewell(await begin(at, DISCOVERY))).toMatchObject({ C: '28000' });
    for (let time = 0; time < 2; time += 1)
      expect(await farewell(await begin(at, bearer('abc')))).toMatchObject({ C: '28P01' });
    const client = await connect(at);
    client.send(startup({ user: '_', database: 'orders' }));
    expect(await client.error()).toMatchObject({
      C: '53400',
      M: expect.stringContaining('failed logins') as string,
    });
  });

  test('counts a failed login although its client does not wait for the end', async () => {
    const limits = rateLimit({ failedLogins: { per: 'address', limit: '1/h' } });
    const at = await gateway({ plugins: [limits, ...plugins] });
    const client = await begin(at, bearer('abc'));
    await client.message();
    client.destroy();
    await until(() => at.lines('login refused').length === 1);
    const next = await connect(at);
    next.send(startup({ user: '_', database: 'orders' }));
    expect(await next.error()).toMatchObject({ C: '53400' });
  });

  test('has an outcome of its own in metrics and in the audit trail', async () => {
    const file = join(files.folder, 'audit', 'audit.jsonl');
    const at = await gateway({
      admin: { port: 0 },
      plugins: [
        audit({ sink: { file } }),
        tracing({ metrics: { prometheus: true, public: true, hooks: true } }),
        ...plugins,
      ],
    });
    await farewell(await begin(at, DISCOVERY));
    const metrics = await (await fetch(`http://127.0.0.1:${at.adminPort}/metrics`)).text();
    expect(metrics).toMatch(/postern_auth_attempts_total\{[^}]*outcome="discovery"[^}]*\} 1/);
    expect(metrics).toMatch(/hook_duration_seconds_count\{[^}]*plugin="jwt"[^}]*outcome="passed"[^}]*\} 1/);
    expect(metrics).not.toContain('outcome="refused"');
    await at.gateway.stop();
    const types = auditLines(file).map(({ type }) => type);
    expect(new Set(types)).toEqual(new Set(['opened', 'discovery', 'closed']));
    expect(types.filter((type) => type === 'discovery')).toHaveLength(1);
  });
});

describe('the credential is chosen', () => {
  const auth = {
    default: 'password',
    oauthbearer: { servernames: ['oauth.example'], parameter: true },
  } as const;
  const tlsOf = () => ({ cert: files.server.certFile, key: files.server.keyFile });

  test('by server name, by postern.auth also in options, and is the password otherwise', async () => {
    const at = await gateway({ listen: { port: 0, tls: tlsOf(), auth } });
    const asked = async (
      servername: string | undefined,
      more: Record<string, string> = {},
    ): Promise<number> => {
      const client = await connect(at);
      await client.startTls(servername === undefined ? {} : { servername });
      client.send(startup({ user: '_', database: 'orders', ...more }));
      return request(await client.message()).code;
    };
    expect(await asked('oauth.example')).toBe(10);
    expect(await asked('localhost')).toBe(3);
    expect(await asked(undefined)).toBe(3);
    expect(await asked(undefined, { options: '-c postern.auth=oauthbearer' })).toBe(10);
    expect(await asked(undefined, { 'Postern.Auth': 'oauthbearer' })).toBe(10);
    expect(await asked('oauth.example', { 'postern.auth': 'password' })).toBe(3);
  });

  test('and a value or a parameter that the listener does not have is refused', async () => {
    const at = await gateway({
      listen: { port: 0, auth: { default: 'password', oauthbearer: { parameter: true } } },
    });
    const wrong = await connect(at);
    wrong.send(startup({ user: '_', database: 'orders', 'postern.auth': 'scram' }));
    expect(await wrong.error()).toMatchObject({ C: '22023', H: 'Available values: password, oauthbearer.' });
    await at.gateway.stop();
    const strict = await gateway();
    const unknown = await connect(strict);
    unknown.send(startup({ user: '_', database: 'orders', 'postern.auth': 'oauthbearer' }));
    expect(await unknown.error()).toMatchObject({
      C: '08P01',
      M: 'unsupported startup parameter: "postern.auth"',
    });
  });
});

test('operators log in to the console by OAUTHBEARER, and are told where to get a token', async () => {
  const admin = { port: 0, operators: { claim: 'role', value: 'operator' } };
  const at = await gateway({ admin, plugins: [...plugins, console()] });
  expect(await farewell(await begin(at, DISCOVERY, { database: 'pgbouncer' }))).toMatchObject({ C: '28000' });
  expect(await farewell(await begin(at, bearer('abc'), { database: 'pgbouncer' }))).toMatchObject({
    C: '28P01',
  });
  const client = await begin(at, bearer(good.sign({ role: 'operator' })), { database: 'pgbouncer' });
  await client.until('Z');
  expect(await query(client, 'show version')).toContain('Postern');
});

test('a console that no operator can open is told of at the start', async () => {
  const operators = { claim: 'role', value: 'operator' };
  const elsewhere = await gateway({
    admin: { port: 0, operators },
    plugins: [
      ...only({ databases: ['orders'] }, jwt({ issuers: [{ ...good.options, oauth: { scope: 'openid' } }] })),
      console(),
    ],
  });
  const warned = 'no client can open the database of a plugin: no listener takes a credential for it';
  // Once, however many workers there are.
  await expect
    .poll(() => elsewhere.lines(warned))
    .toMatchObject([{ plugin: 'console', database: 'pgbouncer' }]);
  const here = await gateway({ admin: { port: 0, operators }, plugins: [...plugins, console()] });
  expect(here.lines(warned)).toEqual([]);
});

test('a client that says nothing to a status reads its error anyway', { timeout: 60_000 }, async () => {
  const at = await gateway();
  const client = await begin(at, bearer('abc'));
  await client.message();
  expect(await client.error()).toMatchObject({ C: '28P01' });
  expect(await client.rest()).toHaveLength(0);
});

test('a stop does not wait for clients that say nothing to a status', async () => {
  const at = await gateway();
  const client = await begin(at, DISCOVERY);
  await client.message();
  await at.gateway.stop();
  // After five seconds it would have read its error.
  expect(await client.rest()).toHaveLength(0);
});
