/** A server that sends no BackendKeyData, as some poolers in front of PostgreSQL do: sessions work, and a cancel does nothing. */
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { Messages } from '../support/raw.ts';
import { RawClient, cancelRequest, message } from '../support/raw-client.ts';

const postgres = sharedPostgres();
const MODES = ['session', 'transaction'] as const;
let pooler: net.Server;
let running: RunningGateway;
/** First packets that are CancelRequests. */
let cancels = 0;

/** Forwards all messages of PostgreSQL but BackendKeyData. */
function withoutKeys(client: net.Socket): void {
  const server = net.connect(postgres.port, postgres.host);
  const messages = new Messages();
  client.once('data', (chunk: Buffer) => (cancels += chunk.readUInt32BE(4) === 80_877_102 ? 1 : 0));
  client.pipe(server);
  server.on('data', (chunk: Buffer) => {
    messages.push(chunk);
    for (const { type, body } of messages.list.splice(0)) if (type !== 'K') client.write(message(type, body));
  });
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
  }
}

beforeAll(async () => {
  pooler = net.createServer(withoutKeys).listen(0, '127.0.0.1');
  await once(pooler, 'listening');
  const { port } = pooler.address() as AddressInfo;
  running = await startGateway({
    databases: Object.fromEntries(
      MODES.map((mode) => [mode, databaseOf(postgres, { port, pool: { mode, size: 1, idleTimeout: '1h' } })]),
    ),
    plugins: [mapTo('reader')],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  pooler.close();
});

const query = (text: string): Buffer => message('Q', `${text}\0`);
const typesOf = (messages: readonly { type: string }[]): string => messages.map(({ type }) => type).join('');

/** Begins a statement of one second that the server runs when this resolves. */
async function sleep(client: RawClient, mark: string): Promise<void> {
  const text = `select pg_sleep(1) /* ${mark} */`;
  client.send(query(text));
  await expect
    .poll(() => postgres.sql(`select from pg_stat_activity where query = '${text}' and state = 'active'`))
    .toHaveLength(1);
}

describe.each(MODES)('in %s mode', (database) => {
  const connect = async (): ReturnType<typeof logIn> =>
    logIn(await RawClient.connect(running.port), { database });

  test('a client logs in, gets a cancel key of the gateway, and its statements run', async () => {
    const { client, secret, processId } = await connect();
    expect(secret).toHaveLength(4);
    expect(processId).toBeGreaterThan(2 ** 22);
    client.send(query('select 1'));
    expect(typesOf(await client.until('Z'))).toBe('TDCZ');
    client.send(message('X'));
    await client.rest();
  });

  test('its cancel does nothing: the statement runs to its end, and the session goes on', async () => {
    const { client, processId, secret } = await connect();
    await sleep(client, `cancelled in ${database} mode`);
    const other = await RawClient.connect(running.port);
    other.send(cancelRequest(processId, secret));
    await other.rest();
    expect(typesOf(await client.until('Z'))).toBe('TDCZ');
    client.send(query('select 2'));
    expect(typesOf(await client.until('Z'))).toBe('TDCZ');
    expect(cancels).toBe(0);
    client.send(message('X'));
    await client.rest();
  });

  test('a client that is gone in the middle of a statement leaves no connection in the pool', async () => {
    const { client } = await connect();
    await sleep(client, `gone in ${database} mode`);
    client.destroy();
    // The pool has one place.
    const next = await connect();
    next.client.send(query('select 3'));
    expect(typesOf(await next.client.until('Z'))).toBe('TDCZ');
    next.client.send(message('X'));
    await next.client.rest();
  });

  test('the log says so once', () => {
    const lines = running.log().filter(({ msg }) => String(msg).includes('BackendKeyData'));
    const own = lines.filter(({ entry }) => entry === database);
    expect(own).toMatchObject(own.map(() => ({ level: 'warn' })));
    // Each worker that has met such a server.
    expect(new Set(own.map(({ worker }) => worker)).size).toBe(own.length);
    expect(own).not.toEqual([]);
  });
});
