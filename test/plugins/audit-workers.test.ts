/** The audit trails of several workers: a chain and a file for each, verified together. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import type { Coordination } from '../../core/workers/coordination.ts';
import { SingleProcess } from '../../core/workers/single-process.ts';
import { audit } from '../../plugins/audit/index.ts';
import { FileSink } from '../../plugins/audit/file-sink.ts';
import { Recorder } from '../../plugins/audit/record.ts';
import { wholeLines } from '../../plugins/audit/stdout-sink.ts';
import { Trail } from '../../plugins/audit/trail.ts';
import { verifyCommand } from '../../plugins/audit/verify-command.ts';
import { GOOD_TOKEN, databaseOf, mapTo, pgClient, startWorker } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { linkWorkers } from '../support/worker-links.ts';

const KEY = 'a key of thirty-two bytes or more';
const ends: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function begin(coordination: Coordination, file: string): Promise<RunningGateway> {
  const running = await startWorker(
    {
      databases: { orders: databaseOf(sharedPostgres()) },
      plugins: [audit({ sink: { file }, key: KEY }), mapTo('reader')],
    },
    coordination,
  );
  ends.push(() => running.gateway.stop());
  const client = pgClient(running, 'orders', GOOD_TOKEN);
  await client.connect();
  await client.query('select 1');
  await client.end();
  return running;
}

async function folder(): Promise<string> {
  const made = await mkdtemp(path.join(tmpdir(), 'postern-audit-'));
  ends.push(() => rm(made, { recursive: true }));
  return made;
}

/** What `postern audit verify` prints, and its exit code. */
async function verified(files: readonly string[]): Promise<{ code: unknown; out: string; err: string }> {
  const said = { out: '', err: '' };
  const hear = (to: 'out' | 'err') => (text: string | Uint8Array) => {
    said[to] += String(text);
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(hear('out')),
    vi.spyOn(process.stderr, 'write').mockImplementation(hear('err')),
  ];
  try {
    const code = await verifyCommand(() => KEY).run({ options: {}, operands: files });
    return { code, ...said };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

const linesOf = async (file: string): Promise<readonly Record<string, unknown>[]> =>
  (await readFile(file, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

test('each worker has a file and a chain of its own, a successor goes on with the chain, and verify takes all', async () => {
  const made = await folder();
  const workers = linkWorkers(2);
  ends.push(() => workers.close());
  const file = path.join(made, 'audit.jsonl');
  const first = await begin(workers.links[0] as never, file);
  const second = await begin(workers.links[1] as never, file);
  await second.gateway.stop();
  workers.kill(2);
  const successor = await begin(workers.successor(2), file);
  await Promise.all([first.gateway.stop(), successor.gateway.stop()]);

  const files = [1, 2].map((worker) => path.join(made, `audit.w${worker}.jsonl`));
  for (const [at, own] of files.entries()) {
    const lines = await linesOf(own);
    expect(new Set(lines.map(({ worker }) => worker))).toEqual(new Set([at + 1]));
    expect(lines.filter(({ type }) => type === 'statement')).toHaveLength(at + 1);
    expect(lines.filter(({ type }) => type === 'opened').map((line) => line['workers'])).toEqual(
      Array(at + 1).fill(2),
    );
  }
  const all = await verified(files.toReversed());
  expect(all).toMatchObject({ code: 0, err: '' });
  expect(all.out).toMatch(/^Worker 1: \d+ lines are as they were written; .*\nWorker 2: \d+ lines/);
  expect(all.out).toMatch(/\nTogether: \d+ lines in 2 trails are as they were written\.\n$/);

  const [own = '', other = ''] = files;
  const one = await verified([own]);
  expect(one.code).toBe(0);
  expect(one.out).toContain('The gateway had 2 workers: the trails of 2 were not given.');

  await writeFile(other, (await readFile(other, 'utf8')).replace('"type":"logout"', '"type":"refusal"'));
  const changed = await verified(files);
  expect(changed.code).toBe(1);
  expect(changed.err).toMatch(/audit\.w2\.jsonl:\d+: worker 2: the line, or the one before it, was changed/);
  expect(changed.out).toMatch(/^Worker 1: \d+ lines are as they were written/);
  expect(changed.out).toContain('1 of 2 trails are not as they were written.');
});

/** A trail of one instance, in one file. */
async function trailOf(instance: string, made: string, file = `${instance}.jsonl`): Promise<string> {
  const name = path.join(made, file);
  const recorder = new Recorder('none');
  const trail = new Trail({
    sink: new FileSink(name, {
      file: name,
      fsync: 'never',
      rotate: { size: 1e9, ageMs: undefined, keep: undefined },
    }),
    key: KEY,
    instance,
    bufferUnits: 10_000,
    marks: recorder,
    log: { info: () => {}, warn: () => {}, error: () => {} },
  });
  await trail.open();
  for (let n = 0; n < 3; n += 1) trail.record(recorder.mark('dropped', { count: 0 }));
  await trail.close();
  return name;
}

test('verify takes the files of several instances, says whose each trail is, and finds lines of one in that of another', async () => {
  const made = await folder();
  const files = [await trailOf('a', made), await trailOf('b', made)];
  const all = await verified(files.toReversed());
  expect(all).toMatchObject({ code: 0, err: '' });
  expect(all.out).toMatch(
    /^Instance a: 5 lines are as they were written; .*\nInstance b: 5 lines.*\nTogether: 10 lines in 2 trails/,
  );

  const [a = '', b = ''] = await Promise.all(files.map((name) => readFile(name, 'utf8')));
  const changed = path.join(made, 'changed.jsonl');
  const linesOfB = b.split('\n').slice(1, 3);
  await writeFile(changed, a.replace(/(?<=\n)/, `${linesOfB.join('\n')}\n`));
  expect(await verified([changed, files[1] ?? ''])).toMatchObject({
    code: 1,
    err: `${changed}:2: instance a: this is a line of instance b in a trail of instance a: trails were put together\n`,
    out: expect.stringContaining('Instance b: 5 lines are as they were written') as string,
  });
  await writeFile(changed, a + b);
  expect((await verified([changed])).err).toBe(
    `${changed}:6: another trail of instance b begins here: verify each one apart\n`,
  );
});

test('a trail whose instance has another name after a start is one trail', async () => {
  const made = await folder();
  const before = await trailOf('pod-1', made, 'audit.jsonl');
  const first = await readFile(before, 'utf8');
  await trailOf('pod-2', made, 'audit.jsonl');
  const second = path.join(made, 'second.jsonl');
  await writeFile(second, (await readFile(before, 'utf8')).slice(first.length));
  await writeFile(before, first);
  const all = await verified([second, before]);
  expect(all).toMatchObject({ code: 0, err: '' });
  expect(all.out).toMatch(/^Instance pod-2: 10 lines are as they were written/);
});

test('one worker alone writes the file that the config names, without its number', async () => {
  const made = await folder();
  const file = path.join(made, 'audit.jsonl');
  const running = await begin(new SingleProcess(), file);
  await running.gateway.stop();
  for (const line of await linesOf(file)) {
    expect(line).not.toHaveProperty('worker');
    expect(line).not.toHaveProperty('workers');
  }
  expect((await verified([file])).out).not.toMatch(/[Ww]orker|Together/);
});

test('a pipe that several processes share gets whole lines, as many at once as it does not tear', () => {
  const lines = [1, 5, 4_000, 95, 96, 97, 4_096, 4_097, 20_000, 3, 4_095, 1].map(
    (length) => `${'x'.repeat(length - 1)}\n`,
  );
  const bytes = Buffer.from(lines.join(''));
  const pieces = [...wholeLines(bytes)];
  expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
  for (const piece of pieces) {
    expect(piece.at(-1)).toBe(10);
    if (piece.length > 4_096) expect(piece.indexOf(10)).toBe(piece.length - 1);
  }
  expect(pieces.length).toBeLessThan(lines.length);
});
