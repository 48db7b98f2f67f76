/**
 * `npm run test:oldest [-- test/core/relay]`: runs the tests that depend on the server's version, or those named, on the
 * oldest PostgreSQL that is installed here. Where none is, it says so and succeeds.
 */
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installedBinaries } from './support/embedded/binaries.ts';
import type { Binaries } from './support/embedded/binaries.ts';

/** Major version: nothing is promised of older ones. */
const SUPPORTED = 15;

/** What meets PostgreSQL itself: its protocol, its catalogues, its planner, and the SQL that is run in it. */
const TESTS = [
  'test/core/wire/scram-server.test.ts',
  'test/core/wire/scram-verifier.test.ts',
  'test/core/client/scram.test.ts',
  'test/core/upstream/startup.test.ts',
  'test/core/upstream/settings.test.ts',
  'test/core/upstream/set-role.test.ts',
  'test/core/upstream/session-defaults.test.ts',
  'test/core/upstream/session-state-query.test.ts',
  'test/core/upstream/function-catalog.test.ts',
  'test/core/upstream/built-in-functions.test.ts',
  'test/core/upstream/certificate-postgres.test.ts',
  'test/core/relay/copy-failures.test.ts',
  'test/core/relay/changed-objects.test.ts',
  'test/core/relay/deallocate.test.ts',
  'test/core/relay/schema-changes.test.ts',
  'test/core/relay/encodings.test.ts',
  'test/core/relay/session-end.test.ts',
  'test/core/relay/left-settings.test.ts',
  'test/core/relay/search-paths.test.ts',
  'test/core/relay/changed-defaults.test.ts',
  'test/core/relay/following-settings.test.ts',
  'test/core/relay/settings-sequences.test.ts',
  'test/core/relay/statements.test.ts',
  'test/core/relay/temporary-objects.test.ts',
  'test/plugins/claims.test.ts',
  'test/plugins/tenant.test.ts',
  'test/plugins/audit-trail.test.ts',
  'test/e2e/claims.test.ts',
  'test/e2e/escape.test.ts',
  'test/e2e/login.test.ts',
  'test/e2e/password-query.test.ts',
  'test/e2e/certificate-login.test.ts',
  'test/e2e/pool-state.test.ts',
  'test/e2e/settings.test.ts',
  'test/e2e/set-to-default.test.ts',
  'test/e2e/unknown-settings.test.ts',
  'test/e2e/hidden-state.test.ts',
  'test/e2e/transaction-mode.test.ts',
  'test/e2e/psql.test.ts',
  'test/e2e/startup-parameters.test.ts',
  'test/e2e/replication.test.ts',
  'test/e2e/replication-clients.test.ts',
  'test/e2e/replication-pgjdbc.test.ts',
  'test/examples-deploy-compose.test.ts',
];

function oldest(): Binaries | undefined {
  const supported = installedBinaries().filter(({ version }) => version >= SUPPORTED);
  return supported.sort((a, b) => a.version - b.version)[0];
}

function run({ postgres, version }: Binaries): number {
  const [root, vitest] = ['..', '../node_modules/vitest/vitest.mjs'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  const given = process.argv.slice(2);
  const tests = given.some((argument) => argument.startsWith('test/')) ? given : [...TESTS, ...given];
  console.log(`PostgreSQL ${version}: ${postgres}`);
  const { status } = spawnSync(process.execPath, [vitest ?? '', 'run', ...tests], {
    cwd: root,
    env: { ...process.env, POSTERN_POSTGRES_BIN: dirname(postgres) },
    stdio: 'inherit',
  });
  return status ?? 1;
}

const found = oldest();
const chosen = process.env['POSTERN_POSTGRES_BIN'];
if (found) process.exitCode = run(found);
else if (chosen) throw new Error(`POSTERN_POSTGRES_BIN=${chosen} holds no PostgreSQL ${SUPPORTED} or newer`);
else
  console.log(
    `skipped: no PostgreSQL ${SUPPORTED} or newer is installed, on the PATH or in /usr/lib/postgresql`,
  );
