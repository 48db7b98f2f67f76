/** Clients that come over a stream of a plugin's: everything is as over a socket. */
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import { afterEach, beforeAll, afterAll, describe, expect, test } from 'vitest';
import type { ListenOptions } from '../../core/contract/listen.ts';
import type { DuplexStream } from '../../core/contract/duplex-stream.ts';
import type { GatewayHandle } from '../../core/contract/gateway-handle.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import type { Client as Seen } from '../../core/contract/session.ts';
import { audit } from '../../plugins/audit/index.ts';
import { ipFilter } from '../../plugins/ip-filter/index.ts';
import { rateLimit } from '../../plugins/rate-limit/index.ts';
import { auditLines } from '../support/audit-files.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { RawClient, SSL_REQUEST, cancelRequest, fieldsOf, message, startup } from '../support/raw-client.ts';
import { StreamEnd, handleKeeper } from '../support/stream-pair.ts';

const FROM = { address: '198.51.100.7', port: 4711, listener: 'default' } as const;
/** What a way in says of an encrypted client. */
const ENCRYPTED: Seen = { ...FROM, tls: {} };

interface Accepting extends RunningGateway {
  readonly handle: () => GatewayHandle;
  /** The client's end of a stream whose other end the gateway has. */
  open(client?: Seen): StreamEnd;
  /** Logged in over such a one. */
  client(client?: Seen, more?: ClientConfig): Promise<Client>;
}

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

