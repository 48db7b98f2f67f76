/** Clients that close their half of the connection behind their statements: they read every answer, as from PostgreSQL, and nothing of them is left. */
import type { Socket } from 'node:net';
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Channel } from '../../core/net/channel.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { RawClient, message } from '../support/raw-client.ts';

const MODES = ['session', 'transaction'] as const;
let files: Certificates;
let postgres: OwnPostgres;
let running: RunningGateway;

beforeAll(async () => {
  files = await certificates();
  postgres = await startPostgres({ ssl: { cert: files.server.cert, key: files.server.key } });
  running = await startGateway({
    listen: { port: 0, tls: { cert: files.server.certFile, key: files.server.keyFile } },
    databases: Object.fromEntries(
      MODES.map((mode) => [
        mode,
        databaseOf(postgres, { tls: { mode: 'disable' }, pool: { mode, size: 2 } }),
      ]),
    ),
    plugins: [mapTo('reader')],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  await postgres.stop();
  files.remove();
});

type Place = 'direct' | (typeof MODES)[number];

function configOf(place: Place, secure: boolean): ClientConfig {
  const ssl = secure ? { rejectUnauthorized: false } : false;
  return place === 'direct'
    ? {
        host: '127.0.0.1',
        port: postgres.port,
        user: 'reader',
        password: postgres.passwords.reader,
        database: 'postgres',
        ssl,
      }
    : { host: '127.0.0.1', port: running.port, user: '_', password: GOOD_TOKEN, database: place, ssl };
}

const TEXTS = [
  'select 1 as one',
  'select pg_sleep(0.7)',
  'select no_such_column',
  `select n, repeat('x', 1000) from generate_series(1, 20000) as n`,
  'begin',
  'select 2 as two',
];

/** What each statement gives, after the client has half-closed its connection behind the last one; and that the server closes it. */
async function answers(place: Place, secure: boolean): Promise<unknown> {
  const client = new Client(configOf(place, secure));
  client.on('error', () => {});
  await client.connect();
  const { connection } = client as unknown as {
    connection: { stream: Socket; query(text: string): void } & NodeJS.EventEmitter;
  };
  const heard: string[] = [];
  let rows = 0;
  for (const name of ['dataRow', 'commandComplete', 'errorMessage', 'readyForQuery']) {
    connection.removeAllListeners(name);
    connection.on(name, (said: { text?: string; code?: string; status?: string }) => {
      if (name === 'dataRow') rows += 1;
      else heard.push(`${name} ${said.text ?? said.code ?? said.status}`);
    });
  }
  const closed = new Promise((resolve) => connection.stream.on('close', resolve));
  for (const text of TEXTS) connection.query(text);
  connection.stream.end();
  await closed;
  return { heard, rows };
}

describe.each(MODES)('in %s mode', (place) => {
  test.each([
    ['plaintext', false],
    ['TLS', true],
  ])('a client over %s reads all that PostgreSQL would say', async (_, secure) => {
    const direct = await answers('direct', secure);
    expect(direct).toMatchObject({ rows: 20_003 });
    expect(await answers(place, secure)).toEqual(direct);
  });

  test('an idle client that half-closes is let go at once', async () => {
    const { client } = await logIn(await RawClient.connect(running.port), { database: place });
    client.socket.end();
    expect((await client.rest()).length).toBe(0);
  });

  test.each([
    ['a batch without its Sync', [message('P', '\0select 1\0\0\0'), message('B', '\0\0\0\0\0\0\0\0')]],
    ['half a message', [message('Q', 'select 1\0').subarray(0, 9)]],
    ['a COPY without its end', [message('Q', 'copy (select 1) to stdout; copy pg_temp.t from stdin\0')]],
  ])('%s is not completed for it', async (_, bytes) => {
    const { client } = await logIn(await RawClient.connect(running.port), { database: place });
    client.send(message('Q', 'create temporary table t (n int)\0'));
    await client.until('Z');
    client.send(...bytes);
    client.socket.end();
    const said = (await client.rest()).toString('latin1');
    expect(said).not.toContain('COPY 0');
  });

  test.each([
    ['plaintext', false],
    ['TLS', true],
  ])(
    'a client over %s that is gone in the middle of a statement is noticed, and its statement cancelled',
    async (way, secure) => {
      const client = await RawClient.connect(running.port);
      if (secure) await client.startTls();
      await logIn(client, { database: place });
      const text = `select pg_sleep(600) /* ${place} ${way} */`;
      const active = (): Promise<unknown[]> =>
        postgres.sql(`select from pg_stat_activity where query = '${text}' and state = 'active'`);
      client.send(message('Q', `${text}\0`));
      await expect.poll(active).toHaveLength(1);
      client.destroy();
      await expect.poll(active).toHaveLength(0);
    },
  );
});

test('what waits for a client that half-closes is watched, however little it is', async () => {
  const watched = vi.spyOn(Channel.prototype, 'watchQueued');
  const { client } = await logIn(await RawClient.connect(running.port), { database: 'session' });
  client.send(message('Q', 'select pg_sleep(0.7)\0'));
  client.socket.end();
  await client.rest();
  expect(watched).toHaveBeenCalled();
  watched.mockRestore();
});

test('nothing is left of them', async () => {
  const sessions = (): Promise<unknown[]> =>
    postgres.sql("select from pg_stat_activity where usename = 'reader' and state <> 'idle'");
  await expect.poll(sessions).toEqual([]);
  const sockets = (): number =>
    process.getActiveResourcesInfo().filter((name) => /^(TCPSocketWrap|TLSWrap)$/.test(name)).length;
  await running.gateway.stop();
  await expect.poll(sockets).toBe(0);
});
