/** The clients of the table in core/client/README.md, and how each logs in; a text where one is not to be had here. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { Client } from 'pg';
import postgres from 'postgres';
import { executable } from '../../executable.ts';
import { goCommand, javaCommand, newestLibpq } from '../features/builds.ts';
import { fileHere } from '../features/index.ts';
import { version as nodePostgresVersion } from '../features/node-postgres.ts';
import { version as postgresJsVersion } from '../features/postgres-js.ts';
import { readLogins } from './ways.ts';
import type { Logins, Said, Try, Way } from './ways.ts';

const run = promisify(execFile);

/** Tries all of them, one after the other. */
export type LoginProgram = (tries: readonly Try[]) => Promise<Logins>;

/** A row of the table. */
export interface LoginClient {
  readonly name: string;
  /** What is written on the client's side, in the words of the table. */
  readonly note: string;
  readonly find: () => Promise<LoginProgram | string>;
}

const MS = 120_000;

/** A program that reads the tries as JSON from its standard input. */
async function printed(
  path: string,
  args: readonly string[],
  tries: readonly Try[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Logins> {
  const child = spawn(path, args, { env, timeout: MS });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stdin.end(JSON.stringify(tries));
  await once(child, 'close');
  return readLogins(text);
}

/** Tries of this process. */
async function tried(
  version: string,
  tries: readonly Try[],
  login: (one: Try) => Promise<string>,
): Promise<Logins> {
  const said = new Map<Way, Said>();
  for (const one of tries) {
    const outcome = await login(one).then(
      (role) => ({ role }),
      (error: unknown) => ({ error: String(error) }),
    );
    said.set(one.way, outcome);
  }
  return { version, said };
}

const tlsOf = ({ way, ca, cert, key }: Try) => ({
  ca: readFileSync(ca),
  ...(way === 'certificate' && { cert: readFileSync(cert), key: readFileSync(key) }),
});

async function byPsql(path: string, one: Try): Promise<string> {
  const { way, port, user, password, ca, cert, key, issuer } = one;
  const more: Partial<Record<Way, string>> = {
    oauthbearer: `oauth_issuer=${issuer} oauth_client_id=psql`,
    'channel binding': 'channel_binding=require',
    certificate: `sslcert=${cert} sslkey=${key}`,
  };
  const address = `host=localhost hostaddr=127.0.0.1 port=${port} user=${user} dbname=orders sslmode=verify-full sslrootcert=${ca} ${more[way] ?? ''}`;
  const env = { ...process.env, ...(password !== undefined && { PGPASSWORD: password }) };
  const { stdout } = await run(path, ['-XAtwq', address, '-c', 'select session_user'], { env, timeout: MS });
  return stdout.trim();
}

async function psql(): Promise<LoginProgram | string> {
  const path = executable('psql');
  if (path === undefined) return 'psql is not installed here';
  const { stdout } = await run(path, ['--version']);
  return (tries) => tried(/[\d.]+/.exec(stdout)?.[0] ?? '', tries, (one) => byPsql(path, one));
}

/** @throws Error where it proves the password without binding it */
async function byNodePostgres(one: Try): Promise<string> {
  const { way, port, user, password } = one;
  const bound = way === 'channel binding';
  const client = new Client({
    host: 'localhost',
    port,
    user,
    database: 'orders',
    ssl: tlsOf(one),
    ...(password !== undefined && { password }),
    enableChannelBinding: bound,
  });
  client.on('error', () => {});
  const { connection } = client as unknown as {
    connection: { sendSASLInitialResponseMessage(mechanism: string, response: string): void };
  };
  const send = connection.sendSASLInitialResponseMessage.bind(connection);
  let mechanism = '';
  connection.sendSASLInitialResponseMessage = (name, response) => {
    mechanism = name;
    send(name, response);
  };
  try {
    await client.connect();
    if (bound && !mechanism.endsWith('-PLUS')) throw new Error(`it took ${mechanism}`);
    const { rows } = await client.query<{ role: string }>('select session_user::text as role');
    return rows[0]?.role ?? '';
  } finally {
    await client.end().catch(() => {});
  }
}

async function byPostgresJs(one: Try): Promise<string> {
  const { way, port, user, password } = one;
  if (way === 'channel binding') throw new Error('it has none');
  const sql = postgres({
    host: 'localhost',
    port,
    user,
    database: 'orders',
    max: 1,
    ssl: tlsOf(one),
    connect_timeout: 20,
    ...(password !== undefined && { password }),
  });
  try {
    const [row] = await sql<{ role: string }[]>`select session_user::text as role`;
    return row?.role ?? '';
  } finally {
    await sql.end({ timeout: 1 });
  }
}

const PYTHON = ['-B', fileHere('../logins/logins.py')];

/** Debian's drivers. */
const python = (driver: string) => async (): Promise<LoginProgram | string> => {
  const found = ['/usr/bin/python3', executable('python3')].filter((path) => path !== undefined);
  for (const path of found) {
    const has = await run(path, ['-c', `import ${driver}`]).then(
      () => true,
      () => false,
    );
    if (has) return (tries) => printed(path, [...PYTHON, driver], tries);
  }
  return `no Python here has ${driver}`;
};

async function libpq18(): Promise<LoginProgram | string> {
  const found = await newestLibpq();
  if (typeof found === 'string') return found;
  return (tries) => printed(found.python, [...PYTHON, 'psycopg'], tries, found.env);
}

const go = (driver: string) => async (): Promise<LoginProgram | string> => {
  const command = await goCommand('../logins/go');
  return typeof command === 'string' ? command : (tries) => printed(command.path, [driver], tries);
};

async function pgjdbc(): Promise<LoginProgram | string> {
  const command = await javaCommand('../logins/PgjdbcLogins.java');
  if (typeof command === 'string') return command;
  return async (tries) => {
    const places = tries.map(({ way, port, user, password = '', ca, cert, pk8 }) =>
      [way, port, user, password, ca, cert, pk8].join('|'),
    );
    const { stdout } = await run(command.path, [...command.args, ...places], { timeout: MS });
    const { version, said } = readLogins(stdout);
    return { version: /\d+\.\d+\.\d+/.exec(version)?.[0] ?? version, said };
  };
}

/** In the order of the table. */
export const CLIENTS: readonly LoginClient[] = [
  {
    name: 'psql',
    note: '`PGPASSWORD` or a password file; `channel_binding=require`; `sslcert`, `sslkey`',
    find: psql,
  },
  {
    name: 'psycopg 3',
    note: '`password`, `channel_binding="require"`, `sslcert`, `sslkey`',
    find: python('psycopg'),
  },
  {
    name: 'psycopg 3, libpq 18',
    note: 'as well `require_auth`, and `oauth_issuer`, `oauth_client_id` with libpq’s hook for the token',
    find: libpq18,
  },
  {
    name: 'node-postgres',
    note: '`password`, also a function; `enableChannelBinding`; `ssl: { cert, key }`',
    find: async () => (tries) => tried(nodePostgresVersion, tries, byNodePostgres),
  },
  {
    name: 'postgres.js',
    note: '`password`, also a function; `ssl: { cert, key }`',
    find: async () => (tries) => tried(postgresJsVersion, tries, byPostgresJs),
  },
  { name: 'asyncpg', note: '`password`, also a function; `ssl`, a context', find: python('asyncpg') },
  {
    name: 'pgx',
    note: '`Password`, in `BeforeConnect`; `OAuthTokenProvider`; `channel_binding=require`; `sslcert`, `sslkey`',
    find: go('pgx'),
  },
  { name: 'lib/pq', note: '`password`; `sslcert`, `sslkey`', find: go('libpq') },
  { name: 'pgjdbc', note: '`password`; `sslcert`, `sslkey` (PKCS #8 in DER)', find: pgjdbc },
];
