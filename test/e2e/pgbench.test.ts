/** pgbench through a gateway process, its token in PGPASSWORD: every protocol without an error, and the books balance. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { executable } from '../support/executable.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

const run = promisify(execFile);
/** Many clients, and the server connections that they share. */
const MANY = 200;
const SIZE = 10;
const SECONDS = process.env['POSTERN_LONG'] === '1' ? 10 : 2;

/** Looks at every statement, at once or a moment later, and says at the end what it saw. */
const TAP = `
const seen = { query: 0, parse: 0, bind: 0, execute: 0, 'function-call': 0 };
const count = (sort: keyof typeof seen, sql: string): void => { if (/pgbench_|^(BEGIN|END)/i.test(sql)) seen[sort] += 1; };
const tap = {
  name: 'tap',
  reads: 'parameters' as const,
  setup: (gateway: import('postern').GatewayHandle) => () => gateway.log.info({ seen }, 'tapped'),
  onQuery(_: unknown, statement: import('postern').Statement) {
    if (statement.kind !== 'function-call') count(statement.kind, statement.sql);
    return seen.query % 2 === 0 ? undefined : Promise.resolve();
  },
};`;

let postgres: OwnPostgres;
let plain: TokenGateway;
let tapped: TokenGateway;
let pooled: TokenGateway;

beforeAll(async () => {
  if (executable('pgbench') === undefined) return;
  prepareCheckout();
  postgres = await startPostgres();
  await postgres.sql('create database bench owner writer');
  const database = "database: 'bench'";
  plain = await startTokenGateway(postgres, { database });
  pooled = await startTokenGateway(postgres, {
    database: `${database}, pool: { mode: 'transaction', size: ${SIZE}, queueTimeout: '2m', idleTimeout: '1s' }`,
    more: "loginTimeout: '2m'",
  });
  tapped = await startTokenGateway(postgres, { database, before: TAP, plugins: 'tap,' });
}, 240_000);
afterAll(async () => {
  if (executable('pgbench') === undefined) return;
  await plain.gateway.remove();
  await tapped.gateway.remove();
  await pooled.gateway.remove();
  await postgres.stop();
});

describeWith('pgbench', (pgbench) => {
  /** Runs it as writer; rejects with its complaints where it ends with an error. */
  async function bench(front: TokenGateway, ...args: readonly string[]): Promise<string> {
    const { stdout, stderr } = await run(pgbench, [...args, 'orders'], { env: front.environment('writer') });
    expect(stderr).not.toMatch(/error|aborted|fatal/i);
    return stdout;
  }

  /** Runs transactions, and finds each that was counted in the tables. */
  async function transact(front: TokenGateway, ...args: readonly string[]): Promise<void> {
    const processed = await counted(front, '-c', '8', ...args);
    expect(processed).toBeGreaterThan(8);
    await balanced(processed);
  }

  /** How many transactions were run. */
  async function counted(front: TokenGateway, ...args: readonly string[]): Promise<number> {
    const report = await bench(front, '-n', ...args);
    expect(report).toContain('number of failed transactions: 0 (');
    return Number(/transactions actually processed: (\d+)/.exec(report)?.[1]);
  }

  /** Every table says the same of them. */
  async function balanced(transactions: number): Promise<void> {
    const [books] = await postgres.sql(
      `select (select count(*)::int from pgbench_history) as count, (select sum(delta)::int from pgbench_history) as delta,
        (select sum(abalance)::int from pgbench_accounts) as a, (select sum(tbalance)::int from pgbench_tellers) as t,
        (select sum(bbalance)::int from pgbench_branches) as b`,
      'bench',
    );
    const { delta } = books ?? {};
    expect(books).toEqual({ count: transactions, delta, a: delta, t: delta, b: delta });
  }

  beforeEach(async () => {
    await bench(plain, '-i', '-q', '-s', '1');
  });

  test.each(['simple', 'extended', 'prepared'])(
    'runs 8 clients in the %s protocol without an error',
    async (protocol) => {
      await transact(plain, '-M', protocol, '-T', String(SECONDS));
    },
    120_000,
  );

  test('logs in for every transaction, and nothing is left of the logins', async () => {
    await transact(plain, '-C', '-T', String(SECONDS));
    const sessions = "select from pg_stat_activity where usename = 'writer'";
    await expect.poll(() => postgres.sql(sessions)).toEqual([]);
  }, 60_000);

  describe('with 200 clients on ten server connections', () => {
    const crowd = ['-c', String(MANY), '-j', '2'];

    // PostgreSQL itself sees to it that there are never more.
    beforeEach(() => postgres.sql(`alter database bench connection limit ${SIZE}`));
    afterEach(() => postgres.sql('alter database bench connection limit -1'));

    test.each(['simple', 'extended', 'prepared'])(
      'keeps the books and answers selects in the %s protocol',
      async (protocol) => {
        const each = ['-M', protocol, '-t', '10'];
        expect(await counted(pooled, ...crowd, ...each)).toBe(10 * MANY);
        await balanced(10 * MANY);
        expect(await counted(pooled, '-S', ...crowd, ...each)).toBe(10 * MANY);
      },
      180_000,
    );

    // With a thread for each client: one that waits for a login would hold up the transactions of its other clients.
    test('keeps them too where every transaction is a session of its own', async () => {
      const each = ['-C', '-c', String(MANY), '-j', String(MANY), '-t', '4'];
      expect(await counted(pooled, ...each)).toBe(4 * MANY);
      await balanced(4 * MANY);
      expect(await counted(pooled, '-S', ...each)).toBe(4 * MANY);
      const sessions = "select from pg_stat_activity where usename = 'writer'";
      await expect.poll(() => postgres.sql(sessions)).toEqual([]);
    }, 180_000);
  });

  test('runs in every protocol while a plugin looks at every statement, now and then later', async () => {
    for (const protocol of ['simple', 'extended', 'prepared']) {
      await bench(plain, '-i', '-q', '-s', '1');
      await transact(tapped, '-M', protocol, '-t', '50');
    }
    tapped.gateway.signal('SIGTERM');
    expect(await tapped.gateway.ended()).toBe(0);
    const transactions = 8 * 50;
    // Each worker counts for itself.
    const counts = tapped.gateway.lines('tapped').map(({ seen }) => seen as Record<string, number>);
    const seen = (sort: string): number => counts.reduce((sum, one) => sum + (one[sort] ?? 0), 0);
    expect(seen('query')).toBeGreaterThanOrEqual(transactions * 7);
    // Both protocols execute five statements a transaction; prepared ones are parsed once per client.
    expect(seen('execute')).toBeGreaterThanOrEqual(2 * transactions * 5);
    expect(seen('bind')).toBe(seen('execute'));
    expect(seen('parse')).toBeGreaterThanOrEqual(transactions * 5);
    expect(seen('parse')).toBeLessThan(seen('execute'));
  }, 60_000);
});
