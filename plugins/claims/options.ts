/** What `claims()` may be told. A reload applies it to new sessions. */
import { ConfigError } from '../../core/index.ts';

/** Options of the `claims` plugin. */
export interface ClaimsOptions {
  /**
   * The secret of which the database has a copy (`postern.add_key`), of 32 bytes or more: with it claims are signed, and
   * `postern.claim()` gives them to SQL that a client cannot deceive. Default: claims are not signed.
   */
  readonly key?: string | (() => string);
  /**
   * Which claims, by their names in the token; a token whose issuer keeps one of them elsewhere is refused. Default: all but
   * `aud`, `iat`, `nbf`, `jti`, `cnf`, `_claim_sources` and the rules; what is elsewhere stands in `_claim_names`.
   */
  readonly select?: readonly string[];
  /**
   * The setting that has the claims as JSON, as PostgREST and Supabase read them; `false` for none. Whoever sends SQL can
   * set it. Default `'request.jwt.claims'`.
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

const KNOWN = ['key', 'select', 'setting'];
/** NIST SP 800-107 §5.3.4: a key shorter than the hash's output weakens it. */
const SHORTEST_KEY_BYTES = 32;
/** Of the token itself, and of no use to SQL; the last may hold an access token (OpenID Connect Core 1.0 §5.6.2). */
const LEFT_OUT = new Set(['aud', 'iat', 'nbf', 'jti', 'cnf', 'postern', '_claim_sources']);

function bad(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

function longEnough(key: unknown): string {
  if (typeof key === 'string' && Buffer.byteLength(key) >= SHORTEST_KEY_BYTES) return key;
  return bad(
    'claims.key',
    `a secret of at least ${SHORTEST_KEY_BYTES} bytes is needed: openssl rand -hex 32`,
  );
}

function keyOf(key: ClaimsOptions['key']): Checked['key'] {
  if (key === undefined) return undefined;
  if (typeof key === 'function') return () => longEnough(key());
  longEnough(key);
  return () => key;
}

function selectOf(select: unknown): Pick<Checked, 'named' | 'selects'> {
  if (select === undefined) return { named: [], selects: (name) => !LEFT_OUT.has(name) };
  if (!Array.isArray(select) || select.length === 0) bad('claims.select', 'a list of claims is needed');
  const names = select as readonly unknown[];
  const wrong = names.findIndex((name) => typeof name !== 'string' || name === '');
  if (wrong >= 0) bad(`claims.select[${wrong}]`, 'the name of a claim is needed');
  return { named: names as readonly string[], selects: (name) => names.includes(name) };
}

function settingOf(setting: unknown): string | undefined {
  if (setting === false) return undefined;
  if (setting === undefined) return 'request.jwt.claims';
  if (typeof setting !== 'string' || !/^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+$/i.test(setting)) {
    bad('claims.setting', "a name with a dot is needed, such as 'request.jwt.claims'");
  }
  // The gateway's own name space: SQL that reads it expects what is signed.
  return /^postern\./i.test(setting) ? bad('claims.setting', 'postern.… is for signed claims') : setting;
}

/** Checks the options. @throws ConfigError that names the option, such as `claims.key` */
export function optionsOf(given: unknown): Checked {
  const options = (given ?? {}) as ClaimsOptions;
  if (typeof options !== 'object' || Array.isArray(options)) bad('claims', 'an object is needed');
  const stranger = Object.keys(options).find((name) => !KNOWN.includes(name));
  if (stranger !== undefined) bad(`claims.${stranger}`, `no such option; there are ${KNOWN.join(', ')}`);
  const [key, setting] = [keyOf(options.key), settingOf(options.setting)];
  if (!key && setting === undefined)
    bad('claims.setting', 'without a key and a setting there is nothing to do');
  return { key, setting, ...selectOf(options.select) };
}
