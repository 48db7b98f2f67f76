/** A gateway of a test's own, with its log, on a free port in front of the shared PostgreSQL. */
import { tmpdir } from 'node:os';
import { Writable } from 'node:stream';
import { Client } from 'pg';
import { expect } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { ResolvedConfig } from '../../core/config/check.ts';
import type { GatewayConfig } from '../../core/contract/config.ts';
import type { DatabaseOptions } from '../../core/contract/database.ts';
import { GatewayError } from '../../core/contract/errors.ts';
import type { Coordination } from '../../core/workers/coordination.ts';
import { Gateway } from '../../core/gateway.ts';
import { createLogger } from '../../core/telemetry/log.ts';
import type { PinoLogger } from '../../core/telemetry/log.ts';
import { parseRole } from '../../core/contract/names.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { GatewayOfWorkers } from './gateway-of-workers.ts';
import type { TestedGateway } from './gateway-of-workers.ts';
import { workersOf } from './only-one-worker.ts';
import type { PostgresAddress } from './postgres.ts';
import { message, startup } from './raw-client.ts';
import type { RawClient } from './raw-client.ts';

/** A line of the gateway's log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** A gateway that runs. */
export interface RunningGateway {
  readonly gateway: TestedGateway;
  readonly port: number;
  readonly adminPort: number;
  readonly log: () => LogLine[];
  /** Lines with this `msg`. */
  readonly lines: (msg: string) => LogLine[];
  /** Everything written to the log, to look for secrets in it. */
  readonly text: () => string;
}

/** What a test says about its gateway; the rest is sensible. */
export type TestConfig = Partial<GatewayConfig> & Pick<GatewayConfig, 'plugins' | 'databases'>;

/** One whose plugins keep something that workers must not share: they are made for each. */
export type TestConfigForEach = Omit<TestConfig, 'plugins'> & {
  readonly plugins: () => GatewayConfig['plugins'];
};

/** Starts it on a free port. Stop it by `gateway.stop()`. `onlyOne`: why this one has one worker, however many the tests run with. */
export async function startGateway(
  config: TestConfig | TestConfigForEach,
  onlyOne?: string,
): Promise<RunningGateway> {
  const check = (): ResolvedConfig => {
    const plugins = typeof config.plugins === 'function' ? config.plugins() : config.plugins;
    return checkConfig({ listen: { port: 0 }, ...config, plugins }, tmpdir());
  };
  const first = check();
  const others = typeof config.plugins === 'function' ? check : () => first;
  return run(first, others, config.logLevel, onlyOne);
}

/** Starts one worker of several. Stop it by `gateway.stop()`. */
export async function startWorker(config: TestConfig, coordination: Coordination): Promise<RunningGateway> {
  const checked = checkConfig({ listen: { port: 0 }, ...config }, tmpdir());
  return started(config.logLevel, (logger) => new Gateway(checked, logger, coordination));
}

/** Starts one with a config that is checked already. Stop it by `gateway.stop()`. */
export async function runGateway(
  resolved: ResolvedConfig,
  logLevel: ResolvedConfig['logLevel'] = 'debug',
): Promise<RunningGateway> {
  return run(resolved, () => resolved, logLevel);
}

async function run(
  first: ResolvedConfig,
  next: () => ResolvedConfig,
  logLevel?: ResolvedConfig['logLevel'],
  onlyOne?: string,
): Promise<RunningGateway> {
  const others = Array.from({ length: workersOf(onlyOne) - 1 }, next);
  return started(logLevel, (logger) =>
    others.length === 0 ? new Gateway(first, logger) : new GatewayOfWorkers([first, ...others], logger),
  );
}

/** Starts what `make` makes with a logger whose lines are kept. `logLevel`: default `debug`. */
export async function started(
  logLevel: ResolvedConfig['logLevel'] | undefined,
  make: (logger: PinoLogger) => TestedGateway,
): Promise<RunningGateway> {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  const gateway = make(createLogger(logLevel ?? 'debug', sink));
  const { listeners, admin } = await gateway.start();
  const log = (): LogLine[] => lines.map((line) => JSON.parse(line) as LogLine);
  return {
    gateway,
    port: listeners[0]?.port ?? 0,
    adminPort: admin?.port ?? 0,
    log,
    lines: (msg) => log().filter((line) => line['msg'] === msg),
    text: () => lines.join(''),
  };
}

/** Lines with this `msg` that each worker writes for itself: those of one, where all have written as many. */
export function linesOfEach({ gateway, lines }: RunningGateway, msg: string): LogLine[] {
  if (!(gateway instanceof GatewayOfWorkers)) return lines(msg);
  const [first = [], ...others] = Array.from({ length: gateway.workers }, (_, index) =>
    lines(msg).filter(({ worker }) => worker === index + 1),
  );
  for (const other of others) expect(other).toHaveLength(first.length);
  return first;
}

/** The entry of a test server under the roles' own passwords; what sessions leave is closed soon, so that tests see it go. */
export function databaseOf(postgres: PostgresAddress, more: Partial<DatabaseOptions> = {}): DatabaseOptions {
  const { host, port, passwords } = postgres;
  const pool = { idleTimeout: '100ms' } as const;
  return { host, port, database: 'postgres', login: { kind: 'password', passwords }, pool, ...more };
}

/** The password that {@link mapTo} accepts. It must never be found in a log. */
export const GOOD_TOKEN = 'canary-a-good-token';

/** The least that makes a login: one password, one role. */
export function mapTo(role: string): AnyPlugin {
  return {
    name: 'map-to',
    async onAuth(session, upstream) {
      const token = await session.token();
      if (token !== GOOD_TOKEN) {
        throw new GatewayError('invalid_password', 'not for clients', {
          cause: new Error('not the good token'),
        });
      }
      return { ...upstream, role: parseRole(role) };
    },
  };
}

/** What a client has when it is logged in. */
export interface LoggedIn {
  readonly client: RawClient;
  readonly processId: number;
  readonly secret: Buffer;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Logs in with raw messages over an open connection; rejects with the fields of an ErrorResponse. */
export async function logIn(
  client: RawClient,
  parameters: Record<string, string> = {},
  { token = GOOD_TOKEN, minor = 0 } = {},
): Promise<LoggedIn> {
  client.send(startup({ user: 'alice', database: 'orders', ...parameters }, minor));
  await client.until('R');
  client.send(message('p', `${token}\0`));
  const messages = await client.until('Z');
  const key = messages.find(({ type }) => type === 'K')?.body ?? Buffer.alloc(8);
  const pairs = messages
    .filter(({ type }) => type === 'S')
    .map(({ body }) => body.toString().split('\0') as [string, string]);
  return {
    client,
    processId: key.readUInt32BE(0),
    secret: key.subarray(4),
    parameters: Object.fromEntries(pairs),
  };
}

/** A client of node-postgres that has not connected yet; an error outside of its queries is swallowed. */
export function pgClient(
  { port }: Pick<RunningGateway, 'port'>,
  database = 'orders',
  password = GOOD_TOKEN,
): Client {
  const client = new Client({ host: '127.0.0.1', port, user: '_', database, password });
  client.on('error', () => {});
  return client;
}
