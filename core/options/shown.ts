/** Values of strangers as a log line may show them: short, on one line, and never a token. */
import { withoutTokens } from '../sql/sql-text.ts';

/** Longest text that is shown whole, in characters. */
const LONGEST_TEXT = 100;
/** So much of a text is looked through for tokens, in characters. */
const LOOKED_THROUGH = 4_096;
/** Members of a list or an object that are shown. */
const MOST_MEMBERS = 10;
/** Control, invisible, half and direction-changing characters, and line breaks: they forge log lines. */
const MISLEADING = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/**
 * A text of unknown origin without quotes: cut after so many characters, escaped where it would mislead, and without tokens.
 *
 * @example session.log.info({ agent: printable(word) }, 'agent named');
 */
export function printable(text: string, longest = LONGEST_TEXT): string {
  const short = withoutTokens(text.slice(0, LOOKED_THROUGH)).slice(0, longest);
  const more = text.length > LOOKED_THROUGH || (short.length === longest && text.length > longest);
  return `${short.replace(MISLEADING, escaped)}${more ? '…' : ''}`;
}

const textShown = (text: string): string => `'${printable(text)}'`;

function listShown(members: readonly unknown[]): string {
  const some = members.slice(0, MOST_MEMBERS).map(itemShown).join(', ');
  return members.length > MOST_MEMBERS ? `[${some}, … (${members.length} in all)]` : `[${some}]`;
}

function itemShown(item: unknown): string {
  if (Array.isArray(item)) return 'a list';
  return typeof item === 'object' && item !== null ? 'an object' : shown(item);
}

/**
 * A claim, a header parameter or another value of unknown origin for the operator's log: texts in quotes, cut after 100
 * characters and without control characters, of lists and objects the first ten members, `absent` for undefined. A JWT
 * inside is `?`.
 *
 * @example const why = `aud is ${shown(identity.claims['aud'])}`; // aud is 'billing'
 */
export function shown(value: unknown): string {
  if (value === undefined) return 'absent';
  if (typeof value === 'string') return textShown(value);
  if (Array.isArray(value)) return listShown(value);
  if (typeof value === 'object' && value !== null) return `an object with ${listShown(Object.keys(value))}`;
  if (value === null) return 'null';
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : `a ${typeof value}`;
}

/**
 * What a value could have been: the only one, or `one of […]`.
 *
 * @example const wanted = shownChoice(['postern', 'databases']);
 */
export function shownChoice(choices: readonly string[]): string {
  const [only, ...more] = choices;
  return more.length === 0 ? shown(only) : `one of ${shown(choices)}`;
}
