/** The metrics of all workers as those of one gateway. */
import type { Family, TextSample } from './prometheus.ts';

/** How values of one series become one. */
export type Join = 'sum' | 'max' | 'min';

/** By the name that Prometheus reads. */
export const JOINS: Readonly<Record<string, Join>> = {
  // It takes logins as long as one worker does.
  postern_up: 'max',
  postern_build_info: 'max',
  postern_config_last_reload_successful: 'min',
  // A worker that was begun later loaded what the others have had in force since then.
  postern_config_last_reload_success_timestamp_seconds: 'min',
  postern_client_logins_in_progress: 'sum',
  // Each worker says what the config says for all of them.
  postern_server_connections_limit: 'max',
  postern_queries_total: 'sum',
  postern_transactions_total: 'sum',
  postern_query_time_seconds_total: 'sum',
  postern_transaction_time_seconds_total: 'sum',
  postern_pool_wait_seconds_total: 'sum',
  postern_pool_assignments_total: 'sum',
  postern_bytes_total: 'sum',
  postern_parses_total: 'sum',
  postern_binds_total: 'sum',
  postern_client_connections: 'sum',
  postern_server_connections: 'sum',
  postern_pool_longest_wait_seconds: 'max',
  process_cpu_seconds_total: 'sum',
  process_resident_memory_bytes: 'sum',
  process_start_time_seconds: 'min',
  postern_event_loop_lag_seconds: 'max',
  postern_auth_attempts_total: 'sum',
  postern_auth_duration_seconds: 'sum',
  postern_refused_connections_total: 'sum',
  postern_sessions_ended_total: 'sum',
  postern_renewals_total: 'sum',
  postern_plugin_hook_duration_seconds: 'sum',
  db_client_operation_duration_seconds: 'sum',
  postern_spans_total: 'sum',
  // The worst of them: tokens are verified in each.
  postern_issuer_keys: 'min',
  postern_issuer_keys_age_seconds: 'max',
  postern_issuer_keys_kept: 'max',
  // All have it from the parent process, some a moment later.
  postern_fleet_instances: 'min',
  postern_fleet_stale: 'max',
  postern_fleet_store_silence_seconds: 'max',
  postern_fleet_limits_silence_seconds: 'max',
  postern_fleet_limits_outages_total: 'max',
  postern_password_last_login_timestamp_seconds: 'max',
  postern_password_logins_total: 'sum',
};

const ONE: Readonly<Record<Join, (one: number, other: number) => number>> = {
  sum: (one, other) => one + other,
  max: Math.max,
  min: Math.min,
};

function joinedSamples(join: Join, samples: readonly TextSample[]): readonly TextSample[] {
  const values = new Map<string, number>();
  for (const [series, value] of samples) {
    const known = values.get(series);
    values.set(series, known === undefined ? value : ONE[join](known, value));
  }
  return [...values];
}

/** Those of the same name as one. */
export function joinedFamilies(families: readonly Family[]): readonly Family[] {
  const byName = new Map<string, Family>();
  for (const family of families) {
    const known = byName.get(family.name);
    byName.set(family.name, known ? { ...known, samples: [...known.samples, ...family.samples] } : family);
  }
  return [...byName.values()].map((family) => ({
    ...family,
    samples: joinedSamples(JOINS[family.name] ?? 'sum', family.samples),
  }));
}

/** Whether workers have answered. */
export function workersFamily(ready: number, silent: number): Family {
  return {
    name: 'postern_workers',
    help: 'Workers of the gateway by whether they have answered; of silent ones counters are as they were last, and gauges are missing',
    type: 'gauge',
    samples: [
      ['postern_workers{state="ready"}', ready],
      ['postern_workers{state="silent"}', silent],
    ],
  };
}
