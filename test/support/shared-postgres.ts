/** vitest's global set-up: starts the server that all test files share, stops it after the last one. */
import type { TestProject } from 'vitest/node';
import { startPostgres } from './postgres.ts';

/** Called by vitest once before all files; what it returns is called after them. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startPostgres();
  const { host, port, socketDir, superuser, password, version, logFile, passwords } = server;
  project.provide('postgres', { host, port, socketDir, superuser, password, version, logFile, passwords });
  return () => server.stop();
}
