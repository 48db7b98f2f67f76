/** A gateway process in front of a server: tokens of one issuer, roles by claim, and clients that log in there. */
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import { vi } from 'vitest';
import { GatewayProcess } from './gateway-process.ts';
import type { GatewayFiles } from './gateway-process.ts';
import { workersOf } from './only-one-worker.ts';
import type { PostgresAddress } from './postgres.ts';
import { issuer } from './token.ts';
import type { TokenIssuer } from './token.ts';

/** What differs from the usual; texts are TypeScript as it stands in a config file. */
export interface TokenGatewayOptions {
  /** Members of `listen` behind `port: 0`. */
  readonly listen?: string;
  /** Members of the entry `orders`. */
  readonly database?: string;
  /** More entries of `databases`. */
  readonly databases?: string;
  /** Entries of `plugins` behind `jwt` and `roles`. */
  readonly plugins?: string;
  /** Further members of the config. */
  readonly more?: string;
  /** Statements between the imports and the config. */
  readonly before?: string;
  /** The roles that tokens may take. Default `reader` and `writer`. */
  readonly roles?: readonly string[];
  /** Passwords of roles besides those the server came with. */
  readonly passwords?: Readonly<Record<string, string>>;
  /** More arguments of `postern start`. */
  readonly args?: readonly string[];
  /** As in {@link GatewayFiles}. */
  readonly command?: GatewayFiles['command'];
  /** Texts of more files beside the config, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** More environment variables of the process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Why it has one worker, however many the tests run with. `more` may say how many it has in any case. */
  readonly onlyOne?: string;
}

/** The process, and who makes tokens for it. */
export interface TokenGateway {
  readonly gateway: GatewayProcess;
  readonly issuer: TokenIssuer;
  /** How to connect to `orders` with a token whose `role` is this. */
  address(role?: string): { host: string; port: number; user: string; database: string; password: string };
  /** A node-postgres client that is logged in. Its errors outside of queries are swallowed. */
  login(role?: string, more?: ClientConfig): Promise<Client>;
  /** Variables that make libpq connect to `orders`. */
  environment(role?: string): NodeJS.ProcessEnv;
}

function configText(postgres: PostgresAddress, keys: TokenIssuer, options: TokenGatewayOptions): string {
  const { roles = ['reader', 'writer'], listen = '', database = '', databases = '' } = options;
  const passwords = JSON.stringify({ ...postgres.passwords, ...options.passwords });
  return `import { defineConfig, only, parseSchema } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';
const login = { kind: 'password', passwords: ${passwords} } as const;
const server = { host: '127.0.0.1', port: ${postgres.port}, database: 'postgres', login, pool: { idleTimeout: '200ms' } } as const;
${options.before ?? ''}
export default defineConfig({
  listen: { port: 0, ${listen} },
  databases: { orders: { ...server, ${database} }, ${databases} },
  plugins: [
    jwt({ issuers: [{ issuer: '${keys.issuer}', audience: '${keys.audience}', jwks: 'jwks.json' }] }),
    roles({ claim: 'role', allow: ${JSON.stringify(roles)} }),
    ${options.plugins ?? ''}
  ],
  workers: ${workersOf(options.onlyOne)},
  ${options.more ?? ''}
});
`;
}

/** Starts it. End it by `gateway.remove()`. */
export async function startTokenGateway(
  postgres: PostgresAddress,
  options: TokenGatewayOptions = {},
): Promise<TokenGateway> {
  const keys = issuer({ algorithms: ['ES256', 'RS256', 'PS256'] });
  const files = { ...options.files, 'jwks.json': JSON.stringify(keys.jwks) };
  const { args = [], env = {}, command } = options;
  const gateway = await GatewayProcess.start({
    config: configText(postgres, keys, options),
    files,
    args,
    env,
    ...(command && { command }),
  });
  const workers = workersOf(options.onlyOne);
  // One that is still beginning reads files that the test has changed already, and has all reload them.
  if (workers > 1)
    await vi.waitUntil(() => gateway.lines('worker ready').length === workers, { timeout: 60_000 });
  const address: TokenGateway['address'] = (role = 'reader') => ({
    host: '127.0.0.1',
    port: gateway.port,
    user: '_',
    database: 'orders',
    password: keys.sign({ role }),
  });
  return {
    gateway,
    issuer: keys,
    address,
    async login(role, more) {
      const client = new Client({ ...address(role), ...more });
      client.on('error', () => {});
      await client.connect();
      return client;
    },
    environment(role) {
      const { host, port, user, database, password } = address(role);
      return {
        ...process.env,
        PGHOST: host,
        PGPORT: String(port),
        PGUSER: user,
        PGDATABASE: database,
        PGPASSWORD: password,
        PGSSLMODE: 'disable',
      };
    },
  };
}
