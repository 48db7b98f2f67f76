/** The demo's database: two roles and a table, made on a server and removed at the end. */
import { randomBytes } from 'node:crypto';
import { serverAt } from './server.ts';
import type { Server } from './server.ts';
import { SqlConnection } from './sql-connection.ts';
import { removal, rolesAndDatabase, tables } from './tables.ts';
import type { Names, Passwords } from './tables.ts';

/** What the gateway's config needs to know, and how to undo it all. */
export interface DemoDatabase {
  readonly host: string;
  readonly port: number;
  /** For people: where it is and whose. */
  readonly description: string;
  /** Real names on the server. */
  readonly names: Names;
  readonly passwords: Passwords;
  /** Drops what was made; stops the server if it is the demo's own. */
  remove(): Promise<void>;
}

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

const secret = (): string => randomBytes(18).toString('base64url');

/**
 * Makes a database, two roles and a table.
 * @param url a superuser's connection to a running server. Default: a temporary server is started
 * @throws ConfigError for a bad URL; Error if the server cannot be started or reached
 */
export async function createDemoDatabase(url: string | undefined): Promise<DemoDatabase> {
  const server = await serverAt(url);
  const { host, port, description, names } = server;
  const passwords = { reader: secret(), writer: secret() };
  const remove = async (): Promise<void> => {
    if (server.stays) await run(server, server.database, removal(names));
    await server.stop();
  };
  try {
    await run(server, server.database, rolesAndDatabase(names, passwords));
    await run(server, names.database, tables(names));
  } catch (error) {
    await remove().catch(() => undefined);
    throw error;
  }
  return { host, port, description, names, passwords, remove };
}
