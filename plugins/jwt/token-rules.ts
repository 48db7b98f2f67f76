/** The rules a token carries about itself: a wrong or unknown one refuses the token, since it may have meant to forbid. */
import { isIP } from 'node:net';
import { TARGETS, milliseconds, rate as parseRate, shown } from '../../core/index.ts';
import type { AccessWindow, Target, TokenRules } from '../../core/index.ts';
import { TokenRefused } from './refusal.ts';

type Reader<T> = (path: string, value: unknown) => T;
type Fields = Readonly<Record<string, unknown>>;

function bad(path: string, value: unknown, wanted: string): never {
  throw new TokenRefused(`${path} is ${shown(value)}, ${wanted} is needed`);
}

function fields(path: string, value: unknown, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return bad(path, value, 'an object');
  const stranger = Object.keys(value).find((name) => !known.includes(name));
  if (stranger !== undefined)
    throw new TokenRefused(`${path} has ${shown(stranger)}, and can have ${known.join(', ')}`);
  return value as Fields;
}

function list<T>(item: Reader<T>): Reader<readonly T[]> {
  return (path, value) =>
    Array.isArray(value) ? value.map((entry) => item(path, entry)) : bad(path, value, 'a list');
}

function shape(pattern: RegExp, wanted: string): Reader<string> {
  return (path, value) =>
    typeof value === 'string' && pattern.test(value) ? value : bad(path, value, wanted);
}

const name = shape(/^[^\p{Cc}\p{Cs}]{1,63}$/u, 'a name of 1 to 63 characters');
const day = shape(/^(mon|tue|wed|thu|fri|sat|sun)$/, 'one of mon … sun');
const start = shape(/^([01]\d|2[0-3]):[0-5]\d$/, 'a time HH:MM');
/** `24:00` is the end of the day, which no start can say (ISO 8601). */
const end = shape(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, 'a time HH:MM');

/** A text that one of the core's own parsers understands, since the plugin that enforces the rule will ask it. */
function parsed(parse: (text: string) => unknown, wanted: string): Reader<string> {
  return (path, value) => {
    try {
      if (typeof value === 'string' && parse(value) !== 0) return value;
    } catch {
      // ConfigError: its message is written for a config file.
    }
    return bad(path, value, wanted);
  };
}

const duration = parsed(milliseconds, "a duration such as '1h'");
const rate = parsed(parseRate, "a rate such as '200/s'");

const count: Reader<number> = (path, value) =>
  Number.isSafeInteger(value) && (value as number) > 0
    ? (value as number)
    : bad(path, value, 'a whole number from 1');

const network: Reader<string> = (path, value) => {
  const [, address = '', bits] = (typeof value === 'string' && /^([^/]+)\/(\d{1,3})$/.exec(value)) || [];
  const longest = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return Number(bits) <= longest ? (value as string) : bad(path, value, 'a network in CIDR notation');
};

const zone: Reader<string> = (path, value) => {
  try {
    if (typeof value === 'string') return Intl.DateTimeFormat('en', { timeZone: value }) && value;
  } catch {
    // RangeError: no such zone.
  }
  return bad(path, value, 'a time zone');
};

const window: Reader<AccessWindow> = (path, value) => {
  const { days, from, to, tz } = fields(path, value, ['days', 'from', 'to', 'tz']);
  return {
    days: list(day)(`${path}.days`, days),
    from: start(`${path}.from`, from),
    to: end(`${path}.to`, to),
    tz: zone(`${path}.tz`, tz),
  };
};

const rates: Reader<NonNullable<TokenRules['rate']>> = (path, value) => {
  const given = fields(path, value, ['statements', 'connections']);
  return Object.fromEntries(Object.entries(given).map(([key, text]) => [key, rate(`${path}.${key}`, text)]));
};

const target: Reader<Target> = (path, value) =>
  TARGETS.find((one) => one === value) ?? bad(path, value, `one of ${TARGETS.join(', ')}`);

/** The names in the claim, the rules they make, and how each is read. */
const RULES: Readonly<Record<string, readonly [keyof TokenRules, Reader<unknown>]>> = {
  databases: ['databases', list(name)],
  max_connections: ['maxConnections', count],
  cidrs: ['cidrs', list(network)],
  windows: ['windows', list(window)],
  rate: ['rate', rates],
  max_session_duration: ['maxSession', duration],
  target: ['target', target],
};

/**
 * Reads the private claim that holds a token's rules (RFC 7519 §4.3).
 * @returns no rules where the claim is absent
 * @throws TokenRefused if the claim is there and not understood to the last member
 */
export function parseTokenRules(claim: string, value: unknown): TokenRules {
  if (value === undefined) return {};
  const given = fields(claim, value, Object.keys(RULES));
  const rules = Object.entries(given).map(([key, content]) => {
    const [rule, read] = RULES[key] ?? bad(claim, value, 'what is understood');
    return [rule, read(`${claim}.${key}`, content)] as const;
  });
  return Object.fromEntries(rules);
}
