/** The files of an audit trail: how they follow one another, what a crash leaves, and what `verify` finds. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  mkdir,
  open as openFile,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { appendFileSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { beforeEach, expect, test, vi } from 'vitest';
import { FileSink } from '../../plugins/audit/file-sink.ts';
import { rotatedFiles } from '../../plugins/audit/file-names.ts';
import type { FileOptions } from '../../plugins/audit/options.ts';
import { Recorder } from '../../plugins/audit/record.ts';
import { Trail } from '../../plugins/audit/trail.ts';
import { verifyFiles } from '../../plugins/audit/verify.ts';
import { auditFolder, linesIn } from './audit-lines.ts';

const recorder = new Recorder('none');
let folder: string;
let file: string;
let complaints: string[];

beforeEach(async () => {
  folder = await auditFolder();
  file = join(folder, 'audit.jsonl');
  complaints = [];
});

interface Setting {
  readonly rotate?: Partial<FileOptions['rotate']>;
  readonly fsync?: FileOptions['fsync'];
  readonly key?: string;
}

async function open({ rotate, fsync = 'never', key }: Setting = {}): Promise<Trail> {
  const whole = { size: 1_000_000, ageMs: undefined, keep: undefined, ...rotate };
  const say = (fields: object): void => void complaints.push(JSON.stringify(fields));
  const log = { info: () => {}, warn: say, error: say };
  const sink = new FileSink(file, { file, fsync, rotate: whole });
  const trail = new Trail({ sink, key, bufferUnits: 1_000_000, marks: recorder, log });
  await trail.open();
  return trail;
}

let count = 0;
const event = (): string =>
  recorder.operator({ via: 'http', verb: 'RELOAD', target: { number: String((count += 1)) } });

/** Writes so many events, each in a write of its own. */
async function record(trail: Trail, events: number): Promise<void> {
  for (let i = 0; i < events; i += 1) {
    const before = (await readdir(folder)).length + (await readFile(file, 'utf8').catch(() => '')).length;
    trail.record(event());
    await vi.waitUntil(
      async () =>
        (await readdir(folder)).length + (await readFile(file, 'utf8').catch(() => '')).length !== before,
      { timeout: 30_000, interval: 2 },
    );
  }
}

/** One trail of so many events in as many files as that makes, closed. */
async function written(events: number, setting?: Setting): Promise<readonly string[]> {
  const trail = await open(setting);
  await record(trail, events);
  await trail.close();
  return all();
}

const all = async (): Promise<string[]> => [...(await rotatedFiles(file)), file];

/** What `verify` finds: `name:line: problem`. */
async function findings(files: readonly string[], key?: string): Promise<string[]> {
  const verdict = await verifyFiles(files, { key });
  return verdict.findings.map((one) => `${one.file.slice(folder.length + 1)}:${one.line}: ${one.problem}`);
}

test('full files are followed by others in one chain, whatever order they are given in', async () => {
  const files = await written(12, { rotate: { size: 900 } });
  expect(files.length).toBeGreaterThan(2);
  const lines = files.flatMap((one) => linesIn(one));
  expect(lines.map(({ n }) => n)).toEqual(lines.map((_, index) => index + 1));
  const verdict = await verifyFiles(files.toReversed());
  expect(verdict).toMatchObject({ findings: [], lines: lines.length, closed: true, beginsLater: false });
  expect(linesIn(files[0] ?? '').at(-1)).toMatchObject({ type: 'closed', why: 'rotation' });
  expect(linesIn(files[1] ?? '')[0]).toMatchObject({ type: 'opened', why: 'rotation' });
});

test('only so many full files stay, and the chain then begins later', async () => {
  const files = await written(14, { rotate: { size: 900, keep: 2 } });
  expect(files).toHaveLength(3);
  expect(await verifyFiles(files)).toMatchObject({ findings: [], beginsLater: true, closed: true });
});

