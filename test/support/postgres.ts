/** Real PostgreSQL for tests: one server shared by all files, and servers of their own for tests that stop or bend one. */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import type { QueryResult } from 'pg';
import { afterAll, inject } from 'vitest';
import { startEmbedded } from './embedded/server.ts';
import type { EmbeddedOptions, EmbeddedServer } from './embedded/server.ts';

/** A role that tests map tokens to. */
export type TestRole = 'reader' | 'writer';

/** What is known of a server: plain data, so that it can cross from vitest's main process into a test file. */
export interface PostgresAddress {
  readonly host: string;
  readonly port: number;
  readonly socketDir: string;
  readonly superuser: 'postgres';
  readonly password: string;
  /** Major version. */
  readonly version: number;
  readonly logFile: string;
  /** Passwords of the roles `reader` and `writer`, which may log in and nothing else. */
  readonly passwords: Readonly<Record<TestRole, string>>;
}

declare module 'vitest' {
  interface ProvidedContext {
    postgres: PostgresAddress;
  }
}

/** A server that a test talks to directly. */
export interface Postgres extends PostgresAddress {
  /** A connection URL. Default: database `postgres` as the superuser. */
  url(database?: string, user?: string, password?: string): string;
  /** Runs SQL as the superuser; the rows of its last statement. */
  sql(text: string, database?: string): Promise<Record<string, unknown>[]>;
  /** The server's log so far: connections and disconnections are in it. */
  log(): string;
}

/** A server of this test's own. */
export interface OwnPostgres extends Postgres {
  readonly pid: number;
  /** Signals the postmaster; SIGKILL is a crash. */
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the postmaster has ended. */
  ended(): Promise<void>;
  /** Starts it again after `kill`, same port, same data. */
  restart(): Promise<void>;
  /** Stops this primary; starts it again as a replica of `heir`, one of its replicas, when that has been promoted. */
  handOverTo(heir: OwnPostgres): Promise<void>;
  stop(): Promise<void>;
}

function handle(address: PostgresAddress): Postgres {
  const url = (database = 'postgres', user = 'postgres', password = address.password): string =>
    `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${address.host}:${address.port}/${database}`;
  return {
    ...address,
    url,
    async sql(text, database) {
      const client = new Client({ connectionString: url(database) });
      await client.connect();
      try {
        const results = [await client.query(text)].flat() as QueryResult<Record<string, unknown>>[];
        return results.at(-1)?.rows ?? [];
      } finally {
        await client.end();
      }
    },
    log: () => (existsSync(address.logFile) ? readFileSync(address.logFile, 'utf8') : ''),
  };
}

async function prepare(server: EmbeddedServer): Promise<PostgresAddress> {
  const { host, port, socketDir, superuser, password, version, logFile } = server;
  const passwords = { reader: randomBytes(9).toString('hex'), writer: randomBytes(9).toString('hex') };
  const address = { host, port, socketDir, superuser, password, version, logFile, passwords };
  const roles = Object.entries(passwords).map(
    ([role, secret]) => `create role ${role} login password '${secret}'`,
  );
  await handle(address).sql(roles.join('; '));
  return address;
}

const LOGGED = { log_connections: 'on', log_disconnections: 'on' };

/** A primary with its replicas, which stream from it. */
export interface ReplicatedPostgres {
  readonly primary: OwnPostgres;
  readonly replicas: readonly OwnPostgres[];
  stop(): Promise<void>;
}

/** Starts them, as {@link startPostgres} does each. Stop them in `afterAll`. */
export async function startReplicated(
  replicas: number,
  options: EmbeddedOptions = {},
): Promise<ReplicatedPostgres> {
  const primary = await startPostgres(options);
  const started = [primary];
  const stop = async (): Promise<void> => void (await Promise.all(started.map((one) => one.stop())));
  try {
    // What is copied must not change meanwhile.
    primary.kill('SIGINT');
    await primary.ended();
    for (let number = 0; number < replicas; number += 1) started.push(await replicaOf(primary, options));
    await primary.restart();
  } catch (error) {
    await stop();
    throw error;
  }
  return { primary, replicas: started.slice(1), stop };
}

/** Starts a server of the caller's own, with the roles and with connections logged. Stop it in `afterAll`. */
export async function startPostgres(options: EmbeddedOptions = {}): Promise<OwnPostgres> {
  const server = await startEmbedded({ ...options, flags: { ...LOGGED, ...options.flags } });
  try {
    return own(server, await prepare(server));
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Takes connections when it has what the primary had when it was stopped. */
async function replicaOf(primary: OwnPostgres, options: EmbeddedOptions): Promise<OwnPostgres> {
  const server = await startEmbedded({
    ...options,
    flags: { ...LOGGED, ...options.flags },
    replicaOf: primary,
  });
  const { host, port, socketDir, superuser, password, version, logFile } = server;
  const { passwords } = primary;
  return own(server, { host, port, socketDir, superuser, password, version, logFile, passwords });
}

function own(server: EmbeddedServer, address: PostgresAddress): OwnPostgres {
  return {
    ...handle(address),
    get pid() {
      return server.pid;
    },
    kill: (signal) => {
      server.kill(signal);
    },
    ended: () => server.ended(),
    restart: () => server.restart(),
    async handOverTo(heir) {
      const source = `host=${heir.host} port=${heir.port} user=postgres password=${heir.password}`;
      await handle(address).sql(`alter system set primary_conninfo = '${source}'`);
      server.kill('SIGINT');
      await server.ended();
      await heir.sql('select pg_promote()');
      const signal = join(server.socketDir, 'data', 'standby.signal');
      writeFileSync(signal, '');
      // The server opens it for writing, as a user of its own.
      chmodSync(signal, 0o666);
      await server.restart();
    },
    stop: () => server.stop(),
  };
}

/** The server that all test files share. Use {@link freshDatabase} to have tables of your own. */
export function sharedPostgres(): Postgres {
  return handle(inject('postgres'));
}

/** A new database on the shared server, dropped after the file's last test; what it gives is its name. */
export async function freshDatabase(): Promise<string> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const postgres = sharedPostgres();
  await postgres.sql(`create database ${name}`);
  afterAll(async () => {
    await postgres.sql(`drop database ${name} with (force)`);
  });
  return name;
}
