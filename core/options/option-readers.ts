/** Reads single options of a plugin when the config is loaded: a wrong one stops the boot with its path. One set for all plugins. */
import { milliseconds } from '../contract/durations.ts';
import { RESERVED_ISSUERS } from '../contract/credential.ts';
import { ConfigError, GatewayError } from '../contract/errors.ts';
import type { WebUrl } from '../contract/web-types.ts';
import { proxyFor } from '../outbound/proxy.ts';

const DAY_MS = 86_400_000;

/**
 * Stops the boot.
 *
 * @throws ConfigError that begins with the option's path, such as `limits.windows[0].tz`
 * @example if (options.from >= options.to) badOption('officeHours.from', 'must be before to');
 */
export function badOption(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

/**
 * An object that has these members at most.
 *
 * @throws ConfigError that names a member which is not known
 * @example const given = readObject<typeof options>('officeHours', value, ['from', 'to', 'notice']);
 */
export function readObject<T extends object>(
  path: string,
  value: unknown,
  known: readonly (keyof T & string)[],
): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    badOption(path, 'an object is needed');
  const stranger = Object.keys(value).find((name) => !(known as readonly string[]).includes(name));
  if (stranger !== undefined)
    badOption(`${path}.${stranger}`, `no such option; there are ${known.join(', ')}`);
  return value as T;
}

/**
 * A list with at least one item; `what` names the items in the message.
 *
 * @throws ConfigError
 * @example const days = readList('officeHours.days', value, readText, 'days');
 */
export function readList<T>(
  path: string,
  value: unknown,
  item: (path: string, value: unknown) => T,
  what = 'values',
): readonly T[] {
  if (!Array.isArray(value) || value.length === 0)
    badOption(path, `a list of ${what} is needed, with at least one`);
  return value.map((one: unknown, index) => item(`${path}[${index}]`, one));
}

/**
 * A text that is not empty; `form` says in the message what it looks like.
 *
 * @throws ConfigError
 * @example const zone = readText('officeHours.tz', value);
 */
export function readText(path: string, value: unknown, form = 'a text'): string {
  return typeof value === 'string' && value !== '' ? value : badOption(path, `${form} is needed`);
}

/**
 * The issuer of tokens.
 *
 * @throws ConfigError for one that is reserved for identities without a token
 * @example const issuer = readIssuer('officeHours.issuer', value);
 */
export function readIssuer(path: string, value: unknown): string {
  const issuer = readText(path, value);
  const reserved = RESERVED_ISSUERS.find((prefix) => issuer.startsWith(prefix));
  return reserved === undefined
    ? issuer
    : badOption(path, `issuers that begin with '${reserved}' are for logins without a token`);
}

/**
 * One text, or a list with at least one.
 *
 * @throws ConfigError
 * @example const subjects = readTexts('officeHours.except', value);
 */
export function readTexts(path: string, value: unknown): readonly string[] {
  return Array.isArray(value) ? readList(path, value, readText, 'texts') : [readText(path, value)];
}

/**
 * True or false.
 *
 * @throws ConfigError
 * @example const strict = readFlag('officeHours.strict', value);
 */
export function readFlag(path: string, value: unknown): boolean {
  return typeof value === 'boolean' ? value : badOption(path, 'true or false is needed');
}

/**
 * One of a few words.
 *
 * @throws ConfigError that lists them
 * @example const mode = readChoice('officeHours.mode', value, ['refuse', 'warn']);
 */
export function readChoice<T extends string>(path: string, value: unknown, choices: readonly T[]): T {
  const words = choices.map((choice) => `'${choice}'`);
  const [last] = words.slice(-1);
  const all =
    words.length === 2 ? words.join(' or ') : words.length > 2 ? `one of ${words.join(', ')}` : last;
  return choices.find((choice) => choice === value) ?? badOption(path, `${all} is needed`);
}

