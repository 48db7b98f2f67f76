/**
 * `npm run test:cancels [-- --cancels 1000] [-- --instances 3] [-- --workers 2] [-- --seed 7]`: cancels statements through random instances of a fleet, each with a pool of one
 * connection for each worker, and says how many of the cancels arrived and whom else they hit. The instances are processes with a Redis of the program's own, which
 * must be installed. Ctrl-C ends it with the result so far. Exits with 1 if a cancel has hit another statement, or if less than 99.9 % have arrived.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Random } from '../leaks/random.ts';
import { cancelMany } from '../support/cancelled-statements.ts';
import type { CancelCounts } from '../support/cancelled-statements.ts';
import { executable } from '../support/executable.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { logIn } from '../support/gateway.ts';
import type { LoggedIn } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { RedisServer } from '../support/redis.ts';

/** Of each instance: half of them with protocol 3.0, and half with 3.2. */
const VICTIMS = 4;
const BYSTANDERS = 2;
/** Cancels of a victim between two lines of output. */
const ROUND = 100;
const ENOUGH = 0.999;
/** After so long every instance knows of all others, in milliseconds. */
const MET_MS = 3_000;

interface Stage {
  readonly ports: readonly number[];
  readonly stop: () => Promise<void>;
}

function configText(postgres: OwnPostgres, redis: RedisServer, name: string, workers: number): string {
  const { host, port, passwords } = postgres;
  const orders = {
    host,
    port,
    database: 'postgres',
    login: { kind: 'password', passwords },
    pool: { size: workers, mode: 'transaction', queueTimeout: '60s' },
  };
  const fleet = {
    name: 'cancels',
    instance: name,
    secret: 'the secret of a fleet that lives as long as this program',
    store: { kind: 'redis', url: redis.url },
  };
  return `import { defineConfig, parseRole } from 'postern';
export default defineConfig({
  listen: { port: 0 },
  databases: { orders: ${JSON.stringify(orders)} },
  fleet: ${JSON.stringify(fleet)},
  plugins: [{
    name: 'one-role',
    async onAuth(session, upstream) {
      await session.token();
      return { ...upstream, role: parseRole('reader') };
    },
  }],
  workers: ${workers},
});
`;
}

/** Starts it all. @throws Error if anything does not start; nothing is left then */
async function setStage(instances: number, workers: number): Promise<Stage> {
  const undo: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const one of undo.splice(0).toReversed()) await one();
  };
  try {
    return { ports: await build(instances, workers, undo), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function build(
  instances: number,
  workers: number,
  undo: (() => Promise<unknown>)[],
): Promise<readonly number[]> {
  const redisServer = executable('redis-server');
  if (redisServer === undefined) throw new Error('redis-server is not installed here');
  const postgres = await startPostgres();
  undo.push(() => postgres.stop());
  const redis = await RedisServer.start(redisServer);
  undo.push(() => redis.stop());
  const ports: number[] = [];
  for (let n = 1; n <= instances; n += 1) {
    const config = configText(postgres, redis, `instance-${n}`, workers);
    const gateway = await GatewayProcess.start({ config });
    undo.push(() => gateway.remove());
    ports.push(gateway.port);
  }
  await sleep(MET_MS);
  return ports;
}

async function sessions(ports: readonly number[], each: number): Promise<readonly LoggedIn[]> {
  const all: LoggedIn[] = [];
  for (const port of ports)
    for (let n = 0; n < each; n += 1)
      all.push(await logIn(await RawClient.connect(port), {}, { minor: (n % 2) * 2 }));
  return all;
}

function sum(one: CancelCounts, other: CancelCounts): CancelCounts {
  return {
    sent: one.sent + other.sent,
    arrived: one.arrived + other.arrived,
    served: one.served + other.served,
    stray: [...one.stray, ...other.stray],
  };
}

function lineOf({ sent, arrived, stray, served }: CancelCounts, seconds: number): string {
  const codes = stray.length > 0 ? ` (${[...new Set(stray)].join(', ')})` : '';
  return `${sent} cancels, ${arrived} arrived, ${stray.length} stray${codes} of ${served} others, ${seconds.toFixed(0)} s`;
}

async function run(
  cancels: number,
  { ports }: Stage,
  random: Random,
  over: AbortSignal,
): Promise<CancelCounts> {
  const victims = await sessions(ports, VICTIMS);
  const bystanders = await sessions(ports, BYSTANDERS);
  const portFor = (): number => ports[random.below(ports.length)] ?? 0;
  const begun = performance.now();
  let counts: CancelCounts = { sent: 0, arrived: 0, served: 0, stray: [] };
  while (counts.sent < cancels && !over.aborted) {
    const each = Math.min(ROUND, Math.ceil((cancels - counts.sent) / victims.length));
    counts = sum(counts, await cancelMany({ victims, bystanders, each, portFor }));
    console.log(lineOf(counts, (performance.now() - begun) / 1_000));
  }
  for (const { client } of [...victims, ...bystanders]) client.destroy();
  return counts;
}

function numberOf(given: string | undefined, otherwise: number): number {
  const number = Number(given ?? otherwise);
  if (!Number.isInteger(number) || number < 1) throw new Error('options are whole numbers from 1 on');
  return number;
}

async function main(): Promise<void> {
  const option = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { cancels: option, instances: option, workers: option, seed: option },
  });
  const seed = numberOf(values.seed, 1 + (Date.now() % 1_000_000));
  const over = new AbortController();
  process.once('SIGINT', () => over.abort()).once('SIGTERM', () => over.abort());
  console.log(`seed ${seed}`);
  const stage = await setStage(numberOf(values.instances, 2), numberOf(values.workers, 1));
  try {
    const counts = await run(numberOf(values.cancels, 100_000), stage, new Random(seed), over.signal);
    const isGood = counts.stray.length === 0 && counts.arrived > counts.sent * ENOUGH;
    process.exitCode = isGood ? 0 : 1;
  } finally {
    await stage.stop();
  }
}

await main();
