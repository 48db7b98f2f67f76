/**
 * Test files that take more than half a minute on two cores, the longest first. Where nothing is known from a run before, as in
 * continuous integration, vitest goes by the size of files, which says little of those that wait.
 */
export const LONGEST_FILES = [
  'test/core/relay/differential.test.ts',
  'test/e2e/faults.test.ts',
  'test/e2e/workers-faults.test.ts',
  'test/e2e/escape-modes.test.ts',
  'test/e2e/fleet.test.ts',
  'test/e2e/limits-over-fleet.test.ts',
  'test/e2e/pgbench.test.ts',
  'test/e2e/rolling-restart.test.ts',
  'test/e2e/workers.test.ts',
  'test/core/relay/changed-defaults.test.ts',
  'test/e2e/outage.test.ts',
  'test/e2e/restart.test.ts',
  'test/plugins/deletion.test.ts',
  'test/plugins/jwt-lifetime.test.ts',
  'test/regular-expressions.test.ts',
  'test/core/cli/check-online.test.ts',
  'test/e2e/cli.test.ts',
  'test/e2e/driver-table.test.ts',
  'test/e2e/ways-of-starting.test.ts',
  'test/e2e/database-names.test.ts',
] as const;
