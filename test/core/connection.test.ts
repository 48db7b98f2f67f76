import { X509Certificate } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { CloseReason, Session } from '../../core/contract/session.ts';
import { GatewayError } from '../../core/contract/errors.ts';
import { parseRole } from '../../core/contract/names.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { countingProxy } from '../support/counting-proxy.ts';
import type { CountingProxy } from '../support/counting-proxy.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { RawClient, cancelRequest, fieldsOf, message, startup } from '../support/raw-client.ts';

let postgres: Postgres;
let proxy: CountingProxy;
let database: string;
let files: Certificates;
let running: RunningGateway | undefined;
const clients: RawClient[] = [];

beforeAll(async () => {
  postgres = sharedPostgres();
  proxy = await countingProxy(postgres);
  database = await freshDatabase();
  files = await certificates();
});
afterAll(() => {
  proxy.close();
  files.remove();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await running?.gateway.stop();
  running = undefined;
});

async function gateway(config: Partial<TestConfig> = {}): Promise<RunningGateway> {
  running = await startGateway({
    databases: { orders: databaseOf(postgres, { host: proxy.host, port: proxy.port, database }) },
    plugins: [mapTo('reader')],
    ...config,
  });
  return running;
}

async function connect(port: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  clients.push(client);
  return client;
}

/** Tells how sessions began and ended. */
function watching(): {
  readonly plugin: AnyPlugin;
  readonly closed: CloseReason[];
  readonly sessions: Session[];
} {
  const closed: CloseReason[] = [];
  const sessions: Session[] = [];
  const plugin: AnyPlugin = {
    name: 'watching',
    onStartup: (session) => void sessions.push(session),
    onClose: (_, reason) => void closed.push(reason),
  };
  return { plugin, closed, sessions };
}

/** Counts server connections of this file: other files use the same server at the same time. */
const readers = (): string =>
  `select count(*)::int as n from pg_stat_activity where datname = '${database}' and usename = 'reader'`;

test('a login says what PostgreSQL says, but for the secret of the cancel key', async () => {
  const { port } = await gateway();
  const { client, processId, secret, parameters } = await logIn(await connect(port));
  expect(secret).toHaveLength(4);
  expect(parameters).toMatchObject({ server_encoding: 'UTF8', session_authorization: 'reader' });
  const ask = message('Q', 'select pg_backend_pid(), session_user, current_user, pg_sleep(0.3)\0');
  client.send(ask);
  // PostgreSQL itself does not know the key.
  const direct = await connect(postgres.port);
  direct.send(cancelRequest(processId, secret));
  await direct.rest();
  const rows = (await client.until('Z')).filter(({ type }) => type === 'D');
  expect(rows[0]?.body.toString()).toMatch(/reader.*reader/s);
  expect(rows[0]?.body.toString()).toContain(String(processId));
});

test('a 3.2 client gets a key of 32 bytes, and a newer one is told the version before it is asked', async () => {
  const { port } = await gateway();
  expect((await logIn(await connect(port), {}, { minor: 2 })).secret).toHaveLength(32);
  const client = await connect(port);
  client.send(startup({ user: 'alice', database: 'orders', '_pq_.grease': 'x' }, 9999));
  const [negotiated, request] = await client.until('R');
  expect(negotiated?.type).toBe('v');
  expect(negotiated?.body.toString('hex')).toBe(
    `0003000200000001${Buffer.from('_pq_.grease\0').toString('hex')}`,
  );
  expect(request?.body.toString('hex')).toBe('00000003');
});

test('every failed authentication reads the same, and PostgreSQL hears nothing of it', async () => {
  const { port, lines, text } = await gateway();
  const before = proxy.count();
  const answers: Record<string, string>[] = [];
  for (const password of ['wrong', '', 'x'.repeat(60_000)]) {
    for (const database of ['orders', 'unknown']) {
      const client = await connect(port);
      client.send(startup({ user: 'alice', database }));
      await client.until('R');
      client.send(message('p', `${password}\0`));
      answers.push(await client.error());
      expect((await client.rest()).length).toBe(0);
    }
  }
  const expected = {
    S: 'FATAL',
    V: 'FATAL',
    C: '28P01',
    M: 'password authentication failed for user "alice"',
  };
  for (const answer of answers) expect(answer).toEqual(expected);
  expect(proxy.count()).toBe(before);
  await expect.poll(() => lines('login refused').length).toBe(6);
  const reasons = lines('login refused').map((line) => String(line['reason']));
  expect(reasons.filter((reason) => reason.endsWith('not the good token'))).toHaveLength(4);
  expect(reasons.filter((reason) => reason.endsWith('empty password'))).toHaveLength(2);
  expect(text()).not.toContain('xxx');
});