async function start(plugins: readonly AnyPlugin[] = [], more: Partial<TestConfig> = {}): Promise<Accepting> {
  const keeper = handleKeeper();
  const running = await startGateway({
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [keeper.plugin, ...plugins, mapTo('writer')],
    ...more,
  });
  const open = (client: Seen = ENCRYPTED): StreamEnd => {
    const [stream, far] = StreamEnd.pair();
    keeper.handle().accept(stream, client);
    far.on('error', () => {});
    return far;
  };
  const connect = async (from?: Seen, config: ClientConfig = {}): Promise<Client> => {
    const options = { user: '_', database: 'orders', password: GOOD_TOKEN, ...config };
    const client = new Client({ ...options, stream: () => open(from) });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  stops.push(() => running.gateway.stop());
  return { ...running, handle: keeper.handle, open, client: connect };
}

const errorOf = (work: Promise<unknown>): Promise<Record<string, unknown>> =>
  work.then(
    () => ({}),
    (error: unknown) => error as Record<string, unknown>,
  );

test('a driver logs in, asks, and leaves: hooks, log and observers see the client that was stated', async () => {
  const seen: unknown[] = [];
  const witness: AnyPlugin = {
    name: 'witness',
    onStartup: ({ client }) => void seen.push(client),
    onQuery: (_, statement) => void seen.push('sql' in statement && statement.sql),
    onClose: (_, { kind }) => void seen.push(kind),
    on: { close: ({ used }) => void seen.push(used && used.received > 0 && used.sent > used.received) },
  };
  const running = await start([witness]);
  const client = await running.client({ ...ENCRYPTED, address: '::ffff:198.51.100.7' });
  const { rows } = await client.query<{ role: string }>('SELECT current_user AS role');
  expect(rows).toEqual([{ role: 'writer' }]);
  await client.end();
  await expect.poll(() => seen).toEqual([ENCRYPTED, 'SELECT current_user AS role', 'client', true]);
  const told = { address: '198.51.100.7', listener: 'default', user: '_' };
  expect(running.lines('login')).toEqual([expect.objectContaining(told)]);
  expect(running.lines('close')).toEqual([expect.objectContaining({ ...told, reason: 'client' })]);
});

describe('policies are for it as for a socket', () => {
  test('an address that is not let in is refused before it is asked for anything', async () => {
    const running = await start([ipFilter({ deny: ['198.51.100.0/24'] })]);
    const client = RawClient.over(running.open());
    client.send(startup({ user: '_', database: 'orders' }));
    expect(await client.error()).toMatchObject({ S: 'FATAL', C: '28000' });
    await client.rest();
    const other = await running.client({ ...ENCRYPTED, address: '203.0.113.1' });
    await other.end();
    expect(running.lines('login refused')).toEqual([
      expect.objectContaining({ address: '198.51.100.7', reason: expect.stringContaining('ipFilter.deny') }),
    ]);
  });

  test.each([
    ['::ffff:c633:6407', '198.51.100.7'],
    ['0:0:0:0:0:FFFF:198.51.100.7', '198.51.100.7'],
    ['2001:DB8:0::0:1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
  ])('an address that is written %s is %s to all of them', async (written, address) => {
    const seen: string[] = [];
    const witness: AnyPlugin = { name: 'witness', onStartup: ({ client }) => void seen.push(client.address) };
    const running = await start([witness]);
    await (await running.client({ ...ENCRYPTED, address: written })).end();
    expect(seen).toEqual([address]);
  });

  test('a limit counts it', async () => {
    const running = await start([rateLimit({ connections: { per: 'address', limit: '2/h' } })]);
    for (let i = 0; i < 2; i += 1) await (await running.client()).end();
    expect(await errorOf(running.client())).toMatchObject({ code: '53400' });
    await (await running.client({ ...ENCRYPTED, address: '203.0.113.1' })).end();
  });

  test('the audit has a line of its login and of its end', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-accept-'));
    stops.push(() => rm(folder, { recursive: true }));
    const file = join(folder, 'audit.jsonl');
    const running = await start([audit({ sink: { file } })]);
    await (await running.client()).end();
    await running.gateway.stop();
    const sessions = auditLines(file).filter(({ address }) => address === FROM.address);
    expect(sessions).toMatchObject([{ type: 'login' }, { type: 'logout' }]);
  });

  test('without encryption the rules of its listener decide by its address', async () => {
    const running = await start();
    const client = RawClient.over(running.open(FROM));
    client.send(startup({ user: '_', database: 'orders' }));
    expect(await client.error()).toMatchObject({
      C: '28000',
      M: 'connections without TLS are not accepted',
    });
    await client.rest();
    for (const address of ['127.0.0.9', 'unix']) await (await running.client({ ...FROM, address })).end();
  });

  test('a proxy that its listener trusts sends no header here', async () => {
    const listen = { port: 0, proxyProtocol: { trusted: ['198.51.100.0/24'] } };
    const running = await start([], { listen });
    await (await running.client()).end();
  });

  test('a login takes no longer than it may', async () => {
    const running = await start([], { loginTimeout: '300ms' });
    const [silent, slow] = [RawClient.over(running.open()), RawClient.over(running.open())];
    slow.send(startup({ user: '_', database: 'orders' }));
    await slow.until('R');
    expect(await slow.error()).toMatchObject({ S: 'FATAL', C: '57014' });
    expect((await silent.rest()).length).toBe(0);
  });
});

describe('TLS', () => {
  let files: Certificates;
  beforeAll(async () => {
    files = await certificates();
  });
  afterAll(() => files.remove());
  const listen = (more: Partial<NonNullable<ListenOptions['tls']>> = {}): ListenOptions => ({
    port: 0,
    tls: { cert: files.server.certFile, key: files.server.keyFile, ...more },
  });

  test('a client may speak it through the stream, whatever is around that', async () => {
    const seen: Seen[] = [];
    const witness: AnyPlugin = { name: 'witness', onStartup: ({ client }) => void seen.push(client) };
    const running = await start([witness], { listen: listen() });
    const more = { host: 'db.example', ssl: { rejectUnauthorized: false } };
    const clients = await Promise.all([FROM, ENCRYPTED, FROM].map((from) => running.client(from, more)));
    for (const client of clients) {
      const { rows } = await client.query<{ sum: string }>('SELECT sum(i) FROM generate_series(1, 9999) i');
      expect(rows).toEqual([{ sum: '49995000' }]);
      await client.end();
    }
    expect(seen.map(({ tls }) => tls)).toEqual(seen.map(() => ({ servername: 'db.example' })));
    expect(seen).toHaveLength(3);
  });

  test('where the listener has none, the client goes on without it, and a failed handshake is told', async () => {
    const plain = await start();
    const client = RawClient.over(plain.open()).send(SSL_REQUEST);
    expect((await client.read(1)).toString()).toBe('N');
    await logIn(client);
    const running = await start([], { listen: listen() });
    const broken = RawClient.over(running.open()).send(SSL_REQUEST);
    expect((await broken.read(1)).toString()).toBe('S');
    broken.send(Buffer.from('this is no ClientHello, and long enough to be read as a record of TLS'));
    await broken.rest();
    await expect.poll(() => running.lines('refused')).toMatchObject([{ why: /TLS handshake failed/ }]);
  });

  test('a listener that demands a certificate takes none on trust, and one that the way in has verified', async () => {
    const tls = { clientCa: files.ca.certFile, clientCertificate: 'required' } as const;
    const running = await start([], { listen: listen(tls) });
    const client = RawClient.over(running.open());
    client.send(startup({ user: '_', database: 'orders' }));
    expect(await client.error()).toMatchObject({ M: 'connection requires a valid client certificate' });
    await client.rest();
    const certificate = {
      sha256: 'ab'.repeat(32),
      subject: 'CN=billing',
      issuer: 'CN=authority',
      serialNumber: '01',
      commonNames: ['billing'],
      dns: [],
      uris: [],
      notAfter: new Date(Date.now() + 3_600_000),
    };
    await (await running.client({ ...FROM, tls: { certificate } })).end();
  });
});

test('a cancel reaches its statement by either way', async () => {
  const running = await start();
  const streamed = await logIn(RawClient.over(running.open()));
  const socket = await logIn(await RawClient.connect(running.port));
  for (const { client, processId, secret } of [streamed, socket]) {
    client.send(message('Q', 'SELECT pg_sleep(300)\0'));
    const other =
      client === streamed.client ? await RawClient.connect(running.port) : RawClient.over(running.open());
    // Until the statement runs a cancel hits nothing.
    await expect.poll(() => running.lines('login').length).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 200));
    other.send(cancelRequest(processId, secret));
    expect((await other.rest()).length).toBe(0);
    const refused = (await client.until('E')).at(-1);
    expect(fieldsOf(refused?.body ?? Buffer.alloc(0))).toMatchObject({ C: '57014' });
    await client.until('Z');
    client.send(message('X'));
    await client.rest();
  }
});