/** Limits of a whole number. */
export interface IntegerLimits {
  /** Default 1. */
  readonly least?: number;
  /** Default: the largest whole number that JavaScript can tell from its neighbours. */
  readonly most?: number;
  /** What is counted, for the message, such as `'bytes'`. Default: nothing is said. */
  readonly of?: string;
}

/**
 * A whole number.
 *
 * @throws ConfigError that says from where to where
 * @example const from = readInteger('officeHours.from', value, { least: 0, most: 23, of: 'hours' });
 */
export function readInteger(path: string, value: unknown, limits: IntegerLimits = {}): number {
  const { least = 1, most = Number.MAX_SAFE_INTEGER, of } = limits;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most)
    return value;
  const number = of === undefined ? 'a whole number' : `a whole number of ${of}`;
  const end = limits.most === undefined ? '' : ` to ${most}`;
  return badOption(path, `${number} from ${least}${end} is needed`);
}

/** Limits of a duration, in milliseconds. */
export interface DurationLimits {
  /** Default 1. */
  readonly leastMs?: number;
  /** Default: none. */
  readonly mostMs?: number;
}

function spanShown(ms: number): string {
  if (ms >= DAY_MS && ms % DAY_MS === 0) return `${ms / DAY_MS} days`;
  return ms >= 1_000 ? `${ms / 1_000} s` : `${ms} ms`;
}

/**
 * A duration such as `'10s'` in milliseconds, rounded up to whole ones.
 *
 * @throws ConfigError
 * @example const noticeMs = readDuration('officeHours.notice', options.notice ?? '5m');
 */
export function readDuration(path: string, value: unknown, limits: DurationLimits = {}): number {
  const { leastMs = 1, mostMs = Infinity } = limits;
  const ms = readParsed(path, value, milliseconds, "a duration such as '10s'");
  if (ms < leastMs) badOption(path, `at least ${spanShown(leastMs)} is needed`);
  return ms <= mostMs ? Math.ceil(ms) : badOption(path, `at most ${spanShown(mostMs)} is possible`);
}

/**
 * What a parser makes of a text: `parseRole`, `parseNetwork`, `rate` and their like. `form` says in the message what such a text is.
 *
 * @throws ConfigError with the sentence of the parser's ConfigError or GatewayError behind the path
 * @example const role = readParsed('officeHours.role', value, parseRole);
 */
export function readParsed<T>(path: string, value: unknown, parse: (text: string) => T, form?: string): T {
  const text = readText(path, value, form);
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof ConfigError) return badOption(path, error.message);
    if (!(error instanceof GatewayError)) throw error;
    return badOption(path, error.hint === undefined ? error.message : `${error.message} (${error.hint})`);
  }
}

/**
 * A secret: a text, or a function such as `env('NAME')` that is asked whenever the secret is needed. No message has it.
 *
 * @throws ConfigError for what is neither, or has fewer bytes; the function that is returned throws it too
 * @example const secret = readSecret('officeHours.key', value, 32);
 */
export function readSecret(path: string, value: unknown, leastBytes = 1): () => string {
  const checked = (secret: unknown): string => {
    if (typeof secret === 'string' && Buffer.byteLength(secret) >= leastBytes) return secret;
    if (leastBytes === 1) return badOption(path, "a text, env('NAME') or file('path') is needed");
    return badOption(
      path,
      `a secret of at least ${leastBytes} bytes is needed: openssl rand -hex ${leastBytes}`,
    );
  };
  if (typeof value === 'function') return () => checked((value as () => unknown)());
  const secret = checked(value);
  return () => secret;
}

/**
 * An http or https address to send to, without user and password, which would stand in logs.
 *
 * @throws ConfigError that shows `example`, or names the variable of the environment that has no proxy for it
 * @example const url = readHttpUrl('officeHours.calendar', value, 'https://calendar.example');
 */
export function readHttpUrl(path: string, value: unknown, example: string): WebUrl {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    return badOption(path, `an address such as '${example}' is needed`);
  if (url.username !== '' || url.password !== '')
    badOption(path, 'no user and password: put them into headers');
  proxyFor(url);
  return url;
}
