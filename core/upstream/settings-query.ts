/** Asks an idle connection for the values of settings that its session may have changed. */
import type { Asked } from './client-settings.ts';
import type { ServerConnection } from './connection.ts';
import { within } from './deadline.ts';
import { encodeExecutions, executeBetween, ownName } from './query.ts';
import type { Executions } from './query.ts';
import { unreachable } from './refusals.ts';

/** How long the query may take, in milliseconds. */
const QUERY_MS = 2_000;

/** Names and values travel in UTF-8, whatever the client's encoding is; the digits are the same in every one. */
const QUERY = `/* the gateway reads what its session has set */ select pg_catalog.encode(pg_catalog.convert_to(
  pg_catalog.current_setting(pg_catalog.convert_from($1, 'UTF8'), true), 'UTF8'), 'hex')`;

/** The snapshot of a deferrable transaction may have to wait for others. */
export const AT_ONCE: Executions = {
  sql: '/* the gateway does not wait for a snapshot */ set transaction_deferrable = off',
  values: [[]],
};

/** No name that is asked for has a blank in it. */
const ORIGINS = `select pg_catalog.array_to_string(array(select pg_catalog.lower(s.name) from pg_catalog.pg_settings as s
  where s.source operator(pg_catalog.=) 'session'), ' ')`;

const NEVER = new AbortController().signal;

/**
 * Values by name, and with `origins` which settings have a value of the session. One round trip; the statement has a random name, so that the session's
 * unnamed one stays. Undefined where the server refuses to answer, for example after a time-out that the session has set.
 * @throws GatewayError `sqlclient_unable_to_establish_sqlconnection` if the server did not answer in time or the connection
 * is lost: a cancel is over then, and the connection must be closed
 */
export async function querySettings(
  connection: ServerConnection,
  names: readonly string[],
  origins: boolean,
): Promise<Asked | undefined> {
  const late = unreachable(new Error(`no answer within ${QUERY_MS} ms to what a session has set`));
  const batch = encodeExecutions(
    { ...AT_ONCE, name: ownName() },
    { sql: QUERY, values: names.map((name) => [Buffer.from(name)]), name: ownName() },
    ...(origins ? [{ sql: ORIGINS, values: [[]], name: ownName() }] : []),
  );
  try {
    const { rows, error } = await within(
      QUERY_MS,
      NEVER,
      () => late,
      (signal) => executeBetween(connection, batch, signal),
    );
    if (error || rows.length !== names.length + (origins ? 1 : 0)) return undefined;
    return {
      values: new Map(names.map((name, index) => [name, decoded(rows[index]?.[0])])),
      ofSession: new Set(origins ? rows.at(-1)?.[0]?.split(' ') : []),
    };
  } catch (error) {
    if (error === late) await connection.cancel();
    throw error;
  }
}

const decoded = (hex: string | null | undefined): string | null =>
  hex == null ? null : Buffer.from(hex, 'hex').toString('utf8');
