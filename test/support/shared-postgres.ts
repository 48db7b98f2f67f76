/** vitest's global set-up: starts the server that all test files share, stops it after the last one. */
import type { TestProject } from 'vitest/node';
import { startPostgres } from './postgres.ts';

/** Called by vitest once before all files; what it returns is called after them. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Of all files that run at the same time.
  const server = await startPostgres({ flags: { max_connections: '400' } });
  const { host, port, socketDir, superuser, password, version, logFile, passwords } = server;
  project.provide('postgres', { host, port, socketDir, superuser, password, version, logFile, passwords });
  return () => server.stop();
}
