/** When the parent begins, begins again and kills the processes of its workers; time and processes are the test's. */
import { EventEmitter } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { FromParent } from '../../../core/workers/messages.ts';
import { Processes } from '../../../core/workers/parent/processes.ts';
import { Workers } from '../../../core/workers/parent/workers.ts';

class Child extends EventEmitter {
  connected = true;
  readonly pid = 1;
  killed = false;

  kill(): void {
    this.killed = true;
    this.#hangsUp();
    this.emit('close', null, 'SIGKILL');
  }

  /** As it was told to. */
  ends(): void {
    this.#hangsUp();
    this.emit('close', 0, null);
  }

  /** It has said why it ends, but that is read after its end. */
  failsBecause(reason: string): void {
    this.emit('close', 1, null);
    this.emit('message', { t: 'failed', reason });
    this.#hangsUp();
  }

  #hangsUp(): void {
    this.connected = false;
    this.emit('disconnect');
  }

  /** Calls of `send` that it has not read: what each message is followed by. */
  readonly unread: (() => void)[] = [];

  send(_message: object, _handle: unknown, _options: object, taken: () => void): void {
    this.unread.push(taken);
  }

  reads(): void {
    for (const taken of this.unread.splice(0)) taken();
  }

  says(t: 'ready' | 'beat' | 'ending'): void {
    this.emit('message', { t });
  }
}

let children: Child[];
let processes: Processes;
let workers: Workers;

