/** How a mistake in the config is put into words: where it is, what was expected, what was there. */
import { didYouMean } from './nearest-name.ts';

/** The longest text of a config that a sentence repeats, in characters. */
const LONGEST_SHOWN = 60;

/** Names a place in the config as TypeScript would: `databases.orders.pool.size`, `listen[1].port`. */
export function configPath(path: readonly PropertyKey[]): string {
  const parts = path.map((key) => {
    if (typeof key === 'number') return `[${key}]`;
    return /^[A-Za-z_$][\w$]*$/.test(String(key)) ? `.${String(key)}` : `['${String(key)}']`;
  });
  return parts.join('').replace(/^\./, '');
}

/** What kind of value it is; says nothing about its content. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (Array.isArray(value)) return 'a list';
  if (typeof (value as { readonly then?: unknown }).then === 'function') return 'a promise (await it)';
  const kinds: Readonly<Record<string, string>> = {
    string: 'text',
    object: 'an object',
    function: 'a function',
  };
  return kinds[typeof value] ?? `a ${typeof value}`;
}

/** The value itself where it is short and plain, else its kind. A URL may carry a password and is never shown. */
export function shown(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value !== 'string') return kindOf(value);
  if (value.includes('://')) return 'a URL';
  return value.length > LONGEST_SHOWN ? 'a long text' : `'${value}'`;
}

/** `'a'`, `'a' or 'b'`, `'a', 'b' or 'c'`. */
export function alternatives(values: readonly string[]): string {
  const quoted = values.map((value) => `'${value}'`);
  const last = quoted.pop() ?? '';
  return quoted.length === 0 ? last : `${quoted.join(', ')} or ${last}`;
}

/** `expected …, got …`; a missing value is called missing. `secret` values are never shown. */
export function expected(what: string, value: unknown, secret = false): string {
  if (value === undefined) return `missing: expected ${what}`;
  return `expected ${what}, got ${secret ? kindOf(value) : shown(value)}`;
}

/** The sentence for a key that the config does not have. */
export function unknownKey(key: string, known: readonly string[]): string {
  return `unknown key '${key}'${didYouMean(key, known) || `; known: ${known.join(', ')}`}`;
}
