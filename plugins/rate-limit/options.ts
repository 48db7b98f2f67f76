/** What `rateLimit()` may be told. A reload applies it to new sessions; what was counted by a limit that stays is kept. */
import type { Duration, Rate, Secret } from '../../core/index.ts';

/** What counts together. `address` is one IPv4 address or one IPv6 network of 64 bits; `database` an entry of `databases`. */
export type Per = 'address' | 'subject' | 'tenant' | 'role' | 'database';
/** A number of bytes in PostgreSQL's units, each 1024 of the one before (manual, 19.1.1). */
export type Bytes = `${number}${'B' | 'kB' | 'MB' | 'GB'}`;
/** Bytes per time, for instance `'10MB/s'`. */
export type ByteRate = `${Bytes}/${'s' | 'm' | 'min' | 'h' | 'd'}`;

interface Counting {
  /**
   * Whether the limit is counted in the store. With `false` each gateway counts it for itself, which saves the round trip.
   *
   * @defaultValue `true` where there is a store
   * @example shared: false
   */
  readonly shared?: boolean;
}

/** In any time t there are at most `burst` + `limit` × t. */
interface Counted extends Counting {
  /**
   * How many per time in the long run: `'20/s'`, `'10/m'`, `'1000/h'`, `'50000/d'`.
   *
   * @example limit: '20/s'
   */
  readonly limit: Rate;
  /**
   * How many may come at once, a whole number from 1.
   *
   * @defaultValue the number in `limit`, rounded up
   * @example burst: 100
   */
  readonly burst?: number;
}

interface ByAddress {
  /**
   * With `per: 'address'`: networks whose addresses are not counted, such as that of a load balancer.
   *
   * @defaultValue none
   * @example except: ['10.0.0.0/8']
   */
  readonly except?: readonly string[];
}

interface Slowed {
  /**
   * What happens to a statement over the limit: it is refused (53400) or delayed.
   *
   * @defaultValue `'refuse'`
   * @example mode: 'delay'
   */
  readonly mode?: 'refuse' | 'delay';
  /**
   * With `mode: 'delay'`: the longest delay, at most a minute. A statement that would have to wait longer is refused.
   *
   * @defaultValue `'1s'`
   * @example maxDelay: '2s'
   */
  readonly maxDelay?: Duration;
}

/** How often a client may connect. By address it is looked at before the client is asked for a credential. */
export interface ConnectionLimit extends Counted, ByAddress {
  /**
   * What counts together. An address is one IPv4 address or one IPv6 network of 64 bits, a database is an entry of `databases`.
   *
   * @example per: 'address'
   */
  readonly per: Per;
}

/** How often a login may fail (28P01, 28000): afterwards nobody gets in until there is room again. A good login takes one back. */
export interface FailedLoginLimit extends Counted, ByAddress {
  /**
   * What counts together. A subject counts only where its token was good, or anybody could lock it out.
   *
   * @example per: 'address'
   */
  readonly per: 'address' | 'subject';
  /**
   * How long logins are refused once the limit is reached. The bucket fills meanwhile.
   *
   * @defaultValue until there is room for one more
   * @example block: '5m'
   */
  readonly block?: Duration;
}

/** How many statements: each Query, each Execute of a prepared statement, each function call. */
export interface StatementLimit extends Counted, Slowed {
  /**
   * What counts together.
   *
   * @example per: 'subject'
   */
  readonly per: Exclude<Per, 'address'>;
}

/** How many bytes of statements and their answers. They are known at a statement's end: the next one waits or is refused. */
export interface ByteLimit extends Counting, Slowed {
  /**
   * What counts together.
   *
   * @example per: 'tenant'
   */
  readonly per: Exclude<Per, 'address'>;
  /**
   * How many bytes per time in the long run, with `B`, `kB`, `MB` or `GB`, each 1024 of the one before.
   *
   * @example limit: '50MB/s'
   */
  readonly limit: ByteRate;
  /**
   * How many bytes at once.
   *
   * @defaultValue the number in `limit`
   * @example burst: '1GB'
   */
  readonly burst?: Bytes;
}

/** Where several gateways count together. A change makes a new connection. */
export interface RedisOptions {
  /**
   * Redis 5 or newer, or Valkey; no cluster.
   *
   * @example kind: 'redis'
   */
  readonly kind: 'redis';
  /**
   * The server: `redis://[user[:password]@]host[:port][/number]`, or `rediss://` with TLS.
   *
   * @example url: 'rediss://limits.example:6379'
   */
  readonly url: string;
  /**
   * The password, instead of one in `url`. Read each time the gateway connects.
   *
   * @defaultValue none
   * @example password: file('redis.password')
   */
  readonly password?: Secret;
  /**
   * How long the store may owe an answer without a word, at most 10 s; then it counts as away. With `failOpen: true` a late answer is as bad; with
   * `false` the gateway learns from it that answers take so long.
   *
   * @defaultValue `'200ms'`, with `failOpen: false` `'1s'`
   * @example timeout: '500ms'
   */
  readonly timeout?: Duration;
  /**
   * What the keys begin with. Hashes follow, in a `fleet` made with its secret: only gateways of one fleet count together.
   *
   * @defaultValue `'postern:rate'`
   * @example prefix: 'staging:rate'
   */
  readonly prefix?: string;
}

/**
 * Options of the `rate-limit` plugin. Each limit may be a list: all of them have to have room.
 *
 * @reload new sessions
 */
export interface RateLimitOptions {
  /**
   * Limits the logins that begin.
   *
   * @defaultValue no limit but those of tokens
   * @example connections: { per: 'address', limit: '20/s', burst: 100 }
   */
  readonly connections?: ConnectionLimit | readonly ConnectionLimit[];
  /**
   * Limits the logins that fail (28P01, 28000). A client that only asks where to get a token (`discovery`) has not failed.
   *
   * @defaultValue no limit
   * @example failedLogins: { per: 'address', limit: '10/m', block: '5m' }
   */
  readonly failedLogins?: FailedLoginLimit | readonly FailedLoginLimit[];
  /**
   * Limits statements: each Query, each Execute of a prepared statement, each function call.
   *
   * @defaultValue no limit but those of tokens
   * @example statements: { per: 'subject', limit: '500/s', mode: 'delay' }
   */
  readonly statements?: StatementLimit | readonly StatementLimit[];
  /**
   * Limits the bytes of statements and their answers.
   *
   * @defaultValue no limit
   * @example bytes: { per: 'tenant', limit: '50MB/s', burst: '1GB' }
   */
  readonly bytes?: ByteLimit | readonly ByteLimit[];
  /**
   * Whether the rates that tokens bring are kept. With `false` such tokens are refused, and statements are looked at only where a limit needs it.
   *
   * @defaultValue `true`
   * @example tokenRates: false
   */
  readonly tokenRates?: boolean;
  /**
   * A store in which several gateways count together.
   *
   * @defaultValue that of the `fleet`, with `failOpen: true`; without one each gateway counts for itself
   * @example store: { kind: 'redis', url: 'rediss://limits.example:6379' }
   */
  readonly store?: RedisOptions;
  /**
   * What happens while the store cannot be asked: with `true` each gateway counts for itself, with `false` what has a limit is refused.
   *
   * @defaultValue none: with `store` it is required
   * @example failOpen: true
   */
  readonly failOpen?: boolean;
  /**
   * How many addresses, subjects and so on each limit remembers in memory. The ones seen longest ago are forgotten.
   *
   * @defaultValue `100000`
   * @example maxKeys: 10_000
   */
  readonly maxKeys?: number;
}
