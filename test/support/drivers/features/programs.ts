/** The drivers of the table, and how the program of each is run; undefined where one is not to be had here. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { executable } from '../../executable.ts';
import { environmentOf, fileHere, readRun, runCases } from './index.ts';
import type { Place, Run } from './index.ts';
import * as drizzle from './drizzle.ts';
import * as nodePostgres from './node-postgres.ts';
import * as postgresJs from './postgres-js.ts';
import { casesOf, versionOf } from './psql.ts';

const run = promisify(execFile);

/** Runs all cases of a driver in one place. */
export type Program = (place: Place) => Promise<Run>;

/** A row of the table. */
export interface TableDriver {
  readonly name: string;
  /** What has to be set in transaction mode, in the words of the table. */
  readonly note: string;
  /** The program, or why there is none here. */
  readonly find: () => Promise<Program | string>;
}

const DEBIAN_JAR = '/usr/share/java/postgresql.jar';
const PROGRAM_MS = 200_000;

async function printedBy(file: string, args: readonly string[], place: Place): Promise<Run> {
  const options = { env: environmentOf(place), timeout: PROGRAM_MS, maxBuffer: 64 * 1_048_576 };
  const { stdout } = await run(file, args, options);
  return readRun(stdout);
}

/** A program in Python, for the first Python here that has its modules. */
function python(modules: string, file: string): () => Promise<Program | string> {
  return async () => {
    for (const path of ['/usr/bin/python3', executable('python3')]) {
      if (path === undefined) continue;
      const has = await run(path, ['-c', `import ${modules}`]).then(
        () => true,
        () => false,
      );
      if (has) return (place) => printedBy(path, ['-B', fileHere(file)], place);
    }
    return `no Python here has ${modules}`;
  };
}

const folders: string[] = [];

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-drivers-'));
  folders.push(folder);
  return folder;
}

