/** The process id that a client is told: the server's own in session mode, and nobody's in transaction mode. */
import { once } from 'node:events';
import type { Client, Notification } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { databaseOf, logIn, mapTo, pgClient, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { severalWorkers } from '../support/only-one-worker.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { RawClient, message } from '../support/raw-client.ts';

const postgres = sharedPostgres();
let running: RunningGateway;

beforeAll(async () => {
  running = await startGateway({
    databases: {
      orders: databaseOf(postgres),
      one: databaseOf(postgres, { pool: { size: 1 } }),
      few: databaseOf(postgres, { pool: { mode: 'transaction' } }),
    },
    plugins: [mapTo('reader')],
  });
});
afterAll(() => running.gateway.stop());

async function connect(database: string): Promise<{ client: Client; told: number }> {
  const client = pgClient(running, database);
  await client.connect();
  return { client, told: (client as unknown as { processID: number }).processID };
}

async function valueOf(client: Client, sql: string): Promise<unknown> {
  const { rows } = await client.query<{ value: unknown }>(`select ${sql} as value`);
  return rows[0]?.value;
}

describe('in session mode', () => {
  test.each([0, 2])('it is that of the server process, with protocol 3.%i', async (minor) => {
    const { client, processId, secret } = await logIn(await RawClient.connect(running.port), {}, { minor });
    expect(secret).toHaveLength(minor === 0 ? 4 : 32);
    client.send(message('Q', 'select pg_backend_pid()\0'));
    const row = (await client.until('Z')).find(({ type }) => type === 'D');
    expect(row?.body.subarray(6).toString()).toBe(String(processId));
    client.destroy();
  });

  test('a notification of its own comes from it, and pg_terminate_backend of it ends the session', async () => {
    const [one, other] = [await connect('orders'), await connect('orders')];
    const heard = once(one.client, 'notification') as Promise<[Notification]>;
    await one.client.query('listen news; notify news');
    expect((await heard)[0].processId).toBe(one.told);
    const ended = once(one.client, 'error');
    expect(await valueOf(other.client, `pg_terminate_backend(${one.told})`)).toBe(true);
    expect((await ended)[0]).toMatchObject({ code: '57P01' });
    await other.client.end();
  });

  test.skipIf(severalWorkers('sessions of several workers have no server connection in common'))(
    'sessions that have one server connection after another have its id and each a key of its own',
    async () => {
      const keys = [];
      for (let round = 0; round < 3; round += 1) {
        const { client, processId, secret } = await logIn(await RawClient.connect(running.port), {
          database: 'one',
        });
        keys.push({ processId, secret: secret.toString('hex') });
        client.send(message('X'));
        await client.rest();
      }
      expect(new Set(keys.map(({ secret }) => secret)).size).toBe(3);
      expect(new Set(keys.map(({ processId }) => processId)).size).toBe(1);
    },
  );
});

test('in transaction mode it is no process of the server, and ends nobody', async () => {
  const { client, told } = await connect('few');
  expect(told).toBeGreaterThan(4_194_304);
  expect(await valueOf(client, 'pg_backend_pid()')).not.toBe(told);
  expect(await valueOf(client, `pg_terminate_backend(${told})`)).toBe(false);
  await client.end();
});
