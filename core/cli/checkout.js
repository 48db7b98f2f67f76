/** Makes a checkout ready to run: packages installed as the lock file says, TypeScript compiled into `dist`. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  accessSync,
  constants,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** What the compiled files depend on. */
const SOURCES = [
  'core',
  'plugins',
  'examples/demo',
  'test/support/embedded',
  'tsconfig.json',
  'package-lock.json',
];

/**
 * Those that end a program that runs here, and this process after it.
 * @type {readonly NodeJS.Signals[]}
 */
const SIGNALS = ['SIGINT', 'SIGTERM'];
/** How often it is looked whether npm is still there, in milliseconds. */
const POLL_MS = 200;

/**
 * The one of them that came.
 * @type {NodeJS.Signals | undefined}
 */
let told;

/** @param {string} text */
function say(text) {
  process.stderr.write(`postern: ${text}\n`);
}

/**
 * Runs a program with its complaints shown. Its other output goes to stderr too: stdout belongs to the gateway's log.
 * The end of the npm whose script this process is counts as a signal.
 * @param {string} root @param {string} command @param {string[]} args
 */
async function run(root, command, args) {
  const parent = process.ppid;
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  /** @param {NodeJS.Signals} signal */
  const end = (signal) => {
    told = signal;
    child.kill(signal);
  };
  const orphaned = () => {
    if (process.env.npm_lifecycle_event !== undefined && process.ppid !== parent) end('SIGTERM');
  };
  const poll = setInterval(orphaned, POLL_MS);
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    const [status] = await once(child, 'close');
    return status === 0 && told === undefined;
  } catch (error) {
    say(`${command}: ${error instanceof Error ? error.message : 'does not start'}`);
    return false;
  } finally {
    clearInterval(poll);
    for (const signal of SIGNALS) process.off(signal, end);
  }
}

/**
 * Versions by package path. Optional packages are left out: which of them are there depends on the platform.
 * @param {string} file
 */
function versions(file) {
  /** @type {Record<string, { version?: string, optional?: boolean }>} */
  const packages = JSON.parse(readFileSync(file, 'utf8')).packages;
  return Object.entries(packages).flatMap(([path, { version, optional }]) =>
    path === '' || optional ? [] : [`${path}@${version}`],
  );
}

/** @param {string} root */
function installed(root) {
  const present = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(present)) return false;
  const have = new Set(versions(present));
  return versions(join(root, 'package-lock.json')).every((wanted) => have.has(wanted));
}

/** @param {string} root */
async function install(root) {
  say('installing packages (npm ci), once');
  const npm = process.env.npm_execpath;
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  return npm?.endsWith('.js') ? run(root, process.execPath, [npm, ...args]) : run(root, 'npm', args);
}

/**
 * Changes when a source is written, added or removed.
 * @param {string} root
 */
function fingerprint(root) {
  const hash = createHash('sha256');
  for (const source of SOURCES) {
    const path = join(root, source);
    const names = statSync(path).isDirectory()
      ? readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
      : [''];
    for (const name of names.filter((each) => each === '' || /\.(ts|json)$/.test(each))) {
      const { mtimeMs, size } = statSync(join(path, name));
      hash.update(`${source}/${name} ${mtimeMs} ${size}\n`);
    }
  }
  return hash.digest('hex');
}

/**
 * Puts `fresh` in the place of `dist`. Where another process does the same at this moment, either build will do.
 * @param {string} dist @param {string} fresh @param {string} old
 */
function swap(dist, fresh, old) {
  try {
    if (existsSync(dist)) renameSync(dist, old);
    renameSync(fresh, dist);
  } catch (error) {
    if (!existsSync(dist)) throw error;
  }
}

/**
 * Compiles beside `dist` and swaps, so that a gateway that starts meanwhile never reads half a build.
 * @param {string} root @param {string} stamp @param {string} sources
 */
async function build(root, stamp, sources) {
  say('compiling');
  const [dist, fresh, old] = [
    join(root, 'dist'),
    join(root, `dist-${process.pid}`),
    join(root, `dist-${process.pid}-old`),
  ];
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    if (!(await run(root, process.execPath, [tsc, '-p', 'core/tsconfig.build.json', '--outDir', fresh])))
      return false;
    writeFileSync(join(fresh, stamp), sources);
    swap(dist, fresh, old);
    return true;
  } finally {
    for (const folder of [fresh, old]) rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {string} root */
function writable(root) {
  try {
    accessSync(root, constants.W_OK);
    return true;
  } catch {
    say(
      `${root} is not built, or has changed since, and this user cannot write there: npm run build, as its owner`,
    );
    return false;
  }
}

/** @param {string} root */
async function prepared(root) {
  const ready = installed(root);
  if (!ready && !(writable(root) && (await install(root)))) return false;
  const stamp = '.sources';
  const sources = fingerprint(root);
  const path = join(root, 'dist', stamp);
  if (existsSync(path) && readFileSync(path, 'utf8') === sources) return true;
  return writable(root) && build(root, stamp, sources);
}

/**
 * Installs and compiles what is missing or out of date, saying so on stderr. A signal ends that in order, and then this process.
 * @param {string} root the folder of package.json
 * @returns {Promise<boolean>} false if it failed; the reason has been printed
 */
export async function prepare(root) {
  const done = await prepared(root);
  if (told !== undefined) process.kill(process.pid, told);
  return done;
}
