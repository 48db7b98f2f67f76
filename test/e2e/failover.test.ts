/** A primary that is lost, and a replica promoted in its place: clients go on through the gateway, and nobody reads what is not so. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { parseRole } from '../../core/contract/names.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { startGateway } from '../support/gateway.ts';
import { startReplicated } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';

const cluster = await startReplicated(2);
afterAll(() => cluster.stop());
const { primary } = cluster;
const [heir = primary, other = primary] = cluster.replicas;

/** Whoever is called `analyst` is bound to replicas. */
const byName: AnyPlugin = {
  name: 'by-name',
  async onAuth(session, upstream) {
    await session.token();
    if (session.startup.user !== 'analyst') return { ...upstream, role: parseRole('writer') };
    return { ...upstream, role: parseRole('reader'), target: 'replica' };
  },
};

await primary.sql(
  'create table ledger (id text primary key); grant select, insert on ledger to reader, writer',
);
// What is confirmed has arrived at the one that will be promoted.
await set(heir, 'primary_conninfo', await conninfo(heir, 'heir'));
await set(primary, 'synchronous_standby_names', 'heir');

const login = { kind: 'password', passwords: primary.passwords } as const;
const host = [primary, heir, other].map((server) => ({ host: server.host, port: server.port }));
const entry = { host, database: 'postgres', login };
const running = await startGateway({
  databases: { orders: { ...entry, pool: { mode: 'transaction' } }, sessions: entry },
  plugins: [byName],
  admin: { port: 0 },
});
afterAll(() => running.gateway.stop());

async function set(server: OwnPostgres, name: string, value: string): Promise<void> {
  await server.sql(`alter system set ${name} = '${value}'`);
  await server.sql('select pg_reload_conf()');
}

async function conninfo(server: OwnPostgres, name: string): Promise<string> {
  const [row] = await server.sql("select setting from pg_settings where name = 'primary_conninfo'");
  return `${String(row?.['setting'])} application_name=${name}`;
}

/** Says one thing after the other, over a new connection where the last one was lost. */
class Talker {
  readonly codes = new Map<string, number>();
  readonly #address: { readonly user: string; readonly database: string };
  #client: Client | undefined;

  constructor(user: string, database: string) {
    this.#address = { user, database };
  }

