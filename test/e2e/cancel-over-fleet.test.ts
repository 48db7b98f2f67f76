/** Cancels of two instances of a fleet: a CancelRequest goes to any of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { answered, ask, cancel, cancelMany } from '../support/cancelled-statements.ts';
import { linkFleet } from '../support/fleet-links.ts';
import { databaseOf, logIn, mapTo, startWorker } from '../support/gateway.ts';
import type { LoggedIn, RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { RawClient, message } from '../support/raw-client.ts';
import { Random } from '../leaks/random.ts';

const EACH = 100;

const linked = linkFleet(2, 1);
let gateways: readonly RunningGateway[] = [];
const random = new Random(15);

beforeAll(async () => {
  const postgres = sharedPostgres();
  const pool = { size: 1, mode: 'transaction' } as const;
  const databases = {
    orders: databaseOf(postgres, { pool }),
    sessions: databaseOf(postgres, { pool: { size: 8 } }),
  };
  const started = [];
  for (const { workers } of linked.instances) {
    for (const worker of workers)
      started.push(await startWorker({ databases, plugins: [mapTo('reader')] }, worker));
  }
  gateways = started;
});
afterAll(async () => {
  await Promise.all(gateways.map(({ gateway }) => gateway.stop()));
  linked.close();
});

const portOf = (instance: number): number => gateways[instance]?.port ?? 0;
const anyPort = (): number => portOf(random.below(2));

async function login(instance: number, minor: number, database = 'orders'): Promise<LoggedIn> {
  return logIn(await RawClient.connect(portOf(instance)), { database }, { minor });
}

test(
  'with a pool of one connection for each instance, cancels through random instances arrive, and none hits another session',
  { timeout: 120_000 },
  async () => {
    const sessions = (): Promise<LoggedIn[]> =>
      Promise.all([login(0, 0), login(0, 2), login(1, 0), login(1, 2)]);
    const [victims, bystanders] = [await sessions(), await sessions()];
    const before = linked.sent();
    const counts = await cancelMany({ victims, bystanders, each: EACH, portFor: anyPort });
    expect(counts).toMatchObject({ sent: 4 * EACH, arrived: 4 * EACH, stray: [] });
    expect(linked.sent() - before).toBeGreaterThan(EACH);
    for (const { client } of [...victims, ...bystanders]) client.destroy();
  },
);

test('a statement that waits for a connection of its instance is cancelled through the other one', async () => {
  const [holder, waiting] = [await login(0, 0), await login(0, 0)];
  expect(await ask(holder.client, 'begin')).toBeUndefined();
  waiting.client.send(message('Q', 'select 1\0'));
  const answer = answered(waiting.client);
  // Until the statement has come, a cancel finds nothing to do.
  do await cancel(portOf(1), waiting);
  while ((await Promise.race([answer, sleep(5, 'waits')])) === 'waits');
  expect(await answer).toBe('57014');
  expect(await ask(holder.client, 'commit')).toBeUndefined();
  expect(await ask(waiting.client, 'select 1')).toBeUndefined();
  for (const { client } of [holder, waiting]) client.destroy();
});

test.each([0, 2])(
  'in session mode with protocol 3.%i, where the key has the id of the server process, it arrives as well',
  async (minor) => {
    const [victim, other] = [await login(1, minor, 'sessions'), await login(0, minor, 'sessions')];
    expect(victim.processId).toBeLessThanOrEqual(2 ** 22);
    const counts = await cancelMany({
      victims: [victim],
      bystanders: [other],
      each: 20,
      portFor: () => portOf(0),
    });
    expect(counts).toMatchObject({ sent: 20, arrived: 20, stray: [] });
    for (const { client } of [victim, other]) client.destroy();
  },
);
