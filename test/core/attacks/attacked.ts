/** A gateway under attack: tokens of one issuer, its clients, and what PostgreSQL saw. */
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { jwt } from '../../../plugins/jwt/index.ts';
import { roles } from '../../../plugins/roles/index.ts';
import { countingProxy } from '../../support/counting-proxy.ts';
import type { CountingProxy } from '../../support/counting-proxy.ts';
import { databaseOf, startGateway } from '../../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../../support/gateway.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import type { Postgres } from '../../support/postgres.ts';
import { RawClient } from '../../support/raw-client.ts';
import { issuer } from '../../support/token.ts';
import type { TokenIssuer } from '../../support/token.ts';

/** What a file's tests share. */
export interface Attacked {
  readonly postgres: Postgres;
  readonly proxy: CountingProxy;
  readonly database: string;
  readonly keys: TokenIssuer;
  /** `jwt` and `roles` for reader and writer. */
  readonly policies: readonly AnyPlugin[];
  /** Starts a gateway that the test's end stops. Default: the policies, and the entry `orders` behind the proxy. */
  gateway(config?: Partial<TestConfig>): Promise<RunningGateway>;
  connect(port: number): Promise<RawClient>;
  /** Server connections of roles to this file's database. */
  backends(): Promise<number>;
}

/** Makes it, and has every test fail that leaves a rejection nobody handled. Call it once per file. */
export function attacked(): Attacked {
  const keys = issuer({ algorithms: ['ES256'] });
  const postgres = sharedPostgres();
  const unhandled: unknown[] = [];
  const cleanUp: (() => Promise<void> | void)[] = [];
  const shared = { proxy: undefined as unknown as CountingProxy, database: '' };
  const trap = (reason: unknown): void => void unhandled.push(reason);
  beforeAll(async () => {
    process.on('unhandledRejection', trap);
    shared.proxy = await countingProxy(postgres);
    shared.database = await freshDatabase();
  });
  afterEach(async () => {
    for (const undo of cleanUp.splice(0).toReversed()) await undo();
    expect(unhandled.splice(0)).toEqual([]);
  });
  afterAll(() => {
    shared.proxy.close();
    process.off('unhandledRejection', trap);
  });
  const policies = [jwt({ issuers: [keys.options] }), roles({ claim: 'role', allow: ['reader', 'writer'] })];
  return {
    postgres,
    keys,
    policies,
    get proxy() {
      return shared.proxy;
    },
    get database() {
      return shared.database;
    },
    async gateway(config = {}) {
      const { proxy, database } = shared;
      const orders = databaseOf(postgres, { host: proxy.host, port: proxy.port, database });
      const running = await startGateway({ databases: { orders }, plugins: policies, ...config });
      cleanUp.push(() => running.gateway.stop());
      return running;
    },
    async connect(port) {
      const client = await RawClient.connect(port);
      cleanUp.push(() => client.destroy());
      return client;
    },
    async backends() {
      const rows = await postgres.sql(
        `select count(*)::int as n from pg_stat_activity where datname = '${shared.database}' and usename in ('reader', 'writer')`,
      );
      return Number(rows[0]?.['n']);
    },
  };
}
