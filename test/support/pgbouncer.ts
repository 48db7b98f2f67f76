/** A PgBouncer whose console can be asked: what its tools expect of the gateway. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { freePort } from './free-port.ts';
import type { PostgresAddress } from './postgres.ts';

/** It refuses to run as root. */
const NOBODY = 65_534;

/** A PgBouncer that runs. */
export interface PgBouncer {
  readonly version: string;
  /** A URL of one of its databases, with the password. */
  url(database: string): string;
  /** Logs in to a database of its, `pgbouncer` for the console. */
  connect(database: string): Promise<Client>;
  stop(): Promise<void>;
}

/** Starts the program with the database `orders` in front of a server, for one role. */
export async function startPgBouncer(
  program: string,
  postgres: PostgresAddress,
  role: 'reader' | 'writer' = 'reader',
): Promise<PgBouncer> {
  const folder = mkdtempSync(join(tmpdir(), 'pgbouncer-'));
  const port = await freePort();
  const password = postgres.passwords[role];
  writeFileSync(join(folder, 'users.txt'), `"${role}" "${password}"\n`);
  writeFileSync(
    join(folder, 'pgbouncer.ini'),
    `[databases]
orders = host=127.0.0.1 port=${postgres.port} dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${folder}/users.txt
admin_users = ${role}
`,
  );
  for (const file of ['users.txt', 'pgbouncer.ini']) chmodSync(join(folder, file), 0o644);
  chmodSync(folder, 0o755);
  const as = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const child = spawn(program, ['-q', join(folder, 'pgbouncer.ini')], { ...as, stdio: 'ignore' });
  const connect = async (database: string): Promise<Client> => {
    const client = new Client({ host: '127.0.0.1', port, user: role, password, database });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  const first = async (): Promise<Client> => {
    for (let tries = 0; child.exitCode === null && tries < 200; tries += 1) {
      const client = await connect('pgbouncer').catch(() => undefined);
      if (client) return client;
      await sleep(50);
    }
    throw new Error(`${program} does not answer on port ${port}`);
  };
  const console = await first();
  const { rows } = await console.query<{ version: string }>('SHOW VERSION');
  await console.end();
  return {
    version: rows[0]?.version ?? '',
    connect,
    url: (database) => `postgres://${role}:${password}@127.0.0.1:${port}/${database}`,
    async stop() {
      const closed = once(child, 'close');
      child.kill('SIGTERM');
      await closed;
      rmSync(folder, { recursive: true });
    },
  };
}
