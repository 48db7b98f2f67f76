/** A PostgreSQL server of our own: temporary, on loopback, started in about a second, gone with this process. */
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, cpSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { getuid } from 'node:process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findBinaries } from './binaries.ts';
import type { Binaries } from './binaries.ts';
import { ping } from './ping.ts';
import { Supervised } from './supervised.ts';

/** What a server shall be like; everything has a default. */
export interface EmbeddedOptions {
  /** Run-time parameters by name. Default: `fsync=off` and what follows from it, `max_connections=200`. */
  readonly flags?: Readonly<Record<string, string>>;
  /** pg_hba.conf lines that come before the defaults (SCRAM for everybody on the socket and on loopback). */
  readonly hba?: readonly string[];
  /** PEM texts; TLS is off without. `ca` are the authorities of client certificates. */
  readonly ssl?: { readonly cert: string; readonly key: string; readonly ca?: string };
  /** A server that is stopped at the moment, whose replica this one becomes. Default: it is a new one of its own. */
  readonly replicaOf?: Pick<EmbeddedServer, 'port' | 'socketDir' | 'password'>;
}

/** A running server. */
export interface EmbeddedServer {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** Folder of its unix socket. */
  readonly socketDir: string;
  readonly superuser: 'postgres';
  readonly password: string;
  /** Major version. */
  readonly version: number;
  /** The postmaster's process id. */
  readonly pid: number;
  /** File with what the server logged; gone after `stop`. */
  readonly logFile: string;
  /** Signals the postmaster. */
  kill(signal: NodeJS.Signals): void;
  /** Resolves when it has ended. */
  ended(): Promise<void>;
  /** Starts it again on the same port after it was killed, when its last process is gone. */
  restart(): Promise<void>;
  /** Shuts it down and removes everything it wrote. */
  stop(): Promise<void>;
}

/** `nobody`: PostgreSQL refuses to run as root, and this user exists everywhere. */
const NOBODY = 65_534;
const LOOPBACK = '127.0.0.1';
const READY_MS = 30_000;
const HBA = [
  'local all,replication all scram-sha-256',
  'host all,replication all 127.0.0.1/32 scram-sha-256',
  'host all,replication all ::1/128 scram-sha-256',
];
/** Speed over surviving a power cut, and no shared memory that would survive a SIGKILL. */
const FLAGS = {
  fsync: 'off',
  full_page_writes: 'off',
  max_connections: '200',
  dynamic_shared_memory_type: 'mmap',
};

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, LOOPBACK, () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === 'object' && address ? address.port : 0);
      });
    });
  });
}

/** Everything that belongs to one server while it starts and runs. */
class Cluster {
  readonly home: Supervised;
  readonly uid: number | undefined;
  readonly binaries: Binaries;
  password = randomBytes(18).toString('base64url');
  port = 0;
  pid = 0;
  #running = false;
  #ended: Promise<number | string> = Promise.resolve(0);

  constructor(home: Supervised, uid: number | undefined) {
    this.home = home;
    this.uid = uid;
    this.binaries = findBinaries(home.folder, uid);
  }

  path(name: string): string {
    return join(this.home.folder, name);
  }

  /** Writes a file that only the server's user may read, as PostgreSQL demands for keys. */
  write(name: string, text: string): string {
    const path = this.path(name);
    writeFileSync(path, text);
    chmodSync(path, 0o600);
    if (this.uid !== undefined) chownSync(path, this.uid, this.uid);
    return path;
  }

  async initialise(): Promise<void> {
    const pwfile = this.write('password', this.password);
    const how = ['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'];
    const args = ['-D', this.path('data'), '-U', 'postgres', `--pwfile=${pwfile}`, ...how];
    const log = this.path('initdb.log');
    await this.home.start({ command: this.binaries.initdb, args, log, uid: this.uid });
    if ((await this.home.ended()) !== 0) throw new Error(`initdb failed:\n${readFileSync(log, 'utf8')}`);
  }

