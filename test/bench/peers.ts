/** The gateway, PgBouncer and HAProxy in front of one PostgreSQL, each in a process of its own on a free port. */
import { chmodSync, chownSync, copyFileSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Certificates } from '../support/certificates.ts';
import type { TokenIssuer } from '../support/token.ts';
import { freePort } from '../support/free-port.ts';
import { Companion } from './companion.ts';
import type { FloorOptions } from './floor/floor.ts';
import type { Peer } from './peer.ts';
import type { Variant } from './variants.ts';

/** What peers are set up with. */
export interface Ground {
  /** Everything is written here. */
  readonly folder: string;
  /** PostgreSQL itself. */
  readonly direct: Peer;
  /** Of the tokens. */
  readonly issuer: TokenIssuer;
  /** For clients that talk TLS. */
  readonly certificates: Certificates;
}

/** A running peer. */
export interface Running {
  readonly peer: Peer;
  stop(): Promise<void>;
}

/** How a pooler is asked to pool, and whether clients talk TLS to it. */
export interface Pooling {
  /** Default `'session'`. */
  readonly mode?: 'session' | 'transaction';
  /** Most server connections. Default 200. */
  readonly size?: number;
  /** Default false. */
  readonly tls?: boolean;
}

/** What else a gateway may have. */
export interface GatewayOptions extends Pooling {
  /** Default `'postern'`. */
  readonly name?: string;
  /** Default: `jwt` and `roles` only. */
  readonly variant?: Variant;
  /** Clients come with a password, proven by SCRAM, instead of a token. Default false. */
  readonly scram?: boolean;
  /** Environment of the process. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What else a PgBouncer may have. */
export interface BouncerOptions extends Pooling {
  /** Default `'scram-sha-256'`. */
  readonly auth?: 'scram-sha-256' | 'trust';
  /** Most clients. Default 1000. */
  readonly clients?: number;
  /** So many share the port by `so_reuseport`, each with its part of `size`. Default 1. */
  readonly processes?: number;
}

/** PgBouncer refuses to run as root. */
const NOBODY = 65_534;
const AS_NOBODY = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
const POSTERN = fileURLToPath(new URL('../../core/cli/postern.js', import.meta.url));

async function running(companion: Companion, peer: Omit<Peer, 'host' | 'pid'>): Promise<Running> {
  const stop = (): Promise<void> => companion.stop();
  try {
    await companion.listens(peer.port);
    return { peer: { ...peer, host: '127.0.0.1', pid: companion.pid }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Claims of somebody who may be the bench's role, for ten hours. */
export function claimsOf({ direct }: Pick<Ground, 'direct'>): Readonly<Record<string, unknown>> {
  return { sub: 'bench', role: direct.user, exp: Math.floor(Date.now() / 1_000) + 36_000 };
}

/** The gateway with `jwt` and `roles`, and what a variant has; its password is one token. */
export async function postern(ground: Ground, options: GatewayOptions = {}): Promise<Running> {
  const {
    name = 'postern',
    variant = { imports: '', plugins: '' },
    env = {},
    scram = false,
    ...pooling
  } = options;
  const { mode = 'session', size = 200, tls = false } = pooling;
  const { direct, issuer, certificates } = ground;
  const port = await freePort();
  const home = mkdtempSync(join(ground.folder, 'postern-'));
  const file = join(home, 'gateway.config.ts');
  writeFileSync(join(home, 'users.txt'), `"${direct.user}" "${direct.password}"\n`, { mode: 0o600 });
  const { certFile: cert, keyFile: key } = certificates.server;
  writeFileSync(
    file,
    `
    import { defineConfig, env } from 'postern';
    import { jwt } from 'postern/plugins/jwt';
    import { passwords } from 'postern/plugins/passwords';
    import { roles } from 'postern/plugins/roles';
    ${variant.imports}
    export default defineConfig({
      listen: { host: '127.0.0.1', port: ${port}, auth: '${scram ? 'scram' : 'password'}'${tls ? `, tls: ${JSON.stringify({ cert, key })}` : ''} },
      databases: { '*': { host: '${direct.host}', port: ${direct.port}, pool: { mode: '${mode}', size: ${size} },
        login: { kind: 'password', passwords: { ${direct.user}: env('PASSWORD') } } } },
      plugins: [
        ${scram ? `passwords({ file: 'users.txt' })` : `jwt({ issuers: [${JSON.stringify(issuer.options)}] })`},
        roles({ claim: '${scram ? 'sub' : 'role'}', allow: ['${direct.user}'] }),
        ${variant.plugins}
      ],
      ${variant.more ?? ''}
      drainTimeout: '1s',
      logLevel: 'warn',
    });`,
  );
  const companion = new Companion(process.execPath, [POSTERN, 'start', '--no-watch', '--config', file], {
    env: { ...process.env, ...env, PASSWORD: direct.password },
  });
  const who = scram
    ? { user: direct.user, password: direct.password }
    : { user: '_', password: issuer.sign(claimsOf(ground)) };
  return running(companion, { name, port, ...who, database: direct.database, tls });
}

/** A copy of a file that PgBouncer may read, and nobody else. */
function handed(from: string, to: string): string {
  copyFileSync(from, to);
  chmodSync(to, 0o600);
  if (AS_NOBODY.uid !== undefined) chownSync(to, NOBODY, NOBODY);
  return to;
}

/** Runs a program several times, as children of one process as workers are. */
const SEVERAL = `
n=$1; shift
while [ "$n" -gt 0 ]; do "$@" & all="$all $!"; n=$((n - 1)); done
trap 'kill $all' TERM
wait; wait`;

/** PgBouncer, named after how it asks who is there. */
export async function pgbouncer(
  program: string,
  { folder, direct, certificates }: Ground,
  options: BouncerOptions = {},
): Promise<Running> {
  const { mode = 'session', size = 200, tls = false, auth = 'scram-sha-256', clients = 1_000 } = options;
  const { processes = 1 } = options;
  const port = await freePort();
  const home = mkdtempSync(join(folder, 'pgbouncer-'));
  const { certFile, keyFile } = certificates.server;
  const files = [
    `client_tls_cert_file = ${handed(certFile, join(home, 'server.crt'))}`,
    `client_tls_key_file = ${handed(keyFile, join(home, 'server.key'))}`,
  ];
  writeFileSync(join(home, 'users.txt'), `"${direct.user}" "${direct.password}"\n`);
  writeFileSync(
    join(home, 'pgbouncer.ini'),
    `[databases]
* = host=${direct.host} port=${direct.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = ${auth}
auth_file = ${home}/users.txt
pool_mode = ${mode}
default_pool_size = ${Math.ceil(size / processes)}
max_client_conn = ${clients}
${processes > 1 ? 'so_reuseport = 1' : ''}
log_connections = 0
log_disconnections = 0
${tls ? ['client_tls_sslmode = require', ...files].join('\n') : ''}
`,
  );
  for (const file of ['users.txt', 'pgbouncer.ini']) chmodSync(join(home, file), 0o644);
  chmodSync(home, 0o755);
  const args = ['-q', join(home, 'pgbouncer.ini')];
  const companion =
    processes === 1
      ? new Companion(program, args, AS_NOBODY)
      : new Companion('/bin/sh', ['-c', SEVERAL, 'sh', String(processes), program, ...args], AS_NOBODY);
  const kind = auth === 'trust' ? 'PgBouncer, trust' : 'PgBouncer';
  const name = processes === 1 ? kind : `${kind}, ${processes} processes`;
  return running(companion, { ...direct, name, port, tls });
}

/** HAProxy in TCP mode: what moving the bytes alone costs. */
export async function haproxy(program: string, { folder, direct }: Ground): Promise<Running> {
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
  server one ${direct.host}:${direct.port}
`,
  );
  const companion = new Companion(program, ['-db', '-q', '-f', file]);
  return running(companion, { ...direct, name: 'HAProxy', port });
}

/** What a gateway costs that does nothing but reading and writing. */
export async function floor(
  { direct, issuer, certificates }: Ground,
  { mode = 'session', size = 200, tls = false }: Pooling = {},
): Promise<Running> {
  if (tls && mode === 'transaction') throw new Error('the floor of transaction mode has no TLS');
  const companion = Companion.module('floor/floor.ts');
  const { certFile: cert, keyFile: key } = certificates.server;
  const { host, port, user, password, database } = direct;
  const options: FloorOptions = {
    mode,
    size,
    tls: tls ? { cert, key } : undefined,
    server: { host, port, user, password, database },
    jwks: issuer.jwks,
  };
  const listening = Number(await companion.ask(options));
  const name = 'Node, floor';
  if (mode === 'session') return running(companion, { ...direct, name, port: listening, tls });
  const token = issuer.sign(claimsOf({ direct }));
  return running(companion, { name, port: listening, user: '_', password: token, database, tls });
}