describe('COPY', () => {
  const ROWS = 300_000;

  test('megabytes go in and out past a reader that stops, and every byte arrives', async () => {
    const running = await start();
    const far = running.open();
    const { client } = await logIn(RawClient.over(far));
    client.send(message('Q', 'CREATE TEMP TABLE t (i int, s text)\0'));
    await client.until('Z');
    client.send(message('Q', 'COPY t FROM STDIN\0'));
    await client.until('G');
    for (let i = 0; i < ROWS; i += 1_000) {
      const rows = Array.from({ length: 1_000 }, (_, k) => `${i + k}\t${'x'.repeat(20)}\n`);
      if (!far.write(message('d', rows.join('')))) await once(far, 'drain');
    }
    client.send(message('c'));
    await client.until('Z');
    client.send(message('Q', 'COPY t TO STDOUT\0'));
    await client.until('H');
    far.pause();
    await expect.poll(() => far.readableLength).toBeGreaterThan(0);
    far.resume();
    const messages = await client.until('Z');
    const data = messages.filter(({ type }) => type === 'd').map(({ body }) => body);
    expect(data).toHaveLength(ROWS);
    expect(data.at(-1)?.toString()).toBe(`${ROWS - 1}\t${'x'.repeat(20)}\n`);
    far.destroy();
  });
});

