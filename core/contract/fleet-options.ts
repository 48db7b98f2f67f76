/** What `fleet` of a config may say: which instances act as one, and where they keep what they share. */
import type { Secret } from './database.ts';
import type { Duration } from './durations.ts';
import type { FleetAway } from './fleet.ts';

/** One Sentinel, which knows where the primary of a Redis or Valkey is. */
export interface SentinelAddress {
  /**
   * The name or address of a Sentinel.
   *
   * @example host: 'sentinel1.internal'
   */
  readonly host: string;
  /**
   * The port of this Sentinel.
   *
   * @defaultValue `26379`
   * @example port: 26380
   */
  readonly port?: number;
}

/**
 * The store: Redis or Valkey, 5 or newer.
 *
 * @reload needs a restart
 */
export interface FleetStoreOptions {
  /**
   * Redis, or Valkey. The package `ioredis` has to be installed.
   *
   * @example kind: 'redis'
   */
  readonly kind: 'redis';
  /**
   * Where it is: `redis://host:port/database`, or `rediss://` with TLS. With `sentinels` the host is the name under which they watch the primary.
   *
   * @example url: 'rediss://fleet@store.internal:6379/0'
   */
  readonly url: string;
  /**
   * Its password: a text, what `env()` or `file()` give, or a function that fetches it. It is read again for each connection.
   *
   * @defaultValue that in `url`, or none
   * @example password: file('store.password')
   */
  readonly password?: Secret;
  /**
   * PEM file with the authorities of the store's certificate, and of the Sentinels'. Only with `rediss://`.
   *
   * @defaultValue those of the system
   * @example ca: 'tls/store-ca.crt'
   */
  readonly ca?: string;
  /**
   * The Sentinels that say where the primary is. They are asked by TLS where `url` says `rediss://`.
   *
   * @defaultValue none: the store is at `url`
   * @example sentinels: [{ host: 'sentinel1.internal' }, { host: 'sentinel2.internal' }]
   */
  readonly sentinels?: readonly SentinelAddress[];
  /**
   * The password of the Sentinels.
   *
   * @defaultValue none
   * @example sentinelPassword: file('sentinel.password')
   */
  readonly sentinelPassword?: Secret;
  /**
   * How long a login waits for an answer of the store, 10 ms to 5 s. Then the store counts as away.
   *
   * @defaultValue `'500ms'`
   * @example timeout: '200ms'
   */
  readonly timeout?: Duration;
}

/**
 * What is done while the store is away.
 *
 * @reload needs a restart
 */
export interface FleetAwayOptions {
  /**
   * Once the instance is stale, since revocations of others do not reach it: `'refuse'` new logins (57P03), `'end'` sessions as well, or `'goOn'` with those it knows.
   *
   * @defaultValue `'refuse'`
   * @example revocations: 'goOn'
   */
  readonly revocations?: FleetAway['revocations'];
  /**
   * At once: with `'local'` each instance counts its own sessions, so that there may be `limit` of them per instance; `'refuse'` refuses logins that have a limit.
   *
   * @defaultValue `'local'`
   * @example limits: 'refuse'
   */
  readonly limits?: FleetAway['limits'];
}

/**
 * Several gateways that act as one.
 *
 * @reload needs a restart
 */
export interface FleetOptions {
  /**
   * The name of the fleet: all instances with this name and one store belong together. Letters, digits, `-`, `_` and `.`, 63 at most.
   *
   * @example name: 'prod'
   */
  readonly name: string;
  /**
   * The name of this instance, for people: it stands in logs, audit events and readings. Two with one name are told apart.
   *
   * @defaultValue the name of the machine
   * @example instance: env('HOSTNAME')
   */
  readonly instance?: string;
  /**
   * What seals all that the instances keep in the store, which so learns no value and no key (names in rate limits are hashed without it). The same for all of them, 32 bytes at least.
   *
   * @example secret: file('fleet.secret')
   */
  readonly secret: Secret;
  /**
   * Where the instances keep what they share. No instance opens a connection to another one.
   *
   * @example store: { kind: 'redis', url: 'redis://store.internal:6379' }
   */
  readonly store: FleetStoreOptions;
  /**
   * What is done while the store is away.
   *
   * @defaultValue `{ revocations: 'refuse', limits: 'local' }`
   * @example away: { revocations: 'goOn' }
   */
  readonly away?: FleetAwayOptions;
  /**
   * How long the store may not have answered before the instance is stale, 2 s at least.
   *
   * @defaultValue `'10s'`
   * @example stale: '30s'
   */
  readonly stale?: Duration;
}
