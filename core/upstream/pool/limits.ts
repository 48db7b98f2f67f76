/** How large a pool may be and how long things in it may last: the config's words as numbers. */
import type { PoolOptions } from '../../database.ts';
import { milliseconds } from '../../durations.ts';

/** Options without a fixed default. */
type Own = 'perRole' | 'share' | 'detect';

/** What a pool is where its entry says nothing; `perRole` is not limited then, and the database decides on `share`. */
export const POOL_DEFAULTS: Required<Omit<PoolOptions, Own>> & Pick<PoolOptions, Own> = {
  mode: 'session',
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
};

/** Milliseconds and numbers of connections, and how far these travel. */
export interface Limits extends Pick<PoolOptions, 'share'>, Required<Pick<PoolOptions, 'reset'>> {
  readonly size: number;
  readonly reserve: number;
  readonly reserveAfterMs: number;
  readonly perRole: number;
  readonly min: number;
  readonly connecting: number;
  readonly connectRate: number;
  readonly queueMs: number;
  readonly idleMs: number;
  readonly lifetimeMs: number;
}

/** Reads a pool's options; what is absent is {@link POOL_DEFAULTS}, and `perRole` then no limit of its own. */
export function limitsOf(options: PoolOptions = {}): Limits {
  const { reserveAfter, queueTimeout, idleTimeout, maxLifetime, ...rest } = { ...POOL_DEFAULTS, ...options };
  return {
    size: rest.size,
    reserve: rest.reserve,
    reserveAfterMs: milliseconds(reserveAfter),
    perRole: rest.perRole ?? Infinity,
    min: rest.min,
    connecting: rest.connecting,
    connectRate: rest.connectRate,
    reset: rest.reset,
    ...(rest.share && { share: rest.share }),
    queueMs: milliseconds(queueTimeout),
    idleMs: milliseconds(idleTimeout),
    lifetimeMs: milliseconds(maxLifetime),
  };
}