test('a database nobody serves is told after the token, not before', async () => {
  const { port } = await gateway();
  const client = await connect(port);
  await expect(logIn(client, { database: 'unknown' })).rejects.toThrow('"C":"3D000"');
});

test('the star serves every other name, under the name the client used', async () => {
  const { host, port: serverPort, passwords } = postgres;
  const login = { kind: 'password', passwords } as const;
  const { port } = await gateway({ databases: { '*': { host, port: serverPort, login } } });
  const { client } = await logIn(await connect(port), { database: 'postgres' });
  client.send(message('Q', 'select current_database()\0'));
  const row = (await client.until('Z')).find(({ type }) => type === 'D');
  expect(row?.body.subarray(6).toString()).toBe('postgres');
});

test.each([
  ['another message', message('Q', 'select 1\0'), '08P01'],
  ['trailing bytes', message('p', `${GOOD_TOKEN}\0x`), '08P01'],
  ['no terminator', message('p', GOOD_TOKEN), '08P01'],
  ['bytes that are not UTF-8', message('p', Buffer.from('ff00', 'hex')), '08P01'],
  ['a length of 3', Buffer.from('7000000003', 'hex'), '08P01'],
  ['a length of 65 542', Buffer.from('7000010006', 'hex'), '08P01'],
  ['a length of 2^32 - 1', Buffer.from('70ffffffff', 'hex'), '08P01'],
])('%s in place of a password is a protocol violation', async (_, bytes, sqlstate) => {
  const { port } = await gateway();
  const client = await connect(port);
  client.send(startup({ user: 'alice', database: 'orders' }));
  await client.until('R');
  client.send(bytes);
  expect((await client.error())['C']).toBe(sqlstate);
});

