/** The rules of a config in the words of a token's private claim. */
import {
  badOption,
  parseNetwork,
  readDuration,
  readInteger,
  readList,
  readObject,
  readParsed,
  readText,
} from '../../core/index.ts';
import type { AccessWindow } from '../../core/index.ts';
import type { GrantRulesOptions } from './options.ts';

/** Members of the claim that every token of a rule has, besides `databases`. Plain data. */
export type ClaimedRules = Readonly<Record<string, unknown>>;

const DAYS: readonly unknown[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const TIME = /^([01]\d|2[0-3]):[0-5]\d$/;

function zone(path: string, value: unknown): string {
  try {
    Intl.DateTimeFormat('en', { timeZone: readText(path, value) });
  } catch {
    badOption(path, "an IANA time zone such as 'Europe/Berlin' is needed");
  }
  return value as string;
}

function time(path: string, value: unknown, alsoEnd: boolean): string {
  const fits = typeof value === 'string' && (TIME.test(value) || (alsoEnd && value === '24:00'));
  return fits ? value : badOption(path, 'a time HH:MM is needed');
}

function windowOf(path: string, given: unknown): AccessWindow {
  const { days, from, to, tz } = readObject<AccessWindow>(path, given, ['days', 'from', 'to', 'tz']);
  const day = (at: string, one: unknown): string =>
    DAYS.includes(one) ? (one as string) : badOption(at, `expected one of ${DAYS.join(', ')}`);
  const window = {
    days: readList(`${path}.days`, days, day),
    from: time(`${path}.from`, from, false),
    to: time(`${path}.to`, to, true),
    tz: zone(`${path}.tz`, tz),
  };
  return window.from === window.to ? badOption(`${path}.to`, 'from and to are the same') : window;
}

/** The claim wants the length as well: one address is a network of itself. */
function network(path: string, value: unknown): string {
  readParsed(path, value, parseNetwork);
  const given = value as string;
  if (given.includes('/')) return given;
  return `${given}/${given.includes(':') ? 128 : 32}`;
}

function spanOf(path: string, value: unknown): string {
  return `${readDuration(path, value, { leastMs: 1_000 })}ms`;
}

/** Checks `rules`. @throws ConfigError that names the option */
export function claimedRules(path: string, given: unknown): ClaimedRules {
  const known = ['cidrs', 'windows', 'maxConnections', 'maxSession'] as const;
  const { cidrs, windows, maxConnections, maxSession } = readObject<GrantRulesOptions>(
    path,
    given ?? {},
    known,
  );
  return {
    ...(cidrs !== undefined && { cidrs: readList(`${path}.cidrs`, cidrs, network) }),
    ...(windows !== undefined && { windows: readList(`${path}.windows`, windows, windowOf) }),
    ...(maxConnections !== undefined && {
      max_connections: readInteger(`${path}.maxConnections`, maxConnections, { most: 1_000_000 }),
    }),
    ...(maxSession !== undefined && { max_session_duration: spanOf(`${path}.maxSession`, maxSession) }),
  };
}
