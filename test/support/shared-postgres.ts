/** vitest's global set-up: starts the server that all test files share, stops it after the last one. */
import type { TestProject } from 'vitest/node';
import { CRASH } from './crash-watch.ts';
import { startPostgres } from './postgres.ts';

/** Called by vitest once before all files; what it returns is called after them. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Of all files that run at the same time.
  const server = await startPostgres({ flags: { max_connections: '400' } });
  const { host, port, socketDir, superuser, password, version, logFile, passwords } = server;
  project.provide('postgres', { host, port, socketDir, superuser, password, version, logFile, passwords });
  return async () => {
    const crashes = linesOfCrashes(server.log());
    await server.stop();
    // Every file that ran at that moment failed, and none says why.
    if (crashes.length > 0) throw new Error(`PostgreSQL itself crashed:\n${crashes.join('\n')}`);
  };
}

/** What the postmaster logs of a backend that a signal ended, with the statement that it ran. */
function linesOfCrashes(log: string): string[] {
  const lines = log.split('\n');
  return lines.flatMap((line, i) => (line.includes(CRASH) ? lines.slice(i, i + 2) : []));
}
