/** Traces of real sessions in a collector: what is in them, what is not, and what they cost those who are not traced. */
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GatewayError } from '../../core/index.ts';
import type { AnyPlugin } from '../../core/index.ts';
import { tracing } from '../../plugins/tracing/index.ts';
import type { TracingOptions } from '../../plugins/tracing/index.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { startCollector } from '../support/otlp-collector.ts';
import type { CollectedSpan, Collector } from '../support/otlp-collector.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const TRACEPARENT = `00-${TRACE}-${PARENT}-01`;
const SESSION_TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const WAIT = { timeout: 20_000, interval: 50 };

let collector: Collector;
let front: RunningGateway | undefined;
beforeEach(async () => {
  collector = await startCollector();
});
afterEach(async () => {
  await front?.gateway.stop();
  front = undefined;
  await collector.stop();
});

/** Says who it is and maps the role: facts as `jwt` states them. */
const known: AnyPlugin = {
  name: 'known',
  provides: ['identity'],
  async onAuth(session) {
    await session.token();
    session.establish(
      'identity' as never,
      {
        issuer: 'https://id.example',
        subject: 'ada-lovelace',
        expiresAt: new Date(Date.now() + 60_000),
        claims: {},
      } as never,
    );
  },
};

async function start(
  options: TracingOptions,
  more: readonly AnyPlugin[] = [],
  database: object = {},
): Promise<RunningGateway> {
  front = await startGateway({
    plugins: [tracing(options), ...more, mapTo('reader')],
    databases: { orders: databaseOf(sharedPostgres(), database) },
    drainTimeout: '2s',
  });
  return front;
}

async function login(more: object = {}): Promise<Client> {
  const where = {
    host: '127.0.0.1',
    port: front?.port ?? 0,
    user: '_',
    database: 'orders',
    password: GOOD_TOKEN,
  };
  const client = new Client({ ...where, ...more });
  client.on('error', () => {});
  await client.connect();
  return client;
}

const named = (name: string): CollectedSpan[] => collector.spans.filter((span) => span.name === name);

async function span(name: string): Promise<CollectedSpan> {
  await expect.poll(() => named(name).length, WAIT).toBeGreaterThan(0);
  return named(name)[0] as CollectedSpan;
}

const traces = () => ({ endpoint: collector.endpoint });

