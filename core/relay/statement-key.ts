/** A prepared statement as a session remembers it, and when two of them are the same. */
import { createHash } from 'node:crypto';
import { leavesSettings } from './telling-words.ts';

/** A statement that a session has prepared. */
export interface Statement {
  /** Equal for statements of the same meaning: text, parameter types, and the settings that their literals depend on. */
  readonly key: string;
  /** A key that no other statement has. */
  readonly alone: string;
  /** Text and parameter types as in the Parse, behind its name: in the client's encoding, never decoded. */
  readonly body: Buffer;
  /** The settings under which it was prepared; empty where nothing in it depends on them. */
  readonly settings: string;
  /** The search_path under which it was prepared; undefined where the server does not report it. */
  readonly path: string | undefined;
  /** Executing it drops prepared statements. */
  readonly discards: boolean;
  /** Executing it may leave a setting that no tag shows. */
  readonly leavesSettings: boolean;
}

/** Settings that a literal may depend on when the statement is prepared: `'01/02/2020'::date` is another day under DMY. */
const SETTINGS = ['DateStyle', 'TimeZone', 'IntervalStyle', 'standard_conforming_strings', 'client_encoding'];
/** A quote, a dollar quote, or what is not ASCII: without any of them it has no literal that a setting could change. */
const HAS_LITERALS = /'|\$\D|[^\0-\x7f]/;
const DISCARDS = /\b(?:deallocate|discard)\b/i;

const ALONE = 'alone ';
let made = 0;

/** True for the key of one statement only. */
export const isAlone = (key: string): boolean => key.startsWith(ALONE);

/** The settings in force that literals depend on, as one text. */
export const settingsOf = (parameters: ReadonlyMap<string, string>): string =>
  SETTINGS.map((name) => parameters.get(name) ?? '').join('\0');

/** True for a text that may drop prepared statements when it is executed. */
export const mayDiscard = (text: string): boolean => DISCARDS.test(text);

/**
 * The statement in a Parse with this `body`, under the settings in `parameters`. From PostgreSQL 18 on they have search_path
 * too, and the same text is another statement in another schema.
 */
export function statementOf(body: Buffer, parameters: ReadonlyMap<string, string>): Statement {
  const text = body.toString('latin1');
  const settings = HAS_LITERALS.test(text) ? settingsOf(parameters) : '';
  const path = parameters.get('search_path');
  const hash = createHash('sha256')
    .update(`${settings}\0${path ?? ''}\0`)
    .update(body);
  made += 1;
  return {
    key: hash.digest('base64'),
    alone: `${ALONE}${made}`,
    body,
    settings,
    path,
    discards: mayDiscard(text),
    leavesSettings: leavesSettings(text.slice(0, text.indexOf('\0'))),
  };
}

/** The same statement where the settings at its Parse are not known: it is not shared. */
export const unlike = (statement: Statement): Statement => ({
  ...statement,
  key: statement.alone,
  settings: 'unknown',
});
