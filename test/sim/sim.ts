/**
 * `npm run sim [-- --instances 100] [-- --seconds 20] [-- --seed 1] [-- --logins 300] [-- --revocations 5]`: a fleet of so many instances in one process, on a
 * redis-server of its own. Prints what Redis had to do and how long things took. Exits with 1 where instances do not have the same in the end, or a limit was passed.
 */
import { parseArgs } from 'node:util';
import { percentile } from '../bench/percentile.ts';
import { Random } from '../leaks/random.ts';
import { executable } from '../support/executable.ts';
import { RedisServer } from '../support/redis.ts';
import { Simulation } from './simulation.ts';
import type { Seen } from './simulation.ts';

const option = (preset: string) => ({ type: 'string', default: preset }) as const;
const { values } = parseArgs({
  options: {
    instances: option('100'),
    seconds: option('20'),
    seed: option('1'),
    logins: option('300'),
    revocations: option('5'),
  },
});

/** Numbers of INFO. */
type Info = (name: string) => number;

async function infoOf(redis: RedisServer): Promise<Info> {
  const text = await redis.ask('info');
  return (name) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(text)?.[1] ?? 0);
}

const times = (ms: readonly number[]): string =>
  ms.length === 0
    ? 'none'
    : `p50 ${percentile(ms, 50).toFixed(1)} ms, p99 ${percentile(ms, 99).toFixed(1)} ms, max ${percentile(ms, 100).toFixed(1)} ms (${ms.length})`;

function print(seen: Seen, before: Info, after: Info, seconds: number): void {
  const perSecond = (name: string): number => (after(name) - before(name)) / seconds;
  const cpu = perSecond('used_cpu_user') + perSecond('used_cpu_sys');
  const kilobytes = (perSecond('total_net_input_bytes') + perSecond('total_net_output_bytes')) / 1_000;
  console.log(`Redis: ${perSecond('total_commands_processed').toFixed(0)} commands/s, ${kilobytes.toFixed(0)} kB/s,
  ${(cpu * 100).toFixed(1)} % of a core, ${(after('used_memory') / 1e6).toFixed(1)} MB
revocation: ${times(seen.revocation)}
  after a cut: ${times(seen.afterCut)}
free after a death: ${times(seen.free)}
logins: ${seen.logins}, of which ${seen.refused} refused
above a limit: ${seen.above.reached} while all reached the store, ${seen.above.cut} from the first cut on
${seen.deaths} deaths, ${seen.cuts} cuts; at the end all have the same: ${seen.same ? 'yes' : 'NO'}`);
}

const redisServer = executable('redis-server');
if (redisServer === undefined) throw new Error('redis-server is not installed here');
const redis = await RedisServer.start(redisServer);
const simulation = new Simulation({
  redis,
  instances: Number(values.instances),
  seconds: Number(values.seconds),
  random: new Random(Number(values.seed)),
  logins: Number(values.logins),
  revocations: Number(values.revocations),
});
await simulation.begin();
const begun = performance.now();
const before = await infoOf(redis);
const seen = await simulation.run();
print(seen, before, await infoOf(redis), (performance.now() - begun) / 1_000);
await simulation.end();
await redis.stop();
process.exitCode = seen.same && seen.above.reached <= 0 ? 0 : 1;
