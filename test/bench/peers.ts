/** The gateway, PgBouncer and HAProxy in front of one PostgreSQL, each in a process of its own on a free port. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { issuer } from '../support/token.ts';
import type { Peer } from './measure.ts';
import type { Variant } from './variants.ts';

/** What peers are set up with. */
export interface Backdrop {
  /** Everything is written here. */
  readonly folder: string;
  readonly database: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

/** A running peer. */
export interface Running {
  readonly peer: Peer;
  stop(): Promise<void>;
}

/** PgBouncer refuses to run as root. */
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;
const POSTERN = fileURLToPath(new URL('../../core/cli/postern.js', import.meta.url));

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function reachable(port: number, child: ChildProcess): Promise<void> {
  for (let i = 0; i < 100; i += 1) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`);
    const socket = net.connect(port, '127.0.0.1');
    const answer = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (answer) return;
    await sleep(50);
  }
  throw new Error(`${child.spawnfile} does not listen on ${port}`);
}

async function running(
  child: ChildProcess,
  port: number,
  peer: Omit<Peer, 'host' | 'port' | 'pid'>,
): Promise<Running> {
  await reachable(port, child);
  return {
    peer: { ...peer, host: '127.0.0.1', port, ...(child.pid !== undefined && { pid: child.pid }) },
    async stop() {
      const closed = once(child, 'close');
      child.kill('SIGTERM');
      await closed;
    },
  };
}

/** The gateway with `jwt` and `roles`, and what a variant has. */
export async function postern(
  { folder, database, port: upstream, user, password }: Backdrop,
  name = 'postern',
  { imports, plugins, more = '' }: Variant = { imports: '', plugins: '' },
): Promise<Running> {
  const port = await freePort();
  const keys = issuer();
  const file = join(folder, `${name.replaceAll(/\W/g, '-')}.config.ts`);
  const jwks = JSON.stringify(keys.jwks);
  writeFileSync(
    file,
    `
    import { defineConfig } from 'postern';
    import { jwt } from 'postern/plugins/jwt';
    import { roles } from 'postern/plugins/roles';
    ${imports}
    export default defineConfig({
      listen: { host: '127.0.0.1', port: ${port} },
      databases: { '*': { host: '127.0.0.1', port: ${upstream}, pool: { size: 200 },
        login: { kind: 'password', passwords: { ${user}: '${password}' } } } },
      plugins: [
        jwt({ issuers: [{ issuer: '${keys.issuer}', audience: 'postern', jwks: ${jwks} }] }),
        roles({ claim: 'role', allow: ['${user}'] }),
        ${plugins}
      ],
      ${more}
      logLevel: 'warn',
    });`,
  );
  const child = spawn(process.execPath, [POSTERN, 'start', '--config', file], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const token = keys.sign({ sub: 'bench', role: user, exp: Math.floor(Date.now() / 1000) + 36_000 });
  return running(child, port, { name, user: '_', password: token, database });
}

/** PgBouncer in session mode. */
export async function pgbouncer(
  program: string,
  { folder, database, port: upstream, user, password }: Backdrop,
): Promise<Running> {
  const port = await freePort();
  const home = join(folder, 'pgbouncer');
  mkdirSync(home);
  writeFileSync(join(home, 'users.txt'), `"${user}" "${password}"\n`);
  writeFileSync(
    join(home, 'pgbouncer.ini'),
    `[databases]
* = host=127.0.0.1 port=${upstream}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${home}/users.txt
pool_mode = session
default_pool_size = 200
max_client_conn = 1000
log_connections = 0
log_disconnections = 0
`,
  );
  for (const file of ['users.txt', 'pgbouncer.ini']) chmodSync(join(home, file), 0o644);
  chmodSync(home, 0o755);
  const as = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
  const child = spawn(program, ['-q', join(home, 'pgbouncer.ini')], {
    ...as,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return running(child, port, { name: 'PgBouncer', user, password, database });
}

/** HAProxy in TCP mode: what moving the bytes alone costs. */
export async function haproxy(
  program: string,
  { folder, database, port: upstream, user, password }: Backdrop,
): Promise<Running> {
  const port = await freePort();
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen postgres
  bind 127.0.0.1:${port}
  server one 127.0.0.1:${upstream}
`,
  );
  const child = spawn(program, ['-db', '-q', '-f', file], { stdio: ['ignore', 'ignore', 'inherit'] });
  return running(child, port, { name: 'HAProxy', user, password, database });
}
