/**
 * `npm run test:suites -- NAME SOURCE [MODE…]`: runs a driver's own suite directly and through a gateway in both pool modes, and says
 * which tests fail in addition. SOURCE is the unpacked source of that release: of asyncpg its sdist (`python3` has the same release and
 * pytest), of pgx and lib/pq the module in Go's cache.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { prepareCheckout } from './support/gateway-process.ts';
import { startPostgres } from './support/postgres.ts';
import type { OwnPostgres } from './support/postgres.ts';
import { startTokenGateway } from './support/token-gateway.ts';

const MODES = ['session', 'transaction'] as const;
type Mode = (typeof MODES)[number];
const DATABASE = 'suite';
/** asyncpg's suite makes and drops it. */
const MADE = 'asyncpg_intro_test';

interface Server {
  readonly host: string;
  readonly port: number;
  readonly password: string;
}

/** Results of tests by their names; true where one has passed. */
type Results = ReadonlyMap<string, boolean>;

interface Suite {
  /** What the database has before it runs. */
  readonly setup?: string;
  /** Runs all tests in a copy of the source. */
  readonly run: (folder: string, server: Server) => Results;
  /** What may fail in addition, for the reasons in the README, "What a pooled connection has". */
  readonly known: Readonly<Record<Mode, readonly string[]>>;
}

/** libpq's variables. */
const variables = ({ host, port, password }: Server): Record<string, string> => ({
  PGHOST: host,
  PGPORT: String(port),
  PGUSER: 'postgres',
  PGPASSWORD: password,
  PGDATABASE: DATABASE,
  PGSSLMODE: 'disable',
});

function outputOf(command: readonly string[], cwd: string, more: Readonly<Record<string, string>>): string {
  const env = { ...process.env, ...more };
  const [program = '', ...args] = command;
  const { stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  });
  if (error) throw error;
  return `${stdout}\n${stderr}`;
}

