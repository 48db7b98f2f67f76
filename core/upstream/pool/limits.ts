/** The size of a pool and its time limits: the options of the config as numbers. */
import type { PoolOptions } from '../../contract/pool.ts';
import { milliseconds } from '../../contract/durations.ts';

/** Options without a fixed default. */
type Own = 'perRole' | 'mostSessions' | 'share' | 'detect' | 'unknownSettings';

/** The defaults of an entry; without `perRole` there is no such limit, and without `share` the database decides. */
export const POOL_DEFAULTS: Required<Omit<PoolOptions, Own>> & Pick<PoolOptions, Own> = {
  mode: 'session',
  clientMode: 'fixed',
  size: 20,
  min: 0,
  reserve: 0,
  reserveAfter: '5s',
  connecting: 4,
  connectRate: 100,
  reset: 'auto',
  queueTimeout: '10s',
  idleTimeout: '10m',
  maxLifetime: '1h',
  reparseAfter: '30s',
};

/** Milliseconds, numbers of connections, and which sessions share them. */
export interface Limits extends Pick<PoolOptions, 'share'>, Required<Pick<PoolOptions, 'reset'>> {
  readonly size: number;
  readonly reserve: number;
  readonly reserveAfterMs: number;
  readonly perRole: number;
  /** Most connections that belong to one session until it ends, where `mode` is `'transaction'`. */
  readonly mostSessions: number;
  readonly min: number;
  readonly connecting: number;
  readonly connectRate: number;
  readonly queueMs: number;
  readonly idleMs: number;
  readonly lifetimeMs: number;
  readonly reparseMs: number;
}

const NONE: PoolOptions = {};
/** By the options of a config, which do not change: each session asks for them. */
const known = new WeakMap<PoolOptions, Limits>();

/** Reads a pool's options; absent ones are {@link POOL_DEFAULTS}, and `perRole` then no limit of its own. */
export function limitsOf(options: PoolOptions = NONE): Limits {
  let limits = known.get(options);
  if (!limits) known.set(options, (limits = read(options)));
  return limits;
}

function read(options: PoolOptions): Limits {
  const { reserveAfter, queueTimeout, idleTimeout, maxLifetime, reparseAfter, ...rest } = {
    ...POOL_DEFAULTS,
    ...options,
  };
  return {
    size: rest.size,
    reserve: rest.reserve,
    reserveAfterMs: milliseconds(reserveAfter),
    perRole: rest.perRole ?? Infinity,
    mostSessions: rest.mostSessions ?? Math.floor(rest.size / 2),
    min: rest.min,
    connecting: rest.connecting,
    connectRate: rest.connectRate,
    reset: rest.reset,
    ...(rest.share && { share: rest.share }),
    queueMs: milliseconds(queueTimeout),
    idleMs: milliseconds(idleTimeout),
    lifetimeMs: milliseconds(maxLifetime),
    reparseMs: milliseconds(reparseAfter),
  };
}
