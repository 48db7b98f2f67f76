/** What plugins may know about a session, and the services they lend one another. A third party adds by `declare module 'postern'`. */
import type { TenantName } from './names.ts';
import type { Target } from './target.ts';

/** Who logged in: the verified content of a token. */
export interface Identity {
  /** The token's `iss` (RFC 7519 §4.1.1), exactly as configured. */
  readonly issuer: string;
  /** The token's `sub` (RFC 7519 §4.1.2). */
  readonly subject: string;
  /** The token's `jti` (RFC 7519 §4.1.7). */
  readonly tokenId?: string;
  /** The token's `exp` (RFC 7519 §4.1.4); in a session that may outlive its token, the end of the session. */
  readonly expiresAt: Date;
  /** How long a transaction that is open at `expiresAt` may go on. Default: it may not. */
  readonly graceUntil?: Date;
  /** All claims of the token. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** A recurring time span in which a login is welcome. */
export interface AccessWindow {
  /** Lower-case English three-letter days: `mon` … `sun`. */
  readonly days: readonly string[];
  /** Wall-clock start, `HH:MM`. */
  readonly from: string;
  /** Wall-clock end, `HH:MM`. */
  readonly to: string;
  /** IANA time zone name. */
  readonly tz: string;
}

/** Rules a token carries about itself in its private claim (RFC 7519 §4.3), `postern` by default. */
export interface TokenRules {
  /** Entries of `databases` this token may open: the names that clients use, where no plugin chooses another entry. */
  readonly databases?: readonly string[];
  /** How many sessions may be open at once. */
  readonly maxConnections?: number;
  /** Client networks in CIDR notation (RFC 4632). */
  readonly cidrs?: readonly string[];
  /** When the token is good. */
  readonly windows?: readonly AccessWindow[];
  /** Rates such as `'200/s'`. */
  readonly rate?: { readonly statements?: string; readonly connections?: string };
  /** A duration such as `'1h'`. */
  readonly maxSession?: string;
  /** Which servers of a database may serve it, within what the policy allows. */
  readonly target?: Target;
}

/** Facts by name: established once per session by the plugin that `provides` them. */
export interface Facts {
  identity: Identity;
  rules: TokenRules;
  tenant: TenantName;
}

/** Verifies tokens for other plugins and for the operators' HTTP interface. */
export interface TokenVerifier {
  /**
   * A token with rules of its own is not good here: whoever gets the identity alone could not keep them.
   * @throws GatewayError `invalid_password` for every token that is not good.
   */
  verify(token: string): Promise<Identity>;
}

/** Which tokens shall be good no longer: one, those of a subject, or those an issuer issued before a date. */
export type RevocationTarget =
  | { readonly tokenId: string; readonly issuer?: string }
  | { readonly issuer: string; readonly subject: string }
  | { readonly issuer: string; readonly before: Date };

/** Takes tokens back before they expire. */
export interface Revocations {
  /**
   * From the call on such tokens open nothing, and sessions that came with one end with 57P01; how many these were.
   * `by` is who asked for it, for those who write it down. `until` is when the last such token expires, where that is known:
   * the revocation is forgotten then. Default: when it has to be, by the issuer's longest life of a token; never later.
   * @throws GatewayError `invalid_parameter_value` for what names no token, `configuration_limit_exceeded` where there are too
   * many; Error if it cannot be kept for the next start, in which case it is in force nevertheless
   */
  revoke(what: RevocationTarget, by?: Pick<Identity, 'issuer' | 'subject'>, until?: Date): Promise<number>;
}

/** Who is an operator, as `admin.operators` of the config says. */
export interface OperatorCheck {
  /**
   * The identity in an operator's token; undefined for anybody else's good token.
   * @throws GatewayError `invalid_password` for a token that is not good
   */
  recognize(token: string): Promise<Identity | undefined>;
  /** As {@link recognize}, with the reason for the operators' log. @throws GatewayError as that does */
  check(token: string): Promise<{ readonly identity: Identity } | { readonly why: string }>;
}

/** The keys of one issuer as they are now. */
export interface KeySetReading {
  readonly issuer: string;
  /** How many there are to verify its tokens with. */
  readonly keys: number;
  /** How long ago the issuer said so, in milliseconds; absent where there are none, or they stand in the config. */
  readonly ageMs?: number;
  /** Why they are no newer: present while the issuer does not answer and its last good keys serve. */
  readonly kept?: string;
  /** True while they are those that an earlier run has left on disk. */
  readonly fromDisk?: boolean;
}

/** Tells about the keys that tokens are verified with. */
export interface KeySets {
  /** One per issuer and place that its keys are from. */
  readings(): readonly KeySetReading[];
}

/** A user who has logged in by a password since the start. */
export interface PasswordUserReading {
  readonly user: string;
  readonly logins: number;
  /** Milliseconds since the epoch. */
  readonly lastLogin: number;
}

/** Tells who still comes with a password. */
export interface PasswordUsers {
  /** Who came longest ago comes first. */
  readings(): readonly PasswordUserReading[];
}

/** A name in {@link Facts}. */
export type FactName = keyof Facts;
/** A name in {@link TokenRules}. */
export type RuleName = keyof TokenRules;
