/** Sessions of real clients through a gateway with `jwt` and `roles`, and how each of them ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { DatabaseError } from 'pg';
import { onTestFinished } from 'vitest';
import type { AnyPlugin, GatewayConfig, PoolOptions } from '../../core/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import type { JwtOptions } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer, now } from '../support/token.ts';

/** The issuer of all tokens here. */
export const tokens = issuer({ algorithms: ['ES256'] });
/** Its neighbour, whose tokens are good as well. */
export const foreign = issuer({ algorithms: ['ES256'], issuer: 'https://other.example' });

/** What a test chooses. */
export interface Setting {
  readonly jwt?: Partial<JwtOptions>;
  readonly mode?: 'session' | 'transaction';
  readonly pool?: PoolOptions;
  readonly database?: string;
  readonly plugins?: readonly AnyPlugin[];
  readonly more?: Partial<GatewayConfig>;
}

/** A config with them; a reload needs a new one. */
export function configFor(setting: Setting = {}): Pick<GatewayConfig, 'databases' | 'plugins' | 'admin'> {
  const { mode = 'session', database = 'postgres', plugins = [] } = setting;
  const pool = { mode, idleTimeout: '200ms', ...setting.pool } as const;
  return {
    databases: { orders: databaseOf(sharedPostgres(), { database, pool }) },
    admin: { port: 0, operators: { claim: 'operator', value: 'yes' } },
    plugins: [
      jwt({ issuers: [tokens.options, foreign.options], ...setting.jwt }),
      roles({ claim: 'role', allow: ['reader', 'writer'] }),
      ...plugins,
    ],
    ...setting.more,
  };
}

/** Starts it until the test ends. */
export async function tokenGateway(setting?: Setting): Promise<RunningGateway> {
  const running = await startGateway(configFor(setting));
  onTestFinished(() => running.gateway.stop());
  return running;
}

/** A logged-in client, what it heard, and its end. */
export interface TokenSession {
  readonly client: Client;
  /** Messages of notices, with their hints. */
  readonly notices: readonly string[];
  /** Resolves with the FATAL that ended it, or with undefined if there was none. */
  readonly ended: Promise<DatabaseError | undefined>;
  readonly isOpen: () => boolean;
}

/** Logs in. @throws what the login is refused with */
export async function session({ port }: { readonly port: number }, token: string): Promise<TokenSession> {
  const client = new Client({ host: '127.0.0.1', port, user: '_', database: 'orders', password: token });
  const notices: string[] = [];
  let last: DatabaseError | undefined;
  let open = true;
  client.on('notice', ({ message, hint }) => notices.push(`${message} ${hint}`));
  client.on('error', (error: Error) => {
    if ((error as DatabaseError).severity === 'FATAL') last = error as DatabaseError;
  });
  const ended = new Promise<DatabaseError | undefined>((resolve) => {
    client.once('end', () => {
      open = false;
      resolve(last);
    });
  });
  await client.connect();
  onTestFinished(() => (open ? client.end() : undefined));
  return { client, notices, ended, isOpen: () => open };
}

/** A token that is good for so many seconds. */
export function shortToken(seconds: number, claims: Readonly<Record<string, unknown>> = {}): string {
  const iat = now();
  return tokens.sign({ iat, exp: iat + seconds, ...claims });
}

/** The error that `work` ends in. @throws Error if it ends well */
export async function errorOf(work: Promise<unknown>): Promise<DatabaseError> {
  try {
    await work;
  } catch (error) {
    return error as DatabaseError;
  }
  throw new Error('it went well');
}

/** Until the wall clock, by which tokens expire, is past this many seconds since the epoch. */
export async function past(seconds: number): Promise<void> {
  while (Date.now() <= seconds * 1_000 + 200) await sleep(50);
}
