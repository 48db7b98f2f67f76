/** The embedded server: starts with what was asked for, and never outlives its parent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterAll, expect, test, vi } from 'vitest';
import { startEmbedded } from './embedded/server.ts';
import { freshDatabase, sharedPostgres, startPostgres } from './postgres.ts';

const own = await startPostgres({ flags: { work_mem: '3MB' }, hba: ['host all reader 127.0.0.1/32 trust'] });
afterAll(() => own.stop());

async function login(connectionString: string): Promise<string> {
  const client = new Client({ connectionString });
  await client.connect();
  const { rows } = await client.query<{ current_user: string }>('select current_user');
  await client.end();
  return rows[0]?.current_user ?? '';
}

/** True while the process runs; one that ended and that nobody has waited for does not. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('the shared server lets a role log in with its password only, and logs the connection', async () => {
  const postgres = sharedPostgres();
  const database = await freshDatabase();
  await expect(login(postgres.url(database, 'reader', postgres.passwords.reader))).resolves.toBe('reader');
  await expect(login(postgres.url(database, 'reader', 'wrong'))).rejects.toMatchObject({ code: '28P01' });
  expect(postgres.log()).toContain(`user=reader database=${database}`);
});

test('flags and pg_hba lines of the caller apply', async () => {
  await expect(own.sql('show work_mem')).resolves.toEqual([{ work_mem: '3MB' }]);
  await expect(login(own.url('postgres', 'reader', 'wrong'))).resolves.toBe('reader');
  await expect(login(own.url('postgres', 'writer', 'wrong'))).rejects.toMatchObject({ code: '28P01' });
});

test('a killed server starts again on the same port with the same data', async () => {
  await own.sql('create table kept as select 1 as n');
  own.kill('SIGKILL');
  await own.restart();
  await expect(own.sql('select n from kept')).resolves.toEqual([{ n: 1 }]);
});

test('a folder for temporary files that is open to its owner alone serves', async () => {
  // `mkdtemp` closes it to others; as root the server is another user.
  const closed = mkdtempSync(join(tmpdir(), 'postern-closed-'));
  vi.stubEnv('TMPDIR', closed);
  try {
    const server = await startEmbedded();
    await server.stop();
    expect(existsSync(server.socketDir)).toBe(false);
  } finally {
    vi.unstubAllEnvs();
    rmSync(closed, { recursive: true });
  }
});

test('stop ends the server and removes its folder', async () => {
  const server = await startEmbedded();
  expect(existsSync(server.logFile)).toBe(true);
  await server.stop();
  expect(runs(server.pid)).toBe(false);
  expect(existsSync(server.socketDir)).toBe(false);
});

test.each(['SIGKILL', 'SIGINT', 'SIGHUP'] as const)(
  'a parent ended by %s leaves no server and no folder',
  async (signal) => {
    const jiti = fileURLToPath(import.meta.resolve('jiti/package.json')).replace(
      'package.json',
      'lib/jiti-cli.mjs',
    );
    const program = fileURLToPath(new URL('embedded-parent.ts', import.meta.url));
    const parent = spawn(process.execPath, [jiti, program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface(parent.stdout), 'line')) as [string];
    const { pid, folder } = JSON.parse(line) as { pid: number; folder: string };
    expect(runs(pid)).toBe(true);
    parent.kill(signal);
    await vi.waitFor(() => expect([runs(pid), existsSync(folder)]).toEqual([false, false]), {
      timeout: 20_000,
    });
  },
);