describe('a session that is traced', () => {
  test('is one trace under the span of its client: session, login with what it took, statements', async () => {
    await start({ traces: traces(), serviceName: 'gate' }, [known]);
    const client = await login({ options: `-c postern.traceparent=${TRACEPARENT}` });
    await client.query("select 'secret-canary', 1 from pg_class where oid = $1", [1]);
    await client.query('select * from nowhere').catch(() => undefined);
    await client.end();
    const session = await span('session');
    expect(session).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, kind: 2 });
    expect(session.resource).toMatchObject({ 'service.name': 'gate' });
    expect(session.attributes).toMatchObject({
      'db.system.name': 'postgresql',
      'client.address': '127.0.0.1',
      'postern.database': 'orders',
      'postern.close.reason': 'client',
      'postern.queries': 2,
    });
    const loginSpan = await span('login');
    expect(loginSpan).toMatchObject({ traceId: TRACE, parentSpanId: session.spanId, status: { code: 0 } });
    for (const name of ['known onAuth', 'map-to onAuth', 'connect', 'queue']) {
      expect(await span(name)).toMatchObject({ traceId: TRACE, parentSpanId: loginSpan.spanId });
    }
    const { host, port } = sharedPostgres();
    const statement = await span('SELECT pg_class');
    expect(statement).toMatchObject({ traceId: TRACE, parentSpanId: session.spanId, kind: 3 });
    expect(statement.attributes).toEqual({
      'db.system.name': 'postgresql',
      'db.namespace': 'postgres',
      'db.query.text': 'select ?, ? from pg_class where oid = $1',
      'db.query.summary': 'SELECT pg_class',
      'db.response.returned_rows': 0,
      'server.address': host,
      'server.port': port,
      'session.id': session.attributes['session.id'],
    });
    const failed = await span('SELECT nowhere');
    expect(failed.status).toEqual({ code: 2, message: '42P01' });
    expect(failed.attributes).toMatchObject({ 'db.response.status_code': '42P01', 'error.type': '42P01' });
    expect(BigInt(failed.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(failed.startTimeUnixNano));
    // Who it was is nobody's business by default.
    expect(collector.text()).not.toContain('ada-lovelace');
  });

  test('tells what a Sync could not commit, and what found no server connection', async () => {
    await start({ traces: traces() }, [], { pool: { mode: 'transaction', size: 1, queueTimeout: '4s' } });
    const client = await login();
    const other = await login();
    await client.query('begin');
    await expect(other.query('select 1 from pg_type')).rejects.toMatchObject({ code: '53300' });
    await client.query('rollback');
    await client.query('create temp table d (n int unique deferrable initially deferred)');
    await expect(client.query('insert into d values ($1), ($1)', [1])).rejects.toMatchObject({
      code: '23505',
    });
    await Promise.all([client.end(), other.end()]);
    expect(await span('SELECT pg_type')).toMatchObject({ status: { code: 2, message: '53300' } });
    await expect.poll(() => named('INSERT d').length, WAIT).toBe(2);
    expect(named('INSERT d').map(({ status }) => status.message)).toEqual([undefined, '23505']);
  });

  test('a comment puts a statement under its own span, with a link to the session', async () => {
    await start({ traces: traces() });
    const client = await login({ options: `-c postern.traceparent=00-${SESSION_TRACE}-${PARENT}-01` });
    await client.query(`select 1 from pg_type limit 0 /*app='shop',traceparent='${TRACEPARENT}'*/`);
    await client.end();
    const statement = await span('SELECT pg_type');
    const session = await span('session');
    expect(session.traceId).toBe(SESSION_TRACE);
    expect(statement).toMatchObject({ traceId: TRACE, parentSpanId: PARENT });
    expect(statement.links).toMatchObject([{ traceId: SESSION_TRACE, spanId: session.spanId }]);
    expect(statement.attributes['db.query.text']).toBe('select ? from pg_type limit ?');
  });

  test('says who it is where the operator wants to know', async () => {
    await start({ traces: traces(), identity: true }, [known]);
    await (await login()).end();
    expect((await span('session')).attributes).toMatchObject({
      'enduser.id': 'ada-lovelace',
      'postern.issuer': 'https://id.example',
    });
  });

  test('a refusal of a login is on its span', async () => {
    const guard: AnyPlugin = {
      name: 'guard',
      onStartup() {
        throw new GatewayError('insufficient_privilege', 'not today');
      },
    };
    await start({ traces: traces() }, [guard]);
    await expect(login()).rejects.toMatchObject({ code: '42501' });
    for (const name of ['guard onStartup', 'login', 'session']) {
      expect((await span(name)).status).toEqual({ code: 2, message: '42501' });
    }
  });

  test('waits of transaction mode are spans, and statements are where they ran', async () => {
    await start({ traces: traces() }, [], { pool: { mode: 'transaction', size: 1 } });
    const client = await login();
    const other = await login();
    await other.query('begin');
    const late = client.query('select 1 from pg_proc limit 0');
    await other.query('commit');
    await late;
    await Promise.all([client.end(), other.end()]);
    expect((await span('SELECT pg_proc')).attributes['server.port']).toBe(sharedPostgres().port);
    await expect.poll(() => named('session').length, WAIT).toBe(2);
    expect(named('queue').length).toBeGreaterThanOrEqual(1);
  });
});

describe('a session that is not traced', () => {
  test('has its statements traced where their comments say so, and no others', async () => {
    await start({ traces: { ...traces(), ratio: 0 } });
    const client = await login();
    await client.query('select 1 from pg_class limit 0');
    await client.query(`select 1 from pg_type limit 0 /*traceparent='${TRACEPARENT}'*/`);
    await client.query(`select 1 from pg_proc limit 0 /*traceparent='${TRACEPARENT.replace(/1$/, '0')}'*/`);
    await client.query({
      text: `select 1 from pg_index limit $1 /*traceparent='${TRACEPARENT}'*/`,
      values: [0],
    });
    await client.end();
    expect(await span('SELECT pg_type')).toMatchObject({ traceId: TRACE, parentSpanId: PARENT });
    expect(await span('SELECT pg_index')).toMatchObject({ traceId: TRACE, parentSpanId: PARENT });
    await front?.gateway.stop();
    expect(collector.spans.map(({ name }) => name).toSorted()).toEqual(['SELECT pg_index', 'SELECT pg_type']);
  });

  test('is one whose client says that it is not sampled', async () => {
    await start({ traces: { ...traces(), ratio: 1 } });
    const client = await login({ options: `-c postern.traceparent=${TRACEPARENT.replace(/1$/, '0')}` });
    await client.query('select 1');
    await client.end();
    await front?.gateway.stop();
    expect(collector.spans).toEqual([]);
  });

  test('is not observed at all where nothing is followed, nor where there are no traces', () => {
    const session = { startup: { parameters: {} } };
    expect(tracing()).not.toHaveProperty('observe');
    expect(Object.keys(tracing().on ?? {}).toSorted()).toEqual([
      'close',
      'discovery',
      'login',
      'refused',
      'renewal',
    ]);
    const none = tracing({ traces: { ratio: 0.000_000_001, parents: false } });
    expect(none.observe?.(session as never)).toBeUndefined();
  });
});

