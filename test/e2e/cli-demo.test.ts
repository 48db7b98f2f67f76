/** The demo: shows what it promises, and leaves nothing behind. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';

const shim = fileURLToPath(new URL('../../core/cli/postern.js', import.meta.url));

beforeAll(() => {
  expect(spawnSync(process.execPath, [shim, '--prepare'], { stdio: 'inherit' }).status).toBe(0);
}, 120_000);

/** A demo that runs, with what it has printed. */
class Demo {
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  output = '';

  constructor(...args: readonly string[]) {
    this.process = spawn(process.execPath, [shim, 'demo', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
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

describe('with a temporary PostgreSQL', () => {
  const demo = new Demo('--port', '0');
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

test('on a server that runs already, everything it made is gone at the end', async () => {
  const postgres = sharedPostgres();
  const made = (): Promise<unknown[]> =>
    postgres.sql("select from pg_roles where rolname like 'postern_demo%'");
  const demo = new Demo('--port', '0', '--database', postgres.url());
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
  const demo = new Demo();
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
