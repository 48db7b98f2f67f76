/** Gateways of one fleet: processes of their own with one config, in front of one PostgreSQL, with one Redis between them, behind HAProxy if wanted. */
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import { Balancer } from './balancer.ts';
import { GatewayProcess } from './gateway-process.ts';
import type { PostgresAddress } from './postgres.ts';
import type { RedisServer } from './redis.ts';
import { issuer } from './token.ts';
import type { TokenIssuer } from './token.ts';
import { until } from './until.ts';

/** What a test chooses; texts are TypeScript as it stands in a config file. */
export interface FleetGatewaysOptions {
  /** How many instances. Default 2. */
  readonly instances?: number;
  /** Members of `fleet` besides name, instance, secret and store. */
  readonly fleet?: string;
  /** Members of `fleet.store` besides kind and url. */
  readonly store?: string;
  /** Members of `listen` behind `port: 0`. */
  readonly listen?: string;
  /** Members of the pool. */
  readonly pool?: string;
  /** Members of the entry `orders`. */
  readonly database?: string;
  /** Options of `limits`, `rateLimit`, and `revocations` of `jwt`. */
  readonly limits?: string;
  readonly rateLimit?: string;
  readonly revocations?: string;
  /** Further members of the config. */
  readonly more?: string;
  /** Workers of each. Default 1. */
  readonly workers?: number;
  /** The path of HAProxy, through which clients then come to each instance: by PROXY v2, and by no other way. Default: they come directly. */
  readonly haproxy?: string | undefined;
}

/** An answer of `admin`. */
export interface Answered {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const OWN = 'https://postern.example';
/** `fleet.secret` of all. */
export const FLEET_SECRET = 'canary-secret-of-the-fleet-0123456789abcdef';

/** One instance, and how to come to it. */
export class FleetGateway {
  readonly gateway: GatewayProcess;
  readonly issuer: TokenIssuer;
  readonly #balancer: Balancer | undefined;

  constructor(gateway: GatewayProcess, keys: TokenIssuer, balancer: Balancer | undefined) {
    this.gateway = gateway;
    this.issuer = keys;
    this.#balancer = balancer;
  }

  /** Where clients connect. */
  get port(): number {
    return this.#balancer?.port ?? this.gateway.port;
  }

  get adminPort(): number {
    return Number(this.gateway.lines('admin listening')[0]?.['port']);
  }

