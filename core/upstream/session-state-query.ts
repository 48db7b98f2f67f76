/** Asks an idle connection for state of its session that ties the session to it. */
import type { ServerConnection } from './connection.ts';
import { askIdle } from './idle-query.ts';
import { encodeExecutions, ownName } from './query.ts';

/**
 * Cheap things first; functions, types and operators carry their schema. Whatever is in the session's schema for temporary
 * objects depends on it, which an index finds.
 */
const QUERY = `/* the gateway looks what its session has left */ select case
  when exists (select from pg_catalog.pg_listening_channels()) then 'LISTEN'
  when exists (select from pg_catalog.pg_cursors as c where c.is_holdable) then 'DECLARE CURSOR'
  when exists (select from pg_catalog.pg_prepared_statements as p where p.from_sql) then 'PREPARE'
  when exists (select from pg_catalog.pg_depend as d
    where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid
      and d.refobjid operator(pg_catalog.=) pg_catalog.pg_my_temp_schema()) then 'temporary objects'
  when exists (select from pg_catalog.pg_locks as l
    where l.locktype operator(pg_catalog.=) 'advisory'::pg_catalog.text
      and l.pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()) then 'advisory lock' end`;

/**
 * The state that ties a session to the connection, as a word for the log; undefined if there is none. One round trip. The query has
 * a name of its own, so that the session's unnamed statement stays. Notifications that arrive meanwhile stay in the channel. Default `ms`: as {@link askIdle}.
 * @throws GatewayError as {@link askIdle}
 */
export async function querySessionState(
  connection: ServerConnection,
  ms?: number,
): Promise<string | undefined> {
  const batch = encodeExecutions({ sql: QUERY, values: [[]], name: ownName() });
  const { rows, error } = await askIdle(connection, { batch, about: 'what a session has left', ms });
  // For example a time-out that the session has set: the connection then stays with it.
  return error ? 'what it left is not known' : (rows[0]?.[0] ?? undefined);
}
