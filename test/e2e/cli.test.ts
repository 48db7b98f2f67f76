/** The `postern` command as a person runs it: arguments, exit codes, signals, and what goes to which stream. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const shim = join(root, 'core/cli/postern.js');
const folder = mkdtempSync(join(tmpdir(), 'postern-cli-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

// Compiles where that is needed, so that nothing about it is on the streams that the tests read.
beforeAll(() => {
  expect(spawnSync(process.execPath, [shim, '--prepare'], { stdio: 'inherit' }).status).toBe(0);
}, 120_000);

function run(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [shim, ...args], {
    encoding: 'utf8',
    cwd: folder,
  });
  return { status, stdout, stderr };
}

function config(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const DATABASES = `{ orders: { host: '127.0.0.1', login: { kind: 'password', passwords: { reader: 'secret' } } } }`;

type Running = ChildProcessByStdio<null, Readable, null>;

async function started(path: string): Promise<{ gateway: Running; lines: string[] }> {
  const gateway: Running = spawn(process.execPath, [shim, 'start', '--config', path], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: folder,
  });
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    createInterface(gateway.stdout).on('line', (line) => {
      lines.push(line);
      if (line.includes('"listening"')) resolve();
    });
    gateway.once('exit', () => {
      reject(new Error(`the gateway ended:\n${lines.join('\n')}`));
    });
  });
  return { gateway, lines };
}

describe('arguments', () => {
  test('--version prints the version of the package', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(run('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  test.each([[['--help']], [['start', '--help']], [['sql', '--help']]])('%j prints the usage', (args) => {
    expect(run(...args)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('Usage: postern') as string,
    });
  });

  test.each([
    [[], 'a command is missing'],
    [['bogus'], "there is no command 'bogus'"],
    [['chek'], "there is no command 'chek'; did you mean 'check'?"],
    [['constructor'], "there is no command 'constructor'"],
    [['start', '--bogus'], '--bogus'],
    [['start', 'more'], 'more'],
    [['check', '--port', '1'], '--port'],
    [['sql'], "'sql' needs to know what: write 'sql roles'"],
    [
      ['sql', 'rolls'],
      "there is no command 'sql rolls': write 'sql roles', or one that a plugin of the config brings",
    ],
    [['sql', 'roles', 'more'], "write 'sql roles'"],
    [['demo', '--port', '99999'], '--port 99999 is not a port'],
  ])('%j is not understood: exit code 2, the reason on stderr, and where help is', (args, reason) => {
    const { status, stdout, stderr } = run(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(reason);
    expect(stderr.split('\n').slice(1)).toEqual(['The commands and their options: postern --help', '']);
  });

  test('npx finds the command in the checkout', () => {
    const { status, stdout } = spawnSync('npx', ['postern', '--version'], {
      encoding: 'utf8',
      cwd: root,
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: run('--version').stdout });
  });
});

describe('sql roles', () => {
  test('prints SQL on stdout and no password, for the roles it is told', () => {
    const path = config('roles.config.ts', `export default { databases: ${DATABASES}, plugins: [] };`);
    const { status, stdout, stderr } = run('sql', 'roles', '--config', path, '--role', 'a', '--role', 'b');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('grant connect on database "orders" to "a";');
    expect(stdout).toContain('--   host "orders" "a","b" 127.0.0.1/32 scram-sha-256');
    expect(stdout).not.toContain('secret');
  });

  test('says what is missing, with exit code 1', () => {
    const path = config('none.config.ts', `export default { databases: ${DATABASES}, plugins: [] };`);
    const { status, stdout, stderr } = run('sql', 'roles', '--config', path);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('name them by --role');
  });
});

describe('check', () => {
  const marker = join(folder, 'was-set-up');
  const plugin = `{ name: 'mine', setup() { writeFileSync(${JSON.stringify(marker)}, ''); } }`;

  test('says what a config would run, and sets up no plugin', () => {
    const path = config(
      'good.config.ts',
      `import { writeFileSync } from 'node:fs';
       import { defineConfig } from 'postern';
       export default defineConfig({ listen: { name: 'public', port: 7000 }, databases: ${DATABASES}, plugins: [${plugin}] });`,
    );
    const { status, stdout, stderr } = run('check', '--config', path);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/listeners +public \(127\.0\.0\.1 port 7000, no TLS\)/);
    expect(stdout).toMatch(/databases +orders/);
    expect(stdout).toMatch(/plugins +mine/);
    expect(existsSync(marker)).toBe(false);
  });

  test.each([
    ['an unknown key', `{ listen: { prot: 7000 }, databases: {}, plugins: [] }`, 'prot'],
    [
      'a wrong value',
      `{ databases: { orders: { host: 1, login: { kind: 'trust' } } }, plugins: [] }`,
      'databases.orders.host',
    ],
  ])('%s stops it with one sentence that names the path', (_, text, path) => {
    const { status, stdout, stderr } = run(
      'check',
      '--config',
      config('bad.config.ts', `export default ${text};`),
    );
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain(path);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test('a config that is not there is named', () => {
    const { status, stderr } = run('start', '--config', 'nowhere.config.ts');
    expect(status).toBe(1);
    expect(stderr).toContain('nowhere.config.ts');
  });
});

describe('start', () => {
  const path = config(
    'start.config.ts',
    `import { defineConfig } from 'postern';
     export default defineConfig({ listen: { port: 0 }, databases: ${DATABASES}, plugins: [] });`,
  );

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'listens, says so as a JSON line, and ends with 0 on %s',
    async (signal) => {
      const { gateway, lines } = await started(path);
      gateway.kill(signal);
      await expect(once(gateway, 'exit')).resolves.toEqual([0, null]);
      const logged = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(logged).toContainEqual(expect.objectContaining({ msg: 'listening', host: '127.0.0.1' }));
    },
  );

  test('a taken address stops it with a sentence', async () => {
    const { gateway, lines } = await started(path);
    const line = lines.find((each) => each.includes('"listening"')) ?? '';
    const { port } = JSON.parse(line) as { port: number };
    const taken = config(
      'taken.config.ts',
      `import { defineConfig } from 'postern';
       export default defineConfig({ listen: { port: ${port} }, databases: ${DATABASES}, plugins: [] });`,
    );
    const { status, stderr } = run('start', '--config', taken);
    gateway.kill('SIGTERM');
    expect(status).toBe(1);
    expect(stderr).toContain(String(port));
    expect(stderr).not.toMatch(/^\s+at /m);
    await once(gateway, 'exit');
  });
});
