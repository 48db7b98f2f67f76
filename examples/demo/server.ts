/** The PostgreSQL server behind the demo's gateway: a temporary one, or one that runs already. */
import { randomBytes } from 'node:crypto';
import { ConfigError } from '../../core/contract/errors.ts';
import { startEmbedded } from '../../test/support/embedded/server.ts';
import type { Names } from './tables.ts';

/** A superuser's way in. */
export interface Server {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** The database to connect to first. */
  readonly database: string;
  /** For people: where it is and whose. */
  readonly description: string;
  /** For what is made there: on a server with an owner, names that nobody else has. */
  readonly names: Names;
  /** Whether it runs on after `stop`: what was made there has to be removed. */
  readonly stays: boolean;
  stop(): Promise<void>;
}

async function temporary(): Promise<Server> {
  const server = await startEmbedded();
  const { host, port, superuser, password, version } = server;
  return {
    host,
    port,
    user: superuser,
    password,
    database: 'postgres',
    description: `PostgreSQL ${version} on ${host} port ${port}, temporary`,
    names: { database: 'demo', reader: 'reader', writer: 'writer' },
    stays: false,
    stop: () => server.stop(),
  };
}

/** @throws ConfigError if the URL is not one, or does not say who logs in */
function given(url: string): Server {
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
  const suffix = randomBytes(4).toString('hex');
  const named = (what: string): string => `postern_demo_${what}_${suffix}`;
  return {
    host,
    port,
    user: decodeURIComponent(parsed.username),
    password: decodeURIComponent(parsed.password),
    database: decodeURIComponent(parsed.pathname.slice(1)) || 'postgres',
    description: `PostgreSQL on ${host} port ${port}, yours`,
    names: { database: named('demo'), reader: named('reader'), writer: named('writer') },
    stays: true,
    stop: async () => undefined,
  };
}

/**
 * The server at a superuser's URL.
 * @param url Default: a temporary server, which is started
 * @throws ConfigError for a bad URL; Error if the temporary server cannot be started
 */
export async function serverAt(url: string | undefined): Promise<Server> {
  return url === undefined ? temporary() : given(url);
}
