/**
 * `npm run test:limits [-- --logins 1000] [-- --clients 120] [-- --workers 2] [-- --kill 20s] [-- --seed 7]`: logs in through two instances of a fleet, which are killed by
 * turns and begun again, and says whether there were ever more sessions than `limits.maxConnections` allows, whether places are left in the end, and how long those of the
 * dead took to be free. Redis must be installed. Ctrl-C ends it with the result so far. Exits with 1 if a limit was passed or something is left.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { milliseconds } from '../../core/contract/durations.ts';
import { percentile } from '../bench/percentile.ts';
import { Random } from '../leaks/random.ts';
import { crowd } from '../support/crowd.ts';
import { givenOptions } from '../support/program-options.ts';
import { LIMITS, LimitedFleet } from '../support/limited-fleet.ts';
import { costOfPlaces } from './cost-of-places.ts';
import { seedOf, untilInterrupted, wholeNumber } from './options.ts';
import { withServers } from './servers.ts';

const USAGE = `npm run test:limits [-- OPTION...]
  --logins N     so many logins (default 100000)
  --clients N    by so many clients at once (default 120)
  --workers N    each gateway has so many workers (default 1)
  --kill 20s     one of the two is killed so often (default 20s)
  --seed N       the same choices as a run before`;
const TOLD_EACH_MS = 10_000;
const EMPTY_WITHIN_MS = 30_000;

function lineOf({ counts, sessions, kills, freeAfter, surprises }: LimitedFleet, seconds: number): string {
  const { logins, admitted, refused, killed } = counts;
  const { most, above } = sessions;
  const after = (percent: number): string => `${(percentile(freeAfter, percent) / 1_000).toFixed(1)} s`;
  const free = freeAfter.length === 0 ? '' : `, places free after ${after(50)} (p50), ${after(100)} (max)`;
  return `${seconds.toFixed(0)} s: ${logins} logins, ${admitted} admitted, ${refused} refused, ${killed} killed, ${surprises.length} otherwise; ${kills} kills${free}
  at most ${most.subject} of ${LIMITS.subject} of a subject, ${most.database} of ${LIMITS.database} of the database; above: ${above.length}`;
}

/** Each instance after the other one, and begun again before the next. */
async function killByTurns(fleet: LimitedFleet, eachMs: number, over: AbortSignal): Promise<void> {
  for (let index = 0; ; index = 1 - index) {
    await sleep(eachMs, undefined, { signal: over }).catch(() => {});
    if (over.aborted) return;
    await fleet.kill(index);
  }
}

async function tellProgress(line: () => string, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await sleep(TOLD_EACH_MS, undefined, { signal: over }).catch(() => {});
    if (!over.aborted) console.log(line());
  }
}

/** What is wrong in the end, in sentences. */
async function faultsOf(fleet: LimitedFleet): Promise<readonly string[]> {
  const { sessions, surprises, kills } = fleet;
  const left = await fleet.recovers(EMPTY_WITHIN_MS);
  const unreached = (await fleet.deaths()) - kills;
  return [
    ...sessions.above.map((one) => `above a limit: ${one}`),
    ...new Set(surprises.map((one) => `neither admitted nor refused: ${one}`)),
    ...(left === undefined ? [] : [left]),
    ...(unreached > 0
      ? [
          `${unreached} times an instance lived and had not reached the store for 5 s: then limits are not exact`,
        ]
      : []),
  ];
}

interface Run {
  readonly logins: number;
  readonly clients: number;
  readonly killMs: number;
  readonly random: Random;
}

/** @returns whether all is as it has to be */
async function run(
  fleet: LimitedFleet,
  { logins, clients, killMs, random }: Run,
  over: AbortSignal,
): Promise<boolean> {
  const begun = performance.now();
  const line = (): string => lineOf(fleet, (performance.now() - begun) / 1_000);
  const done = new AbortController();
  const beside = [
    killByTurns(fleet, killMs, AbortSignal.any([over, done.signal])),
    tellProgress(line, done.signal),
  ];
  const served = crowd(fleet, { logins, clients, random, over }).finally(() => done.abort());
  await Promise.all([served, ...beside]);
  console.log(line());
  const faults = await faultsOf(fleet);
  for (const fault of faults) console.log(fault);
  if (faults.length === 0) console.log('nothing is left, and the full limit was had again');
  return faults.length === 0;
}

async function tellCost(redisServer: string): Promise<void> {
  for (const { places, take, release } of await costOfPlaces(redisServer, [1, 2, 4]))
    console.log(
      `a login with ${places} limits: ${take.toFixed(1)} µs of Redis, and ${release.toFixed(1)} µs when it ends`,
    );
}

async function main(): Promise<void> {
  const option = { type: 'string' } as const;
  const options = { logins: option, clients: option, workers: option, kill: option, seed: option };
  const values = givenOptions(USAGE, options);
  const over = untilInterrupted();
  const wanted = {
    logins: wholeNumber(values.logins, 100_000),
    clients: wholeNumber(values.clients, 120),
    killMs: milliseconds(values.kill ?? '20s'),
    random: new Random(seedOf(values.seed)),
  };
  await withServers(async ({ postgres, redis, redisServer }) => {
    await tellCost(redisServer);
    const fleet = await LimitedFleet.start(postgres, redis, wholeNumber(values.workers, 1));
    try {
      process.exitCode = (await run(fleet, wanted, over)) ? 0 : 1;
    } finally {
      await fleet.stop();
    }
  });
}

await main();
