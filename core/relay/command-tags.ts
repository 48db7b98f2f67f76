/** Tags of commands (manual, 55.7 CommandComplete): the state that a command leaves on its connection, and the objects that it changes. */
import { readCommandComplete } from '../wire/backend.ts';
import { ShortTexts } from '../wire/short-texts.ts';

/** Commands that leave no state of the session behind, by the first word of their tag. */
const NOTHING = new Set(
  'SELECT INSERT UPDATE DELETE MERGE COPY FETCH MOVE BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE EXPLAIN SHOW LOCK CLOSE DEALLOCATE NOTIFY TRUNCATE'.split(
    ' ',
  ),
);
/** Commands whose effect lives on the connection and is waited for there. */
const PINS: ReadonlySet<string> = new Set(['LISTEN', 'PREPARE', 'DECLARE CURSOR', 'CREATE TABLE', 'LOAD']);
/** Commands that take off settings of policies. */
const RESETS: ReadonlySet<string> = new Set(['RESET', 'DISCARD ALL', 'DISCARD SEQUENCES']);

/** Tags of commands whose text says which settings they change: see `settings/setting-names.ts`. */
export const setsByText = (tag: string): boolean => tag === 'SET' || tag === 'RESET';

/** Whether a command may have changed settings that its text does not show. */
export const mayBeUnknown = (tag: string): boolean => tag === 'DO' || tag === 'CALL';

/** Whether a command may leave state of the session. */
export function leavesState(tag: string): boolean {
  const end = tag.indexOf(' ');
  return !NOTHING.has(end < 0 ? tag : tag.slice(0, end)) && tag !== 'SET CONSTRAINTS';
}

/** Whether the state that a command leaves ties its session to the server connection. */
export const pins = (tag: string): boolean => PINS.has(tag);

/** Whether a command may have taken off settings of policies. */
export const takesOffSettings = (tag: string): boolean => RESETS.has(tag);

/**
 * Commands after which a text may mean something else, by the first word of their tag: a DO or CALL may run any of them. A role that gets
 * or loses USAGE of a schema, by itself or as a member, looks names up elsewhere (manual, 5.10.4).
 */
const CHANGES: ReadonlySet<string> = new Set(
  'CREATE ALTER DROP IMPORT DO CALL GRANT REVOKE REASSIGN'.split(' '),
);

/** Whether a command may have changed objects of its database, by its tag. */
export function changesObjects(tag: string): boolean {
  const end = tag.indexOf(' ');
  return CHANGES.has(end < 0 ? tag : tag.slice(0, end)) || tag === 'COMMIT PREPARED';
}

/** Whether a command that {@link changesObjects} may have made or changed functions or the objects that run them: any but a DROP. */
export const definesFunctions = (tag: string): boolean => !tag.startsWith('DROP');

/** Whether a command has dropped every prepared statement. */
export const dropsStatements = (tag: string): boolean => tag === 'DEALLOCATE ALL' || tag === 'DISCARD ALL';

/** Tags of which no question here is answered with yes, as they begin or are: those of nearly all commands. An INSERT that may leave something is known by its text. */
const QUIET = ['SELECT ', 'INSERT ', 'UPDATE ', 'DELETE ', 'BEGIN\0', 'COMMIT\0', 'ROLLBACK\0'].map((tag) =>
  Buffer.from(tag),
);

/** True for a tag, which begins at `at`, that need not be read. */
export function isQuiet(bytes: Buffer, at: number): boolean {
  return QUIET.some((tag) => {
    for (let i = 0; i < tag.length; i += 1) if (bytes[at + i] !== tag[i]) return false;
    return true;
  });
}

/** A tag as observers are told of it. */
export interface ReadTag {
  readonly text: string;
  /** A list that has only this one: the same for all statements that end so. */
  readonly alone: readonly string[];
  /** The number at its end counts rows: `INSERT 0 5`, `COPY 5` (manual, 55.7 CommandComplete). 0 if there is none. */
  readonly rows: number;
}

/** Most statements end with one of a few tags. */
const known = new ShortTexts<ReadTag>((body) => {
  const tag = readCommandComplete(body);
  return { text: tag, alone: Object.freeze([tag]), rows: Number(/ (\d+)$/.exec(tag)?.[1] ?? 0) };
});

/** Reads a CommandComplete, and the number of rows in its tag. @throws GatewayError `protocol_violation` */
export const readTag = (body: Buffer): ReadTag => known.of(body, 0, body.length);

/** Commands that leave nothing, not even values of sequences. */
const LEAVES_NOTHING = new Set(
  'SELECT UPDATE DELETE BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE SHOW LOCK'.split(' '),
);

/** Whether a command may have left anything at all on its connection: stricter than {@link leavesState}, for a session in session mode. */
export function commandLeavesState(tag: string): boolean {
  const end = tag.indexOf(' ');
  return !LEAVES_NOTHING.has(end < 0 ? tag : tag.slice(0, end));
}