beforeEach(() => {
  vi.useFakeTimers();
  children = [];
  const ignore = (): void => {};
  workers = new Workers(ignore);
  processes = new Processes({
    count: 1,
    workers,
    fork() {
      const child = new Child();
      children.push(child);
      return child as unknown as ChildProcess;
    },
    begun: ignore,
    heard: ignore,
    gone: ignore,
    log: { info: ignore, warn: ignore, error: ignore },
  });
});
afterEach(() => {
  processes.end();
  processes.kill();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

test('a worker is killed that says nothing for ten seconds, and its successor begins at once', () => {
  void processes.start();
  children[0]?.says('ready');
  for (let i = 0; i < 40; i += 1) {
    vi.advanceTimersByTime(250);
    children[0]?.says('beat');
  }
  vi.advanceTimersByTime(9_900);
  expect(children[0]?.killed).toBe(false);
  vi.advanceTimersByTime(1_000);
  expect(children.map(({ killed }) => killed)).toEqual([true, false]);
});

test('one that loads its config has a minute', async () => {
  const started = processes.start();
  vi.advanceTimersByTime(60_000);
  expect(children[0]?.killed).toBe(false);
  vi.advanceTimersByTime(1_000);
  expect(children[0]?.killed).toBe(true);
  await expect(started).rejects.toThrow('no worker could start: each ended before it was ready');
});

test('the reason why a worker ends is heard, although it has ended before that is read', async () => {
  const started = processes.start();
  children[0]?.failsBecause('the moon is not full');
  await expect(started).rejects.toThrow('the moon is not full');
});

test('a parent that stood still itself kills none of them', () => {
  void processes.start();
  children[0]?.says('ready');
  vi.advanceTimersByTime(250);
  const now = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => now + 60_000);
  vi.advanceTimersByTime(1_000);
  expect(children[0]?.killed).toBe(false);
});

test('pauses before another try grow to ten seconds, and are forgotten after a minute in health', () => {
  void processes.start();
  const pauses: number[] = [];
  for (let i = 0; i < 9; i += 1) {
    const begun = children.length;
    children.at(-1)?.says('ready');
    children.at(-1)?.kill();
    const from = performance.now();
    while (children.length === begun) vi.advanceTimersByTime(1);
    pauses.push(performance.now() - from);
  }
  expect(pauses.slice(1)).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
  expect(pauses[0]).toBeLessThanOrEqual(1);
  children.at(-1)?.says('ready');
  for (let i = 0; i < 250; i += 1) {
    vi.advanceTimersByTime(250);
    children.at(-1)?.says('beat');
  }
  const begun = children.length;
  children.at(-1)?.kill();
  vi.advanceTimersByTime(1);
  expect(children).toHaveLength(begun + 1);
});

test('one that was told to end before the sockets were open begins no worker', async () => {
  processes.end();
  await processes.start();
  expect(children).toEqual([]);
});

test('a worker that dies before it has heard of the end is begun no more, and the end is in order', async () => {
  void processes.start();
  children[0]?.says('ready');
  processes.end();
  children[0]?.kill();
  await processes.over;
  expect(processes.isWell).toBe(true);
  vi.advanceTimersByTime(60_000);
  expect(children).toHaveLength(1);
});

test('one that dies while it ends is no end in order', async () => {
  void processes.start();
  children[0]?.says('ready');
  processes.end();
  children[0]?.says('ending');
  children[0]?.kill();
  await processes.over;
  expect(processes.isWell).toBe(false);
});

test('one that has to be killed to end is no end in order, whether it has heard of it or not', async () => {
  void processes.start();
  children[0]?.says('ready');
  processes.end();
  processes.kill();
  await processes.over;
  expect(processes.isWell).toBe(false);
});

describe('a worker that another process is to replace', () => {
  test('ends in order, and its successor begins at once', () => {
    void processes.start();
    children[0]?.says('ready');
    for (let i = 0; i < 5; i += 1) {
      processes.retire(1);
      children.at(-1)?.says('ending');
      children.at(-1)?.ends();
      expect(children).toHaveLength(i + 2);
      children.at(-1)?.says('ready');
    }
    expect(processes.isWell).toBe(true);
  });

  test('is killed where it does not end, and the gateway may still end well', async () => {
    void processes.start();
    children[0]?.says('ready');
    processes.retire(1);
    children[0]?.says('ending');
    processes.killLate(1);
    vi.advanceTimersByTime(1);
    expect(children.map(({ killed }) => killed)).toEqual([true, false]);
    processes.end();
    children[1]?.ends();
    await processes.over;
    expect(processes.isWell).toBe(true);
  });

  test('has no successor where all are told to end meanwhile', async () => {
    void processes.start();
    children[0]?.says('ready');
    processes.retire(1);
    processes.end();
    children[0]?.ends();
    await processes.over;
    expect(children).toHaveLength(1);
  });
});

describe('a worker that does not read', () => {
  const large: FromParent = {
    t: 'changed',
    board: 'b',
    seq: 1,
    entry: { id: 'a', value: 'x'.repeat(300_000) },
  };
  const tell = (times: number): void => {
    for (let i = 0; i < times; i += 1) workers.tellAll(large);
  };
  /** It beats: only what it does not read can end it. */
  const pass = (ms: number, child: Child | undefined): void => {
    for (let passed = 0; passed < ms; passed += 250) {
      vi.advanceTimersByTime(250);
      child?.says('beat');
    }
  };

  test('is killed after two seconds with more than a mebibyte behind the message that is on its way', () => {
    void processes.start();
    children[0]?.says('ready');
    // That it is the lead.
    children[0]?.reads();
    tell(5);
    pass(1_500, children[0]);
    expect(children[0]?.killed).toBe(false);
    pass(1_000, children[0]);
    expect(children[0]?.killed).toBe(true);
  });

  test('is waited for where less is there, or only one large message', () => {
    void processes.start();
    children[0]?.says('ready');
    // That it is the lead.
    children[0]?.reads();
    tell(4);
    pass(20_000, children[0]);
    expect(children[0]?.killed).toBe(false);
  });

  test('and one that reads now and then is not killed, however much there is', () => {
    void processes.start();
    children[0]?.says('ready');
    // That it is the lead.
    children[0]?.reads();
    for (let i = 0; i < 10; i += 1) {
      tell(100);
      pass(1_000, children[0]);
      children[0]?.reads();
    }
    expect(children[0]?.killed).toBe(false);
  });

  test('is killed at once where ten thousand messages wait', () => {
    void processes.start();
    children[0]?.says('ready');
    // That it is the lead.
    children[0]?.reads();
    for (let i = 0; i < 10_000; i += 1) workers.tellAll({ t: 'drain' });
    expect(children[0]?.killed).toBe(false);
    workers.tellAll({ t: 'drain' });
    expect(children[0]?.killed).toBe(true);
  });
});
