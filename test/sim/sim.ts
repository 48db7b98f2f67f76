/**
 * `npm run sim [-- --instances 100] [-- --seconds 20] [-- --seed 1] [-- --joins 50] [-- --logins 300] [-- --revocations 5] [-- --threads n]`: a fleet of so many instances in
 * one process, on a redis-server of its own. Prints what Redis had to do and how long things took. Exits with 1 where instances do not have the same in the end, or a
 * limit was passed.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { givenOptions } from '../support/program-options.ts';
import { executable } from '../support/executable.ts';
import { RedisServer } from '../support/redis.ts';
import { print } from './report.ts';
import type { Load } from './report.ts';
import { SharedCounts } from './shared-counts.ts';
import type { Seen, SimulationOptions } from './simulation.ts';

/** Milliseconds. */
const PROGRESS_MS = 5_000;

const option = (preset: number) => ({ type: 'string', default: String(preset) }) as const;
// Redis has a core of its own.
const OWN_CORES = Math.max(1, availableParallelism() - 1);
const USAGE = `npm run sim [-- OPTION...]
  --instances N    so many instances (default 100)
  --seconds N      for so long once all have joined (default 20)
  --joins N        so many join per second (default 50)
  --logins N       logins with limits per second, of all together (default 300)
  --revocations N  revocations per second (default 5)
  --threads N      in so many threads of one process (default ${OWN_CORES})
  --seed N         the same choices as a run before (default 1)`;
const values = givenOptions(USAGE, {
  instances: option(100),
  seconds: option(20),
  seed: option(1),
  joins: option(50),
  logins: option(300),
  revocations: option(5),
  threads: option(OWN_CORES),
});
const threads = Math.min(Number(values.threads), Number(values.instances));

function optionsOf(thread: number, redis: RedisServer, counts: SharedCounts): SimulationOptions {
  const { instances, seconds, seed, joins, logins, revocations } = values;
  return {
    name: `t${thread}i`,
    redis: { port: redis.port, url: redis.url },
    instances: Math.floor((Number(instances) + thread) / threads),
    seconds: Number(seconds),
    seed: Number(seed) * 1_000 + thread,
    perSecond: {
      joins: Number(joins) / threads,
      logins: Number(logins) / threads,
      revocations: Number(revocations) / threads,
      cuts: 0.5 / threads,
      deaths: 0.2 / threads,
    },
    counts: counts.memory,
  };
}

/** Messages of all threads, in turn: each waits for the others. */
async function messages<T>(workers: readonly Worker[]): Promise<readonly T[]> {
  return (await Promise.all(workers.map((worker) => once(worker, 'message')))).map(([told]) => told as T);
}

async function loadOf(redis: RedisServer): Promise<Load> {
  const info = await redis.ask('info all');
  return { info, at: performance.now(), cpu: process.cpuUsage() };
}

/** @returns whether all is as it has to be */
async function simulate(redis: RedisServer): Promise<boolean> {
  const counts = new SharedCounts();
  const begun = performance.now();
  const progress = setInterval(() => {
    const seconds = ((performance.now() - begun) / 1_000).toFixed(0);
    const [joined, logins, heard] = [counts.get('joined'), counts.get('logins'), counts.get('revocations')];
    console.log(`${seconds} s: ${joined} instances, ${logins} logins, ${heard} times a revocation was heard`);
  }, PROGRESS_MS);

  const workers = Array.from(
    { length: threads },
    (_, thread) =>
      new Worker(new URL('thread.ts', import.meta.url), {
        workerData: optionsOf(thread, redis, counts),
        execArgv: ['--import', 'jiti/register'],
      }),
  );
  await messages(workers);
  console.log(`all have joined after ${((performance.now() - begun) / 1_000).toFixed(1)} s`);
  await sleep(2_000);
  const before = await loadOf(redis);
  const ran = messages<Seen>(workers);
  const seconds = sleep(Number(values.seconds) * 1_000).then(() => loadOf(redis));
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
  for (const worker of workers) worker.postMessage('run');
  const [seen, after] = await Promise.all([ran, seconds]);
  clearInterval(progress);
  await Promise.all(workers.map((worker) => worker.terminate()));
  return print(seen, counts, before, after);
}

const redisServer = executable('redis-server');
if (redisServer === undefined) throw new Error('redis-server is not installed here');
const redis = await RedisServer.start(redisServer);
try {
  process.exitCode = (await simulate(redis)) ? 0 : 1;
} finally {
  await redis.stop();
}
