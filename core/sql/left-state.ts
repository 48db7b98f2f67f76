/** State that a statement may leave on its connection although neither its tag nor its text shows it: by the functions that it runs. */

/** `sequences`: values for `currval` and `lastval` (manual, 9.17), which DISCARD SEQUENCES removes. `state`: any. */
export type LeftState = 'nothing' | 'sequences' | 'state';

/** The larger of two. */
export function larger(one: LeftState, other: LeftState): LeftState {
  if (one === 'state' || other === 'state') return 'state';
  return one === 'nothing' ? other : one;
}

/**
 * Functions of PostgreSQL's own that leave state of the session, or run a text that may: all others of them that are volatile
 * leave none. test/core/upstream/built-in-functions.test.ts holds both lists against the catalog of a server.
 */
export const STATE_FUNCTIONS: readonly string[] = [
  'set_config',
  'setseed',
  'pg_advisory_lock',
  'pg_advisory_lock_shared',
  'pg_try_advisory_lock',
  'pg_try_advisory_lock_shared',
  'query_to_xml',
  'query_to_xmlschema',
  'query_to_xml_and_xmlschema',
  'cursor_to_xml',
  'cursor_to_xmlschema',
  'ts_stat',
  'ts_rewrite',
  'pg_create_logical_replication_slot',
  'pg_create_physical_replication_slot',
  'pg_copy_logical_replication_slot',
  'pg_copy_physical_replication_slot',
  'pg_replication_origin_session_setup',
  'pg_replication_origin_session_reset',
  'pg_replication_origin_xact_setup',
  'pg_backup_start',
  'pg_backup_stop',
];

/** Functions of PostgreSQL's own after which `currval` and `lastval` have values. */
export const SEQUENCE_FUNCTIONS: readonly string[] = ['nextval', 'setval'];

/** Parts of the names above, but for those that texts are read for elsewhere; and a name that is written in such a way may be any (4.1.2.3). */
const STATE_CALL = /setseed|_to_xml|ts_stat|ts_rewrite|replication_(?:origin|slot)|pg_backup_st|u&"/i;
/** Words of texts that may take a value of a sequence, which `lastval` shows afterwards: a column's default does; a WITH has the tag of its SELECT. */
const SEQUENCE_WORD = /nextval|setval|insert|merge|copy|default/i;
/** Words of texts that may fire triggers. */
const WRITING_WORD = /insert|update|delete|merge|truncate|copy/i;

/** True for a text that names one of {@link STATE_FUNCTIONS}, but for advisory locks and `set_config`, or hides a name. */
export const callsStateFunction = (text: string): boolean => STATE_CALL.test(text);

/** True for a text that may take a value of a sequence. */
export const takesFromSequence = (text: string): boolean => SEQUENCE_WORD.test(text);

/** True for a text that may fire triggers. */
export const mayFireTriggers = (text: string): boolean => WRITING_WORD.test(text);
