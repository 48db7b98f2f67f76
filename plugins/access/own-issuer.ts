/** The gateway's own issuer: `jwt` trusts it as any other, and `access` signs with its keys. */
import path from 'node:path';
import { SignJWT } from 'jose';
import { ConfigError, badOption, readDuration, readIssuer, readObject, readText } from '../../core/index.ts';
import type { Disposer, Duration, GatewayHandle } from '../../core/index.ts';
import type { WrittenKey } from './key-file.ts';
import { ALGORITHM } from './key-ring.ts';
import { OwnKeys } from './own-keys.ts';
import { Refused } from './refused.ts';

/**
 * Options of {@link ownIssuer}.
 *
 * @reload new tokens
 */
export interface OwnIssuerOptions {
  /**
   * The `iss` of its tokens. No other issuer may have it.
   *
   * @example issuer: 'https://postern.example'
   */
  readonly issuer: string;
  /**
   * The `aud` of its tokens.
   *
   * @defaultValue `'postern'`
   * @example audience: 'databases'
   */
  readonly audience?: string;
  /**
   * How long a key (ES256) signs.
   *
   * @defaultValue `'30d'`
   * @example rotate: '7d'
   */
  readonly rotate?: Duration;
  /**
   * How long a key is published before it signs, so that every verifier has fetched it by then.
   *
   * @defaultValue `'15m'`
   * @example publishAhead: '1h'
   */
  readonly publishAhead?: Duration;
  /**
   * The longest life of a token, and how long a key stays published when it signs no more.
   *
   * @defaultValue `'12h'`
   * @example maxLifetime: '8h'
   */
  readonly maxLifetime?: Duration;
  /**
   * File for the private keys, relative to the config, mode 0600, of one gateway: of several workers, one writes it. The
   * instances of a fleet have the same keys, whose store has them, and each a file of its own, if any.
   *
   * @defaultValue none: the keys are in memory and in the store of the fleet; without a fleet a restart ends what was granted
   * @example keys: 'keys/access.json'
   */
  readonly keys?: string;
}

/** Tokens and keys count in seconds. */
const SECOND = { leastMs: 1_000 };

/** An entry of `issuers` of `jwt`: the members it is told, and more that `access` uses. */
export class OwnIssuer {
  readonly issuer: string;
  readonly audience: string;
  readonly algorithms = [ALGORITHM] as const;
  readonly maxLifetime: Duration;
  /** The public keys, once `access` has been set up. */
  readonly jwks: () => Promise<{ readonly keys: readonly object[] }>;
  readonly #schedule: { readonly rotateMs: number; readonly aheadMs: number; readonly lifetimeMs: number };
  readonly #file: string | undefined;
  readonly #opened: Promise<OwnKeys>;
  #open: (keys: OwnKeys) => void = () => {};
  #keys: OwnKeys | undefined;

  /** @throws ConfigError that names the option, such as `ownIssuer.rotate` */
  constructor(options: OwnIssuerOptions) {
    const known = ['issuer', 'audience', 'rotate', 'publishAhead', 'maxLifetime', 'keys'] as const;
    const given = readObject<OwnIssuerOptions>('ownIssuer', options, known);
    this.issuer = readIssuer('ownIssuer.issuer', given.issuer);
    this.audience = readText('ownIssuer.audience', given.audience ?? 'postern');
    const rotateMs = readDuration('ownIssuer.rotate', given.rotate ?? '30d', SECOND);
    const aheadMs = readDuration('ownIssuer.publishAhead', given.publishAhead ?? '15m', SECOND);
    const lifetimeMs = readDuration('ownIssuer.maxLifetime', given.maxLifetime ?? '12h', SECOND);
    if (aheadMs >= rotateMs) badOption('ownIssuer.publishAhead', 'less than rotate is needed');
    this.#schedule = { rotateMs, aheadMs, lifetimeMs };
    this.maxLifetime = given.maxLifetime ?? '12h';
    this.#file = given.keys === undefined ? undefined : readText('ownIssuer.keys', given.keys);
    this.#opened = new Promise((resolve) => {
      this.#open = resolve;
    });
    this.jwks = async () => (await this.#opened).published();
  }

  get maxLifetimeMs(): number {
    return this.#schedule.lifetimeMs;
  }

  /** Finds or makes the keys, which outlive reloads. @throws ConfigError if their file cannot be used */
  async open(gateway: GatewayHandle): Promise<Disposer> {
    const file = this.#file === undefined ? undefined : path.resolve(gateway.directory, this.#file);
    const name = `keys ${this.issuer} ${file ?? ''}`;
    // Of a fleet the instances may have their files in different places.
    const boardName = gateway.fleet ? `keys ${this.issuer}` : name;
    const board = await gateway.board<readonly WrittenKey[]>(boardName, { of: 'fleet' });
    const keys = gateway.keep(name, () => new OwnKeys(file, board));
    try {
      const close = await keys.open(this.#schedule, gateway);
      this.#keys = keys;
      this.#open(keys);
      return close;
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown';
      throw new ConfigError(`ownIssuer.keys: ${file ?? ''} cannot be used: ${why}`, { cause: error });
    }
  }

  /** The public keys at this moment. @throws Error before {@link open} */
  published(): { readonly keys: readonly object[] } {
    return this.#own().published();
  }

  /** Whether there is a key: not while the store of a fleet has not answered since the start. */
  get canSign(): boolean {
    return this.#own().canSign;
  }

  /** A token of ours (RFC 7519) that is good from now until `expiresAt`, in whole seconds since the epoch. @throws Refused 503 without a key */
  async sign(
    claims: Readonly<Record<string, unknown>>,
    issuedAt: number,
    expiresAt: number,
  ): Promise<string> {
    if (!this.canSign)
      throw new Refused('busy', 'the gateway has no signing key yet: try again', { retryAfter: 5 });
    const { kid, privateKey } = this.#own().current();
    return new SignJWT(claims)
      .setProtectedHeader({ alg: ALGORITHM, kid, typ: 'JWT' })
      .setIssuer(this.issuer)
      .setAudience(this.audience)
      .setIssuedAt(issuedAt)
      .setExpirationTime(expiresAt)
      .sign(privateKey);
  }

  #own(): OwnKeys {
    if (!this.#keys) throw new Error('ownIssuer: access is not in the list of plugins');
    return this.#keys;
  }
}

/**
 * Makes the gateway's own issuer: give it to `jwt` among the `issuers`, and to `access`.
 * @throws ConfigError that names the option, such as `ownIssuer.rotate`
 * @example ownIssuer({ issuer: 'https://postern.example', keys: 'keys/access.json' })
 */
export function ownIssuer(options: OwnIssuerOptions): OwnIssuer {
  return new OwnIssuer(options);
}
