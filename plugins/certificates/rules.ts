/** The rules of sessions with a certificate, checked at boot: a wrong one may have meant to forbid. */
import {
  TARGETS,
  badOption,
  milliseconds,
  parseNetwork,
  rate as parseRate,
  readChoice,
  readInteger,
  readList,
  readObject,
  readParsed,
  readText,
  readTexts,
} from '../../core/index.ts';
import type { AccessWindow, TokenRules } from '../../core/index.ts';

type Reader = (path: string, value: unknown) => unknown;

/** The text as it is, once `parse` has understood it. */
const checked =
  (parse: (text: string) => unknown): Reader =>
  (path, value) => {
    readParsed(path, value, parse);
    return value;
  };

function shaped(path: string, value: unknown, shape: RegExp, wanted: string): string {
  const text = readText(path, value, wanted);
  return shape.test(text) ? text : badOption(path, `${wanted} is needed`);
}

function zone(path: string, value: unknown): string {
  const text = readText(path, value, 'a time zone');
  try {
    Intl.DateTimeFormat('en', { timeZone: text });
    return text;
  } catch {
    return badOption(path, 'a time zone is needed');
  }
}

const DAY = /^(?:mon|tue|wed|thu|fri|sat|sun)$/;
const START = /^(?:[01]\d|2[0-3]):[0-5]\d$/;
const END = /^(?:(?:[01]\d|2[0-3]):[0-5]\d|24:00)$/;

function window(path: string, value: unknown): AccessWindow {
  const { days, from, to, tz } = readObject<AccessWindow>(path, value, ['days', 'from', 'to', 'tz']);
  return {
    days: readList(`${path}.days`, days, (at, day) => shaped(at, day, DAY, 'one of mon … sun')),
    from: shaped(`${path}.from`, from, START, 'a time HH:MM'),
    to: shaped(`${path}.to`, to, END, 'a time HH:MM'),
    tz: zone(`${path}.tz`, tz),
  };
}

function rates(path: string, value: unknown): unknown {
  const given = readObject<NonNullable<TokenRules['rate']>>(path, value, ['statements', 'connections']);
  for (const [name, text] of Object.entries(given)) checked(parseRate)(`${path}.${name}`, text);
  return given;
}

const READERS: { readonly [R in keyof TokenRules]-?: Reader } = {
  databases: readTexts,
  maxConnections: (path, value) => readInteger(path, value),
  cidrs: (path, value) => readList(path, value, checked(parseNetwork), 'networks'),
  windows: (path, value) => readList(path, value, window),
  rate: rates,
  maxSession: checked(milliseconds),
  target: (path, value) => readChoice(path, value, TARGETS),
};

/** Reads rules. @throws ConfigError that names the rule */
export function readRules(path: string, value: unknown): TokenRules {
  const names = Object.keys(READERS) as (keyof TokenRules)[];
  const given = readObject<TokenRules>(path, value, names);
  const rules = names.flatMap((name) =>
    given[name] === undefined ? [] : [[name, READERS[name](`${path}.${name}`, given[name])] as const],
  );
  return Object.freeze(Object.fromEntries(rules));
}
