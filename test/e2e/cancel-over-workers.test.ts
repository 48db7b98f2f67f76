/** Cancels of two workers, each with a port of its own here: every CancelRequest goes to the one that has not issued its key. */
import { tmpdir } from 'node:os';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { Gateway } from '../../core/gateway.ts';
import { createLogger } from '../../core/telemetry/log.ts';
import { LONG, answered, cancel, cancelMany } from '../support/cancelled-statements.ts';
import { databaseOf, logIn, mapTo } from '../support/gateway.ts';
import type { LoggedIn } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { RawClient, message } from '../support/raw-client.ts';
import { linkWorkers } from '../support/worker-links.ts';

const CANCELS = 1_000;

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

const portFor = ({ wrong }: Placed): number => wrong;

async function login(worker: number, minor: number, database = 'orders'): Promise<Placed> {
  const [own = 0, wrong = 0] = worker === 0 ? ports : ports.toReversed();
  return { ...(await logIn(await RawClient.connect(own), { database }, { minor })), wrong };
}

test(
  'with a pool of one connection for each worker, thousands of cancels through the wrong worker arrive, and none hits another session',
  { timeout: 280_000 },
  async () => {
    const victims = await Promise.all([login(0, 0), login(0, 2), login(1, 0), login(1, 2)]);
    const bystanders = await Promise.all([login(0, 0), login(0, 2), login(1, 0), login(1, 2)]);
    const counts = await cancelMany({ victims, bystanders, each: CANCELS / 2, portFor });
    expect(counts.stray).toEqual([]);
    expect(counts.served).toBeGreaterThan(2 * CANCELS + 100);
    expect(counts.arrived).toBeGreaterThan(2 * CANCELS * 0.999);
    for (const { client } of [...victims, ...bystanders]) client.destroy();
  },
);

test.each([0, 2])(
  'in session mode with protocol 3.%i, where the key has the id of the server process, it arrives as well',
  async (minor) => {
    const victim = await login(1, minor, 'sessions');
    const [, other] = [await login(0, minor, 'sessions'), await login(1, minor, 'sessions')];
    expect(victim.processId).toBeLessThanOrEqual(2 ** 22);
    const counts = await cancelMany({ victims: [victim], bystanders: [other], each: 20, portFor });
    expect(counts).toMatchObject({ sent: 20, arrived: 20, stray: [] });
  },
);

test('a wrong key is closed unread by both workers and logged without the key', async () => {
  const { client, processId, secret, wrong } = await login(0, 2);
  const guess = Buffer.from(secret);
  guess.writeUInt8(guess.readUInt8(20) ^ 1, 20);
  client.send(message('Q', `${LONG.replace('15', '0.5')}\0`));
  await client.until('N');
  for (let i = 0; i < 10; i += 1) await cancel(wrong, { processId, secret: guess });
  expect(await answered(client)).toBeUndefined();
  expect(log).toContain('"why":"its key is wrong"');
  expect(log).not.toContain(guess.toString('hex').slice(8));
  client.destroy();
});
