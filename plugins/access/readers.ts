/** Reads single options of the config; a wrong one stops the boot with its path. */
import { ConfigError, milliseconds } from '../../core/index.ts';

/** Stops the boot. @throws ConfigError that begins with the option's path */
export function bad(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

/** An object with these members and no others. @throws ConfigError */
export function objectOf<T extends object>(
  path: string,
  value: unknown,
  known: readonly (keyof T & string)[],
): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) bad(path, 'an object is needed');
  const stranger = Object.keys(value).find((name) => !(known as readonly string[]).includes(name));
  if (stranger !== undefined) bad(`${path}.${stranger}`, `no such option; there are ${known.join(', ')}`);
  return value as T;
}

/** A list with at least one item. @throws ConfigError */
export function listOf<T>(
  path: string,
  value: unknown,
  item: (path: string, one: unknown) => T,
): readonly T[] {
  if (!Array.isArray(value) || value.length === 0) bad(path, 'a list with at least one item is needed');
  return value.map((one: unknown, index) => item(`${path}[${index}]`, one));
}

/** A text with something in it. @throws ConfigError */
export function text(path: string, value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : bad(path, 'a text is needed');
}

/** A span of whole milliseconds, at least a second. @throws ConfigError */
export function duration(path: string, value: unknown, fallback: string): number {
  let ms: number;
  try {
    ms = milliseconds(value === undefined ? fallback : text(path, value));
  } catch (error) {
    return bad(path, (error as Error).message.replace(`${path}: `, ''));
  }
  return ms >= 1_000 ? Math.floor(ms) : bad(path, 'at least a second is needed');
}

/** A whole number from 1. @throws ConfigError */
export function whole(path: string, value: unknown, most: number): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 && value <= most
    ? value
    : bad(path, `a whole number from 1 to ${most} is needed`);
}

/** One of these texts. @throws ConfigError */
export function oneOf<T extends string>(path: string, value: unknown, known: readonly T[]): T {
  return known.find((one) => one === value) ?? bad(path, `expected one of ${known.join(', ')}`);
}
