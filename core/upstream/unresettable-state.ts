/** Finds extensions and languages in a database whose state survives a reset, because DISCARD ALL does not know it. */
import type { Conversation } from './conversation.ts';
import { execute } from './query.ts';
import type { TextRow } from './query.ts';

/**
 * An expression in SQL, true where such is installed: every procedural language but plpgsql (interpreters keep globals), every
 * foreign-data wrapper but file_fdw (they keep connections, dblink included), and extensions known for variables or options
 * of the session. Functions, types and operators carry their schema, as in every statement of the gateway.
 */
export const UNRESETTABLE = `(exists (select from pg_catalog.pg_language as l
    where l.lanispl and l.lanname operator(pg_catalog.<>) 'plpgsql'::pg_catalog.name)
  or exists (select from pg_catalog.pg_foreign_data_wrapper as w
    where w.fdwname operator(pg_catalog.<>) 'file_fdw'::pg_catalog.name)
  or exists (select from pg_catalog.pg_extension as e where e.extname operator(pg_catalog.=) any
    ('{dblink,pg_variables,session_variable,pgtt,orafce,http,set_user,pg_session_jwt}'::pg_catalog.name[])))`;

/** The value of {@link UNRESETTABLE} in a column of a row. */
export const isUnresettable = (row: TextRow | undefined, column: number): boolean => row?.[column] === 't';

/** Asks an idle server; undefined if it refuses. Rejects as {@link Conversation.next} does. */
export async function queryUnresettable(talk: Conversation): Promise<boolean | undefined> {
  const { rows, error } = await execute(
    talk,
    `/* the gateway looks what a reset does not undo */ select ${UNRESETTABLE}`,
    [[]],
  );
  return error ? undefined : isUnresettable(rows[0], 0);
}