test('a file that is old enough is followed by another one', async () => {
  const ageMs = 100;
  const trail = await open({ rotate: { ageMs } });
  for (let i = 0; i < 3; i += 1) {
    await record(trail, 1);
    await sleep(ageMs);
  }
  await trail.close();
  const files = await all();
  expect(files.length).toBeGreaterThan(2);
  expect(await findings(files)).toEqual([]);
});

test.each([undefined, 'a key of at least thirty-two bytes'])(
  'every changed byte is found, with the key %s',
  async (key) => {
    const [only = ''] = await written(4, key === undefined ? {} : { key });
    const bytes = await readFile(only);
    expect(await findings([only], key)).toEqual([]);
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      await writeFile(only, changed);
      expect(await findings([only], key), `byte ${at}`).toHaveLength(1);
    }
  },
);

test('lines that are gone, came from somewhere, or are in another order are found where it begins', async () => {
  const [only = ''] = await written(4);
  const lines = (await readFile(only, 'utf8')).trimEnd().split('\n');
  const become = async (changed: readonly string[]): Promise<string[]> => {
    await writeFile(only, changed.map((line) => `${line}\n`).join(''));
    return findings([only]);
  };
  const [first = '', second = '', third = '', ...rest] = lines;
  expect(await become([first, third, ...rest])).toEqual([
    'audit.jsonl:2: number 3 stands behind 1: lines are missing, were added, or are in another order',
  ]);
  expect(await become([first, third, second, ...rest])).toHaveLength(1);
  expect(await become([first, second, second, third, ...rest])).toHaveLength(1);
  expect(await become([second, third, ...rest])).toEqual([
    'audit.jsonl:1: the beginning of the file is missing',
  ]);
  expect(await become([])).toEqual(['audit.jsonl:1: the file is empty']);
  // At the very end nobody can know, but that nobody said goodbye.
  expect(await become([first, second, third])).toEqual([]);
  expect(await verifyFiles([only])).toMatchObject({ closed: false });
  const noted = /"hash":"(\w+)"/.exec(rest.at(-1) ?? '')?.[1];
  expect(await verifyFiles([only], { contains: noted })).toMatchObject({ contains: false });
});

test('files that are missing are found, the newest as well', async () => {
  const files = await written(12, { rotate: { size: 900 } });
  expect(await findings(files.filter((_, index) => index !== 1))).toEqual([
    expect.stringContaining(':1: number '),
  ]);
  const [newest = ''] = files.slice(0, -1).slice(-1);
  expect(await findings(files.slice(0, -1))).toEqual([
    expect.stringMatching(
      new RegExp(`^${newest.slice(folder.length + 1)}:\\d+: the file that follows this one is missing$`),
    ),
  ]);
  await truncate(newest, 300);
  expect(await findings(files)).toHaveLength(1);
});

test('without the key nobody can make a chain that fits, or look at one', async () => {
  const key = 'k'.repeat(32);
  const [only = ''] = await written(2);
  expect(await findings([only], key)).toEqual(['audit.jsonl:1: the line was changed']);
  await rm(only);
  await written(2, { key });
  expect(await findings([only])).toEqual([
    'audit.jsonl:1: the chain has a key, which is needed to verify it',
  ]);
  expect(await findings([only], 'x'.repeat(32))).toEqual([
    'audit.jsonl:1: the line was changed, or the key is another one',
  ]);
});

test('a restart goes on in the same chain, also behind the half line of a crash', async () => {
  await written(2);
  const whole = linesIn(file).length;
  appendFileSync(file, '{"audit":1,"n":9');
  expect(await findings([file])).toEqual([
    `audit.jsonl:${whole + 1}: the line is incomplete: a crash, or the end is missing`,
  ]);
  await written(1);
  const lines = linesIn(file);
  expect(lines[whole]).toMatchObject({ type: 'opened', why: 'start', cut: 16, n: whole + 1 });
  expect(await findings([file])).toEqual([]);
});

