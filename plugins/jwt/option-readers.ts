/** Reads single options of the config; a wrong one stops the boot with its path. */
import { ConfigError, milliseconds } from '../../core/index.ts';

/** Stops the boot. @throws ConfigError that begins with the option's path */
export function bad(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

/** An object with these options and no others. @throws ConfigError */
export function checkNames(path: string, value: unknown, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null) bad(path, 'an object is needed');
  const stranger = Object.keys(value).find((name) => !known.includes(name));
  if (stranger !== undefined) bad(`${path}.${stranger}`, `no such option; there are ${known.join(', ')}`);
}

/** A text with something in it. @throws ConfigError */
export function text(path: string, value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : bad(path, 'a text is needed');
}

/** A list with at least one text. @throws ConfigError */
export function texts(path: string, value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length === 0) bad(path, 'a list with at least one text is needed');
  return value.map((item: unknown, index) => text(`${path}[${index}]`, item));
}

/** One text, or a list with at least one. @throws ConfigError */
export function textOrTexts(path: string, value: unknown): readonly string[] {
  return Array.isArray(value) ? texts(path, value) : [text(path, value)];
}

/** A duration in milliseconds. @throws ConfigError */
export function duration(path: string, value: unknown, fallback: string, atMost = Infinity): number {
  const given = value === undefined ? fallback : text(path, value);
  let span: number;
  try {
    span = milliseconds(given);
  } catch (error) {
    return bad(path, error instanceof Error ? error.message : 'not a duration');
  }
  return span <= atMost ? span : bad(path, `at most ${atMost / 1_000} s`);
}

/** A whole number between two. @throws ConfigError */
export function whole(
  path: string,
  value: unknown,
  fallback: number,
  [least, most]: readonly [number, number],
  unit: string,
): number {
  if (value === undefined) return fallback;
  const fits = typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
  return fits ? value : bad(path, `a whole number of ${unit} from ${least} to ${most} is needed`);
}

/** True or false. @throws ConfigError */
export function flag(path: string, value: unknown): boolean {
  return value === undefined || typeof value === 'boolean' ? value === true : bad(path, 'true or false');
}
