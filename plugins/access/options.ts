/** What `access()` may be told. A reload applies it to what is asked for from then on. */
import type { AccessWindow, Duration, Rate } from '../../core/index.ts';
import type { OwnIssuer } from './own-issuer.ts';

/** A key of a program, by what it hashes to: the key itself is nowhere. `postern access key` makes both. */
export interface ApiKeyOptions {
  /** Whose it is: its tokens have the `sub` `key:<name>`. */
  readonly name: string;
  /** SHA-256 of the key, in hex. */
  readonly sha256: string;
  /** A date (ISO 8601) from which it is good no longer. Default: never. */
  readonly expires?: string;
}

/** Who may ask at all. At least one of both. */
export interface CallersOptions {
  /** Issuers (`iss`) of `jwt` whose tokens are taken. Default: none. */
  readonly issuers?: readonly string[];
  /** Default: none. */
  readonly apiKeys?: readonly ApiKeyOptions[];
}

/** Callers whose claim is the value or a list that contains it, or those with an API key. */
export type Who =
  | {
      /** A name, or a path as `realm_access.roles`. */
      readonly claim: string;
      readonly value: string;
      /** Whose claims. Default: every one of `callers.issuers`. */
      readonly issuer?: string;
    }
  | {
      /** Its `name`. */
      readonly apiKey: string;
    };

/** Rules that are put into each token, besides its database; plugins `limits` and `ip-filter` enforce them. */
export interface GrantRulesOptions {
  /** Networks (CIDR) that the token is good from. Default: everywhere. */
  readonly cidrs?: readonly string[];
  /** When the token is good. Default: always. */
  readonly windows?: readonly AccessWindow[];
  /** Sessions at once. Default: no limit. */
  readonly maxConnections?: number;
  /** How long a session may last. Default: as long as the token. */
  readonly maxSession?: Duration;
}

/** One rule: who may have which roles in which databases, and for how long. */
export interface PolicyOptions {
  /** One, or a list of which one is enough. */
  readonly who: Who | readonly Who[];
  /** By the names that clients use. */
  readonly databases: readonly string[];
  readonly roles: readonly string[];
  /** Longest time to ask for. Default `'1h'`. */
  readonly maxDuration?: Duration;
  /** What whoever does not say gets. Default `'15m'`, or `maxDuration` where that is less. */
  readonly duration?: Duration;
  /** Whether a reason has to be given. Default `'required'`. */
  readonly reason?: 'required' | 'optional';
  /** Default: none but the database. */
  readonly rules?: GrantRulesOptions;
}

/** Where clients reach the gateway: what stands in the connection strings. */
export interface ConnectOptions {
  readonly host: string;
  /** Default 6432. */
  readonly port?: number;
  /** libpq's `sslmode`. Default `'verify-full'`. */
  readonly sslmode?: 'disable' | 'require' | 'verify-ca' | 'verify-full';
}

/** Options of the `access` plugin. */
export interface AccessOptions {
  /** Who signs: made by {@link ownIssuer}, and one of the `issuers` of `jwt` as well. */
  readonly issuer: OwnIssuer;
  readonly callers: CallersOptions;
  /** At least one. The first that allows all that is asked for says the rules of the token. */
  readonly policy: readonly PolicyOptions[];
  readonly connect: ConnectOptions;
  /** The claim that holds the role, for the plugin `roles`. Default `'role'`. */
  readonly roleClaim?: string;
  /** The claim that holds the rules, `rulesClaim` of `jwt`. Default `'postern'`. */
  readonly rulesClaim?: string;
  /** How often one caller may ask. Default `'30/min'`. */
  readonly rate?: Rate;
}
