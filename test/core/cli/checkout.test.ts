/** Preparing a checkout: whoever ends it leaves no compiler at work and no half build. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

const CHECKOUT = new URL('../../../core/cli/checkout.js', import.meta.url).href;

/** A checkout whose compiler begins to write and does not end. */
function checkout(): string {
  const root = mkdtempSync(join(tmpdir(), 'postern-checkout-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const folder of ['core', 'plugins', 'examples/demo', 'test/support/embedded'])
    mkdirSync(join(root, folder), { recursive: true });
  const compiler = `const { mkdirSync, writeFileSync } = require('node:fs');
    mkdirSync(process.argv.at(-1));
    writeFileSync('pid', String(process.pid));
    setInterval(() => {}, 1_000);`;
  const files = {
    'package-lock.json': '{"packages":{}}',
    'node_modules/.package-lock.json': '{"packages":{}}',
    'node_modules/typescript/bin/tsc': compiler,
    'tsconfig.json': '{}',
    'prepare.mjs': `import { prepare } from ${JSON.stringify(CHECKOUT)};
      process.exit((await prepare(import.meta.dirname)) ? 0 : 1);`,
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Resolves with the compiler's process id. */
async function compiling(root: string): Promise<number> {
  const file = join(root, 'pid');
  await expect.poll(() => existsSync(file) && readFileSync(file, 'utf8')).toMatch(/^\d+$/);
  return Number(readFileSync(file, 'utf8'));
}

const half = (root: string): readonly string[] => readdirSync(root).filter((name) => name.startsWith('dist'));

function started(command: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(command, args, { stdio: 'ignore', env: { ...process.env, ...more } });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

test.each(['SIGTERM', 'SIGINT'] as const)('%s ends the compiler, and then the process', async (signal) => {
  const root = checkout();
  const child = started(process.execPath, [join(root, 'prepare.mjs')]);
  const compiler = await compiling(root);
  expect(half(root)).toHaveLength(1);
  child.kill(signal);
  expect(await once(child, 'exit')).toEqual([null, signal]);
  expect(runs(compiler)).toBe(false);
  expect(half(root)).toEqual([]);
});

test('where npm has started it, so does the end of its parent', async () => {
  const root = checkout();
  // A second command keeps the shell from becoming the first.
  const script = `'${process.execPath}' '${join(root, 'prepare.mjs')}'; true`;
  const shell = started('sh', ['-c', script], { npm_lifecycle_event: 'start' });
  const compiler = await compiling(root);
  shell.kill('SIGKILL');
  await expect.poll(() => runs(compiler)).toBe(false);
  await expect.poll(() => half(root)).toEqual([]);
});
