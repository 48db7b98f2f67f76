/**
 * `npm run test:regress -- SOURCE`: runs PostgreSQL's own regression suite (manual, 33) directly and through a gateway in both pool
 * modes, and says which tests differ. SOURCE is the unpacked source of the PostgreSQL that is installed, with `regress.so` made
 * (`make -C src/test/regress`); `pg_regress` and `psql` are the installed ones. It needs some minutes.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { installedBinaries } from './support/embedded/binaries.ts';
import { prepareCheckout } from './support/gateway-process.ts';
import { startPostgres } from './support/postgres.ts';
import type { OwnPostgres } from './support/postgres.ts';
import { startTokenGateway } from './support/token-gateway.ts';

/** What differs because a session gets a backend that has served another one: README, "What a pooled connection has". */
const POOLED = ['temp', 'stats'];
/** And because a library that a session has loaded stays loaded. */
const EXPECTED = { session: POOLED, transaction: [...POOLED, 'guc'] };
const DATABASE = 'regression';
/** What `pg_regress` sets when it makes the database. */
const SETTINGS = ['messages', 'monetary', 'numeric', 'time'].map((kind) => `lc_${kind} to 'C'`);

interface Suite {
  readonly source: string;
  readonly binaries: string;
  readonly output: string;
}

interface Server {
  readonly host: string;
  readonly port: number;
  readonly password: string;
}

/** Empty, and without the roles of an earlier run. */
async function prepareDatabase(postgres: OwnPostgres): Promise<void> {
  await postgres.sql(`drop database if exists ${DATABASE} with (force)`);
  for (const { role } of await postgres.sql(
    "select quote_ident(rolname) as role from pg_roles where rolname like 'regress%'",
  ))
    await postgres.sql(`drop role if exists ${String(role)}`);
  await postgres.sql(`create database ${DATABASE} template template0`);
  for (const setting of SETTINGS) await postgres.sql(`alter database ${DATABASE} set ${setting}`);
}

/** The names of the tests that fail. @throws Error if the suite does not run */
function failures({ source, binaries, output }: Suite, name: string, server: Server): readonly string[] {
  const folder = join(output, name);
  // The server writes there, as another user.
  for (const each of [folder, join(folder, 'results'), join(folder, 'testtablespace')]) {
    mkdirSync(each, { recursive: true });
    chmodSync(each, 0o777);
  }
  const { host, port, password } = server;
  const options = {
    host,
    port: String(port),
    user: 'postgres',
    dbname: DATABASE,
    inputdir: source,
    outputdir: folder,
    dlpath: source,
    bindir: binaries,
    schedule: join(source, 'parallel_schedule'),
    'max-connections': '6',
  };
  const program = join(dirname(binaries), 'lib/pgxs/src/test/regress/pg_regress');
  const args = Object.entries(options).map(([key, value]) => `--${key}=${value}`);
  const { stdout, error } = spawnSync(program, ['--use-existing', ...args], {
    env: { ...process.env, PGPASSWORD: password, PGSSLMODE: 'disable' },
    encoding: 'utf8',
  });
  if (error) throw error;
  const ran = /(\d+) (?:of \d+ )?tests (?:passed|failed)/.test(stdout);
  if (!ran) throw new Error(`pg_regress did not run:\n${stdout}`);
  return [...stdout.matchAll(/^(?:test)?\s+(\S+)\s+\.\.\. FAILED/gm)].map(([, test = '']) => test);
}

/** Whether the tests that fail through a gateway are those that fail directly, and those that are known to differ. */
async function isEqual(suite: Suite, postgres: OwnPostgres): Promise<boolean> {
  await prepareDatabase(postgres);
  const direct = failures(suite, 'direct', postgres);
  console.log(`direct: ${direct.join(', ') || 'none'} failed`);
  let equal = true;
  for (const [mode, expected] of Object.entries(EXPECTED)) {
    await prepareDatabase(postgres);
    const front = await startTokenGateway(postgres, {
      roles: ['postgres'],
      passwords: { postgres: postgres.password },
      databases: `${DATABASE}: { ...server, database: '${DATABASE}', privilegedRoles: ['postgres'], pool: { mode: '${mode}', size: 60 } }`,
    });
    const failed = failures(suite, mode, front.address('postgres')).filter((test) => !direct.includes(test));
    const unknown = failed.filter((test) => !expected.includes(test));
    console.log(
      `${mode} mode: ${failed.join(', ') || 'none'} failed in addition; ${unknown.length} not known`,
    );
    equal &&= unknown.length === 0;
    await front.gateway.remove();
  }
  return equal;
}

const folder = process.argv[2];
const source = folder === undefined ? '' : resolve(folder, 'src/test/regress');
if (!existsSync(join(source, 'regress.so'))) throw new Error(`no regress.so in ${source || 'SOURCE'}`);
const [binaries] = installedBinaries().map(({ postgres }) => dirname(postgres));
if (binaries === undefined) throw new Error('no PostgreSQL is installed');
process.env['POSTERN_POSTGRES_BIN'] = binaries;
prepareCheckout();
const postgres = await startPostgres();
const output = mkdtempSync(join(tmpdir(), 'postern-regress-'));
chmodSync(output, 0o755);
try {
  const equal = await isEqual({ source, binaries, output }, postgres);
  console.log(equal ? 'as expected' : `what differs: ${output}/*/regression.diffs`);
  if (equal) rmSync(output, { recursive: true });
  process.exitCode = equal ? 0 : 1;
} finally {
  await postgres.stop();
}
