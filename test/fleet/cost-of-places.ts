/** What places cost Redis: the time of its one core for each login with a limit. */
import { RedisStore } from '../../core/fleet/redis/redis-store.ts';
import { RedisServer } from '../support/redis.ts';

const LOGINS = 20_000;
/** So many at once, as those of one instance come. */
const AT_ONCE = 20;
/** Other places of this instance. */
const OTHERS = 100_000;
const TOLD_AT_ONCE = 1_000;

/** Of Redis, in µs, by `INFO commandstats`. */
export interface PlacesCost {
  /** A login with so many places, each with a limit. */
  readonly places: number;
  readonly take: number;
  /** Its end. */
  readonly release: number;
}

/** Logs in and out on a Redis of its own, in a fleet that has many other sessions. */
export async function costOfPlaces(
  redisServer: string,
  kinds: readonly number[],
): Promise<readonly PlacesCost[]> {
  const redis = await RedisServer.start(redisServer);
  const secrets = { password: undefined, sentinelPassword: undefined, ca: undefined };
  const store = new RedisStore({
    ...secrets,
    name: 'cost',
    url: redis.url,
    sentinels: [],
    timeoutMs: 60_000,
  });
  try {
    await store.connect();
    await store.beat({ id: 'a', text: '' }, [], 600_000);
    const others = Array.from({ length: OTHERS }, (_, i) => [placeOf(i), 1] as const);
    for (let i = 0; i < OTHERS; i += TOLD_AT_ONCE) await store.count('a', others.slice(i, i + TOLD_AT_ONCE));
    const costs: PlacesCost[] = [];
    for (const places of kinds) costs.push(await costOf(redis, store, places));
    return costs;
  } finally {
    store.close();
    await redis.stop();
  }
}

async function costOf(redis: RedisServer, store: RedisStore, places: number): Promise<PlacesCost> {
  const keys = (login: number): string[] =>
    Array.from({ length: places }, (_, i) => placeOf(OTHERS + login * places + i));
  const take = await perCall(redis, (login) =>
    store.take(
      'a',
      keys(login).map((key) => ({ key, mine: 1, limit: 1 })),
    ),
  );
  const release = await perCall(redis, (login) =>
    store.count(
      'a',
      keys(login).map((key) => [key, 0] as const),
    ),
  );
  return { places, take, release };
}

async function perCall(redis: RedisServer, call: (login: number) => Promise<unknown>): Promise<number> {
  await redis.ask('config resetstat');
  for (let login = 0; login < LOGINS; login += AT_ONCE)
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => call(login + i)));
  const stats = await redis.ask('info commandstats');
  return Number(/cmdstat_evalsha:.*?usec_per_call=([\d.]+)/.exec(stats)?.[1]);
}

/** As long as keys are that are hashed. */
const placeOf = (number: number): string => String(number).padStart(22, 'p');
