/** The startup parameter `options`: command-line arguments for the server process, in PostgreSQL's own grammar. */
import { GatewayError } from '../contract/errors.ts';
import { shown } from './text.ts';

/** One setting out of `options`. */
export interface Option {
  /** As given, dashes turned into underscores; compare it without regard to case. */
  readonly name: string;
  readonly value: string;
}

/** isspace() of the C locale. */
const SPACE = ' \t\n\v\f\r';

/** Splits at white space; a backslash takes the next character literally (`pg_split_opts`). */
export function splitOptions(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let i = 0; i < text.length; i += 1) {
    const character = text.charAt(i);
    if (SPACE.includes(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      // A backslash at the very end stands for nothing, yet makes a word.
      word = (word ?? '') + (character === '\\' ? text.charAt((i += 1)) : character);
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/**
 * Reads `-c name=value`, `-cname=value` and `--name=value` (`process_postgres_switches`, `ParseLongOption`).
 * Values never show up in an error.
 * @throws GatewayError `syntax_error` for a setting without value, as PostgreSQL; `protocol_violation` for every
 * other switch (naming it) and for words that are no switch: only settings may come through a gateway
 */
export function parseOptions(text: string): Option[] {
  const words = splitOptions(text).values();
  const options: Option[] = [];
  for (const word of words) {
    if (word.startsWith('--')) options.push(setting('--', word.slice(2)));
    else if (word === '-c') options.push(setting('-c ', argument(words.next())));
    else if (word.startsWith('-c')) options.push(setting('-c ', word.slice(2)));
    else throw unsupported(word);
  }
  return options;
}

function argument(next: IteratorResult<string, unknown>): string {
  if (next.done === true) throw new GatewayError('syntax_error', 'option -c in "options" requires a setting');
  return next.value;
}

function setting(flag: string, text: string): Option {
  const equals = text.indexOf('=');
  if (equals < 0)
    throw new GatewayError('syntax_error', `${flag}${shown(text).slice(1, -1)} requires a value`);
  return { name: text.slice(0, equals).replaceAll('-', '_'), value: text.slice(equals + 1) };
}

function unsupported(word: string): GatewayError {
  // Only the letter: what follows it may be a value (`-d5`), and so may a word without a dash.
  const [letter] = /^-./u.exec(word) ?? [];
  const what = letter === undefined ? 'argument that is no switch' : `switch ${shown(letter)}`;
  return new GatewayError('protocol_violation', `unsupported ${what} in startup parameter "options"`, {
    hint: 'Only settings may be given: -c name=value or --name=value.',
  });
}
