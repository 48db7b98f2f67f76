/** What the tag of a command tells of the state that it leaves on its server connection (manual, 55.7 CommandComplete). */

/** Commands that leave no state of the session behind, by the first word of their tag. */
const NOTHING = new Set(
  'SELECT INSERT UPDATE DELETE MERGE COPY FETCH MOVE BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE EXPLAIN SHOW LOCK CLOSE DEALLOCATE NOTIFY TRUNCATE'.split(
    ' ',
  ),
);
/** Commands whose effect lives on the connection and is waited for there. */
const PINS: ReadonlySet<string> = new Set(['LISTEN', 'PREPARE', 'DECLARE CURSOR', 'CREATE TABLE', 'LOAD']);
/** Commands that take off what policies have set. */
const RESETS: ReadonlySet<string> = new Set(['RESET', 'DISCARD ALL', 'DISCARD SEQUENCES']);

/** Whether a command may leave state of the session. */
export function leavesState(tag: string): boolean {
  const end = tag.indexOf(' ');
  return !NOTHING.has(end < 0 ? tag : tag.slice(0, end));
}

/** Whether what a command leaves ties its session to the server connection. */
export const pins = (tag: string): boolean => PINS.has(tag);

/** Whether a command may have taken off what policies have set. */
export const takesOffSettings = (tag: string): boolean => RESETS.has(tag);

/** Whether a command has dropped every prepared statement. */
export const dropsStatements = (tag: string): boolean => tag === 'DEALLOCATE ALL' || tag === 'DISCARD ALL';

/** Tags of which no question here is answered with yes, as they begin or are: those of nearly all commands. */
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

/** Tags that are remembered: most statements end with one of a few. */
const MOST_KNOWN = 500;

/** A tag as observers are told of it. */
export interface ReadTag {
  /** A list that has only this one: the same for all statements that end so. */
  readonly alone: readonly string[];
  /** The number at its end counts rows: `INSERT 0 5`, `COPY 5` (manual, 55.7 CommandComplete). 0 if there is none. */
  readonly rows: number;
}

const known = new Map<string, ReadTag>();

/** Reads the number of rows in a tag. */
export function readTag(tag: string): ReadTag {
  const before = known.get(tag);
  if (before) return before;
  const read = { alone: Object.freeze([tag]), rows: Number(/ (\d+)$/.exec(tag)?.[1] ?? 0) };
  if (known.size < MOST_KNOWN) known.set(tag, read);
  return read;
}
