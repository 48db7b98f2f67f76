/** Every volatile function of PostgreSQL's own is known either to leave state of the session or to leave none. */
import { expect, test } from 'vitest';
import {
  SEQUENCE_FUNCTIONS,
  STATE_FUNCTIONS,
  callsStateFunction,
  takesFromSequence,
} from '../../../core/sql/left-state.ts';
import { mayLeaveState } from '../../../core/relay/session-state-detection.ts';
import { sharedPostgres } from '../../support/postgres.ts';

const postgres = sharedPostgres();

/** Read one by one in the manual (chapter 9) and the sources, of PostgreSQL 15 to 18: their effect ends with the transaction, or is no session's. */
const HARMLESS = `
  amvalidate array_sample array_shuffle bernoulli brin_desummarize_range brin_summarize_new_values
  brin_summarize_range brinhandler bthandler clock_timestamp current_query currtid2 currval dsnowball_init
  dsnowball_lexize gen_random_uuid gin_clean_pending_list ginhandler gisthandler hashhandler
  heap_tableam_handler lastval lo_close lo_creat lo_create lo_export lo_from_bytea lo_get lo_import lo_lseek
  lo_lseek64 lo_open lo_put lo_tell lo_tell64 lo_truncate lo_truncate64 lo_unlink loread lowrite
  pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared pg_advisory_xact_lock
  pg_advisory_xact_lock_shared pg_available_wal_summaries pg_blocking_pids pg_cancel_backend
  pg_clear_attribute_stats pg_clear_relation_stats pg_collation_actual_version pg_control_checkpoint
  pg_control_init pg_control_recovery pg_control_system pg_create_restore_point pg_current_logfile
  pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_collation_actual_version
  pg_database_size pg_drop_replication_slot pg_export_snapshot pg_extension_config_dump pg_get_aios
  pg_get_backend_memory_contexts pg_get_loaded_modules pg_get_multixact_members pg_get_sequence_data
  pg_get_shmem_allocations pg_get_shmem_allocations_numa pg_get_wait_events pg_get_wal_replay_pause_state
  pg_get_wal_resource_managers pg_get_wal_summarizer_state pg_hba_file_rules pg_ident_file_mappings
  pg_import_system_collations pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused
  pg_isolation_test_session_is_blocked pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn
  pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status pg_log_backend_memory_contexts
  pg_log_standby_snapshot pg_logical_emit_message pg_logical_slot_get_binary_changes
  pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes
  pg_ls_archive_statusdir pg_ls_dir pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir
  pg_ls_summariesdir pg_ls_tmpdir pg_ls_waldir pg_nextoid pg_notification_queue_usage pg_notify
  pg_partition_ancestors pg_partition_tree pg_prepared_xact pg_promote pg_read_binary_file pg_read_file
  pg_read_file_old pg_relation_size pg_reload_conf pg_replication_origin_advance pg_replication_origin_create
  pg_replication_origin_drop pg_replication_origin_progress pg_replication_origin_session_is_setup
  pg_replication_origin_session_progress pg_replication_origin_xact_reset pg_replication_slot_advance
  pg_restore_attribute_stats pg_restore_relation_stats pg_rotate_logfile pg_rotate_logfile_old
  pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_show_all_file_settings
  pg_show_replication_origin_status pg_sleep pg_sleep_for pg_sleep_until pg_stat_clear_snapshot pg_stat_file
  pg_stat_force_next_flush pg_stat_get_backend_io pg_stat_get_backend_wal pg_stat_get_io
  pg_stat_get_recovery_prefetch pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit
  pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time pg_stat_get_xact_function_total_time
  pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_fetched
  pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_newpage_updated
  pg_stat_get_xact_tuples_returned pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_stat_reset
  pg_stat_reset_backend_stats pg_stat_reset_replication_slot pg_stat_reset_shared
  pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru
  pg_stat_reset_subscription_stats pg_stop_making_pinned_objects pg_switch_wal pg_sync_replication_slots
  pg_table_size pg_tablespace_size pg_terminate_backend pg_total_relation_size pg_try_advisory_xact_lock
  pg_try_advisory_xact_lock_shared pg_wal_replay_pause pg_wal_replay_resume pg_wal_summary_contents
  pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status plpgsql_call_handler
  plpgsql_inline_handler plpgsql_validator random random_normal spghandler system timeofday txid_status uuidv4
  uuidv7
`.trim();

const harmless = new Set(HARMLESS.split(/\s+/));
const known = new Set([...STATE_FUNCTIONS, ...SEQUENCE_FUNCTIONS]);

test('each volatile function of the server is on one of the lists', async () => {
  // Those of triggers are not called by name, and leave nothing. Those for pg_upgrade refuse outside of it.
  const rows = await postgres.sql(
    `select distinct proname::text as name from pg_proc where pronamespace = 'pg_catalog'::regnamespace and provolatile = 'v'
      and prorettype <> all ('{trigger,event_trigger}'::regtype[]) and proname !~ '^binary_upgrade_' order by 1`,
  );
  expect(rows.length).toBeGreaterThan(150);
  expect(
    rows.map(({ name }) => String(name)).filter((name) => !known.has(name) && !harmless.has(name)),
  ).toEqual([]);
});

test('no function is on both lists, and each that leaves state is found in a text', () => {
  expect([...known].filter((name) => harmless.has(name))).toEqual([]);
  const found = (name: string): boolean =>
    [name, name.toUpperCase(), `pg_catalog."${name}"`].every(
      (text) => callsStateFunction(text) || mayLeaveState(text),
    );
  expect(STATE_FUNCTIONS.filter((name) => !found(name))).toEqual([]);
  expect(SEQUENCE_FUNCTIONS.filter((name) => !takesFromSequence(name))).toEqual([]);
});

test('each name that is looked for exists on the server', async () => {
  const rows = await postgres.sql(
    `select distinct proname::text as name from pg_proc where pronamespace = 'pg_catalog'::regnamespace`,
  );
  const names = new Set(rows.map(({ name }) => name));
  expect([...known].filter((name) => !names.has(name))).toEqual([]);
});
