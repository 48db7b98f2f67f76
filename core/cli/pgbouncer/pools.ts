/** The pool of an entry, by PgBouncer's settings and its own connection string. */
import { POOL_DEFAULTS } from '../../upstream/pool/limits.ts';
import type { Value } from '../written/source.ts';
import { leadingInteger } from './connect-string.ts';
import type { Connection } from './ini-config.ts';
import type { Remarks } from './remarks.ts';
import { durationOf } from './settings.ts';
import type { Settings } from './settings.ts';

const MODES = ['session', 'transaction', 'statement'] as const;
type Mode = (typeof MODES)[number];
/** Most that a pool can have here. */
const LARGEST = 10_000;
/** For what is without an end in PgBouncer. */
const ENDLESS = '20d';
/** PgBouncer's default, which is another one here. */
const QUERY_WAIT_S = 120;

/** What is the same for all databases. */
export class PoolSettings {
  readonly mode: Mode;
  readonly poolSize: number;
  readonly least: number;
  readonly reserve: number;
  readonly most: number;
  readonly common: Readonly<Record<string, Value | undefined>>;
  readonly queryWaitSeconds: number;
  readonly #remarks: Remarks;

  constructor(settings: Settings, remarks: Remarks) {
    const mode = settings.choice('pool_mode', MODES);
    this.#remarks = remarks;
    this.mode = mode?.value ?? 'session';
    this.poolSize = settings.integer('default_pool_size')?.value ?? 20;
    this.least = settings.integer('min_pool_size')?.value ?? 0;
    const reserveAfter = settings.seconds('reserve_pool_timeout');
    const reserve = settings.integer('reserve_pool_size')?.value ?? 0;
    // 0 seconds turn the reserve off.
    this.reserve = reserveAfter?.value === 0 ? 0 : reserve;
    this.most = settings.integer('max_db_connections')?.value ?? 0;
    this.queryWaitSeconds = settings.seconds('query_wait_timeout')?.value ?? QUERY_WAIT_S;
    this.common = {
      reserveAfter: reserveAfter && reserveAfter.value > 0 ? durationOf(reserveAfter.value) : undefined,
      idleTimeout: this.#span(
        settings,
        'server_idle_timeout',
        `unused connections are closed at some time, here after ${ENDLESS}`,
        ENDLESS,
      ),
      maxLifetime: this.#span(
        settings,
        'server_lifetime',
        "connections are used again; pool: { share: 'session' } gives each session its own",
      ),
      reset: settings.integer('server_reset_query_always')?.value === 1 ? 'always' : undefined,
      queueTimeout: this.queryWaitSeconds === 0 ? ENDLESS : durationOf(this.queryWaitSeconds),
    };
    if (mode?.value === 'statement') this.#sayStatement(mode.place);
  }

  #span(settings: Settings, name: string, whyNotZero: string, instead?: string): string | undefined {
    const taken = settings.seconds(name);
    if (!taken) return undefined;
    if (taken.value > 0) return durationOf(taken.value);
    this.#remarks.add(taken.place, `${name} = 0: ${whyNotZero}`);
    return instead;
  }

  #sayStatement(place: Connection['place']): void {
    this.#remarks.add(
      place,
      'pool_mode = statement: transactions of several statements are not refused here',
    );
  }

  /** @param roles how many roles log in there */
  for({ pairs, place }: Connection, roles: number): Value | undefined {
    const number = (fallback: number, ...keys: readonly string[]): number => {
      const given = keys.map((key) => pairs.get(key)).find((text) => text !== undefined);
      return given === undefined ? fallback : leadingInteger(given);
    };
    const own = pairs.get('pool_mode')?.toLowerCase();
    if (own === 'statement') this.#sayStatement(place);
    const mode = MODES.find((one) => one === own) ?? this.mode;
    const poolSize = clamped(number(this.poolSize, 'pool_size'), this.poolSize);
    const most = number(this.most, 'max_db_connections');
    const size = Math.min(LARGEST, most > 0 ? most : poolSize * Math.max(1, roles));
    const lifetime = number(0, 'server_lifetime');
    const pool: Record<string, Value | undefined> = {
      mode: mode === 'session' ? 'session' : 'transaction',
      size,
      perRole: poolSize < size ? poolSize : undefined,
      min: Math.min(size, Math.max(0, number(this.least, 'min_pool_size'))),
      reserve: Math.max(0, number(this.reserve, 'reserve_pool', 'reserve_pool_size')),
      ...this.common,
      ...(lifetime > 0 && { maxLifetime: durationOf(lifetime) }),
    };
    const defaults: Readonly<Record<string, unknown>> = POOL_DEFAULTS;
    const kept = Object.entries(pool).filter(
      ([name, value]) => value !== undefined && value !== defaults[name],
    );
    return kept.length > 0 ? Object.fromEntries(kept) : undefined;
  }

  /** Whether clients of the entry wait for a connection within their login. */
  waitsAtLogin({ pairs }: Connection): boolean {
    return (pairs.get('pool_mode')?.toLowerCase() ?? this.mode) === 'session';
  }
}

/** A negative size is the default, and 0 no limit, to PgBouncer. */
function clamped(size: number, fallback: number): number {
  if (size < 0) return Math.max(1, fallback);
  return size === 0 ? LARGEST : Math.min(LARGEST, size);
}
