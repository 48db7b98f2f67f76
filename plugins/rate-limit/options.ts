/** What `rateLimit()` may be told. A reload applies it to new sessions; what was counted by a limit that stays is kept. */
import type { Duration, Rate, Secret } from '../../core/index.ts';

/** What counts together. `address` is one IPv4 address or one IPv6 network of 64 bits; `database` an entry of `databases`. */
export type Per = 'address' | 'subject' | 'tenant' | 'role' | 'database';
/** A number of bytes in PostgreSQL's units, each 1024 of the one before (manual, 19.1.1). */
export type Bytes = `${number}${'B' | 'kB' | 'MB' | 'GB'}`;
/** Bytes per time, for instance `'10MB/s'`. */
export type ByteRate = `${Bytes}/${'s' | 'm' | 'min' | 'h' | 'd'}`;

interface Counting {
  /** Count in the store; false: each gateway for itself, which saves a round trip. Default true where there is a store. */
  readonly shared?: boolean;
}

/** In any time t there are at most `burst` + `limit` × t. */
interface Counted extends Counting {
  /** How many per time in the long run, such as `'20/s'`. */
  readonly limit: Rate;
  /** How many may come at once, a whole number from 1. Default: the number in `limit`, rounded up. */
  readonly burst?: number;
}

interface ByAddress {
  /** Networks whose addresses are not counted, such as that of a load balancer. Only with `per: 'address'`. Default: none. */
  readonly except?: readonly string[];
}

interface Slowed {
  /** What happens to a statement over the limit. Default `'refuse'`. */
  readonly mode?: 'refuse' | 'delay';
  /** The longest delay, at most a minute; a statement that would have to wait longer is refused. Only with `mode: 'delay'`. Default `'1s'`. */
  readonly maxDelay?: Duration;
}

/** How often somebody may connect. By address it is looked at before anybody is asked for a token. */
export interface ConnectionLimit extends Counted, ByAddress {
  readonly per: Per;
}

/** How often a login may fail (28P01, 28000): afterwards nobody gets in until there is room again. A good login takes one back. */
export interface FailedLoginLimit extends Counted, ByAddress {
  /** A subject counts only where its token was good, or anybody could lock it out. */
  readonly per: 'address' | 'subject';
  /** How long nobody gets in once the limit is reached; the bucket fills meanwhile. Default: until there is room for one more. */
  readonly block?: Duration;
}

/** How many statements: each Query, each Execute of a prepared statement, each function call. */
export interface StatementLimit extends Counted, Slowed {
  readonly per: Exclude<Per, 'address'>;
}

/** How many bytes of statements and their answers. They are known at a statement's end: the next one waits or is refused. */
export interface ByteLimit extends Counting, Slowed {
  readonly per: Exclude<Per, 'address'>;
  /** Such as `'10MB/s'`. */
  readonly limit: ByteRate;
  /** How many at once. Default: the number in `limit`. */
  readonly burst?: Bytes;
}

/** Where several gateways count together. A change makes a new connection. */
export interface RedisOptions {
  readonly kind: 'redis';
  /** `redis://[user[:password]@]host[:port][/number]`, `rediss://` with TLS. Redis 5 or newer, or Valkey; no cluster. */
  readonly url: string;
  /** Instead of one in `url`; read each time the gateway connects. Default: none. */
  readonly password?: Secret;
  /**
   * How long the store may owe an answer without a word, at most 10 s; then it is away. With `failOpen: true` a late answer is
   * as bad; with false it is known from then on that answers take so long. Default `'200ms'`, with `failOpen: false` `'1s'`.
   */
  readonly timeout?: Duration;
  /** What the keys begin with. Default `'postern:rate'`. */
  readonly prefix?: string;
}

/** Options of the `rate-limit` plugin. Each limit may be a list: all of them have to have room. */
export interface RateLimitOptions {
  /** Default: no limit but those of tokens. */
  readonly connections?: ConnectionLimit | readonly ConnectionLimit[];
  /** Default: no limit. */
  readonly failedLogins?: FailedLoginLimit | readonly FailedLoginLimit[];
  /** Default: no limit but those of tokens. */
  readonly statements?: StatementLimit | readonly StatementLimit[];
  /** Default: no limit. */
  readonly bytes?: ByteLimit | readonly ByteLimit[];
  /** Keep the rates that tokens bring. With false such tokens are refused, and without `statements` and `bytes` none is looked at. Default true. */
  readonly tokenRates?: boolean;
  /** Default: each gateway counts for itself. */
  readonly store?: RedisOptions;
  /** While the store cannot be asked, true: each gateway counts for itself; false: what has a limit is refused. Default: none, with `store` it has to be said. */
  readonly failOpen?: boolean;
  /** How many addresses, subjects and so on each limit remembers in memory; those seen longest ago are forgotten. Default 100000. */
  readonly maxKeys?: number;
}
