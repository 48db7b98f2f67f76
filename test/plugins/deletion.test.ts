/** Any plugin folder can be deleted: what is left of the product still compiles. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type * as CliCommands from '../../core/cli/plugin-commands.ts';
import { sourcesIn } from '../support/source-tree.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);
const folders = (await readdir(join(ROOT, 'plugins'), { withFileTypes: true }))
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
let copy: string;

// The compiler takes its time where others compile as well.
vi.setConfig({ testTimeout: 180_000 });

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'postern-deletion-'));
  for (const part of ['core', 'plugins', 'tsconfig.json', 'package.json']) {
    await cp(join(ROOT, part), join(copy, part), { recursive: true });
  }
  await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  await mkdir(join(copy, 'aside'));
});
afterAll(() => rm(copy, { recursive: true, force: true }));

/**
 * What the compiler says to the product; empty: nothing. Files that neither changed nor import one that is gone are not checked
 * again: see the test below for what that relies on.
 */
async function complaints(): Promise<string> {
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const incremental = ['--incremental', '--tsBuildInfoFile', join(copy, 'build-info')];
  const args = [compiler, '-p', 'core/tsconfig.build.json', '--noEmit', ...incremental];
  return run(process.execPath, args, { cwd: copy }).then(
    () => '',
    (error: { stdout?: string }) => error.stdout ?? 'tsc failed',
  );
}

test('there are plugins, and the copy compiles with all of them', async () => {
  expect(folders.length).toBeGreaterThan(1);
  expect(await complaints()).toBe('');
});

test('no file changes the types of another one, but where that imports it', () => {
  const sources = [...sourcesIn('core'), ...sourcesIn('plugins')];
  expect(sources.length).toBeGreaterThan(300);
  const changes = sources.filter(({ text }) => /^\s*declare (?:global|module)\b/m.test(text));
  expect(changes.map(({ path }) => path)).toEqual([]);
});

test('a type that goes with a folder is missed where it is imported', async () => {
  const [folder] = folders;
  const user = join(copy, 'core/user.ts');
  const made = join(copy, 'plugins', folder ?? '', 'made-for-this-test.ts');
  await writeFile(made, 'export const made = 1;\n');
  await writeFile(user, `export { made } from '../plugins/${folder}/made-for-this-test.ts';\n`);
  expect(await complaints()).toBe('');
  await rm(made);
  expect(await complaints()).toContain('core/user.ts');
  await rm(user);
});

test.each(folders)('without plugins/%s', async (folder) => {
  const [here, away] = [join(copy, 'plugins', folder), join(copy, 'aside', folder)];
  await cp(here, away, { recursive: true });
  await rm(here, { recursive: true });
  const said = await complaints();
  await cp(away, here, { recursive: true });
  expect(said).toBe('');
});

test('the commands of a folder go with it', async () => {
  const { standaloneCommands } = (await import(
    pathToFileURL(join(copy, 'core/cli/plugin-commands.ts')).href
  )) as typeof CliCommands;
  const before = Object.keys(await standaloneCommands());
  expect(before).toContain('sql claims');
  await rm(join(copy, 'plugins/claims'), { recursive: true });
  expect(Object.keys(await standaloneCommands())).toEqual(before.filter((words) => words !== 'sql claims'));
});