test('a restart behind a crash in the middle of a rotation goes on where it was', async () => {
  const files = await written(6, { rotate: { size: 900 } });
  const newest = await rotatedFiles(file);
  await rm(file);
  const last = linesIn(newest.at(-1) ?? '').at(-1)?.['n'] as number;
  await writeFile(file, '{"audi');
  await written(1);
  expect(linesIn(file)[0]).toMatchObject({ type: 'opened', n: last + 1 });
  expect(await findings([...newest, file])).toEqual([]);
  expect(files.length).toBeGreaterThan(1);
});

test('what is no audit trail, or not our own, is not touched', async () => {
  await writeFile(file, 'dear diary');
  await expect(open()).rejects.toThrow('does not end as an audit trail');
  await writeFile(file, '{"level":"info"}\n');
  await expect(open()).rejects.toThrow('does not end as an audit trail');
  expect(await readFile(file, 'utf8')).toBe('{"level":"info"}\n');
  await writeFile(file, '');
  await chmod(file, 0o666);
  await expect(open()).rejects.toThrow('others may write');
  file = join(file, 'audit.jsonl');
  await expect(open()).rejects.toThrow(/^audit\.sink\.file: E(NOTDIR|EXIST)/);
});

test('a folder that is not there is made, for nobody else', async () => {
  file = join(folder, 'trails', 'orders', 'audit.jsonl');
  await record(await open(), 1);
  expect(await readFile(file, 'utf8')).not.toBe('');
  expect((await stat(join(folder, 'trails', 'orders'))).mode & 0o777).toBe(0o700);
});

test('a file that is deleted, or that somebody else writes to, is a failure, and a new one begins', async () => {
  const trail = await open({ fsync: 'always' });
  const failures: string[] = [];
  trail.onFailure((problem) => failures.push(problem));
  await record(trail, 1);
  await rm(file);
  trail.record(event());
  await vi.waitUntil(async () => (await readFile(file, 'utf8').catch(() => '')).length > 0, {
    timeout: 30_000,
  });
  expect(failures).toEqual([`${file} was deleted`]);
  await vi.waitUntil(() => trail.problem === undefined, { timeout: 30_000 });
  appendFileSync(file, 'dear diary\n');
  trail.record(event());
  await vi.waitUntil(() => failures.length === 2, { timeout: 30_000 });
  await vi.waitUntil(() => trail.problem === undefined, { timeout: 30_000 });
  expect(failures[1]).toContain('was changed by somebody else');
  await trail.close();
  expect(await findings(await all())).toHaveLength(1);
  expect(complaints).toHaveLength(2);
});

test('a file of somebody else that cannot be renamed is no failure for ever', async () => {
  const trail = await open();
  await record(trail, 1);
  const last = linesIn(file).at(-1)?.['n'] as number;
  const name = join(folder, `audit.${String(last).padStart(12, '0')}.jsonl`);
  await writeFile(name, '');
  appendFileSync(file, 'dear diary\n');
  trail.record(event());
  await vi.waitUntil(() => trail.problem !== undefined, { timeout: 30_000 });
  expect(trail.problem).toBe(`${name} is there already`);
  await rm(name);
  await vi.waitUntil(() => trail.problem === undefined, { timeout: 30_000 });
  expect(linesIn(file)).toMatchObject([{ type: 'operator', n: last + 1 }]);
  await trail.close();
});

test('a disk that is full holds lines back, and loses none', async () => {
  const trail = await open();
  await record(trail, 1);
  const handle = await openFile(file, 'r');
  const every = Object.getPrototypeOf(handle) as { write: (...args: unknown[]) => Promise<unknown> };
  await handle.close();
  const { write } = every;
  let half = true;
  // A part of the first write gets through, nothing of the next one.
  every.write = function (this: unknown, bytes, at, length) {
    if (!half) return Promise.reject(new Error('ENOSPC: no space left on device, write'));
    half = false;
    return write.call(this, bytes, at, Math.floor(Number(length) / 2));
  };
  try {
    trail.record(event());
    await vi.waitUntil(() => trail.problem !== undefined, { timeout: 30_000 });
    trail.record(event());
  } finally {
    every.write = write;
  }
  await vi.waitUntil(() => trail.problem === undefined, { timeout: 30_000 });
  await trail.close();
  expect(linesIn(file).map(({ type }) => type)).toEqual(['opened', ...Array(3).fill('operator'), 'closed']);
  expect(await findings([file])).toEqual([]);
});

