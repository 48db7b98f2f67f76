/** A gateway with operators: their tokens, those of others, the console, and the operators' HTTP interface. */
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import type { DatabaseOptions } from '../../core/contract/database.ts';
import type { Coordination } from '../../core/workers/coordination.ts';
import { console } from '../../plugins/console/index.ts';
import type { ConsoleOptions } from '../../plugins/console/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { operations } from '../../plugins/operations/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { databaseOf, startGateway, startWorker } from './gateway.ts';
import type { RunningGateway, TestConfig } from './gateway.ts';
import type { PostgresAddress } from './postgres.ts';
import { issuer } from './token.ts';

/** The claim that makes an operator here. */
const OPERATORS = { claim: 'groups', value: 'dba' };

/** Issuers whose tokens the gateway takes; only the first one makes operators. */
export const home = issuer({ algorithms: ['ES256'] });
/** A partner: good tokens, no operators. */
export const partner = issuer({ issuer: 'https://partner.example', algorithms: ['ES256'] });

/** What differs from the usual. */
export interface OperatedOptions extends Partial<Omit<TestConfig, 'plugins'>> {
  /** A function makes those of each worker. Default: the usual ones. */
  readonly plugins?: TestConfig['plugins'] | (() => TestConfig['plugins']);
  /** The entry `orders`. */
  readonly orders?: Partial<DatabaseOptions>;
  /** Of the console, where `plugins` are the usual ones. False: there is none. */
  readonly console?: ConsoleOptions | false;
}

/** A gateway that runs, and how to come to it. */
export interface Operated extends RunningGateway {
  readonly operator: string;
  /** Logs in to `orders`, or somewhere else; errors outside of queries are swallowed. */
  client(more?: ClientConfig): Promise<Client>;
  /** Logs in to the console. */
  console(more?: ClientConfig): Promise<Client>;
  /** Asks the operators' HTTP interface. */
  ask(method: string, path: string, token?: string): Promise<{ status: number; body: unknown }>;
}

/** The usual config. Plugins are made anew, as a config file makes them. */
export function operatedConfig(
  postgres: PostgresAddress,
  { orders, console: desk, plugins, ...more }: OperatedOptions = {},
): TestConfig {
  return {
    databases: { orders: databaseOf(postgres, orders) },
    admin: { port: 0, operators: { ...OPERATORS, issuer: home.issuer } },
    plugins: (typeof plugins === 'function' ? plugins() : plugins) ?? usualPlugins(desk),
    ...more,
  };
}

const usualPlugins = (desk: OperatedOptions['console']): TestConfig['plugins'] => [
  operations(),
  jwt({ issuers: [home.options, partner.options] }),
  roles([
    { claim: 'role', allow: ['reader', 'writer'], issuer: home.issuer },
    { claim: 'role', allow: ['reader', 'writer'], issuer: partner.issuer },
  ]),
  desk !== false && console(desk),
];

/** Starts it. Stop it by `gateway.stop()`. */
export async function startOperated(
  postgres: PostgresAddress,
  options: OperatedOptions = {},
  coordination?: Coordination,
): Promise<Operated> {
  const config = operatedConfig(postgres, options);
  const plugins = (): TestConfig['plugins'] => operatedConfig(postgres, options).plugins;
  const running = await (coordination
    ? startWorker(config, coordination)
    : startGateway({ ...config, plugins }));
  const operator = home.sign({ sub: 'olga', groups: ['dba'], role: undefined });
  const connect = async (config: ClientConfig): Promise<Client> => {
    const client = new Client({ host: '127.0.0.1', port: running.port, user: '_', ...config });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  return {
    ...running,
    operator,
    client: (more) => connect({ database: 'orders', password: home.sign(), ...more }),
    console: (more) => connect({ database: 'pgbouncer', password: operator, ...more }),
    async ask(method, path, token = operator) {
      const headers: Record<string, string> = token === '' ? {} : { authorization: `Bearer ${token}` };
      const response = await fetch(`http://127.0.0.1:${running.adminPort}${path}`, { method, headers });
      const text = await response.text();
      return { status: response.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
    },
  };
}