  /** Undefined where it failed. */
  async ask(sql: string): Promise<readonly unknown[][] | undefined> {
    try {
      this.#client ??= await this.#connect();
      return (await this.#client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows;
    } catch (error) {
      const code = (error as { readonly code?: string }).code ?? (error as Error).message;
      this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
      // A statement refused is no connection lost.
      if (!/^(25|42)/.test(code)) await this.end();
      return undefined;
    }
  }

  async end(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }

  async #connect(): Promise<Client> {
    const client = new Client({
      host: '127.0.0.1',
      port: running.port,
      password: 'a token',
      ...this.#address,
    });
    // Ended while nothing was asked: the next question goes over another connection.
    client.on('error', () => {
      if (this.#client === client) this.#client = undefined;
    });
    await client.connect();
    return client;
  }
}

const ms = (time: number): string => `${Math.round(time)} ms`;

describe('when the primary is lost and a replica promoted', { timeout: 180_000 }, () => {
  const confirmed = new Map<string, number>();
  const wrong: string[] = [];
  /** When somebody who is bound to replicas met a primary. */
  const met: number[] = [];
  const stop = new AbortController();
  let [highest, reads, refusals, recovered] = [0, 0, 0, 0];

  async function write(talker: Talker, name: string): Promise<void> {
    for (let number = 0; !stop.signal.aborted; number += 1) {
      const id = `${name}-${number}`;
      const done = await talker.ask(`insert into ledger values ('${id}')`);
      if (done) confirmed.set(id, performance.now());
      const floor = highest;
      const count = Number((await talker.ask('select count(*) from ledger'))?.[0]?.[0] ?? NaN);
      if (count < floor) wrong.push(`${name} read ${count} after ${floor}`);
      if (!Number.isNaN(count)) [highest, reads] = [Math.max(highest, count), reads + 1];
      await sleep(5);
    }
    await talker.end();
  }

  async function analyse(talker: Talker): Promise<void> {
    while (!stop.signal.aborted) {
      const inserted = await talker.ask("insert into ledger values ('never')");
      if (inserted) wrong.push('an analyst wrote');
      const [recovering] = (await talker.ask('select pg_is_in_recovery()'))?.[0] ?? [];
      if (recovering !== undefined) recovered += 1;
      if (recovering === false) met.push(performance.now());
      await sleep(5);
    }
    refusals += talker.codes.get('25006') ?? 0;
    await talker.end();
  }

  const progress = async (since: () => boolean): Promise<void> => {
    await expect.poll(since, { timeout: 60_000, interval: 20 }).toBe(true);
  };

  test('clients go on within seconds, and read nothing that is not so', async () => {
    const synchronous =
      "select 1 from pg_stat_replication where application_name = 'heir' and sync_state = 'sync'";
    await expect.poll(() => primary.sql(synchronous)).toHaveLength(1);
    for (const replica of [heir, other])
      await expect
        .poll(() => replica.sql("select to_regclass('ledger') as there"))
        .toEqual([{ there: 'ledger' }]);
    const writers = ['orders', 'orders', 'sessions', 'sessions'].map(
      (database) => new Talker('writer', database),
    );
    const analysts = ['orders', 'sessions'].map((database) => new Talker('analyst', database));
    const all = [...writers.map((one, place) => write(one, `w${place}`)), ...analysts.map(analyse)];
    await progress(() => confirmed.size > 100 && recovered > 100);
    expect(wrong).toEqual([]);

    primary.kill('SIGQUIT');
    await primary.ended();
    await sleep(500);
    const before = confirmed.size;
    const asked = performance.now();
    await heir.sql('select pg_promote()');
    const promoted = performance.now();
    await progress(() => [...confirmed.values()].some((at) => at > promoted));
    const back = Math.min(...[...confirmed.values()].filter((at) => at > promoted)) - promoted;
    console.log(`the promotion took ${ms(promoted - asked)}, the service was back ${ms(back)} later`);

    // The other replica follows the new primary; who is bound to replicas meets nobody else.
    const moved = (await conninfo(other, 'other')).replace(/port='?\d+'?/, `port=${heir.port}`);
    await set(other, 'primary_conninfo', moved);
    const seen = recovered;
    await progress(() => confirmed.size > before + 200 && recovered > seen + 100);

    // The old primary comes back as it was, and calls itself primary.
    await primary.restart();
    await set(primary, 'synchronous_standby_names', '');
    const [old] = await primary.sql('select count(*) from ledger');
    await expect.poll(() => running.lines('server is superseded').length).toBeGreaterThan(0);
    const then = confirmed.size;
    await progress(() => confirmed.size > then + 200);
    expect(await primary.sql('select count(*) from ledger')).toEqual([old]);

    const verbose = await (await fetch(`http://127.0.0.1:${running.adminPort}/readyz?verbose`)).text();
    for (const [server, is] of [
      [primary, 'superseded'],
      [heir, 'primary'],
      [other, 'replica'],
    ] as const)
      expect(verbose).toContain(`127.0.0.1 port ${server.port} is ${is}`);
    stop.abort();
    await Promise.all(all);
    // A promoted server is looked at within a second or so.
    expect(met.filter((at) => at > promoted + 10_000)).toEqual([]);
    console.log({ confirmed: confirmed.size, reads, recovered, refusals, met: met.length });
    expect(wrong).toEqual([]);
    const rows = new Set((await heir.sql('select id from ledger')).map(({ id }) => id));
    expect([...confirmed.keys()].filter((id) => !rows.has(id))).toEqual([]);
    expect(rows.has('never')).toBe(false);
    expect(refusals).toBeGreaterThan(100);
    const known = ['08006', '57P01', '57P02', '57P03', '08001', '25006'];
    expect(
      [...writers, ...analysts]
        .flatMap(({ codes }) => [...codes.keys()])
        .filter((code) => !known.includes(code)),
    ).toEqual([]);
  });
});
