/** The demo: shows what it promises, and leaves nothing behind. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasProc } from './support/gateway-process.ts';
import { sharedPostgres } from './support/postgres.ts';
import { describeWith } from './support/programs.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const shim = join(root, 'core/cli/postern.js');
/** How a process of the demo is started, up to its options. */
const POSTERN: readonly string[] = [process.execPath, shim, 'demo'];
const NPM_START: readonly string[] = ['npm', 'start', '--'];
const NPX: readonly string[] = ['npx', 'postern', 'demo'];

beforeAll(() => {
  expect(spawnSync(process.execPath, [shim, '--prepare'], { stdio: 'inherit' }).status).toBe(0);
}, 120_000);

/** A demo that runs, with what it has printed. */
class Demo {
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  output = '';

  constructor(args: readonly string[], [command = '', ...how] = POSTERN) {
    this.process = spawn(command, [...how, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
  }

  /** Resolves when the text has been printed. */
  async shows(text: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (this.output.includes(text)) resolve();
        else if (this.process.exitCode !== null) reject(new Error(`the demo ended:\n${this.output}`));
        else return;
        this.process.stdout.off('data', look);
        this.process.off('close', look);
      };
      this.process.stdout.on('data', look);
      this.process.on('close', look);
      look();
    });
  }

  async ends(signal: NodeJS.Signals): Promise<number | null> {
    const exit = once(this.process, 'close') as Promise<[number | null]>;
    this.process.kill(signal);
    return (await exit)[0];
  }

  /** Temporary files it named. */
  get files(): string[] {
    return this.output.match(/\/\S*postern-\S+/g)?.map((path) => path.replace(/\)$/, '')) ?? [];
  }
}

function runs(pid: number): boolean {
  return (
    spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' })
      .stdout.trim()
      .replace('Z', '') !== ''
  );
}

interface Child {
  readonly pid: number;
  readonly name: string;
}

/** The processes that one has started, and those that these have started. */
function below(pid: number): readonly Child[] {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid=,comm='], { encoding: 'utf8' });
  const rows = stdout.split('\n').map((line) => line.trim().split(/\s+/));
  const children = rows.filter(([, parent]) => parent === String(pid));
  return children.flatMap(([own, , name = '']) => [{ pid: Number(own), name }, ...below(Number(own))]);
}

describe('with a temporary PostgreSQL', () => {
  const demo = new Demo(['--port', '0']);
  afterAll(() => {
    demo.process.kill('SIGKILL');
  });

  test('a query is answered as the mapped role, and what must be refused is', async () => {
    await demo.shows('Running until Ctrl-C');
    expect(demo.output).toMatch(/reader +\| reader +\| 3 +\| 245/);
    expect(demo.output).toMatch(/ERROR +42501: permission denied for table orders/);
    expect(demo.output).toMatch(/FATAL +28P01: password authentication failed for user "_"/);
    expect(demo.output).not.toContain('"level"');
  });

  describeWith('psql', () => {
    test('the printed line works as it stands', async () => {
      await demo.shows('Running until Ctrl-C');
      const line = /PGPASSWORD=.*/.exec(demo.output)?.[0] ?? '';
      const { stdout } = await promisify(execFile)('sh', ['-c', `${line} -Atc 'select current_user'`]);
      expect(stdout).toBe('reader\n');
    });
  });

  test('Ctrl-C ends it with 0, and nothing of it is left', async () => {
    await demo.shows('Running until Ctrl-C');
    const files = demo.files;
    expect(files.filter((path) => existsSync(path))).not.toEqual([]);
    await expect(demo.ends('SIGINT')).resolves.toBe(0);
    expect(demo.output).toContain('Stopped');
    expect(files.filter((path) => existsSync(path))).toEqual([]);
    expect(runs(demo.process.pid ?? 0)).toBe(false);
  });
});

/** Options for a demo on the server that all tests share: it starts in a moment. */
const onShared = (): readonly string[] => ['--port', '0', '--database', sharedPostgres().url()];
const made = (): Promise<unknown[]> =>
  sharedPostgres().sql("select from pg_roles where rolname like 'postern_demo%'");

test('on a server that runs already, everything it made is gone at the end', async () => {
  const demo = new Demo(onShared());
  try {
    await demo.shows('Running until Ctrl-C');
    await expect(made()).resolves.toHaveLength(2);
    await expect(demo.ends('SIGHUP')).resolves.toBe(0);
    await expect(made()).resolves.toEqual([]);
  } finally {
    demo.process.kill('SIGKILL');
  }
});

test('where the usual port is taken, it takes another one and says so', async () => {
  const squatter = createServer().listen(6432, '127.0.0.1');
  // Whoever else has it will do as well.
  await Promise.race([once(squatter, 'listening'), once(squatter, 'error')]);
  const demo = new Demo([]);
  try {
    await demo.shows('Running until Ctrl-C');
    expect(demo.output).toContain('port 6432 is taken');
    await expect(demo.ends('SIGINT')).resolves.toBe(0);
  } finally {
    demo.process.kill('SIGKILL');
    squatter.close();
  }
});

test('a server that cannot be reached is a sentence and exit code 1', () => {
  const args = [shim, 'demo', '--database', 'postgres://postgres:no@127.0.0.1:1/postgres'];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stderr).toMatch(/ECONNREFUSED/);
  expect(stderr).not.toMatch(/^\s+at /m);
});

describe('through npm', () => {
  test.skipIf(!hasProc).each([
    ['SIGTERM', 'npm', NPM_START],
    ['SIGHUP', 'npm', NPM_START],
    ['SIGTERM', 'npm', NPX],
    ['SIGHUP', 'npm', NPX],
    ['SIGTERM', 'sh', NPX],
    ['SIGHUP', 'sh', NPX],
    ['SIGKILL', 'sh', NPX],
  ] as const)('%s to %s of %j ends the demo in order', async (signal, target, how) => {
    const demo = new Demo(onShared(), how);
    const npm = demo.process.pid ?? 0;
    try {
      await demo.shows('Running until Ctrl-C');
      const [files, started] = [demo.files, below(npm)];
      expect(started.map(({ name }) => name)).toContain('node');
      // Some shells become the program that they run.
      const child = started.find(({ name }) => name === 'sh') ?? started[0];
      const pid = target === 'npm' ? npm : (child?.pid ?? 0);
      process.kill(pid, signal);
      await expect.poll(() => [npm, ...started.map((one) => one.pid)].filter(runs)).toEqual([]);
      await expect.poll(() => demo.output).toContain('Stopped');
      expect(files.filter((path) => existsSync(path))).toEqual([]);
      await expect(made()).resolves.toEqual([]);
    } finally {
      for (const one of [...below(npm), { pid: npm }]) if (runs(one.pid)) process.kill(one.pid, 'SIGKILL');
    }
  });

  test('npm start ends with 0 at SIGTERM', async () => {
    const demo = new Demo(onShared(), NPM_START);
    await demo.shows('Running until Ctrl-C');
    await expect(demo.ends('SIGTERM')).resolves.toBe(0);
  });
});
