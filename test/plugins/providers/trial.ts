/** A provider's tokens tried: through a gateway with the config of the document, by a real client, to a real PostgreSQL. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import type { DatabaseError } from 'pg';
import { loadConfig } from '../../../core/load.ts';
import { runGateway } from '../../support/gateway.ts';
import type { RunningGateway } from '../../support/gateway.ts';
import type { PostgresAddress } from '../../support/postgres.ts';
import { startProvider } from './local-provider.ts';
import type { LocalParts, LocalProvider } from './local-provider.ts';
import type { Provider, TokenCase } from './provider.ts';

/** What a login with a token came to. */
export interface Outcome {
  readonly token: TokenCase;
  /** The role that PostgreSQL has, where the login went well. */
  readonly role?: string;
  /** What the client read, where it was refused. */
  readonly sqlstate?: string | undefined;
  /** What the operator reads, with the provider's own addresses. */
  readonly reason?: string;
}

/** All that a provider's tokens came to. */
export interface Trial {
  readonly granted: readonly Outcome[];
  readonly refused: readonly Outcome[];
  /** Everything the gateway logged. */
  readonly log: string;
  /** Requests for keys that lacked the bearer token. */
  readonly unauthorised: number;
}

/** The whole file around what the document shows. */
export function configFile(plugins: string, databases: string): string {
  return `import { defineConfig } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';
export default defineConfig({
  listen: { port: 0 },
  databases: ${databases},
  ${plugins},
});
`;
}

function databasesOf({ host, port, passwords }: PostgresAddress): string {
  const login = { kind: 'password', passwords };
  return JSON.stringify({
    orders: { host, port, database: 'postgres', login, pool: { idleTimeout: '100ms' } },
  });
}

/** The reason of the last refusal: of the token, or else of the login. */
function reasonIn(running: RunningGateway, known: number): string {
  const lines = running.log().slice(known);
  const line =
    lines.find(({ msg }) => msg === 'token refused') ?? lines.find(({ msg }) => msg === 'login refused');
  return String(line?.['reason']);
}

async function logIn(running: RunningGateway, local: LocalProvider, token: TokenCase): Promise<Outcome> {
  const known = running.log().length;
  const password = local.token(token);
  const client = new Client({
    host: '127.0.0.1',
    port: running.port,
    user: '_',
    database: 'orders',
    password,
  });
  try {
    await client.connect();
  } catch (error) {
    const reason = local.original(reasonIn(running, known));
    return { token, sqlstate: (error as DatabaseError).code, reason };
  }
  try {
    const { rows } = await client.query<{ role: string }>('select session_user as role');
    return { token, ...rows[0] };
  } finally {
    await client.end();
  }
}

/** Logs in with every token of the provider, one after the other. */
export async function tryProvider(
  provider: Provider,
  postgres: PostgresAddress,
  parts: LocalParts,
): Promise<Trial> {
  const local = await startProvider(provider, parts);
  try {
    const file = join(parts.folder, 'gateway.config.ts');
    writeFileSync(file, configFile(local.config, databasesOf(postgres)));
    const running = await runGateway(await loadConfig(file));
    try {
      const tried = async (tokens: readonly TokenCase[]): Promise<readonly Outcome[]> => {
        const outcomes: Outcome[] = [];
        for (const token of tokens) outcomes.push(await logIn(running, local, token));
        return outcomes;
      };
      const [granted, refused] = [await tried(provider.granted), await tried(provider.refused)];
      return { granted, refused, log: running.text(), unauthorised: local.unauthorised() };
    } finally {
      await running.gateway.stop();
    }
  } finally {
    await local.stop();
  }
}
