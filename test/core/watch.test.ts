/** Files that change in every way files change. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { modulesOf } from '../../core/config/own-files.ts';
import { FileWatch } from '../../core/config/watch.ts';

let folder: string;
let file: string;
let told: number;
let watch: FileWatch | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-watch-'));
  file = join(folder, 'config.ts');
  writeFileSync(file, 'one');
  told = 0;
});
afterEach(() => {
  watch?.close();
  rmSync(folder, { recursive: true });
});

/** Looks often, or, without `poll`, at events only. */
async function start(files = [file], { settle = 20, poll = 3_600_000 } = {}): Promise<FileWatch> {
  watch = new FileWatch({ settle, poll });
  await watch.follow(files);
  watch.start(() => (told += 1));
  return watch;
}

const changed = (times: number): Promise<void> => expect.poll(() => told).toBe(times);

test('written, replaced, removed and made again: each is told once', async () => {
  await start();
  writeFileSync(file, 'two');
  await changed(1);
  writeFileSync(`${file}.new`, 'two');
  renameSync(`${file}.new`, file);
  await changed(2);
  rmSync(file);
  await changed(3);
  writeFileSync(file, 'two');
  await changed(4);
});

test('a link that points elsewhere is a change, in the manner of a mounted ConfigMap', async () => {
  for (const version of ['v1', 'v2']) {
    mkdirSync(join(folder, version));
    writeFileSync(join(folder, version, 'mounted.ts'), 'same text');
  }
  symlinkSync('v1', join(folder, 'data'));
  symlinkSync('data/mounted.ts', join(folder, 'mounted.ts'));
  await start([join(folder, 'mounted.ts')]);
  symlinkSync('v2', join(folder, 'data.new'));
  renameSync(join(folder, 'data.new'), join(folder, 'data'));
  await changed(1);
});

test('other files of the folder do not matter', async () => {
  await start();
  for (let count = 0; count < 10; count++) {
    writeFileSync(join(folder, `other-${count}`), 'x');
    await sleep(10);
  }
  writeFileSync(file, 'two');
  await changed(1);
});

test('a file that is still being written is told when it rests', async () => {
  await start([file], { settle: 1_000 });
  for (let count = 0; count < 20; count++) {
    writeFileSync(file, 'x'.repeat(count));
    await sleep(5);
  }
  await changed(1);
});

test('a change without an event is found by looking', async () => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'postern-watch-'));
  const target = join(elsewhere, 'real.ts');
  writeFileSync(target, 'one');
  symlinkSync(target, join(folder, 'link.ts'));
  await start([join(folder, 'link.ts')], { poll: 20 });
  utimesSync(target, 1, 1);
  await changed(1);
  rmSync(elsewhere, { recursive: true });
});

test('what changed between follow and start is told, and a folder that is not there is no error', async () => {
  watch = new FileWatch({ settle: 20, poll: 20 });
  await watch.follow([file, join(folder, 'later', 'cert.pem')]);
  writeFileSync(file, 'two');
  watch.start(() => (told += 1));
  await changed(1);
  mkdirSync(join(folder, 'later'));
  writeFileSync(join(folder, 'later', 'cert.pem'), 'x');
  await changed(2);
});

test('followed files can be others later, and nothing is told or held after the end', async () => {
  const watching = await start();
  const other = join(folder, 'other.ts');
  writeFileSync(other, 'one');
  await watching.follow([other]);
  writeFileSync(file, 'two');
  writeFileSync(other, 'two');
  await changed(1);
  watching.close();
  writeFileSync(other, 'three');
  await sleep(100);
  expect(told).toBe(1);
  expect(process.getActiveResourcesInfo()).not.toContain('FSEventWrap');
});

test('the modules of a config are those it imports by relative paths, however they are written', () => {
  const put = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const root = put(
    'gateway.config.ts',
    `import { a } from './a.ts'; import './b.js'; import type { C } from "./c";
     import 'postern'; const d = await import(\`./d.mjs\`); import './missing.ts'; export { e } from
       './e.json';`,
  );
  const others = ['a.ts', 'b.ts', 'c.ts', 'd.mjs', 'e.json'].map((name) => put(name, 'export const x = 1;'));
  const deep = put('deep.ts', `import './gateway.config.ts';`);
  put('a.ts', `import * as deep from './deep.ts';`);
  expect([...modulesOf(root)].toSorted()).toEqual([root, ...others, deep].toSorted());
  expect(modulesOf(join(folder, 'nowhere.ts'))).toEqual([join(folder, 'nowhere.ts')]);
});
