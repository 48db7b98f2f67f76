/** `SHOW PEERS`: the instances of the fleet. */
import type { Overview } from '../../core/index.ts';
import { table } from './table.ts';
import type { Columns, Table } from './table.ts';

/** PgBouncer's columns, then our own. An instance is known by its name: no other one connects to it. */
export const PEER_COLUMNS = {
  peer_id: 'int4',
  host: 'text',
  port: 'int4',
  pool_size: 'int4',
  id: 'text',
  version: 'text',
  config: 'text',
  sessions: 'int4',
  workers: 'int4',
  draining: 'int4',
  lag_ms: 'int4',
} as const satisfies Columns;

/** This instance first; none without a fleet. */
export function showPeers({ fleet }: Overview): Table {
  const rows = (fleet?.instances ?? []).map((one) => ({
    peer_id: one.number ?? null,
    host: one.name,
    port: null,
    pool_size: null,
    id: one.id,
    version: one.version,
    config: one.config,
    sessions: one.sessions,
    workers: one.workers,
    draining: one.draining ? 1 : 0,
    lag_ms: one.lagMs,
  }));
  return table(PEER_COLUMNS, rows);
}