describe('an end', () => {
  test.each(['client', 'gateway'] as const)(
    'a stream that the %s destroys ends the session, and leaves nothing',
    async (who) => {
      const [stream, far] = StreamEnd.pair();
      const running = await start();
      running.handle().accept(stream, ENCRYPTED);
      far.on('error', () => {});
      const { client } = await logIn(RawClient.over(far));
      client.send(message('Q', 'SELECT pg_sleep(300)\0'));
      expect([...running.handle().sessions]).toHaveLength(1);
      (who === 'client' ? far : stream).destroy();
      await expect.poll(() => running.lines('close')).toMatchObject([{ reason: 'lost' }]);
      await expect.poll(() => [...running.handle().sessions]).toEqual([]);
      expect([stream.destroyed, far.destroyed]).toEqual([true, true]);
      const { roles, loggingIn } = running.handle().readings();
      expect(loggingIn).toBe(0);
      expect(roles.map(({ clients }) => clients)).toEqual(
        roles.map(() => ({ active: 0, idle: 0, waiting: 0 })),
      );
    },
  );

  test('a stream whose client has said all before it was accepted is closed at once', async () => {
    const running = await start([], { loginTimeout: '60s' });
    const [stream, far] = StreamEnd.pair();
    far.end();
    stream.resume();
    await once(stream, 'end');
    running.handle().accept(stream, ENCRYPTED);
    await expect.poll(() => stream.destroyed).toBe(true);
  });

  test('a drain tells it, and a stop waits until it has gone', async () => {
    const running = await start();
    const { client } = await logIn(RawClient.over(running.open()));
    const gone = client.error();
    await running.gateway.drain();
    expect(await gone).toMatchObject({ S: 'FATAL', C: '57P01' });
    await client.rest();
    expect(running.lines('cut off at the end')).toEqual([]);
  });

  test('a client that reads nothing is cut off when the gateway stops', async () => {
    const running = await start();
    const far = running.open();
    const { client } = await logIn(RawClient.over(far));
    client.send(message('Q', "SELECT repeat('x', 1000) FROM generate_series(1, 100000)\0"));
    far.pause();
    await expect.poll(() => far.readableLength).toBeGreaterThan(0);
    await running.gateway.stop(2_000);
    expect(far.destroyed).toBe(true);
  });

  test('before the start and after the stop a stream is closed at once, and the log says so', async () => {
    const far: StreamEnd[] = [];
    const early: AnyPlugin = {
      name: 'early',
      setup(gateway) {
        const [stream, end] = StreamEnd.pair();
        gateway.accept(stream, ENCRYPTED);
        far.push(end);
      },
    };
    const running = await start([early]);
    await expect.poll(() => far.every(({ destroyed }) => destroyed)).toBe(true);
    await running.gateway.stop();
    const late = running.open();
    await expect.poll(() => late.destroyed).toBe(true);
    const refused = { address: '198.51.100.7', why: 'the listener is closed' };
    // A plugin is set up in each worker.
    expect(running.lines('refused')).toMatchObject([...far, late].map(() => refused));
  });
});

test('what is no stream of bytes, no client or no listener is refused where it is given', async () => {
  const running = await start();
  const accept =
    (stream: unknown, client: Partial<Seen> = {}) =>
    (): void =>
      running.handle().accept(stream as DuplexStream, { ...ENCRYPTED, ...client });
  const [stream] = StreamEnd.pair();
  expect(accept({})).toThrow('accept: the stream is no Duplex of node:stream');
  const texts = StreamEnd.pair()[0].setEncoding('utf8');
  expect(accept(texts)).toThrow('accept: the stream has to be one of bytes');
  expect(accept(stream, { address: 'db.example' })).toThrow("accept: 'db.example' is neither an IP address");
  expect(accept(stream, { port: 70_000 })).toThrow('accept: 70000 is no port');
  expect(accept(stream, { listener: 'else' })).toThrow("accept: the config has no listener 'else'");
  expect(stream.listenerCount('data')).toBe(0);
});

test('a stream is accepted once: a second time it is refused, and the first goes on', async () => {
  const running = await start();
  const [stream, far] = StreamEnd.pair();
  running.handle().accept(stream, ENCRYPTED);
  expect(() => running.handle().accept(stream, ENCRYPTED)).toThrow(
    'accept: the stream has been accepted before',
  );
  const { client } = await logIn(RawClient.over(far));
  expect([...running.handle().sessions]).toHaveLength(1);
  client.send(message('X'));
  await client.rest();
});
