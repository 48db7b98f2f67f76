/** Asks an idle connection for the values of settings that its session may have changed. */
import type { Asked } from './client-settings.ts';
import type { ServerConnection } from './connection.ts';
import { askIdle } from './idle-query.ts';
import { encodeExecutions, ownName } from './query.ts';
import type { Executions } from './query.ts';

/** Names and values travel in UTF-8, whatever the client's encoding is; the digits are the same in every one. */
const QUERY = `/* the gateway reads what its session has set */ select pg_catalog.encode(pg_catalog.convert_to(
  pg_catalog.current_setting(pg_catalog.convert_from($1, 'UTF8'), true), 'UTF8'), 'hex')`;

/** The snapshot of a deferrable transaction may have to wait for others. */
export const AT_ONCE: Executions = {
  sql: '/* the gateway does not wait for a snapshot */ set transaction_deferrable = off',
  values: [[]],
};

/** The same, null for one that the role may not see: it may not have set it either. `pg_settings` shows neither roles nor custom settings. */
const VISIBLE = QUERY.replace(
  'select ',
  `select case when pg_catalog.convert_from($1, 'UTF8') operator(pg_catalog.~) '^role$|^session_authorization$|[.]' or exists (
    select from pg_catalog.pg_settings as s
    where pg_catalog.lower(s.name) operator(pg_catalog.=) pg_catalog.convert_from($1, 'UTF8')) then `,
).concat(' end');

/** No name that is asked for has a blank in it. */
const ORIGINS = `/* the gateway reads what its session has set */ with s as materialized (
  select pg_catalog.lower(s.name) as name, s.source operator(pg_catalog.=) 'session' as own from pg_catalog.pg_settings as s)
select pg_catalog.array_to_string(array(select s.name from s where s.own), ' '), pg_catalog.array_to_string(
  array(select s.name from s where not s.own and s.name operator(pg_catalog.=) any ($1::pg_catalog.text[])), ' ')`;

/** What to ask. */
export interface SettingsQuery {
  readonly names: readonly string[];
  /** Whether to ask which settings have a value of the session. */
  readonly origins: boolean;
  /** See {@link IdleQuery.ms}. */
  readonly ms?: number | undefined;
}

/**
 * Values by name, and with `origins` which settings have a value of the session. One round trip; the statement has a random name, so that the session's
 * unnamed one stays. Undefined where the server refuses to answer, for example after a time-out that the session has set, or takes too long.
 * @throws GatewayError as {@link askIdle}
 */
export async function querySettings(
  connection: ServerConnection,
  { names, origins, ms }: SettingsQuery,
): Promise<Asked | undefined> {
  const batch = encodeExecutions(
    { ...AT_ONCE, name: ownName() },
    { sql: origins ? VISIBLE : QUERY, values: names.map((name) => [Buffer.from(name)]), name: ownName() },
    ...(origins ? [{ sql: ORIGINS, values: [[arrayOf(names)]], name: ownName() }] : []),
  );
  const { rows, error } = await askIdle(connection, { batch, about: 'what a session has set', ms });
  if (error || rows.length !== names.length + (origins ? 1 : 0)) return undefined;
  const [ofSession = '', ofServer = ''] = origins ? (rows.at(-1) ?? []) : [];
  return {
    values: new Map(names.map((name, index) => [name, decoded(rows[index]?.[0])])),
    ofSession: new Set(ofSession?.split(' ')),
    ofServer: new Set(ofServer?.split(' ')),
  };
}

/** An array of texts as a value of one (manual, 8.15.2). */
const arrayOf = (names: readonly string[]): string =>
  `{${names.map((name) => `"${name.replaceAll(/["\\]/g, String.raw`\$&`)}"`).join(',')}}`;

const decoded = (hex: string | null | undefined): string | null =>
  hex == null ? null : Buffer.from(hex, 'hex').toString('utf8');
