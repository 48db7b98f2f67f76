/**
 * `npm run test:cancels [-- --cancels 1000] [-- --instances 3] [-- --seed 7]`: cancels statements through random instances of a fleet, each with a pool of one
 * connection, and says how many of the cancels arrived and whom else they hit. The instances are in one process, without a store between them. Ctrl-C ends it with
 * the result so far. Exits with 1 if a cancel has hit another statement, or if less than 99.9 % have arrived.
 */
import { parseArgs } from 'node:util';
import { Random } from '../leaks/random.ts';
import { cancelMany } from '../support/cancelled-statements.ts';
import type { CancelCounts } from '../support/cancelled-statements.ts';
import { linkFleet } from '../support/fleet-links.ts';
import { databaseOf, logIn, mapTo, startWorker } from '../support/gateway.ts';
import type { LoggedIn, RunningGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';

/** Of each instance: half of them with protocol 3.0, and half with 3.2. */
const VICTIMS = 4;
const BYSTANDERS = 2;
/** Cancels of a victim between two lines of output. */
const ROUND = 100;
const ENOUGH = 0.999;

interface Stage {
  readonly ports: readonly number[];
  readonly stop: () => Promise<void>;
}

async function setStage(instances: number): Promise<Stage> {
  const postgres = await startPostgres();
  const linked = linkFleet(instances, 1);
  const orders = databaseOf(postgres, { pool: { size: 1, mode: 'transaction', queueTimeout: '60s' } });
  const config = { databases: { orders }, plugins: [mapTo('reader')], logLevel: 'error' } as const;
  const gateways: RunningGateway[] = [];
  for (const { workers } of linked.instances)
    for (const worker of workers) gateways.push(await startWorker(config, worker));
  return {
    ports: gateways.map(({ port }) => port),
    async stop() {
      await Promise.all(gateways.map(({ gateway }) => gateway.stop()));
      linked.close();
      await postgres.stop();
    },
  };
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
  const { values } = parseArgs({ options: { cancels: option, instances: option, seed: option } });
  const seed = numberOf(values.seed, 1 + (Date.now() % 1_000_000));
  const over = new AbortController();
  process.once('SIGINT', () => over.abort()).once('SIGTERM', () => over.abort());
  console.log(`seed ${seed}`);
  const stage = await setStage(numberOf(values.instances, 2));
  try {
    const counts = await run(numberOf(values.cancels, 100_000), stage, new Random(seed), over.signal);
    const isGood = counts.stray.length === 0 && counts.arrived > counts.sent * ENOUGH;
    process.exitCode = isGood ? 0 : 1;
  } finally {
    await stage.stop();
  }
}

await main();