describe('a collector', () => {
  test('that is not there is complained of once, and no session notices', async () => {
    await collector.stop();
    await start({ traces: traces() });
    for (let i = 0; i < 20; i += 1) {
      const client = await login();
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      await client.end();
    }
    await expect.poll(() => front?.lines('the collector takes nothing').length, WAIT).toBe(1);
    await front?.gateway.drain();
    expect(front?.lines('the collector takes nothing')).toHaveLength(1);
  });

  test('that hangs keeps no session and no shutdown waiting', async () => {
    collector.mood = 'hang';
    await start({ traces: traces(), metrics: { public: true } });
    const client = await login();
    for (let i = 0; i < 100; i += 1) await client.query(`select ${i}`);
    await client.end();
    await expect.poll(() => front?.lines('close').length, WAIT).toBe(1);
    await front?.gateway.drain();
    expect(collector.spans).toEqual([]);
    expect(front?.lines('stopped')).toHaveLength(1);
  }, 120_000);

  test('that takes nothing for a while finds no more than was kept for it', async () => {
    collector.mood = 'hang';
    await start({ traces: traces() });
    const client = await login();
    for (let i = 0; i < 6_000; i += 1) await client.query('select 1');
    await client.end();
    await expect.poll(() => front?.lines('close').length, WAIT).toBe(1);
    collector.mood = 'well';
    await expect.poll(() => collector.spans.length, { timeout: 60_000 }).toBeGreaterThan(0);
    await front?.gateway.drain();
    // The queue, and the batch that was under way.
    expect(collector.spans.length).toBeLessThanOrEqual(4_096 + 512);
  }, 120_000);

  test('gets the last spans of a session at the end of the gateway', async () => {
    await start({ traces: traces() });
    const client = await login();
    await client.query('select 1 from pg_class limit 0');
    await front?.gateway.drain();
    expect(named('SELECT pg_class')).toHaveLength(1);
    expect(named('session')).toMatchObject([{ attributes: { 'postern.close.reason': 'drained' } }]);
    await client.end().catch(() => undefined);
  });
});

test('no token, password or cancel key is in what a collector gets, or in the log', async () => {
  await start(
    {
      traces: traces(),
      metrics: { public: true, statements: true, hooks: true, otlp: { ...traces(), interval: '1s' } },
      identity: true,
      accessLog: true,
    },
    [known],
  );
  const raw = await logIn(await RawClient.connect(front?.port ?? 0), { user: '_' });
  const client = await login();
  await client.query(`select '${GOOD_TOKEN}', $1::text`, [GOOD_TOKEN]);
  await client.query(`set postern.token = '${GOOD_TOKEN}'`).catch(() => undefined);
  await client.query(`select 1 /* ${GOOD_TOKEN} */ from nowhere`).catch(() => undefined);
  // Undone: the role is everybody's on the shared server.
  await client.query('begin');
  await client.query(`alter role reader password '${GOOD_TOKEN}'`).catch(() => undefined);
  await client.query('rollback');
  await login({ password: `${GOOD_TOKEN}-wrong` }).catch(() => undefined);
  await client.end();
  raw.client.destroy();
  await expect.poll(() => collector.metrics.size, WAIT).toBeGreaterThan(5);
  await front?.gateway.drain();
  const { passwords } = sharedPostgres();
  const texts = [collector.text(), front?.text() ?? ''];
  expect(collector.spans.length).toBeGreaterThan(10);
  const secrets = [
    GOOD_TOKEN,
    passwords.reader,
    raw.secret.toString('hex'),
    String(raw.secret.readUInt32BE(0)),
  ];
  expect(secrets.filter((secret) => texts.some((text) => text.includes(secret)))).toEqual([]);
});
