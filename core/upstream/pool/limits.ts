/** How large a pool may be and how long things in it may last: the config's words as numbers. */
import type { PoolOptions } from '../../database.ts';
import { milliseconds } from '../../durations.ts';

/** What a pool is where its entry says nothing; `perRole` is not limited then. */
export const POOL_DEFAULTS: Required<Omit<PoolOptions, 'perRole'>> & Pick<PoolOptions, 'perRole'> = {
  mode: 'session',
  size: 20,
  min: 0,
  reserve: 0,
  reserveAfter: '5s',
  connecting: 4,
  queueTimeout: '10s',
  idleTimeout: '10m',
  maxLifetime: '1h',
};

/** Milliseconds and numbers of connections. */
export interface Limits {
  readonly size: number;
  readonly reserve: number;
  readonly reserveAfterMs: number;
  readonly perRole: number;
  readonly min: number;
  readonly connecting: number;
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
    queueMs: milliseconds(queueTimeout),
    idleMs: milliseconds(idleTimeout),
    lifetimeMs: milliseconds(maxLifetime),
  };
}