function pytest(folder: string, server: Server): Results {
  // What is installed is imported, not the source without its compiled parts.
  rmSync(join(folder, 'asyncpg'), { recursive: true });
  const command = ['python3', '-m', 'pytest', '-q', '-rA', '--tb=short', 'tests'];
  const output = outputOf(command, folder, variables(server));
  console.error(output);
  const lines = output.matchAll(/^(PASSED|FAILED|ERROR) (\S+)/gm);
  return new Map(
    [...lines].map(([, outcome, name = '']) => [name.replace(/^tests\//, ''), outcome === 'PASSED']),
  );
}

interface GoEvent {
  readonly Action: string;
  readonly Package: string;
  readonly Test?: string;
  readonly Output?: string;
}

function goTest(
  folder: string,
  packages: readonly string[],
  more: Readonly<Record<string, string>>,
): Results {
  const command = ['go', 'test', '-json', '-count=1', '-trimpath', '-p=1', '-timeout=600s', ...packages];
  const results = new Map<string, boolean>();
  for (const line of outputOf(command, folder, { ...more, GOFLAGS: '-mod=mod' }).split('\n')) {
    if (!line.startsWith('{')) continue;
    const { Action, Package, Test, Output } = JSON.parse(line) as GoEvent;
    if (Action === 'output') console.error(Output?.trimEnd());
    const ended = Action === 'pass' || Action === 'fail';
    // Without a name it is a package, which fails with one of its tests.
    if (ended && Test !== undefined) results.set(`${Package} ${Test}`, Action === 'pass');
  }
  return results;
}

/** At the end of these tests a database is dropped, to which the pool has a connection. */
const ASYNCPG = ['test_introspection.py::TestIntrospection::test_introspection_sticks_for_ps'];
/** A sender's process, one that is ended, and a statement of the driver that is run by EXECUTE. */
const ASYNCPG_IN_TRANSACTION_MODE = [
  ...ASYNCPG,
  'test_listeners.py::TestListeners::test_listen_01',
  'test_listeners.py::TestListeners::test_listen_02',
  'test_listeners.py::TestListeners::test_listen_notletters',
  'test_pool.py::TestPool::test_pool_remote_close',
  'test_prepare.py::TestPrepare::test_prepare_explicitly_named',
];

const inPgx = (folder: string, ...tests: string[]): string[] =>
  tests.map((test) => `github.com/jackc/pgx/v5${folder} ${test}`);

/** A process that serves one client after the other, and whose last statement is seen in pg_stat_activity. */
const PGX = [
  ...inPgx('/pgxpool', 'TestPoolAfterRelease'),
  ...['', '/postgres'].flatMap((each) =>
    inPgx('/pgconn', `TestConnContextCanceledCancelsRunningQueryOnServer${each}`),
  ),
];
const MODES_OF_PGX = ['cache_statement', 'cache_describe', 'describe_exec', 'exec', 'simple_protocol'];
/** A process that is ended, and pg_prepared_statements. */
const PGX_IN_TRANSACTION_MODE = [
  ...PGX,
  ...inPgx('', 'TestFatalRxError', 'TestFatalTxError'),
  ...inPgx('/pgxpool', 'TestPoolAcquireChecksIdleConns'),
  ...inPgx('/stdlib', 'TestCheckIdleConn', 'TestConnMultiplePrepareAndDeallocate'),
  ...MODES_OF_PGX.flatMap((mode) => inPgx('/stdlib', `TestConnMultiplePrepareAndDeallocate/${mode}`)),
];

const SUITES: Readonly<Record<string, Suite>> = {
  asyncpg: { run: pytest, known: { session: ASYNCPG, transaction: ASYNCPG_IN_TRANSACTION_MODE } },
  pgx: {
    setup: `create extension if not exists hstore; create domain uint64 as numeric(20,0)`,
    // Its tests set libpq's variables themselves.
    run: (folder, { host, port, password }) =>
      goTest(folder, ['.', './pgconn', './pgxpool', './stdlib'], {
        PGX_TEST_DATABASE: `host=${host} port=${port} user=postgres password=${password} dbname=${DATABASE} sslmode=disable`,
      }),
    known: { session: PGX, transaction: PGX_IN_TRANSACTION_MODE },
  },
  'lib/pq': {
    run: (folder, server) => goTest(folder, ['./...'], variables(server)),
    // A process that is ended.
    known: { session: [], transaction: ['github.com/lib/pq TestPing'] },
  },
};

/** In a database that is empty, and a copy of the source. @throws Error if no test has run */
async function resultsOf(
  suite: Suite,
  source: string,
  postgres: OwnPostgres,
  server: Server,
): Promise<Results> {
  for (const each of [DATABASE, MADE]) await postgres.sql(`drop database if exists ${each} with (force)`);
  await postgres.sql(`create database ${DATABASE}`);
  if (suite.setup !== undefined) await postgres.sql(suite.setup, DATABASE);
  const folder = mkdtempSync(join(tmpdir(), 'postern-suite-'));
  try {
    cpSync(source, folder, { recursive: true });
    spawnSync('chmod', ['-R', 'u+w', folder]);
    const results = suite.run(folder, server);
    if (results.size === 0) throw new Error('no test has run');
    return results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const failedOf = (results: Results): readonly string[] =>
  [...results].filter(([, passed]) => !passed).map(([name]) => name);

/** Whether nothing fails in addition but what is known. */
async function isAsKnown(
  suite: Suite,
  source: string,
  postgres: OwnPostgres,
  modes: readonly Mode[],
): Promise<boolean> {
  const direct = await resultsOf(suite, source, postgres, postgres);
  console.log(`direct: ${direct.size} tests, ${failedOf(direct).length} failed`);
  let equal = true;
  for (const mode of modes) {
    const entry = (name: string): string =>
      `${name}: { ...server, database: '${name}', privilegedRoles: ['postgres'], pool: { mode: '${mode}', size: 60 } }`;
    const front = await startTokenGateway(postgres, {
      roles: ['postgres'],
      passwords: { postgres: postgres.password },
      databases: [DATABASE, MADE, 'postgres'].map(entry).join(', '),
    });
    const server = front.address('postgres');
    const password = front.issuer.sign({ role: 'postgres', exp: Math.floor(Date.now() / 1_000) + 3_600 });
    const through = await resultsOf(suite, source, postgres, { ...server, password });
    await front.gateway.remove();
    const failed = failedOf(through).filter((test) => direct.get(test) !== false);
    const missing = [...direct.keys()].filter((test) => !through.has(test));
    const unknown = failed.filter((test) => !suite.known[mode].includes(test));
    console.log(
      `${mode} mode: ${through.size} tests; ${failed.length} failed in addition, ${unknown.length} not known; ${missing.length} did not run`,
    );
    for (const test of failed) console.log(`  ${unknown.includes(test) ? 'NOT KNOWN' : 'known'}: ${test}`);
    for (const test of missing) console.log(`  DID NOT RUN: ${test}`);
    equal &&= unknown.length === 0 && missing.length === 0;
  }
  return equal;
}

const [name = '', source = '', ...asked] = process.argv.slice(2);
const suite = SUITES[name];
if (suite === undefined) throw new Error(`NAME is one of ${Object.keys(SUITES).join(', ')}`);
prepareCheckout();
const postgres = await startPostgres();
try {
  const modes = MODES.filter((mode) => asked.length === 0 || asked.includes(mode));
  process.exitCode = (await isAsKnown(suite, resolve(source), postgres, modes)) ? 0 : 1;
} finally {
  await postgres.stop();
}