test('a file has one writer: another one is refused by its name, until the first is gone', async () => {
  for (const long of [false, true]) {
    if (long) {
      const deep = join(folder, 'd'.repeat(120));
      await mkdir(deep);
      file = join(deep, 'audit.jsonl');
    }
    const trail = await open();
    trail.record(event());
    await expect(open()).rejects.toThrow(
      `audit.sink.file: another gateway writes to ${file}: each one needs a file of its own`,
    );
    await trail.close();
    expect(linesIn(file).map(({ type }) => type)).toEqual(['opened', 'operator', 'closed']);
    await (await open()).close();
    expect(await readdir(dirname(file))).not.toContain('audit.jsonl.lock');
  }
});

test('what a killed process has left is taken over at once, and a file of that name is not', async () => {
  const hold = `require('node:net').createServer().listen(process.argv[1], () => console.log('held'))`;
  const child = spawn(process.execPath, ['-e', hold, `${file}.lock`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  await expect(open()).rejects.toThrow('another gateway writes to');
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await readdir(folder)).toContain('audit.jsonl.lock');
  await (await open()).close();
  await writeFile(`${file}.lock`, 'dear diary');
  await expect(open()).rejects.toThrow('audit.jsonl.lock cannot be taken as a lock: it is no socket');
  expect(await readFile(`${file}.lock`, 'utf8')).toBe('dear diary');
});

test('an event behind the end of the trail is told as lost', async () => {
  const trail = await open();
  await record(trail, 1);
  await trail.close();
  trail.record(event());
  expect(complaints).toEqual([JSON.stringify({ sink: file, events: 1 })]);
  expect(linesIn(file).map(({ type }) => type)).toEqual(['opened', 'operator', 'closed']);
});

test('a file that was renamed goes on under its new name', async () => {
  const trail = await open({ fsync: 5 });
  await record(trail, 1);
  const other = join(folder, 'elsewhere.jsonl');
  await rename(file, other);
  trail.record(event());
  await trail.close();
  expect(await findings([other])).toEqual([]);
  expect(linesIn(other).at(-1)).toMatchObject({ type: 'closed' });
});

test('a thousand events of one tick are one write, and lines of one chain', async () => {
  const write = vi.spyOn(FileSink.prototype, 'write');
  try {
    const trail = await open();
    for (let i = 0; i < 1_000; i += 1) trail.record(event());
    await trail.close();
    // The first line, the thousand, and the last one.
    expect(write.mock.calls.map(([lines]) => lines.length)).toEqual([1, 1_000, 1]);
  } finally {
    write.mockRestore();
  }
  expect(await verifyFiles([file])).toMatchObject({ findings: [], lines: 1_002, closed: true });
});

test('a process that is killed in the middle leaves whole lines that verify, and the chain goes on behind them', async () => {
  const jiti = fileURLToPath(new URL('../../node_modules/jiti/lib/jiti-cli.mjs', import.meta.url));
  const script = fileURLToPath(new URL('audit-writer.ts', import.meta.url));
  const child = spawn(process.execPath, [jiti, script, file], { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = once(child, 'exit');
  await vi.waitUntil(async () => (await stat(file).catch(() => ({ size: 0 }))).size > 500_000, {
    timeout: 60_000,
    interval: 1,
  });
  child.kill('SIGKILL');
  await exited;
  // Counted now: a file that has grown over its limit is rotated when the trail goes on.
  expect(readFileSync(file, 'utf8').split('\n').length).toBeGreaterThan(100);
  // Half a line is what a crash may leave, and no more than that.
  const said = await findings([file]);
  expect(said.length).toBeLessThanOrEqual(1);
  for (const one of said) expect(one).toContain('the line is incomplete: a crash, or the end is missing');
  const trail = await open();
  trail.record(event());
  await trail.close();
  expect(await verifyFiles([file])).toMatchObject({ findings: [], closed: true });
}, 120_000);
