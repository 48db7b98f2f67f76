/**
 * `npm run test:suites -- [NAME [SOURCE]] [MODE…] [--part]`: runs a driver's own suite, or three of them, directly and through a
 * gateway in both pool modes, and says which tests fail in addition. Without SOURCE, the unpacked source of a release, a pinned one is
 * fetched from its registry. `--part` runs of each suite what fits in a few minutes, and says what did not.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { spawnSync } from 'node:child_process';
import { prepareCheckout } from './support/gateway-process.ts';
import { startPostgres } from './support/postgres.ts';
import type { OwnPostgres } from './support/postgres.ts';
import { startTokenGateway } from './support/token-gateway.ts';
import { asyncpg } from './suites/asyncpg.ts';
import { libPq, pgx } from './suites/go.ts';
import { pgjdbc } from './suites/pgjdbc.ts';
import { DATABASE, OutOfTime, limitTo } from './suites/suite.ts';
import type { Results, Server, Source, Suite } from './suites/suite.ts';

const SUITES: Readonly<Record<string, Suite>> = { 'lib/pq': libPq, asyncpg, pgx, pgjdbc };
/** Those that are run where none is named, beginning with the quickest. */
const QUICK = ['lib/pq', 'asyncpg', 'pgx'];
const MODES = ['session', 'transaction'] as const;
type Mode = (typeof MODES)[number];
/** asyncpg's suite makes and drops it. */
const MADE = 'asyncpg_intro_test';
const ROLES = ['postgres', 'test'];
/** On a slow machine less is compared. */
const SECONDS_FOR_PARTS = 150;
/** Of the role `test`. */
const PASSWORD = 'of-the-suites';

/** In session mode a connection is gone soon after its session, as suites expect that look at processes, or drop a database. */
const POOLS: Readonly<Record<Mode, string>> = {
  session: `{ mode: 'session', size: 60, idleTimeout: '200ms' }`,
  transaction: `{ mode: 'transaction', size: 60 }`,
};

/** A suite, its source, and how much of it is run. */
interface Task {
  readonly suite: Suite;
  readonly source: Source;
  readonly all: boolean;
}

/** In a database that is empty, and a copy of the source. @throws Error if no test has passed */
async function resultsOf(
  { suite, source, all }: Task,
  postgres: OwnPostgres,
  server: Server,
): Promise<Results> {
  for (const each of [DATABASE, MADE]) await postgres.sql(`drop database if exists ${each} with (force)`);
  await postgres.sql(`create database ${DATABASE}`);
  if (suite.setup !== undefined) await postgres.sql(suite.setup, DATABASE);
  const folder = mkdtempSync(join(tmpdir(), 'postern-suite-'));
  try {
    cpSync(source.folder, folder, { recursive: true });
    spawnSync('chmod', ['-R', 'u+w', folder]);
    const results = suite.run({ ...source, folder }, server, all);
    if (![...results.values()].includes(true)) throw new Error('no test has passed');
    return results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function through(task: Task, postgres: OwnPostgres, mode: Mode): Promise<Results> {
  const entry = (name: string): string =>
    `${name}: { ...server, database: '${name}', privilegedRoles: ['postgres'], pool: ${POOLS[mode]} }`;
  const front = await startTokenGateway(postgres, {
    roles: ROLES,
    passwords: { postgres: postgres.password, test: PASSWORD },
    databases: [DATABASE, MADE, 'postgres'].map(entry).join(', '),
  });
  const { host, port } = front.address();
  const exp = Math.floor(Date.now() / 1_000) + 3_600;
  const password = (role: string): string => front.issuer.sign({ role, exp });
  try {
    return await resultsOf(task, postgres, { host, port, password });
  } finally {
    await front.gateway.remove();
  }
}

const failedOf = (results: Results): readonly string[] =>
  [...results].filter(([, passed]) => !passed).map(([name]) => name);

/** Whether nothing fails in addition but what is known. */
async function isAsKnown(task: Task, postgres: OwnPostgres, modes: readonly Mode[]): Promise<boolean> {
  const begun = Date.now();
  const took = (): string => `after ${Math.round((Date.now() - begun) / 1_000)} s`;
  const password = (role: string): string => (role === 'test' ? PASSWORD : postgres.password);
  const { host, port } = postgres;
  const direct = await resultsOf(task, postgres, { host, port, password });
  console.log(`direct: ${direct.size} tests, ${failedOf(direct).length} failed (${took()})`);
  let equal = true;
  for (const mode of modes) {
    const results = await through(task, postgres, mode);
    const failed = failedOf(results).filter((test) => direct.get(test) !== false);
    const missing = [...direct.keys()].filter((test) => !results.has(test));
    const unknown = failed.filter((test) => !task.suite.known[mode].includes(test));
    console.log(
      `${mode} mode: ${results.size} tests; ${failed.length} failed in addition, ${unknown.length} not known; ${missing.length} did not run (${took()})`,
    );
    for (const test of failed) console.log(`  ${unknown.includes(test) ? 'NOT KNOWN' : 'known'}: ${test}`);
    for (const test of missing) console.log(`  DID NOT RUN: ${test}`);
    equal &&= unknown.length === 0 && missing.length === 0;
  }
  return equal;
}

/** The source of a suite where it is not given: undefined where it cannot be had, which is said. */
function fetched(name: string, suite: Suite, into: string): Source | undefined {
  try {
    return suite.fetch(into);
  } catch (error) {
    if (error instanceof OutOfTime) throw error;
    console.log(`${name}: cannot be had here: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

const suiteOf = (name: string): Suite => {
  const suite = SUITES[name];
  if (suite === undefined) throw new Error(`NAME is one of ${Object.keys(SUITES).join(', ')}`);
  return suite;
};

/** Whether nothing has failed that is not known, as far as it can be said here and in time. */
async function isFine(name: string, given: string | undefined, run: Run): Promise<boolean> {
  const suite = suiteOf(name);
  const { all, modes, postgres, into } = run;
  try {
    const source =
      given === undefined
        ? fetched(name, suite, mkdtempSync(join(into, 'source-')))
        : { folder: resolve(given) };
    if (source === undefined) return !all;
    console.log(`${name}: ${(all ? undefined : suite.part) ?? 'all tests'}`);
    return await isAsKnown({ suite, source, all }, postgres, modes);
  } catch (error) {
    if (!(error instanceof OutOfTime)) throw error;
    console.log(`${name}: no time left, not compared to the end`);
    return !all;
  }
}

interface Run {
  readonly all: boolean;
  readonly modes: readonly Mode[];
  readonly postgres: OwnPostgres;
  /** A folder for sources. */
  readonly into: string;
}

async function main(): Promise<boolean> {
  const args = process.argv.slice(2);
  const all = !args.includes('--part');
  const modes = MODES.filter((mode) => args.includes(mode));
  const rest = args.filter((one) => one !== '--part' && !MODES.some((mode) => mode === one));
  const names = rest[0] === undefined ? QUICK : [rest[0]];
  prepareCheckout();
  if (!all) limitTo(SECONDS_FOR_PARTS);
  const into = mkdtempSync(join(tmpdir(), 'postern-suites-'));
  const postgres = await startPostgres();
  try {
    await postgres.sql(`create role test login password '${PASSWORD}'`);
    const run = { all, modes: modes.length > 0 ? modes : MODES, postgres, into };
    let fine = true;
    for (const name of names) fine = (await isFine(name, rest[1], run)) && fine;
    return fine;
  } finally {
    await postgres.stop();
    rmSync(into, { recursive: true, force: true });
  }
}

process.exitCode = (await main()) ? 0 : 1;
