/** Asks a server whether it is a primary or a replica: neither a config nor a name tells. */
import type { Conversation } from '../conversation.ts';
import { execute } from '../query.ts';
import type { TextRow } from '../query.ts';
import { describeRefusal, unreachable } from '../refusals.ts';

/** The status of a server as of its own answer. */
export interface ServerStatus {
  /** A replica is in recovery, and accepts no write whatever a client sets. */
  readonly kind: 'primary' | 'replica';
  /** Of a primary: each promotion makes a higher one. 0 of a replica, and where it is not known. */
  readonly timeline: number;
  /** Equal for a server and its copies (`system_identifier` of pg_control_system(), manual, 9.28.9); empty where unknown. */
  readonly system: string;
  /**
   * Which run of which server: equal for all connections to one, be it behind the same address as others (a proxy, a virtual
   * IP), and none survives it. Empty where unknown.
   */
  readonly instance: string;
}

const RECOVERY = 'pg_catalog.pg_is_in_recovery()';

/** When the server was started, in microseconds: not as a timestamp, which settings of the role would write differently. */
const STARTED = `pg_catalog.int8(pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())
    operator(pg_catalog.*) 1000000::pg_catalog.float8)::pg_catalog.text`;

const ASKED = `/* the gateway looks what this server is */ select ${RECOVERY}::pg_catalog.text`;

/** The first eight digits of a WAL file's name are its timeline (manual, 9.28.3), the insert position's the current one. */
const WAL = `case when ${RECOVERY} then null else pg_catalog.substr(
    pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) end,
  (select c.system_identifier::pg_catalog.text from pg_catalog.pg_control_system() as c)`;

/** The second for servers without WAL files, or whose role may not read these functions; the last for servers that only resemble PostgreSQL. */
const QUERIES = [
  `${ASKED}, ${WAL}, ${STARTED}`,
  `${ASKED}, null, null, ${STARTED}`,
  `${ASKED}, null, null, null`,
];

/**
 * Asks the server of an idle connection.
 * @throws GatewayError `sqlclient_unable_to_establish_sqlconnection` where the answer has no meaning, or the signal's reason
 */
export async function probeServer(talk: Conversation): Promise<ServerStatus> {
  let why = '';
  for (const query of QUERIES) {
    const { rows, error } = await execute(talk, query, [[]]);
    if (!error) return statusIn(rows[0]);
    why = describeRefusal(error);
  }
  throw unknown(why);
}

function statusIn(row: TextRow | undefined): ServerStatus {
  const [recovering, timeline, id, started] = row ?? [];
  const server = { system: id ?? '', instance: started ?? '' };
  if (recovering === 'true') return { kind: 'replica', timeline: 0, ...server };
  if (recovering !== 'false') throw unknown('pg_is_in_recovery() gave no boolean');
  return { kind: 'primary', timeline: Number.parseInt(timeline ?? '0', 16) || 0, ...server };
}

function unknown(why: string): Error {
  return unreachable(new Error(`it cannot be told what the server is: ${why}`));
}
