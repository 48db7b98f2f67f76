/** Reads rules of sessions, wherever they are written: a wrong or unknown one is refused, since it may have meant to forbid. */
import { isIP } from 'node:net';
import { milliseconds, rate } from '../contract/durations.ts';
import type { AccessWindow, RuleName, TokenRules } from '../contract/facts.ts';
import { TARGETS } from '../contract/target.ts';

/** How rules are written in one place, and what a wrong one is told. */
export interface TokenRulesForm {
  /** The rules by the words that stand for them. */
  readonly words: Readonly<Record<string, RuleName>>;
  /** The path of an item of a list. */
  readonly item: (path: string, place: number) => string;
  readonly wrong: (path: string, value: unknown, wanted: string) => never;
  readonly unknown: (path: string, word: string, known: readonly string[]) => never;
}

type Fields = Readonly<Record<string, unknown>>;
type Reader = (path: string, value: unknown) => unknown;

const NAME = /^[^\p{Cc}\p{Cs}]{1,63}$/u;
const DAY = /^(mon|tue|wed|thu|fri|sat|sun)$/;
const START = /^([01]\d|2[0-3]):[0-5]\d$/;
/** `24:00` is the end of the day, which no start can say (ISO 8601). */
const END = /^(([01]\d|2[0-3]):[0-5]\d|24:00)$/;

/**
 * Reads rules of sessions, in whatever words they are written, as `jwt` does.
 *
 * @example
 * const reader = new TokenRulesReader({
 *   words: { max_sessions: 'maxConnections' },
 *   item: (path, place) => `${path}[${place}]`,
 *   wrong: (path, found, wanted) => badOption(path, `${wanted} is needed`),
 *   unknown: (path, unknown) => badOption(`${path}.${unknown}`, 'no such rule'),
 * });
 * const rules = reader.read('mine.rules', { max_sessions: 5 });
 */
export class TokenRulesReader {
  readonly #form: TokenRulesForm;
  readonly #readers: { readonly [R in RuleName]: Reader };

  constructor(form: TokenRulesForm) {
    this.#form = form;
    const shape = (path: string, value: unknown, pattern: RegExp, wanted: string): string =>
      typeof value === 'string' && pattern.test(value) ? value : form.wrong(path, value, wanted);
    this.#readers = {
      databases: this.#list((path, value) => shape(path, value, NAME, 'a name of 1 to 63 characters')),
      maxConnections: (path, value) =>
        Number.isSafeInteger(value) && (value as number) > 0
          ? value
          : form.wrong(path, value, 'a whole number from 1'),
      cidrs: this.#list((path, value) =>
        isNetwork(value) ? value : form.wrong(path, value, 'a network in CIDR notation'),
      ),
      windows: this.#list((path, value): AccessWindow => {
        const { days, from, to, tz } = this.#fields(path, value, ['days', 'from', 'to', 'tz']);
        const day: Reader = (at, one) => shape(at, one, DAY, 'one of mon … sun');
        return {
          days: this.#list(day)(`${path}.days`, days) as readonly string[],
          from: shape(`${path}.from`, from, START, 'a time HH:MM'),
          to: shape(`${path}.to`, to, END, 'a time HH:MM'),
          tz: isZone(tz) ? tz : form.wrong(`${path}.tz`, tz, 'a time zone'),
        };
      }),
      rate: (path, value) => {
        const given = this.#fields(path, value, ['statements', 'connections']);
        for (const [name, text] of Object.entries(given))
          this.#parsed(`${path}.${name}`, text, rate, "a rate such as '200/s'");
        return given;
      },
      maxSession: (path, value) => this.#parsed(path, value, milliseconds, "a duration such as '1h'"),
      target: (path, value) =>
        TARGETS.find((one) => one === value) ?? form.wrong(path, value, `one of ${TARGETS.join(', ')}`),
    };
  }

  /** Reads all of them. Throws as the form does. */
  read(path: string, value: unknown): TokenRules {
    const { words } = this.#form;
    const rules = Object.entries(this.#fields(path, value, Object.keys(words))).flatMap(([word, content]) => {
      const rule = words[word];
      return rule ? [[rule, this.#readers[rule](`${path}.${word}`, content)] as const] : [];
    });
    return Object.freeze(Object.fromEntries(rules));
  }

  #fields(path: string, value: unknown, known: readonly string[]): Fields {
    const { wrong, unknown } = this.#form;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return wrong(path, value, 'an object');
    const stranger = Object.keys(value).find((name) => !known.includes(name));
    return stranger === undefined ? (value as Fields) : unknown(path, stranger, known);
  }

  #list(item: Reader): Reader {
    return (path, value) =>
      Array.isArray(value)
        ? value.map((one: unknown, place) => item(this.#form.item(path, place), one))
        : this.#form.wrong(path, value, 'a list');
  }

  /** A text that the core's own parser understands, since the plugin that enforces the rule will ask it. */
  #parsed(path: string, value: unknown, parse: (text: string) => unknown, wanted: string): unknown {
    try {
      if (typeof value === 'string' && parse(value) !== 0) return value;
    } catch {
      // ConfigError: its message is written for an option.
    }
    return this.#form.wrong(path, value, wanted);
  }
}

function isNetwork(value: unknown): boolean {
  const [, address = '', bits] = (typeof value === 'string' && /^([^/]+)\/(\d{1,3})$/.exec(value)) || [];
  const longest = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return Number(bits) <= longest;
}

function isZone(value: unknown): value is string {
  try {
    return typeof value === 'string' && Intl.DateTimeFormat('en', { timeZone: value }) !== undefined;
  } catch {
    // RangeError: no such zone.
    return false;
  }
}
