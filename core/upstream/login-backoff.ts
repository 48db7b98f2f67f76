/** Stops logging in as a role that the server refuses: one attempt at a time, and long pauses for credentials that it has refused. */
import type { Logger } from '../contract/session.ts';
import {
  credentialsMissing,
  identityRefused,
  innermost,
  loginRefused,
  whyNoCredentials,
} from './refusals.ts';
import type { Clock } from './clock.ts';

/** How long refused credentials are not sent to the server again, in milliseconds. */
export const PAUSE_MS = 30_000;
/** How long the source of a role's credentials is not asked again, in milliseconds; doubled by each new ones that are refused. */
const ASK_MS = 1_000;

/** The options of the login backoff. */
export interface LoginBackoffParts {
  /** The key of `databases`, for the operator. */
  readonly entry: string;
  readonly clock: Clock;
  readonly log?: Pick<Logger, 'error' | 'info'> | undefined;
  /** Where several workers have a pool of the entry: what each has found out. Default: only this process logs in. */
  readonly refusedRoles?: RefusedRoles | undefined;
}

/** One login attempt of a role, which reports to the login backoff. */
export interface LoginAttempt {
  /**
   * Credentials, by their fingerprint, are about to be shown to the server.
   * @throws GatewayError as {@link loginRefused} makes it if it has refused just these a moment ago
   */
  readonly shows: (fingerprint: string) => void;
  succeeded(): void;
  /** An error that does not concern the role's login permits another attempt at once. */
  failed(error: unknown): void;
}

/** A role whose login fails. Times are by the clock. */
export interface RefusedRole {
  /** A login is under way. */
  readonly trying: boolean;
  /** When the source of credentials is asked again. */
  readonly nextAsk: number;
  /** When the same credentials are sent again. */
  readonly nextTry: number;
  /** The fingerprint of the credentials that the server refused last, and the number of different ones: a source may give new ones each time. */
  readonly refused?: string | undefined;
  readonly different: number;
  /** Why there are no credentials, for the operator. */
  readonly missing?: string | undefined;
}

/** By role; a `Map` is one. */
export interface RefusedRoles {
  get(role: string): RefusedRole | undefined;
  set(role: string, refused: RefusedRole): unknown;
  delete(role: string): boolean;
  values(): Iterable<RefusedRole>;
}

const NEW: RefusedRole = {
  trying: false,
  nextAsk: 0,
  nextTry: 0,
  different: 0,
};

/** One per pool. */
export class LoginBackoff {
  readonly #parts: LoginBackoffParts;
  readonly #guarded: RefusedRoles;

  constructor(parts: LoginBackoffParts) {
    this.#parts = parts;
    this.#guarded = parts.refusedRoles ?? new Map<string, RefusedRole>();
  }

  /** A role's login is paused. */
  get open(): boolean {
    const now = this.#parts.clock.now();
    return [...this.#guarded.values()].some(({ nextAsk, nextTry }) => now < Math.max(nextAsk, nextTry));
  }

  /** Why no connection may be opened for a role now; undefined if one may. */
  refusal(role: string): Error | undefined {
    const guarded = this.#guarded.get(role);
    if (!guarded || (!guarded.trying && this.#parts.clock.now() >= guarded.nextAsk)) return undefined;
    return guarded.missing === undefined ? refusedBefore(role) : credentialsMissing(guarded.missing);
  }

  /** A login of the role begins: the caller reports its end. */
  begin(role: string): LoginAttempt {
    this.#change(role, { trying: true });
    let shown = '';
    return {
      shows: (fingerprint) => {
        this.#check(role, fingerprint);
        shown = fingerprint;
      },
      succeeded: () => this.#succeeded(role),
      failed: (error) => this.#failed(role, error, shown),
    };
  }

  #check(role: string, fingerprint: string): void {
    const guarded = this.#guarded.get(role);
    if (guarded?.refused !== fingerprint) return;
    const now = this.#parts.clock.now();
    if (now >= guarded.nextTry) return;
    this.#change(role, { nextAsk: Math.min(now + ASK_MS, guarded.nextTry), missing: undefined });
    throw refusedBefore(role);
  }

  #succeeded(role: string): void {
    if (!this.#guarded.delete(role)) return;
    const { entry, log } = this.#parts;
    log?.info({ entry, role }, 'the server accepts the login again');
  }

  #failed(role: string, error: unknown, shown: string): void {
    const missing = whyNoCredentials(error);
    if (missing !== undefined) this.#missing(role, missing);
    else if (identityRefused(error)) this.#refused(role, shown, innermost(error));
    else this.#change(role, { trying: false });
  }

  #change(role: string, change: Partial<RefusedRole>): void {
    const guarded = this.#guarded.get(role);
    if (guarded) this.#guarded.set(role, { ...guarded, ...change });
  }

  #missing(role: string, missing: string): void {
    const before = this.#guarded.get(role) ?? NEW;
    const nextAsk = this.#parts.clock.now() + ASK_MS;
    this.#guarded.set(role, { ...before, trying: false, nextAsk, missing });
    if (before.missing === undefined) this.#tell(role, missing, 'there are no credentials for the login');
  }

  #refused(role: string, refused: string, why: string): void {
    const before = this.#guarded.get(role) ?? NEW;
    const now = this.#parts.clock.now();
    const different = before.refused === refused ? before.different : before.different + 1;
    const nextAsk = now + Math.min(ASK_MS * 2 ** (different - 1), PAUSE_MS);
    const nextTry = now + PAUSE_MS;
    this.#guarded.set(role, { trying: false, nextAsk, nextTry, refused, different });
    if (before.refused !== undefined) return;
    this.#tell(role, why, 'the server refuses the login: the same one is tried once per 30 s');
  }

  #tell(role: string, why: string, what: string): void {
    const { entry, log } = this.#parts;
    log?.error({ entry, role, why }, what);
  }
}

function refusedBefore(role: string): Error {
  return loginRefused(new Error(`the server refused the login of role "${role}" a moment ago`));
}
