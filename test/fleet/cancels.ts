/**
 * `npm run test:cancels [-- --cancels 1000] [-- --instances 3] [-- --workers 2] [-- --seed 7]`: cancels statements through random instances of a fleet, each with a pool of one
 * connection for each worker, and says how many of the cancels arrived and whom else they hit. The instances are processes with a Redis of the program's own, which
 * must be installed. Ctrl-C ends it with the result so far. Exits with 1 if a cancel has hit another statement, or if less than 99.9 % have arrived.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../leaks/random.ts';
import { cancelMany } from '../support/cancelled-statements.ts';
import type { CancelCounts } from '../support/cancelled-statements.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { logIn } from '../support/gateway.ts';
import type { LoggedIn } from '../support/gateway.ts';
import { givenOptions } from '../support/program-options.ts';
import { RawClient } from '../support/raw-client.ts';
import { seedOf, untilInterrupted, wholeNumber } from './options.ts';
import { withServers } from './servers.ts';
import type { Servers } from './servers.ts';

const USAGE = `npm run test:cancels [-- OPTION...]
  --cancels N    so many cancels (default 100000)
  --instances N  through so many instances (default 2)
  --workers N    each of them has so many workers (default 1)
  --seed N       the same choices as a run before`;
/** Of each instance: half of them with protocol 3.0, and half with 3.2. */
const VICTIMS = 4;
const BYSTANDERS = 2;
/** Cancels of a victim between two lines of output. */
const ROUND = 100;
const ENOUGH = 0.999;
/** After so long every instance knows of all others, in milliseconds. */
const MET_MS = 3_000;

function configText({ postgres, redis }: Servers, name: string, workers: number): string {
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

/** Starts so many, and gives their ports; what ends them goes into `undo`. */
async function begin(
  servers: Servers,
  instances: number,
  workers: number,
  undo: (() => Promise<void>)[],
): Promise<readonly number[]> {
  const ports: number[] = [];
  for (let n = 1; n <= instances; n += 1) {
    const gateway = await GatewayProcess.start({ config: configText(servers, `instance-${n}`, workers) });
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
  ports: readonly number[],
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

async function main(): Promise<void> {
  const option = { type: 'string' } as const;
  const options = { cancels: option, instances: option, workers: option, seed: option };
  const values = givenOptions(USAGE, options);
  const [cancels, instances, workers] = [
    wholeNumber(values.cancels, 100_000),
    wholeNumber(values.instances, 2),
    wholeNumber(values.workers, 1),
  ];
  const random = new Random(seedOf(values.seed));
  const over = untilInterrupted();
  await withServers(async (servers) => {
    const undo: (() => Promise<void>)[] = [];
    try {
      const counts = await run(cancels, await begin(servers, instances, workers, undo), random, over);
      const isGood = counts.stray.length === 0 && counts.arrived > counts.sent * ENOUGH;
      process.exitCode = isGood ? 0 : 1;
    } finally {
      for (const one of undo) await one();
    }
  });
}

await main();
