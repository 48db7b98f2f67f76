/** A file that is kept in memory: which versions are taken, which are refused, and that nothing is left when nobody uses it. */
import { mkdtempSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NO_FILE, fileVersion } from '../../core/options/file-version.ts';
import { FollowedFile } from '../../core/options/followed-file.ts';

let folder: string;
let file: string;
let happened: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-followed-'));
  file = join(folder, 'list');
  happened = [];
  writeFileSync(file, 'one');
});
afterEach(() => rmSync(folder, { recursive: true }));

function followed(): FollowedFile<string> {
  return new FollowedFile(file, {
    read: async () => {
      const text = await readFile(file, 'utf8');
      if (text === 'bad') throw new Error('bad');
      return text;
    },
    taken: (text) => happened.push(text),
    refused: (error) => happened.push(String(error)),
    closed: () => happened.push('closed'),
  });
}

test('each version is taken or refused once, and the last user to let go ends it', async () => {
  const one = followed();
  const [first, second] = [await one.open(), await one.open()];
  expect(happened).toEqual(['one']);
  writeFileSync(file, 'bad');
  await expect.poll(() => happened).toEqual(['one', 'Error: bad']);
  writeFileSync(`${file}.new`, 'three');
  renameSync(`${file}.new`, file);
  await expect.poll(() => happened).toEqual(['one', 'Error: bad', 'three']);
  await first();
  expect(happened).not.toContain('closed');
  await second();
  expect(happened.at(-1)).toBe('closed');
});

test('a file that cannot be used is not followed', async () => {
  writeFileSync(file, 'bad');
  const one = followed();
  await expect(one.open()).rejects.toThrow('bad');
  expect(happened).toEqual([]);
  writeFileSync(file, 'good');
  await (
    await one.open()
  )();
  expect(happened).toEqual(['good', 'closed']);
});

test('a version changes with the content in place, although size and mtime are as before, and with the target of a link', async () => {
  const at = new Date('2026-01-01T00:00:00Z');
  utimesSync(file, at, at);
  const before = await fileVersion(file);
  expect(await fileVersion(file)).toBe(before);
  const { ctimeMs } = statSync(file);
  await expect
    .poll(() => {
      writeFileSync(file, 'two');
      utimesSync(file, at, at);
      return statSync(file).ctimeMs;
    })
    .not.toBe(ctimeMs);
  expect(await fileVersion(file)).not.toBe(before);
  const link = join(folder, 'link');
  symlinkSync(file, link);
  expect(await fileVersion(link)).toBe(await fileVersion(file));
  expect(await fileVersion(join(folder, 'missing'))).toBe(NO_FILE);
});
