/** The section [pgbouncer]: each setting is taken once, and what nobody takes has no equivalent. */
import { ConfigError } from '../../contract/errors.ts';
import type { IniEntry, Place } from './ini.ts';

/** A value that was taken. */
export interface Taken<T> {
  readonly value: T;
  readonly place: Place;
}

const at = ({ file, line }: Place): string => `${file}:${line}`;

/** C's `strtol` with base 0, of a whole text: `20`, `0x14`, `024`. */
function integerOf(text: string): number | undefined {
  const [, sign = '', digits = ''] = /^[ \t]*([+-]?)(0[xX][0-9a-fA-F]{1,12}|\d{1,15})$/.exec(text) ?? [];
  if (digits === '') return undefined;
  const octal = /^0\d/.test(digits);
  if (octal && /[89]/.test(digits)) return undefined;
  const number = octal ? Number.parseInt(digits, 8) : Number(digits);
  return sign === '-' ? -number : number;
}

/** By name; the last line of each counts. */
export class Settings {
  #entries = new Map<string, IniEntry>();
  readonly #taken = new Set<string>();

  set(entry: IniEntry): void {
    this.#entries.set(entry.name, entry);
  }

  /** Each line [pgbouncer] sets all settings to their defaults. Gives those that are lost. */
  clear(): readonly IniEntry[] {
    const lost = [...this.#entries.values()];
    this.#entries = new Map();
    return lost;
  }

  /** A text that is not empty. */
  text(name: string): Taken<string> | undefined {
    this.#taken.add(name);
    const entry = this.#entries.get(name);
    return entry && entry.value !== '' ? { value: entry.value, place: entry.place } : undefined;
  }

  /** Whether a setting stands there, be it empty. */
  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** Names between commas. */
  list(name: string): Taken<readonly string[]> | undefined {
    const taken = this.text(name);
    return (
      taken && {
        ...taken,
        value: taken.value
          .split(',')
          .map((one) => one.trim())
          .filter((one) => one !== ''),
      }
    );
  }

  /** @throws ConfigError for what PgBouncer refuses */
  integer(name: string): Taken<number> | undefined {
    const taken = this.text(name);
    if (!taken) return undefined;
    const value = integerOf(taken.value);
    if (value !== undefined) return { ...taken, value };
    throw new ConfigError(`${at(taken.place)}: ${name}: a whole number is needed, with nothing behind it`);
  }

  /** @throws ConfigError for what PgBouncer refuses */
  seconds(name: string): Taken<number> | undefined {
    const taken = this.text(name);
    if (!taken) return undefined;
    const value = Number(taken.value);
    if (/^[\d.+eE-]+$/.test(taken.value) && Number.isFinite(value) && value >= 0) return { ...taken, value };
    throw new ConfigError(`${at(taken.place)}: ${name}: a number of seconds is needed, without a unit`);
  }

  /** One of a few words, in any case. @throws ConfigError for what PgBouncer refuses */
  choice<T extends string>(name: string, choices: readonly T[]): Taken<T> | undefined {
    const taken = this.text(name);
    if (!taken) return undefined;
    const value = choices.find((one) => one === taken.value.toLowerCase());
    if (value !== undefined) return { ...taken, value };
    throw new ConfigError(`${at(taken.place)}: ${name}: one of ${choices.join(', ')} is needed`);
  }

  /** Those that nobody has taken. */
  rest(): readonly IniEntry[] {
    return [...this.#entries.values()].filter(({ name }) => !this.#taken.has(name));
  }
}

/** The longest that a time of the config may be: Node's timers have 31 bits of milliseconds. */
const LONGEST_S = 20 * 86_400;

/** `'90s'` for 90, `'10m'` for 600: as a person would write it. At most 20 days. */
export function durationOf(given: number): string {
  const seconds = Math.min(given, LONGEST_S);
  if (!Number.isInteger(seconds)) return `${Math.max(1, Math.round(seconds * 1_000))}ms`;
  if (seconds > 0 && seconds % 86_400 === 0) return `${seconds / 86_400}d`;
  if (seconds > 0 && seconds % 3_600 === 0) return `${seconds / 3_600}h`;
  return seconds > 0 && seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}
