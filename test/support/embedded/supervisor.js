/**
 * Owns one temporary folder and the process in it, and outlives its parent by just enough to tidy both away.
 * Plain JavaScript without dependencies: it runs as a process of its own, from a checkout that may not be built.
 *
 * argv: prefix of the folder, and (where the parent is root) the uid that shall own it.
 * stdin: JSON lines `{ command, args, log, uid? }`, one process at a time. Its end, however it comes, means stop.
 * stdout: JSON lines `{ folder }`, then per process `{ pid }` and `{ exit }`, or `{ error }`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** PostgreSQL's fast shutdown, its immediate one, and the last resort (manual, 18.5), with milliseconds after the first. */
const STEPS = /** @type {const} */ ([
  ['SIGINT', 0],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 8_000],
]);

const [prefix = '', uid] = process.argv.slice(2);
const folder = mkdtempSync(prefix);
if (uid) chownSync(folder, Number(uid), Number(uid));

/** What runs now: one process at most. */
const running = new Set();
let stopping = false;

/** @param {object} message */
function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** @param {{ command: string, args: string[], log: string, uid?: number }} order */
function start(order) {
  const log = openSync(order.log, 'a');
  const identity = order.uid === undefined ? {} : { uid: order.uid, gid: order.uid };
  const started = spawn(order.command, order.args, { cwd: folder, stdio: ['ignore', log, log], ...identity });
  closeSync(log);
  running.add(started);
  started.once('spawn', () => tell({ pid: started.pid }));
  started.once('error', (error) => ended({ error: error.message }));
  started.once('exit', (code, signal) => ended({ exit: code ?? signal }));
}

/** @param {object} message */
function ended(message) {
  running.clear();
  tell(message);
  if (stopping) leave();
}

/** A postmaster that was killed leaves its pid file, whose line 7 names a System V segment that nobody else frees. */
function freeSharedMemory() {
  try {
    const line = readFileSync(join(folder, 'data/postmaster.pid'), 'utf8').split('\n')[6] ?? '';
    const id = line.trim().split(/\s+/)[1];
    if (id) spawnSync('ipcrm', ['-m', id]);
  } catch {
    // No such file: it ended in order.
  }
}

function leave() {
  freeSharedMemory();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  process.exit(0);
}

function stop() {
  if (stopping) return;
  stopping = true;
  if (running.size === 0) leave();
  for (const [signal, after] of STEPS) {
    setTimeout(() => {
      for (const child of running) child.kill(signal);
    }, after);
  }
}

// The parent may be gone before it has read everything.
process.stdout.on('error', () => undefined);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
createInterface({ input: process.stdin }).on('line', (line) => start(JSON.parse(line)));
process.stdin.on('end', stop).on('error', stop);
tell({ folder });
