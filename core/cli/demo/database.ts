/** The demo's database: two roles and a table, on a temporary server or on one that runs already, removed at the end. */
import { randomBytes } from 'node:crypto';
import { ConfigError } from '../../errors.ts';
import { startEmbedded } from '../embedded/server.ts';
import { SqlConnection } from './sql-connection.ts';

/** A superuser's way in. */
interface Server {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** The database to connect to first. */
  readonly database: string;
  /** For people: where it is and whose. */
  readonly description: string;
  /** Appended to every name made there, so that nothing of the owner's is touched. */
  readonly suffix: string;
  stop(): Promise<void>;
}

/** What the gateway's config needs to know, and how to undo it all. */
export interface DemoDatabase {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly description: string;
  /** Real names on the server, with their passwords. */
  readonly reader: { readonly role: string; readonly password: string };
  readonly writer: { readonly role: string; readonly password: string };
  /** Drops what was made; stops the server if it is the demo's own. */
  remove(): Promise<void>;
}

async function temporaryServer(): Promise<Server> {
  const server = await startEmbedded();
  const { host, port, superuser, password, version } = server;
  const description = `PostgreSQL ${version} on ${host} port ${port}, temporary`;
  return {
    host,
    port,
    user: superuser,
    password,
    database: 'postgres',
    description,
    suffix: '',
    stop: () => server.stop(),
  };
}

/** @throws ConfigError if the URL is not one, or does not say who logs in */
function givenServer(url: string): Server {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (
    !parsed ||
    !/^postgres(ql)?:$/.test(parsed.protocol) ||
    parsed.hostname === '' ||
    parsed.username === ''
  ) {
    throw new ConfigError(
      '--database wants a URL such as postgres://postgres:password@127.0.0.1:5432/postgres',
    );
  }
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = Number(parsed.port || '5432');
  return {
    host,
    port,
    user: decodeURIComponent(parsed.username),
    password: decodeURIComponent(parsed.password),
    database: decodeURIComponent(parsed.pathname.slice(1)) || 'postgres',
    description: `PostgreSQL on ${host} port ${port}, yours`,
    suffix: `_${randomBytes(4).toString('hex')}`,
    stop: async () => undefined,
  };
}

const TABLE = `create table orders as
  select * from (values (1, 'Ada', 120), (2, 'Grace', 80), (3, 'Edsger', 45)) as row (id, customer, amount)`;

async function run(server: Server, database: string, statements: readonly string[]): Promise<void> {
  // Verified TLS for hosts that are not loopback, as for any database entry without `tls`.
  const options = { host: server.host, port: server.port, login: { kind: 'trust' as const } };
  const connection = await SqlConnection.direct(options, { ...server, database });
  try {
    for (const statement of statements) await connection.rows(statement);
  } finally {
    connection.close();
  }
}

interface Names {
  readonly name: string;
  readonly reader: string;
  readonly writer: string;
}

async function create(
  server: Server,
  { name, reader, writer }: Names,
  passwords: readonly string[],
): Promise<void> {
  await run(server, server.database, [
    `create role ${reader} login password '${passwords[0]}'`,
    `create role ${writer} login password '${passwords[1]}'`,
    `create database ${name}`,
  ]);
  await run(server, name, [
    TABLE,
    `grant select on orders to ${reader}, ${writer}`,
    `grant insert, update, delete on orders to ${writer}`,
  ]);
}

async function drop(server: Server, { name, reader, writer }: Names): Promise<void> {
  await run(server, server.database, [
    `drop database if exists ${name} with (force)`,
    `drop role if exists ${reader}`,
    `drop role if exists ${writer}`,
  ]);
}

/**
 * Makes a database, two roles and a table.
 * @param url a superuser's connection to a running server. Default: a temporary server is started
 * @throws ConfigError for a bad URL; Error if the server cannot be started or reached
 */
export async function createDemoDatabase(url: string | undefined): Promise<DemoDatabase> {
  const server = url === undefined ? await temporaryServer() : givenServer(url);
  const prefix = server.suffix === '' ? '' : 'postern_demo';
  const named = (name: string): string => (prefix === '' ? name : `${prefix}_${name}${server.suffix}`);
  const names = { name: named('demo'), reader: named('reader'), writer: named('writer') };
  const passwords = [randomBytes(18).toString('base64url'), randomBytes(18).toString('base64url')] as const;
  const remove = async (): Promise<void> => {
    if (server.suffix !== '') await drop(server, names);
    await server.stop();
  };
  try {
    await create(server, names, passwords);
  } catch (error) {
    await remove().catch(() => undefined);
    throw error;
  }
  return {
    host: server.host,
    port: server.port,
    name: names.name,
    description: server.description,
    reader: { role: names.reader, password: passwords[0] },
    writer: { role: names.writer, password: passwords[1] },
    remove,
  };
}
