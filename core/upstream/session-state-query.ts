/** Asks an idle connection for state of its session that ties the session to it. */
import type { ServerConnection } from './connection.ts';
import { within } from './deadline.ts';
import { encodeExecutions, executeBetween, ownName } from './query.ts';
import { unreachable } from './refusals.ts';

/** How long the query may take, in milliseconds. */
const QUERY_MS = 2_000;

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
 * a name of its own, so that the session's unnamed statement stays. Notifications that arrive meanwhile stay in the channel.
 * @throws GatewayError `sqlclient_unable_to_establish_sqlconnection` if the server did not answer in time or the connection
 * is lost: a cancel is over then, and the connection must be closed
 */
export async function querySessionState(connection: ServerConnection): Promise<string | undefined> {
  const late = unreachable(new Error(`no answer within ${QUERY_MS} ms to what a session has left`));
  try {
    return await within(
      QUERY_MS,
      NEVER,
      () => late,
      (signal) => look(connection, signal),
    );
  } catch (error) {
    if (error === late) await connection.cancel();
    throw error;
  }
}

const NEVER = new AbortController().signal;

async function look(connection: ServerConnection, signal: AbortSignal): Promise<string | undefined> {
  const batch = encodeExecutions({ sql: QUERY, values: [[]], name: ownName() });
  const { rows, error } = await executeBetween(connection, batch, signal);
  // For example a time-out that the session has set: the connection then stays with it.
  return error ? 'what it left is not known' : (rows[0]?.[0] ?? undefined);
}
