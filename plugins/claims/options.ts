/** What `claims()` may be told. A reload applies it to new sessions. */
import { badOption, readList, readObject, readSecret, readText } from '../../core/index.ts';

/**
 * Options of the `claims` plugin.
 *
 * @reload new sessions
 */
export interface ClaimsOptions {
  /**
   * The secret, of 32 bytes or more, of which the database has a copy (`postern.add_key`). With it claims are signed, and `postern.claim()` gives
   * SQL what a client cannot forge.
   *
   * @defaultValue none: claims are not signed
   * @example key: file('claims.key')
   */
  readonly key?: string | (() => string);
  /**
   * The claims that reach SQL, by their names in the token. They are sent at each check-out of a server connection, so name those that policies need. A
   * token whose issuer keeps one of them elsewhere is refused.
   *
   * @defaultValue all but `aud`, `iat`, `nbf`, `jti`, `cnf`, `_claim_sources` and the rules
   * @example select: ['sub', 'tenant']
   */
  readonly select?: readonly string[];
  /**
   * The setting that has the claims as JSON, as PostgREST and Supabase read them; `false` for none. A client that sends SQL can set it.
   *
   * @defaultValue `'request.jwt.claims'`
   * @example setting: false
   */
  readonly setting?: string | false;
}

/** The options, checked. */
export interface Checked {
  /** Read at each login. @throws ConfigError for one that is too short */
  readonly key: (() => string) | undefined;
  /** Claims that SQL is promised. */
  readonly named: readonly string[];
  /** Whether a claim is passed on. */
  readonly selects: (name: string) => boolean;
  readonly setting: string | undefined;
}

const KNOWN = ['key', 'select', 'setting'] as const;
/** NIST SP 800-107 §5.3.4: a key shorter than the hash's output weakens it. */
const SHORTEST_KEY_BYTES = 32;
/** Of the token itself, and of no use to SQL; the last may hold an access token (OpenID Connect Core 1.0 §5.6.2). */
const LEFT_OUT = new Set(['aud', 'iat', 'nbf', 'jti', 'cnf', 'postern', '_claim_sources']);

function selectOf(select: unknown): Pick<Checked, 'named' | 'selects'> {
  if (select === undefined) return { named: [], selects: (name) => !LEFT_OUT.has(name) };
  const named = readList('claims.select', select, readText, 'claims');
  return { named, selects: (name) => named.includes(name) };
}

function settingOf(setting: unknown): string | undefined {
  if (setting === false) return undefined;
  if (setting === undefined) return 'request.jwt.claims';
  if (typeof setting !== 'string' || !/^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+$/i.test(setting)) {
    badOption('claims.setting', "a name with a dot is needed, such as 'request.jwt.claims'");
  }
  // The gateway's own name space: SQL that reads it expects what is signed.
  return /^postern\./i.test(setting)
    ? badOption('claims.setting', 'postern.… is for signed claims')
    : setting;
}

/** Checks the options. @throws ConfigError that names the option, such as `claims.key` */
export function optionsOf(given: unknown): Checked {
  const options = readObject<ClaimsOptions>('claims', given ?? {}, KNOWN);
  const setting = settingOf(options.setting);
  const key =
    options.key === undefined ? undefined : readSecret('claims.key', options.key, SHORTEST_KEY_BYTES);
  if (!key && setting === undefined)
    badOption('claims.setting', 'without a key and a setting there is nothing to do');
  return { key, setting, ...selectOf(options.select) };
}