  /** A copy of what another server has, and where more of it comes from. */
  follow(primary: NonNullable<EmbeddedOptions['replicaOf']>): void {
    this.password = primary.password;
    cpSync(join(primary.socketDir, 'data'), this.path('data'), { recursive: true });
    this.write('data/standby.signal', '');
    chmodSync(this.path('data'), 0o700);
    if (this.uid === undefined) return;
    const copied = readdirSync(this.path('data'), { recursive: true, encoding: 'utf8' });
    for (const name of ['', ...copied]) chownSync(join(this.path('data'), name), this.uid, this.uid);
  }

  configure({ flags = {}, hba = [], ssl, replicaOf }: EmbeddedOptions): void {
    const settings: Record<string, string> = {
      ...FLAGS,
      listen_addresses: LOOPBACK,
      unix_socket_directories: this.home.folder,
      ...(ssl && {
        ssl: 'on',
        ssl_cert_file: this.write('tls.crt', ssl.cert),
        ssl_key_file: this.write('tls.key', ssl.key),
      }),
      ...(ssl?.ca !== undefined && { ssl_ca_file: this.write('tls-ca.crt', ssl.ca) }),
      ...(replicaOf && {
        primary_conninfo: `host=${LOOPBACK} port=${replicaOf.port} user=postgres password=${replicaOf.password}`,
      }),
      ...flags,
    };
    const lines = Object.entries(settings).map(
      ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`,
    );
    this.write('data/postgresql.auto.conf', lines.join(''));
    this.write('data/pg_hba.conf', [...hba, ...HBA, ''].join('\n'));
  }

  /** @returns whether it takes connections; false if it ended instead, for instance because the port was taken */
  async run(port: number): Promise<boolean> {
    const args = ['-D', this.path('data'), '-p', String(port)];
    const log = this.path('postgres.log');
    this.pid = await this.home.start({ command: this.binaries.postgres, args, log, uid: this.uid });
    this.port = port;
    this.#running = true;
    this.#ended = this.home.ended().finally(() => {
      this.#running = false;
    });
    const deadline = Date.now() + READY_MS;
    while (this.#running && Date.now() < deadline) {
      if (await ping(LOOPBACK, port)) return this.#running;
      await sleep(20);
    }
    if (this.#running)
      throw new Error(`PostgreSQL takes no connections after ${READY_MS} ms:\n${this.log()}`);
    return false;
  }

  async ended(): Promise<void> {
    await this.#ended;
  }

  async restart(): Promise<void> {
    await this.#ended;
    // After a SIGKILL the backends need a moment to notice, and hold the shared memory until then.
    for (let attempt = 0; attempt < 50; attempt += 1) {
      if (await this.run(this.port)) return;
      await sleep(100);
    }
    throw new Error(`PostgreSQL does not start again:\n${this.log()}`);
  }

  log(): string {
    return readFileSync(this.path('postgres.log'), 'utf8');
  }
}

async function start(cluster: Cluster, options: EmbeddedOptions): Promise<void> {
  if (options.replicaOf) cluster.follow(options.replicaOf);
  else await cluster.initialise();
  cluster.configure(options);
  // The port may be taken between finding and using it.
  for (let attempt = 0; attempt < 5; attempt += 1) {
    if (await cluster.run(await freePort())) return;
  }
  throw new Error(`PostgreSQL does not start:\n${cluster.log()}`);
}

/**
 * Starts a server in a temporary folder; as root it runs as `nobody`. It ends with this process, however that ends.
 * @throws Error if no programs are found, or with the server's log if it does not start
 */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedServer> {
  const uid = getuid?.() === 0 ? NOBODY : undefined;
  const home = await Supervised.open('postern-postgres', uid);
  try {
    const cluster = new Cluster(home, uid);
    await start(cluster, options);
    return {
      host: LOOPBACK,
      port: cluster.port,
      socketDir: home.folder,
      superuser: 'postgres',
      password: cluster.password,
      version: cluster.binaries.version,
      get pid() {
        return cluster.pid;
      },
      logFile: cluster.path('postgres.log'),
      kill: (signal) => void process.kill(cluster.pid, signal),
      ended: () => cluster.ended(),
      restart: () => cluster.restart(),
      stop: () => home.close(),
    };
  } catch (error) {
    await home.close();
    throw error;
  }
}
