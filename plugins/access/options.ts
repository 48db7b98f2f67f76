/** What `access()` may be told. A reload applies it to what is asked for from then on. */
import type { AccessWindow, Duration, Rate } from '../../core/index.ts';
import type { OwnIssuer } from './own-issuer.ts';

/** A key of a program, by what it hashes to: the key itself is nowhere. `postern access key` makes both. */
export interface ApiKeyOptions {
  /**
   * The name of the key's holder: its tokens have the `sub` `key:<name>`.
   *
   * @example name: 'ci'
   */
  readonly name: string;
  /**
   * SHA-256 of the key, in hex. `postern access key` makes a key and this hash; the key itself is stored nowhere.
   *
   * @example sha256: env('CI_KEY_SHA256')
   */
  readonly sha256: string;
  /**
   * A date (ISO 8601) from which the key is not good any more.
   *
   * @defaultValue none: it does not expire
   * @example expires: '2027-06-30'
   */
  readonly expires?: string;
}

/** Who may ask at all. At least one of both. */
export interface CallersOptions {
  /**
   * Issuers (`iss`) of `jwt` whose tokens may ask. A token that was granted cannot ask for another.
   *
   * @defaultValue none
   * @example issuers: ['https://id.example']
   */
  readonly issuers?: readonly string[];
  /**
   * Programs that ask by a key instead of a token.
   *
   * @defaultValue none
   * @example apiKeys: [{ name: 'ci', sha256: env('CI_KEY_SHA256') }]
   */
  readonly apiKeys?: readonly ApiKeyOptions[];
}

/** Callers by a claim of their token. */
export interface ClaimWho {
  /**
   * The claim that decides: a name, or a path such as `realm_access.roles`.
   *
   * @example claim: 'groups'
   */
  readonly claim: string;
  /**
   * The value of that claim. A claim that is a list has to contain it.
   *
   * @example value: 'dev'
   */
  readonly value: string;
  /**
   * The issuer whose tokens are meant.
   *
   * @defaultValue every one of `callers.issuers`
   * @example issuer: 'https://id.example'
   */
  readonly issuer?: string;
}

/** A caller with an API key. */
export interface ApiKeyWho {
  /**
   * Instead of `claim` and `value`: the `name` of an API key.
   *
   * @example apiKey: 'ci'
   */
  readonly apiKey: string;
}

/** Callers whose claim is the value or a list that contains it, or those with an API key. */
export type Who = ClaimWho | ApiKeyWho;

/** Rules that are put into each token, besides its database; plugins `limits` and `ip-filter` enforce them. */
export interface GrantRulesOptions {
  /**
   * Networks (CIDR) that the token is good from. Needs `ipFilter()` in the list.
   *
   * @defaultValue everywhere
   * @example cidrs: ['10.0.0.0/8']
   */
  readonly cidrs?: readonly string[];
  /**
   * When the token is good.
   *
   * @defaultValue always
   * @example windows: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:00', tz: 'Europe/Berlin' }]
   */
  readonly windows?: readonly AccessWindow[];
  /**
   * How many sessions the token may have at once.
   *
   * @defaultValue no limit
   * @example maxConnections: 5
   */
  readonly maxConnections?: number;
  /**
   * How long a session may last.
   *
   * @defaultValue as long as the token
   * @example maxSession: '30m'
   */
  readonly maxSession?: Duration;
}

/** One rule: who may have which roles in which databases, and for how long. */
export interface PolicyOptions {
  /**
   * The callers that the rule is for: by claim and value, or by API key. Of a list one is enough.
   *
   * @example who: { claim: 'groups', value: 'dev' }
   */
  readonly who: Who | readonly Who[];
  /**
   * The databases that may be asked for, by the names that clients use.
   *
   * @example databases: ['orders']
   */
  readonly databases: readonly string[];
  /**
   * The roles that may be asked for. A caller with only one role need not name it.
   *
   * @example roles: ['reader', 'writer']
   */
  readonly roles: readonly string[];
  /**
   * The longest time to ask for; at most `maxLifetime` of the issuer.
   *
   * @defaultValue `'1h'`
   * @example maxDuration: '8h'
   */
  readonly maxDuration?: Duration;
  /**
   * The time of a request that does not say one.
   *
   * @defaultValue `'15m'`, or `maxDuration` where that is less
   * @example duration: '30m'
   */
  readonly duration?: Duration;
  /**
   * Whether a request has to give a reason. The log has it.
   *
   * @defaultValue `'required'`
   * @example reason: 'optional'
   */
  readonly reason?: 'required' | 'optional';
  /**
   * Rules for the token, beside its database.
   *
   * @defaultValue none
   * @example rules: { maxConnections: 5 }
   */
  readonly rules?: GrantRulesOptions;
}

/** Where clients reach the gateway: what stands in the connection strings. */
export interface ConnectOptions {
  /**
   * The host that clients connect to.
   *
   * @example host: 'gateway.example'
   */
  readonly host: string;
  /**
   * The port that clients connect to.
   *
   * @defaultValue `6432`
   * @example port: 5432
   */
  readonly port?: number;
  /**
   * What clients verify: libpq's `sslmode`.
   *
   * @defaultValue `'verify-full'`
   * @example sslmode: 'require'
   */
  readonly sslmode?: 'disable' | 'require' | 'verify-ca' | 'verify-full';
}

/**
 * Options of the `access` plugin.
 *
 * @reload new requests
 */
export interface AccessOptions {
  /**
   * The gateway's own issuer, which `ownIssuer` makes. The same object goes into `issuers` of `jwt`.
   *
   * @example issuer: ownIssuer({ issuer: 'https://postern.example', keys: 'keys/access.json' })
   */
  readonly issuer: OwnIssuer;
  /**
   * The callers that may ask at all: by token, by API key, or both.
   *
   * @example callers: { issuers: ['https://id.example'] }
   */
  readonly callers: CallersOptions;
  /**
   * At least one rule. The first that allows all that is asked for says the rules of the token.
   *
   * @example policy: [{ who: { claim: 'groups', value: 'dev' }, databases: ['orders'], roles: ['reader'] }]
   */
  readonly policy: readonly PolicyOptions[];
  /**
   * Where clients reach the gateway, for the connection strings in the answers.
   *
   * @example connect: { host: 'gateway.example' }
   */
  readonly connect: ConnectOptions;
  /**
   * The claim that holds the role, as the plugin `roles` reads it.
   *
   * @defaultValue `'role'`
   * @example roleClaim: 'pg_role'
   */
  readonly roleClaim?: string;
  /**
   * The claim that holds the rules: `rulesClaim` of `jwt`.
   *
   * @defaultValue `'postern'`
   * @example rulesClaim: 'rules'
   */
  readonly rulesClaim?: string;
  /**
   * How often one caller may ask.
   *
   * @defaultValue `'30/min'`
   * @example rate: '10/min'
   */
  readonly rate?: Rate;
}
