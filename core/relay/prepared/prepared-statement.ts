/** A prepared statement as a session remembers it, and when two of them are the same. */
import { createHash } from 'node:crypto';
import { message } from '../../wire/message.ts';
import { StatementCalls, mayCreate } from '../session-state-detection.ts';
import { ANY_SETTING, settingsIn } from '../settings/setting-names.ts';
import type { NamedSettings } from '../settings/setting-names.ts';
import { deallocated } from './deallocate.ts';
import type { Description } from './description.ts';

/** Effects of executing a statement that its tag does not show. */
export interface Effects {
  /** It drops prepared statements. */
  readonly discards: boolean;
  /** The names that it deallocates. */
  readonly deallocates: readonly string[];
  /** The settings that it may change. */
  readonly named: NamedSettings | undefined;
  /** The state that the functions that it runs may leave. */
  readonly calls: StatementCalls;
  /** It may make an object. */
  readonly creates: boolean;
}

/** Those of a statement that does nothing. */
export const NO_EFFECTS: Effects = {
  discards: false,
  deallocates: [],
  named: undefined,
  calls: new StatementCalls(''),
  creates: false,
};

/** Those of a statement with this text. */
export function effectsOf(text: string): Effects {
  const discards = mayDiscard(text);
  const named = settingsIn(text);
  const deallocates = discards ? deallocated(text) : NO_EFFECTS.deallocates;
  return {
    discards,
    deallocates,
    named,
    calls: new StatementCalls(text),
    creates: mayCreate(text),
  };
}

/** Settings that a literal may depend on when the statement is prepared: `'01/02/2020'::date` is another day under DMY. */
const SETTINGS = ['DateStyle', 'TimeZone', 'IntervalStyle', 'standard_conforming_strings', 'client_encoding'];
/** A quote, a dollar quote, or a character that is not ASCII: without any of them a text has no literal that a setting could change. */
const HAS_LITERALS = /'|\$\D|[^\0-\x7f]/;
const DISCARDS = /\b(?:deallocate|discard)\b/i;

/** The settings in force that literals depend on, as one text. */
export const settingsOf = (parameters: ReadonlyMap<string, string>): string =>
  SETTINGS.map((name) => parameters.get(name) ?? '').join('\0');

/** True for a text that may drop prepared statements when it is executed. */
export const mayDiscard = (text: string): boolean => DISCARDS.test(text);

/** The schemas in which names are looked up, and how literals are read; null: as at a login. Undefined: not known. */
export type SearchPath = string | null | undefined;

/** The parts of a Parse by which two statements are the same. */
interface Origin {
  /** Text and parameter types as in the Parse, behind its name: in the client's encoding, never decoded. */
  readonly body: Buffer;
  /** The settings under which it was prepared; empty where nothing in it depends on them. */
  readonly settings: string;
  /** The search_path under which it was prepared. */
  readonly path: SearchPath;
  /** Equal for the same text, parameter types, and settings that it depends on. */
  readonly parsed: string;
}

let made = 0;

/** A statement that a session has prepared. */
export class PreparedStatement implements Effects, Origin {
  readonly body: Buffer;
  readonly settings: string;
  readonly path: SearchPath;
  readonly parsed: string;
  readonly discards: boolean;
  readonly deallocates: readonly string[];
  readonly named: NamedSettings | undefined;
  readonly calls: StatementCalls;
  readonly creates: boolean;
  /** Sessions that parse the same and are told the same have it in common. */
  readonly shared: boolean;
  /** A statement that a connection has had since before this time does not serve it: objects may have changed before its Parse. */
  readonly since: number;
  /** A key that no other statement has. */
  readonly alone: string;
  #key: string;
  #description: Description | undefined;

  constructor(origin: Origin, effects: Effects, since: number, shared: boolean) {
    ({ body: this.body, settings: this.settings, path: this.path, parsed: this.parsed } = origin);
    this.discards = effects.discards;
    this.deallocates = effects.deallocates;
    this.named = effects.named;
    this.calls = effects.calls;
    this.creates = effects.creates;
    this.shared = shared;
    this.since = since;
    made += 1;
    this.#key = this.alone = `alone ${made}`;
  }

  /** Equal for statements of the same meaning: the same Parse, of which the server says the same. Until it has, {@link alone}. */
  get key(): string {
    return this.#key;
  }

  /** The description that the client has received, or relies on; undefined until the server has described the statement. */
  get description(): Description | undefined {
    return this.#description;
  }

  /** The server has described it for the first time. */
  describedAs(description: Description): void {
    this.#description = description;
    if (this.shared) this.#key = keyOf(this.parsed, description);
  }

  /** The rest of a Parse that prepares it again: with the parameter types that the server chose the first time. */
  get again(): Buffer {
    return this.#description ? withTypes(this.body, this.#description.types) : this.body;
  }
}

/** The key on a connection of a statement that the server describes so. */
export const keyOf = (parsed: string, { fingerprint }: Description): string => `${parsed} ${fingerprint}`;

/** Text and parameter types of a Parse, with other types. */
export const withTypes = (body: Buffer, types: Buffer): Buffer =>
  Buffer.concat([body.subarray(0, body.indexOf(0) + 1), types]);

/** A Parse of the unnamed statement, with other types. */
export const unnamedWithTypes = (frame: Buffer, types: Buffer): Buffer =>
  message('P', [NO_NAME, withTypes(frame.subarray(UNNAMED_BODY), types)]);

/** The body of a Parse without a name begins behind its header and the zero byte of the name. */
const UNNAMED_BODY = 6;
const NO_NAME = Buffer.alloc(1);

/**
 * The origin of a statement in a Parse with this `body`, under the settings in `parameters` and this search_path: the same text is
 * another statement in another schema.
 */
export function originOf(body: Buffer, parameters: ReadonlyMap<string, string>, path: SearchPath): Origin {
  const settings = HAS_LITERALS.test(body.toString('latin1')) ? settingsOf(parameters) : '';
  // An empty search_path is not that of a login.
  const hash = createHash('sha256')
    .update(`${settings}\0${path == null ? '' : `=${path}`}\0`)
    .update(body);
  return { body, settings, path, parsed: hash.digest('base64') };
}

/** The statement of that origin. `since`: see {@link PreparedStatement.since}. */
export function statementOf(origin: Origin, since: number, shared: boolean): PreparedStatement {
  const { body } = origin;
  const effects = effectsOf(body.toString('latin1', 0, body.indexOf(0)));
  // Where the settings at its Parse are not known, they never seem to be in force again.
  return new PreparedStatement(shared ? origin : { ...origin, settings: 'unknown' }, effects, since, shared);
}

/** Stands for a statement that is prepared under the client's own name, as it is too long to be stored: the connection stays with the session. */
export const UNSHARED: PreparedStatement = new PreparedStatement(
  { body: Buffer.alloc(0), settings: '', path: undefined, parsed: '' },
  { ...NO_EFFECTS, named: ANY_SETTING },
  0,
  false,
);
