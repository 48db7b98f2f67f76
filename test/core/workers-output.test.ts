/** Standard output of several workers as their parent passes it on. */
import { PassThrough, Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { WorkersOutput } from '../../core/cli/workers-output.ts';

const LONG_LINE = `${'x'.repeat(300_000)}\n`;

/** A reader that takes what is written only when it is told to. */
class Reader extends Writable {
  text = '';
  stalls = false;
  #next: (() => void) | undefined;

  override _write(chunk: Buffer, _: unknown, done: () => void): void {
    this.text += String(chunk);
    if (this.stalls) this.#next = done;
    else done();
  }

  readsOn(): void {
    this.stalls = false;
    this.#next?.();
  }
}

interface Ending {
  readonly stdout: PassThrough;
  readonly end: () => void;
}

function worker(output: WorkersOutput): Ending {
  const stdout = new PassThrough();
  let end = (): void => {};
  output.join({ stdout }, (run) => (end = run));
  return { stdout, end: () => end() };
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test('lines of several workers come out whole, however their pieces arrive', async () => {
  const reader = new Reader();
  const output = new WorkersOutput(reader);
  const [first, second] = [worker(output), worker(output)];
  first.stdout.write('{"a":');
  await turn();
  second.stdout.write('{"b":2}\n{"b"');
  await turn();
  first.stdout.write('1}\n');
  await turn();
  second.stdout.write(':3}\n{"b":4}\n');
  await turn();
  expect(reader.text).toBe('{"b":2}\n{"a":1}\n{"b":3}\n{"b":4}\n');
});

test('the beginning of a line that a death has cut off is left out', async () => {
  const reader = new Reader();
  const output = new WorkersOutput(reader);
  const [first, second] = [worker(output), worker(output)];
  first.stdout.end('{"a":1}\n{"a":');
  await turn();
  second.stdout.write('{"b":2}\n');
  await turn();
  expect(reader.text).toBe('{"a":1}\n{"b":2}\n');
});

test('while a reader stalls, workers are not read any more, and nothing is lost', async () => {
  const reader = new Reader();
  reader.stalls = true;
  const output = new WorkersOutput(reader);
  const { stdout } = worker(output);
  for (let i = 0; i < 40; i += 1) {
    stdout.write(LONG_LINE);
    await turn();
  }
  expect(reader.writableLength).toBeLessThan(2 * 1024 * 1024);
  expect(stdout.readableLength + stdout.writableLength).toBeGreaterThan(0);
  reader.readsOn();
  await expect.poll(() => reader.text.length).toBe(40 * LONG_LINE.length);
});

test('workers lose their pipe where the reader has gone', async () => {
  const reader = new Reader();
  const output = new WorkersOutput(reader);
  const { stdout } = worker(output);
  reader.destroy(new Error('EPIPE'));
  await expect.poll(() => stdout.destroyed).toBe(true);
});

test('a process that has ended is waited for no longer than a moment, although a child of its own keeps its output open', async () => {
  const { stdout, end } = worker(new WorkersOutput(new Reader()));
  end();
  await expect.poll(() => stdout.destroyed).toBe(true);
});