test('a token of 65 536 bytes in single pieces arrives whole, and one of 65 537 is refused', async () => {
  let length = 0;
  const { port } = await gateway({
    plugins: [
      { name: 'measure', onAuth: async (session) => void (length = (await session.token()).length) },
      mapTo('reader'),
    ],
  });
  const client = await connect(port);
  client.send(startup({ user: 'alice', database: 'orders' }));
  await client.until('R');
  const bytes = message('p', `${'t'.repeat(65_536)}\0`);
  for (let at = 0; at < bytes.length; at += 4099) {
    client.send(bytes.subarray(at, at + 4099));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect((await client.error())['C']).toBe('28P01');
  expect(length).toBe(65_536);
  const other = await connect(port);
  other.send(startup({ user: 'alice', database: 'orders' }));
  await other.until('R');
  other.send(message('p', `${'t'.repeat(65_537)}\0`));
  expect(await other.error()).toMatchObject({ C: '08P01', M: 'invalid password packet size' });
});

test('no plugin asks for the token: none is asked of the client', async () => {
  const { port } = await gateway({
    plugins: [{ name: 'lab', onAuth: (_, upstream) => ({ ...upstream, role: parseRole('writer') }) }],
  });
  const client = await connect(port);
  client.send(startup({ user: 'alice', database: 'orders' }));
  const [first] = await client.until('Z');
  expect(first?.body.toString('hex')).toBe('00000000');
});

test('a login for which no role was mapped is refused, and nothing is connected', async () => {
  const before = proxy.count();
  const { port } = await gateway({ plugins: [] });
  const client = await connect(port);
  client.send(startup({ user: 'alice', database: 'orders' }));
  expect((await client.error())['C']).toBe('28000');
  expect(proxy.count()).toBe(before);
});

test('replication is refused after the token unless the database entry lets it pass', async () => {
  const { port } = await gateway();
  await expect(logIn(await connect(port), { replication: 'database' })).rejects.toThrow('"C":"0A000"');
});

test.each([
  [{ role: 'postgres' }, '08P01'],
  [{ options: '-c role=postgres' }, '08P01'],
  [{ 'application name': 'a' }, '08P01'],
  [{ 'postern.unknown': 'x' }, '08P01'],
  [{ user: '' }, '28000'],
])('startup parameters %j are refused before any plugin runs', async (parameters, sqlstate) => {
  const { plugin, sessions } = watching();
  const refused: string[] = [];
  const on = { refused: ({ why }: { readonly why: string }) => void refused.push(why) };
  const { port } = await gateway({ plugins: [plugin, { name: 'observer', on }] });
  const client = await connect(port);
  client.send(startup({ user: 'alice', database: 'orders', ...parameters }));
  expect((await client.error())['C']).toBe(sqlstate);
  await expect.poll(() => refused.length).toBe(1);
  expect(sessions).toEqual([]);
});

test('what is thrown besides GatewayErrors becomes XX000 with an id that is in the log', async () => {
  const { plugin, closed } = watching();
  const { port, lines } = await gateway({
    plugins: [
      plugin,
      {
        name: 'broken',
        onAuth() {
          throw new TypeError('secret internals');
        },
      },
    ],
  });
  const client = await connect(port);
  client.send(startup({ user: 'alice', database: 'orders' }));
  const error = await client.error();
  expect(error).toMatchObject({ S: 'FATAL', C: 'XX000' });
  expect(JSON.stringify(error)).not.toContain('internals');
  const id = /id ([0-9a-f]{8})/.exec(error['M'] ?? '')?.[1];
  expect(lines('internal error')).toMatchObject([
    { errorId: id, error: expect.stringContaining('secret internals') },
  ]);
  await expect.poll(() => closed).toMatchObject([{ kind: 'refused', error: { sqlstate: 'XX000' } }]);
});

test('a client that takes too long is closed silently before its startup packet and told afterwards', async () => {
  const { plugin, closed } = watching();
  const { port } = await gateway({ loginTimeout: '1500ms', plugins: [plugin, mapTo('reader')] });
  const silent = await connect(port);
  expect((await silent.rest()).length).toBe(0);
  const half = await connect(port);
  half.send(startup({ user: 'alice' }).subarray(0, 9));
  expect((await half.rest()).length).toBe(0);
  const slow = await connect(port);
  slow.send(startup({ user: 'alice', database: 'orders' }));
  await slow.until('R');
  slow.send(message('p', 'x').subarray(0, 3));
  expect(await slow.error()).toMatchObject({ C: '57014', M: 'canceling authentication due to timeout' });
  await expect.poll(() => closed).toMatchObject([{ kind: 'refused', error: { sqlstate: '57014' } }]);
});

test('a handshake that stalls in TLS ends with the login deadline', async () => {
  const { certFile: cert, keyFile: key } = files.server;
  const { port, gateway: gate } = await gateway({
    loginTimeout: '1500ms',
    listen: { port: 0, tls: { cert, key } },
  });
  const client = await connect(port);
  client.send(Buffer.from('0000000804d2162f', 'hex'));
  expect(String(await client.read(1))).toBe('S');
  client.send(Buffer.from('16030100', 'hex'));
  expect((await client.rest()).length).toBe(0);
  await gate.stop();
});

test('a plugin that hangs does not keep the client waiting, and onClose comes after it has settled', async () => {
  const { plugin, closed } = watching();
  let settle: () => void = () => {};
  const hanging = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const { port } = await gateway({
    loginTimeout: '1500ms',
    plugins: [plugin, { name: 'hanging', onAuth: () => hanging }],
  });
  const client = await connect(port);
  client.send(startup({ user: 'alice', database: 'orders' }));
  expect((await client.error())['C']).toBe('57014');
  await client.rest();
  expect(closed).toEqual([]);
  settle();
  await expect.poll(() => closed.length).toBe(1);
});

test('a client that leaves during a hook aborts the session at once', async () => {
  const { plugin, closed, sessions } = watching();
  const order: string[] = [];
  const { port } = await gateway({
    plugins: [
      plugin,
      {
        name: 'waiting',
        async onAuth(session) {
          session.defer(() => void order.push('deferred'));
          await new Promise<void>((resolve) => session.signal.addEventListener('abort', () => resolve()));
          order.push('aborted');
        },
        onClose: () => void order.push('closed'),
      },
    ],
  });
  const client = await connect(port);
  client.send(startup({ user: 'alice', database: 'orders' }));
  await expect.poll(() => sessions.length).toBe(1);
  client.destroy();
  await expect.poll(() => order).toEqual(['aborted', 'closed', 'deferred']);
  expect(closed).toEqual([{ kind: 'lost' }]);
});

test('events and log lines tell each login, connect, refusal and close once', async () => {
  const events: string[] = [];
  const observer: AnyPlugin = {
    name: 'observer',
    on: {
      login: ({ sqlstate }) => void events.push(`login ${sqlstate}`),
      connect: ({ host, sqlstate }) => void events.push(`connect ${host} ${sqlstate}`),
      close: ({ reason }) => void events.push(`close ${reason.kind}`),
    },
  };
  const { port, lines, text } = await gateway({ plugins: [mapTo('reader'), observer] });
  const { client } = await logIn(await connect(port));
  client.send(message('X'));
  await client.rest();
  await expect
    .poll(() => events)
    .toEqual([`connect ${proxy.host} undefined`, 'login undefined', 'close client']);
  await expect(logIn(await connect(port), {}, { token: 'bad' })).rejects.toThrow('28P01');
  await expect.poll(() => events.slice(3)).toEqual(['login 28P01', 'close refused']);
  const [login] = lines('login');
  expect(login).toMatchObject({
    level: 'info',
    user: 'alice',
    database: 'orders',
    role: 'reader',
    address: '127.0.0.1',
  });
  expect(lines('close')).toMatchObject([{ session: login?.['session'], reason: 'client' }]);
  expect(lines('login refused')).toMatchObject([
    { sqlstate: '28P01', reason: expect.stringContaining('not the good token') },
  ]);
  expect(text()).not.toContain(GOOD_TOKEN);
});

test('a session can be ended and given notices while it is idle', async () => {
  const { plugin, closed, sessions } = watching();
  const { port } = await gateway({ plugins: [plugin, mapTo('reader')] });
  const { client } = await logIn(await connect(port));
  sessions[0]?.notice('mind the gap', 'really');
  expect(fieldsOf((await client.until('N'))[0]?.body ?? Buffer.alloc(0))).toMatchObject({
    M: 'mind the gap',
    H: 'really',
  });
  sessions[0]?.end(new GatewayError('admin_shutdown', 'enough'));
  expect(await client.error()).toMatchObject({ S: 'FATAL', C: '57P01', M: 'enough' });
  await client.rest();
  await expect.poll(() => closed).toMatchObject([{ kind: 'ended', error: { message: 'enough' } }]);
});

test('over TLS a session knows the server name and the client certificate', async () => {
  const { server, client: mine, ca, wrongServer } = files;
  const { plugin, sessions } = watching();
  const { port } = await gateway({
    plugins: [plugin, mapTo('reader')],
    listen: {
      port: 0,
      plaintext: 'never',
      tls: { cert: server.certFile, key: server.keyFile, clientCa: ca.certFile },
    },
  });
  const bound = await (
    await connect(port)
  ).startTls({ servername: 'localhost', cert: mine.cert, key: mine.key });
  await logIn(bound);
  const bare = await (await connect(port)).startTls();
  await logIn(bare);
  const hash = new X509Certificate(mine.cert).fingerprint256.replaceAll(':', '').toLowerCase();
  expect(sessions.map(({ client }) => client.tls)).toEqual([
    {
      servername: 'localhost',
      certificateSha256: hash,
      certificate: expect.objectContaining({ sha256: hash, subject: 'CN=client' }) as object,
    },
    {},
  ]);
  const foreign = await connect(port);
  await foreign.startTls({ cert: wrongServer.cert, key: wrongServer.key }).catch(() => {});
  foreign.send(startup({ user: 'alice', database: 'orders' }));
  expect(await foreign.error()).toMatchObject({ S: 'FATAL', C: '28000', D: 'unknown ca' });
  expect(sessions).toHaveLength(2);
});

test('clients that leave at each step of the login leave nothing behind', async () => {
  const { plugin, closed, sessions } = watching();
  const { port } = await gateway({ plugins: [plugin, mapTo('reader')] });
  const hello = startup({ user: 'alice', database: 'orders' });
  const steps = Buffer.concat([hello, message('p', `${GOOD_TOKEN}\0`)]);
  for (let cut = 1; cut <= steps.length; cut += 1) {
    const client = await connect(port);
    client.send(steps.subarray(0, Math.min(cut, hello.length)));
    if (cut > hello.length) {
      await client.until('R');
      client.send(steps.subarray(hello.length, cut));
    }
    client.destroy();
  }
  await expect.poll(() => closed.length).toBe(sessions.length);
  expect(sessions.length).toBeGreaterThan(0);
  await expect.poll(() => postgres.sql(readers())).toEqual([{ n: 0 }]);
  const sockets = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
  await expect.poll(sockets).toBeLessThanOrEqual(1);
});

test('a database function that fails, and a name it cannot take, are told after the token only', async () => {
  const { port, lines } = await gateway({
    databases: (name) => {
      if (name === 'broken') throw new Error('directory down');
      return undefined;
    },
  });
  for (const [database, sqlstate] of [
    ['broken', 'XX000'],
    ['no good name', '3D000'],
    ['unknown', '3D000'],
  ]) {
    const bad = logIn(await connect(port), { database: String(database) }, { token: 'bad' });
    await expect(bad).rejects.toThrow('"C":"28P01"');
    await expect(logIn(await connect(port), { database: String(database) })).rejects.toThrow(
      `"C":"${sqlstate}"`,
    );
  }
  expect(lines('internal error')).toMatchObject([{ error: expect.stringContaining('directory down') }]);
});

test('a session that ends while its server connection arrives gives that connection back', async () => {
  const { plugin, closed } = watching();
  const on: AnyPlugin['on'] = {
    connect: ({ session }) => session.end(new GatewayError('too_many_connections', 'just now')),
  };
  const { port } = await gateway({ plugins: [plugin, mapTo('reader'), { name: 'ending', on }] });
  await expect(logIn(await connect(port))).rejects.toThrow('"C":"53300"');
  await expect.poll(() => closed).toMatchObject([{ kind: 'refused', error: { sqlstate: '53300' } }]);
  await expect.poll(() => postgres.sql(readers())).toEqual([{ n: 0 }]);
});
