/** The access log of several workers: all of them write to one file. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';

const COUNT = 3_000;

test('lines of three processes stand whole and complete in one file, each in the order of its process', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'postern-access-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'access.log');
  const script = fileURLToPath(new URL('access-log-writer.ts', import.meta.url));
  const jiti = fileURLToPath(new URL('../../node_modules/jiti/lib/jiti-cli.mjs', import.meta.url));
  const run = promisify(execFile);
  await Promise.all(
    ['a', 'b', 'c'].map((name) => run(process.execPath, [jiti, script, file, name, String(COUNT)])),
  );
  const lines = (await readFile(file, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { name: string; i: number; text: string });
  expect(lines).toHaveLength(3 * COUNT);
  for (const name of ['a', 'b', 'c']) {
    const own = lines.filter((line) => line.name === name);
    expect(own.map(({ i }) => i)).toEqual(Array.from({ length: COUNT }, (_, i) => i));
    expect(own.every(({ i, text }) => text === name.repeat((i * 37) % 9_000))).toBe(true);
  }
});
