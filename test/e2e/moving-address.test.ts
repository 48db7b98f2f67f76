/** One address in front of several servers (a virtual IP, a TCP proxy) that moves to a new primary while connections stay. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../core/contract/database.ts';
import { GOOD_TOKEN, mapTo, startGateway } from '../support/gateway.ts';
import { severalWorkers } from '../support/only-one-worker.ts';
import { movingProxy } from '../support/moving-proxy.ts';
import { startReplicated } from '../support/postgres.ts';

const cluster = await startReplicated(1);
afterAll(() => cluster.stop());
const { primary } = cluster;
const [heir = primary] = cluster.replicas;
const proxy = await movingProxy(primary);
afterAll(() => proxy.close());

await primary.sql('create table ledger (id text); grant select, insert on ledger to writer');

const login = { kind: 'password', passwords: primary.passwords } as const;
const entry: DatabaseOptions = { host: proxy.host, port: proxy.port, database: 'postgres', login };
const pool = { mode: 'transaction', size: 5 } as const;
const databases = {
  'any, session': entry,
  'any, transaction': { ...entry, pool },
  'primary, session': { ...entry, target: 'primary' },
  'primary, transaction': { ...entry, target: 'primary', pool },
} as const;
type Name = keyof typeof databases;
const names = Object.keys(databases) as Name[];

const running = await startGateway({ databases, plugins: [mapTo('writer')] });
afterAll(() => running.gateway.stop());

/** Writes again and again; comes again, as an application does, where that was refused or its connection lost. */
class Writer {
  readonly refused = new Map<string, number>();
  writtenAt = 0;
  readonly #database: Name;
  #client: Client | undefined;

  constructor(database: Name) {
    this.#database = database;
  }

  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await this.#write();
      await sleep(5);
    }
    await this.#leave();
  }

  async #write(): Promise<void> {
    try {
      this.#client ??= await this.#connect();
      await this.#client.query(`insert into ledger values ('${this.#database}')`);
      this.writtenAt = performance.now();
    } catch (error) {
      const code = (error as { readonly code?: string }).code ?? (error as Error).message;
      this.refused.set(code, (this.refused.get(code) ?? 0) + 1);
      await this.#leave();
    }
  }

  async #leave(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }

  async #connect(): Promise<Client> {
    const address = { host: '127.0.0.1', port: running.port, user: 'alice', password: GOOD_TOKEN };
    const client = new Client({ ...address, database: this.#database });
    client.on('error', () => {});
    await client.connect();
    return client;
  }
}

/** Several of one database. */
class Crew {
  readonly #writers: readonly Writer[];

  constructor(database: Name) {
    this.#writers = Array.from({ length: 4 }, () => new Writer(database));
  }

  get refused(): number {
    return this.#writers.flatMap(({ refused }) => [...refused.values()]).reduce((sum, one) => sum + one, 0);
  }

  readonly met = (code: string): boolean => this.#writers.every(({ refused }) => refused.has(code));
  /** When the last of them had written something after `at`; undefined: not all have. */
  readonly since = (at: number): number | undefined => {
    const times = this.#writers.map(({ writtenAt }) => writtenAt);
    return times.every((one) => one > at) ? Math.max(...times) : undefined;
  };
  readonly run = (stop: AbortSignal): Promise<unknown> =>
    Promise.all(this.#writers.map((one) => one.run(stop)));
}

const until = (what: () => boolean): Promise<void> =>
  expect.poll(what, { timeout: 60_000, interval: 10 }).toBe(true);

describe('one address that leads to another server', { timeout: 240_000 }, () => {
  test('serves by the new primary, whoever is connected to the demoted one', async () => {
    const stop = new AbortController();
    const crews = names.map((name) => ({ name, crew: new Crew(name) }));
    const all = crews.map(({ crew }) => crew.run(stop.signal));
    await until(() => crews.every(({ crew }) => crew.since(0)));

    const there = "select to_regclass('ledger') as there";
    await expect.poll(() => heir.sql(there), { timeout: 60_000 }).toEqual([{ there: 'ledger' }]);
    await primary.handOverTo(heir);
    // Everybody has met the demoted one, and has connections to it.
    await until(() => crews.every(({ name, crew }) => crew.met(name.startsWith('any') ? '25006' : '57P03')));
    const before = new Map(crews.map(({ name, crew }) => [name, crew.refused]));
    proxy.move(heir);
    const moved = performance.now();
    await Promise.all(
      crews.map(async ({ name, crew }) => {
        await until(() => crew.since(moved) !== undefined);
        const ms = Math.round((crew.since(moved) ?? NaN) - moved);
        const refused = crew.refused - (before.get(name) ?? 0);
        console.log(`${name}: everybody served ${ms} ms after the move, ${refused} refused until then`);
      }),
    );

    const refused = crews.map(({ crew }) => crew.refused);
    const then = performance.now();
    await until(() => performance.now() - then > 2_000 && crews.every(({ crew }) => crew.since(then)));
    expect(crews.map(({ crew }) => crew.refused)).toEqual(refused);
    stop.abort();
    await Promise.all(all);
  });

  test.skipIf(severalWorkers('each worker notices the move for itself'))(
    "leaves an old primary that goes on by itself, with target 'primary'",
    async () => {
      const stop = new AbortController();
      const crews = names.filter((name) => name.startsWith('primary')).map((name) => new Crew(name));
      const all = crews.map((crew) => crew.run(stop.signal));
      await until(() => crews.every((crew) => crew.since(0)));
      await primary.sql('select pg_promote()');
      proxy.move(primary);
      const moved = performance.now();
      const rows = async (server: typeof primary, database: Name): Promise<number> => {
        const [row] = await server.sql(`select count(*)::int as n from ledger where id = '${database}'`);
        return Number(row?.['n']);
      };
      const bound = names.filter((name) => name.startsWith('primary'));
      for (const name of bound) {
        const before = await rows(primary, name);
        await expect.poll(() => rows(primary, name), { timeout: 60_000 }).toBeGreaterThan(before + 50);
        console.log(
          `${name}: left an old primary ${Math.round(performance.now() - moved)} ms after the move`,
        );
      }
      const left = await Promise.all(bound.map((name) => rows(heir, name)));
      const then = performance.now();
      await until(() => crews.every((crew) => crew.since(then)));
      expect(await Promise.all(bound.map((name) => rows(heir, name)))).toEqual(left);
      stop.abort();
      await Promise.all(all);
    },
  );
});
