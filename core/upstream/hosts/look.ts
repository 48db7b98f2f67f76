/** Asks a server what it is: the only way to know, whatever a config or a name says. */
import type { Conversation } from '../conversation.ts';
import { execute } from '../query.ts';
import type { TextRow } from '../query.ts';
import { describeRefusal, unreachable } from '../refusals.ts';

/** What a server said of itself. */
export interface Standing {
  /** A replica is in recovery, and takes no write whatever a client sets. */
  readonly kind: 'primary' | 'replica';
  /** Of a primary: each promotion makes a higher one. 0 of a replica, and where it is not known. */
  readonly timeline: number;
  /** Equal for a server and its copies (`system_identifier` of pg_control_system(), manual, 9.28.9); empty where unknown. */
  readonly system: string;
}

const RECOVERY = 'pg_catalog.pg_is_in_recovery()';

/** The first eight digits of a WAL file's name are its timeline (manual, 9.28.3), the insert position's the current one. */
const QUERY = `/* the gateway looks what this server is */ select ${RECOVERY}::pg_catalog.text,
  case when ${RECOVERY} then null else pg_catalog.substr(
    pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) end,
  (select c.system_identifier::pg_catalog.text from pg_catalog.pg_control_system() as c)`;

/** For servers that have no WAL files to name, or that keep this from the role. */
const SIMPLE = `/* the gateway looks what this server is */ select ${RECOVERY}::pg_catalog.text, null, null`;

/**
 * Looks at an idle connection's server.
 * @throws GatewayError `sqlclient_unable_to_establish_sqlconnection` where the answer is none, or the signal's reason
 */
export async function look(talk: Conversation): Promise<Standing> {
  const outcome = await execute(talk, QUERY, [[]]);
  const { rows, error } = outcome.error ? await execute(talk, SIMPLE, [[]]) : outcome;
  if (error) throw unknown(describeRefusal(error));
  return standingIn(rows[0]);
}

function standingIn(row: TextRow | undefined): Standing {
  const [recovering, timeline, id] = row ?? [];
  const system = id ?? '';
  if (recovering === 'true') return { kind: 'replica', timeline: 0, system };
  if (recovering !== 'false') throw unknown('pg_is_in_recovery() gave no boolean');
  return { kind: 'primary', timeline: Number.parseInt(timeline ?? '0', 16) || 0, system };
}

function unknown(why: string): Error {
  return unreachable(new Error(`it cannot be told what the server is: ${why}`));
}
