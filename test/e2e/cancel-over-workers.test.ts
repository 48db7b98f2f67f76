/** Cancels of two workers, each with a port of its own here: every CancelRequest goes to the one that has not issued its key. */
import { tmpdir } from 'node:os';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { Gateway } from '../../core/gateway.ts';
import { createLogger } from '../../core/telemetry/log.ts';
import { databaseOf, logIn, mapTo } from '../support/gateway.ts';
import type { LoggedIn } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { RawClient, cancelRequest, fieldsOf, message } from '../support/raw-client.ts';
import { linkWorkers } from '../support/worker-links.ts';

const CANCELS = 1_000;
/** A statement that says when it runs, and then waits to be cancelled. */
const LONG = "do $$ begin raise notice 'running'; perform pg_sleep(15); end $$";

const linked = linkWorkers(2);
let gateways: readonly Gateway[] = [];
let ports: readonly number[] = [];
let log = '';

beforeAll(async () => {
  const postgres = sharedPostgres();
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      log += chunk.toString();
      done();
    },
  });
  // One for each worker.
  const pool = { size: 2, mode: 'transaction' } as const;
  const config = checkConfig(
    {
      listen: { port: 0 },
      databases: {
        orders: databaseOf(postgres, { pool }),
        sessions: databaseOf(postgres, { pool: { size: 8 } }),
      },
      plugins: [mapTo('reader')],
    },
    tmpdir(),
  );
  gateways = linked.links.map((link) => new Gateway(config, createLogger('info', sink), link));
  const started = [];
  for (const gateway of gateways) started.push(await gateway.start());
  ports = started.map(({ listeners }) => listeners[0]?.port ?? 0);
});
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  linked.close();
});

interface Placed extends LoggedIn {
  /** The port of the other worker. */
  readonly wrong: number;
}

async function login(worker: number, minor: number, database = 'orders'): Promise<Placed> {
  const [own = 0, wrong = 0] = worker === 0 ? ports : ports.toReversed();
  return { ...(await logIn(await RawClient.connect(own), { database }, { minor })), wrong };
}

async function ask(client: RawClient, sql: string): Promise<string | undefined> {
  client.send(message('Q', `${sql}\0`));
  return answered(client);
}

/** The SQLSTATE of an answer up to its ReadyForQuery; undefined: no error. */
async function answered(client: RawClient): Promise<string | undefined> {
  for (let error: string | undefined; ;) {
    const { type, body } = await client.message();
    if (type === 'E') error = fieldsOf(body)['C'];
    if (type === 'Z') return error;
  }
}

/** Cancels long statements one after the other: how many of the cancels arrived. */
async function beCancelled({ client, processId, secret, wrong }: Placed, times: number): Promise<number> {
  let arrived = 0;
  for (let i = 0; i < times; i += 1) {
    client.send(message('Q', `${LONG}\0`));
    await client.until('N');
    const canceller = await RawClient.connect(wrong);
    canceller.send(cancelRequest(processId, secret));
    expect(await canceller.rest()).toHaveLength(0);
    if ((await answered(client)) === '57014') arrived += 1;
    // What would be hit if the cancel came late.
    expect(await ask(client, 'select 1')).toBeUndefined();
  }
  return arrived;
}

test(
  'with a pool of one connection for each worker, thousands of cancels through the wrong worker arrive, and none hits another session',
  { timeout: 280_000 },
  async () => {
    const victims = await Promise.all([login(0, 0), login(0, 2), login(1, 0), login(1, 2)]);
    const bystanders = await Promise.all([login(0, 0), login(0, 2), login(1, 0), login(1, 2)]);
    const over = new AbortController();
    const hit: unknown[] = [];
    let asked = 0;
    const watching = bystanders.map(async ({ client }) => {
      while (!over.signal.aborted) {
        const error = await ask(client, 'select pg_sleep(0.001)');
        asked += 1;
        if (error !== undefined) hit.push(error);
      }
    });
    const arrived = await Promise.all(victims.map((victim) => beCancelled(victim, CANCELS / 2)));
    over.abort();
    await Promise.all(watching);
    expect(hit).toEqual([]);
    expect(asked).toBeGreaterThan(100);
    expect(arrived.reduce((sum, one) => sum + one, 0)).toBeGreaterThan(2 * CANCELS * 0.999);
    for (const { client } of [...victims, ...bystanders]) client.destroy();
  },
);

test.each([0, 2])(
  'in session mode with protocol 3.%i, where the key has the id of the server process, it arrives as well',
  async (minor) => {
    const victim = await login(1, minor, 'sessions');
    const [, other] = [await login(0, minor, 'sessions'), await login(1, minor, 'sessions')];
    expect(victim.processId).toBeLessThanOrEqual(2 ** 22);
    expect(await beCancelled(victim, 20)).toBe(20);
    expect(await ask(other.client, 'select 1')).toBeUndefined();
  },
);

test('a wrong key is closed unread by both workers and logged without the key', async () => {
  const { client, processId, secret, wrong } = await login(0, 2);
  const guess = Buffer.from(secret);
  guess.writeUInt8(guess.readUInt8(20) ^ 1, 20);
  client.send(message('Q', `${LONG.replace('15', '0.5')}\0`));
  await client.until('N');
  for (let i = 0; i < 10; i += 1) {
    const canceller = await RawClient.connect(wrong);
    canceller.send(cancelRequest(processId, guess));
    expect(await canceller.rest()).toHaveLength(0);
  }
  expect(await answered(client)).toBeUndefined();
  expect(log).toContain('"why":"its key is wrong"');
  expect(log).not.toContain(guess.toString('hex').slice(8));
  client.destroy();
});
