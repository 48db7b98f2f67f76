/** asyncpg's suite, which stands in its source distribution. */
import { readdirSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ended, output, variables } from './suite.ts';
import type { Results, Server, Source, Suite } from './suite.ts';

const DRIVER = 'asyncpg==0.31.0';
/** What its tests import. */
const MORE = ['pytest==9.2.0', 'distro==1.9.0'];

function fetch(into: string): Source {
  output(['python3', '-m', 'venv', 'venv'], { in: into });
  const path = `${join(into, 'venv', 'bin')}${delimiter}${process.env['PATH'] ?? ''}`;
  const pip = (...args: readonly string[]): string =>
    output(['pip', '--quiet', '--disable-pip-version-check', ...args], { in: into, path });
  pip('install', '--only-binary', ':all:', DRIVER, ...MORE);
  // Of itself alone: what pip needs to read it is not built from source.
  pip('download', '--no-deps', '--no-binary', 'asyncpg', '--dest', '.', DRIVER);
  const archive = readdirSync(into).find((name) => name.endsWith('.tar.gz')) ?? '';
  output(['tar', '-xzf', archive], { in: into });
  return { folder: join(into, archive.replace('.tar.gz', '')), path };
}

/** What a session has on its connection; the others take longer. */
const PART =
  'adversity cache_invalidation cancellation cursor execute introspection listeners prepare timeout transaction'
    .split(' ')
    .map((name) => `tests/test_${name}.py`);

function run({ folder, path }: Source, server: Server, all: boolean): Results {
  // What is installed is imported, not the source without its compiled parts.
  rmSync(join(folder, 'asyncpg'), { recursive: true });
  const command = ['python3', '-m', 'pytest', '-q', '-rA', '--tb=short', ...(all ? ['tests'] : PART)];
  const { stdout, stderr } = ended(command, { in: folder, environment: variables(server), path });
  console.error(`${stdout}\n${stderr}`);
  const lines = stdout.matchAll(/^(PASSED|FAILED|ERROR) (\S+)/gm);
  return new Map(
    [...lines].map(([, outcome, name = '']) => [name.replace(/^tests\//, ''), outcome === 'PASSED']),
  );
}

/** It counts the rows that were sent until the error of the second one arrives. */
const BY_CHANCE = 'test_execute.py::TestExecuteMany::test_executemany_server_failure_during_writes';

/** Its tests. */
export const asyncpg: Suite = {
  fetch,
  run,
  part: PART.join(', '),
  known: {
    session: [BY_CHANCE],
    // A database to which the pool has a connection, a sender's process, one that is ended, and a statement of the driver that is run by EXECUTE.
    transaction: [
      BY_CHANCE,
      'test_introspection.py::TestIntrospection::test_introspection_sticks_for_ps',
      'test_listeners.py::TestListeners::test_listen_01',
      'test_listeners.py::TestListeners::test_listen_02',
      'test_listeners.py::TestListeners::test_listen_notletters',
      'test_pool.py::TestPool::test_pool_remote_close',
      'test_prepare.py::TestPrepare::test_prepare_explicitly_named',
    ],
  },
};