/** Removes what was built. */
export function removeBuilt(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** Drivers that are long in building are built only on request; writing the table's rows is one. */
const BUILDS = process.env['POSTERN_WRITE_DRIVERS'] === '1';
const UNASKED = 'it is built only where POSTERN_WRITE_DRIVERS=1 asks for it';

/** Where a build has failed because no registry answers, and not because the program is wrong. */
const UNREACHABLE =
  /dial tcp|lookup |i\/o timeout|connection refused|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|Could not resolve host|Could not connect|Failed to connect/;

/** TypeORM asks for another version of ioredis than the gateway, so it has a folder of its own. */
async function typeorm(): Promise<Program | string> {
  if (!BUILDS) return UNASKED;
  const npm = executable('npm');
  if (npm === undefined) return 'npm is not installed here';
  const folder = temporaryFolder();
  cpSync(fileHere('npm'), folder, { recursive: true });
  try {
    await run(npm, ['ci', '--ignore-scripts'], { cwd: folder, timeout: PROGRAM_MS });
  } catch (error) {
    return unreachableOr(error, 'npm');
  }
  return (place) => printedBy(process.execPath, [join(folder, 'typeorm.js')], place);
}

/** Why it could not be built, where a registry is the cause. @throws the error where the program is */
function unreachableOr(error: unknown, tool: string): string {
  const text = String((error as { stderr?: unknown }).stderr ?? error);
  if (UNREACHABLE.test(text)) return `${tool} could not build it: ${text}`;
  throw error;
}

let built: Promise<string> | undefined;

/** Builds the programs in Go, once, in a temporary folder, with the versions that go.sum pins. */
function buildGo(go: string): Promise<string> {
  built ??= (async () => {
    const folder = temporaryFolder();
    cpSync(fileHere('go'), folder, { recursive: true });
    const env = { ...process.env, GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' };
    await run(go, ['build', '-o', 'drivers', '.'], { cwd: folder, env, timeout: PROGRAM_MS });
    return join(folder, 'drivers');
  })();
  return built;
}

function goProgram(which: string): () => Promise<Program | string> {
  return async () => {
    const go = executable('go');
    if (go === undefined) return 'go is not installed here';
    try {
      const binary = await buildGo(go);
      return (place) => printedBy(binary, [which], place);
    } catch (error) {
      return unreachableOr(error, 'go');
    }
  };
}

let builtRust: Promise<string> | undefined;

/** Builds the programs in Rust, once, with the versions that Cargo.lock pins; CARGO_TARGET_DIR keeps what is built. */
function buildRust(cargo: string): Promise<string> {
  builtRust ??= (async () => {
    const folder = temporaryFolder();
    cpSync(fileHere('rust'), folder, { recursive: true });
    const target = process.env['CARGO_TARGET_DIR'] ?? join(folder, 'target');
    const env = { ...process.env, CARGO_TARGET_DIR: target };
    await run(cargo, ['build', '--locked', '--quiet'], { cwd: folder, env, timeout: PROGRAM_MS });
    return join(target, 'debug', 'drivers');
  })();
  return builtRust;
}

function rustProgram(which: string): () => Promise<Program | string> {
  return async () => {
    if (!BUILDS) return UNASKED;
    const cargo = executable('cargo');
    if (cargo === undefined) return 'cargo is not installed here';
    try {
      const binary = await buildRust(cargo);
      return (place) => printedBy(binary, [which], place);
    } catch (error) {
      return unreachableOr(error, 'cargo');
    }
  };
}

/** Compiles a program in Java beside pgjdbc of Debian. */
async function javaProgram(file: string, folder: string): Promise<Program | string> {
  const [path, compiler] = [executable('java'), executable('javac')];
  if (path === undefined || compiler === undefined) return 'no JDK is installed here';
  if (!existsSync(DEBIAN_JAR)) return `there is no ${DEBIAN_JAR}`;
  const jars = DEBIAN_JAR;
  await run(compiler, ['-cp', jars, '-d', folder, fileHere(file)], { timeout: PROGRAM_MS });
  // These programs are over before the optimising compiler has done any good.
  const flags = ['-XX:TieredStopAtLevel=1', `-Djava.io.tmpdir=${folder}`, '-cp', `${jars}:${folder}`];
  return (place) => printedBy(path, [...flags, basename(file, '.java')], place);
}

function psql(): Program | string {
  const path = executable('psql');
  if (path === undefined) return 'psql is not installed here';
  const [version, cases] = [versionOf(path), casesOf(path)];
  return (place) => runCases(version, cases, place);
}

/** In the order of the table. */
export const DRIVERS: readonly TableDriver[] = [
  {
    name: 'psql',
    note: 'its `\\copy`, `\\d`, `\\gdesc`, `FETCH_COUNT` and `ON_ERROR_ROLLBACK` too',
    find: async () => psql(),
  },
  {
    name: 'node-postgres',
    note: 'COPY and batches by packages of their own',
    find: async () => (place) => runCases(nodePostgres.version, nodePostgres.cases, place),
  },
  {
    name: 'postgres.js',
    note: '`listen` has a connection of its own, and keeps it',
    find: async () => (place) => runCases(postgresJs.version, postgresJs.cases, place),
  },
  {
    name: 'Drizzle',
    note: 'with node-postgres; its `migrate` too',
    find: async () => (place) => runCases(drizzle.version, drizzle.cases, place),
  },
  { name: 'TypeORM', note: 'with node-postgres; `synchronize` and migrations too', find: typeorm },
  { name: 'psycopg 3', note: 'its pipelines too', find: python('psycopg', 'psycopg_features.py') },
  {
    name: 'asyncpg',
    note: '`server_settings` are there again after the reset of its pool',
    find: python('asyncpg', 'asyncpg_features.py'),
  },
  {
    name: 'SQLAlchemy',
    note: 'with psycopg2, which prepares nothing; `stream_results` keeps a connection',
    find: python('sqlalchemy, psycopg2', 'sqlalchemy_features.py'),
  },
  {
    name: 'Django',
    note: 'with psycopg2; `DISABLE_SERVER_SIDE_CURSORS` is not needed: an iterator keeps its connection',
    find: python('django, psycopg2', 'django_features.py'),
  },
  { name: 'pgx', note: 'its cache of statements too', find: goProgram('pgx') },
  { name: 'lib/pq', note: '`binary_parameters` is not needed', find: goProgram('libpq') },
  {
    name: 'tokio-postgres',
    note: 'its pipelines, portals and look-ups of types too',
    find: rustProgram('tokio-postgres'),
  },
  { name: 'sqlx', note: 'its cache of statements and its migrations too', find: rustProgram('sqlx') },
  {
    name: 'pgjdbc',
    note: '`prepareThreshold` may stay as it is',
    find: async () => javaProgram('PgjdbcFeatures.java', temporaryFolder()),
  },
];