  /** Logs in to `orders`; errors outside of queries are swallowed. */
  async login(claims: Readonly<Record<string, unknown>> = {}, more: ClientConfig = {}): Promise<Client> {
    const client = new Client({
      host: '127.0.0.1',
      port: this.port,
      user: '_',
      database: 'orders',
      password: this.issuer.sign({ role: 'reader', ...claims }),
      ...more,
    });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  /** As an operator. */
  console(): Promise<Client> {
    return this.login(
      {},
      {
        database: 'pgbouncer',
        password: this.issuer.sign({ sub: 'olga', groups: ['dba'], role: undefined }),
      },
    );
  }

  /** Asks `admin`, by default as an operator. */
  async ask(
    method: string,
    path: string,
    body?: object,
    token = this.issuer.sign({ sub: 'olga', groups: ['dba'], role: undefined }),
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answered> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const said = text.startsWith('{') ? (JSON.parse(text) as Answered['body']) : { text };
    return { status: response.status, body: said };
  }

  /** Ends it at once. */
  async remove(): Promise<void> {
    await Promise.all([this.gateway.remove(), this.#balancer?.remove()]);
  }
}

function configText(
  postgres: PostgresAddress,
  redis: string,
  keys: TokenIssuer,
  instance: string,
  {
    fleet = '',
    store = '',
    listen = '',
    pool = '',
    database = '',
    limits = '',
    rateLimit,
    revocations,
    more = '',
    workers = 1,
    haproxy,
  }: FleetGatewaysOptions,
): string {
  const passwords = JSON.stringify(postgres.passwords);
  const proxied = haproxy === undefined ? '' : "proxyProtocol: { trusted: ['127.0.0.0/8'] },";
  return `import { defineConfig } from 'postern';
import { access, ownIssuer } from 'postern/plugins/access';
import { console } from 'postern/plugins/console';
import { jwt } from 'postern/plugins/jwt';
import { limits } from 'postern/plugins/limits';
import { operations } from 'postern/plugins/operations';
import { rateLimit } from 'postern/plugins/rate-limit';
import { roles } from 'postern/plugins/roles';
const own = ownIssuer({ issuer: '${OWN}' });
export default defineConfig({
  listen: { port: 0, ${proxied} ${listen} },
  databases: {
    orders: {
      host: '127.0.0.1', port: ${postgres.port}, database: 'postgres',
      login: { kind: 'password', passwords: ${passwords} },
      pool: { idleTimeout: '200ms', ${pool} }, ${database}
    },
  },
  admin: { port: 0, operators: { claim: 'groups', value: 'dba', issuer: '${keys.issuer}' } },
  fleet: {
    name: 'test', instance: '${instance}', secret: '${FLEET_SECRET}',
    store: { kind: 'redis', url: '${redis}', ${store} }, ${fleet}
  },
  plugins: [
    operations(),
    ${rateLimit === undefined ? '' : `rateLimit({ ${rateLimit} }),`}
    jwt({
      issuers: [{ issuer: '${keys.issuer}', audience: '${keys.audience}', jwks: 'jwks.json' }, own],
      ${revocations === undefined ? '' : `revocations: { ${revocations} },`}
    }),
    roles([
      { claim: 'role', allow: ['reader', 'writer'], issuer: '${keys.issuer}' },
      { claim: 'role', allow: ['reader', 'writer'], issuer: '${OWN}' },
    ]),
    limits({ ${limits} }),
    access({
      issuer: own,
      connect: { host: 'gateway.example' },
      callers: { issuers: ['${keys.issuer}'] },
      policy: [{ who: { claim: 'groups', value: 'dev' }, databases: ['orders'], roles: ['reader'], maxDuration: '1h' }],
    }),
    console(),
  ],
  workers: ${workers},
  ${more}
});
`;
}

/** Starts them; each knows of all others when this resolves. End them by {@link removeAll}. */
export async function startFleet(
  postgres: PostgresAddress,
  redis: Pick<RedisServer, 'url'>,
  options: FleetGatewaysOptions = {},
): Promise<readonly FleetGateway[]> {
  const keys = issuer({ algorithms: ['ES256'] });
  const start = (instance: string): Promise<FleetGateway> =>
    startInstance(postgres, redis, keys, instance, options);
  const names = Array.from({ length: options.instances ?? 2 }, (_, i) => `g${i + 1}`);
  const started = await Promise.all(names.map(start));
  for (const one of started)
    await until('all know each other', async () => (await instancesOf(one)).length === started.length);
  return started;
}

/** One more instance, or one that comes back, under the same issuer. */
export async function startInstance(
  postgres: PostgresAddress,
  redis: Pick<RedisServer, 'url'>,
  keys: TokenIssuer,
  instance: string,
  options: FleetGatewaysOptions = {},
): Promise<FleetGateway> {
  const gateway = await GatewayProcess.start({
    config: configText(postgres, redis.url, keys, instance, options),
    files: { 'jwks.json': JSON.stringify(keys.jwks) },
  });
  const { workers = 1, haproxy } = options;
  if (workers > 1)
    await until('all workers are ready', () => gateway.lines('worker ready').length === workers);
  const balancer =
    haproxy === undefined ? undefined : await Balancer.start(haproxy, [{ port: gateway.port }]);
  return new FleetGateway(gateway, keys, balancer);
}

/** The instances that this one knows of. */
export async function instancesOf(one: FleetGateway): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { body } = await one.ask('GET', '/v1/fleet');
  return (body['instances'] ?? []) as readonly Readonly<Record<string, unknown>>[];
}

/** Ends them at once. */
export async function removeAll(gateways: readonly FleetGateway[]): Promise<void> {
  await Promise.all(gateways.map((one) => one.remove()));
}
