/** Reloads of all workers, as the parent decides about them: workers that are slow, that fail and that die at any moment. */
import { expect, test } from 'vitest';
import type { ReloadRequest, ReloadTold } from '../../../core/workers/messages.ts';
import { AGAIN_MS, PREPARE_MS, Reloads } from '../../../core/workers/decisions/reloads.ts';
import { random } from '../../support/sequences.ts';
import { SimulatedTime } from './simulated-time.ts';

interface Line {
  readonly text: string;
  readonly fields: object;
}

type Told = readonly [worker: number, message: ReloadTold];

/** `tell`: where messages to workers go. Default: into a list. */
function parent(tell?: (...told: Told) => void): {
  readonly reloads: Reloads;
  readonly told: Told[];
  readonly lines: Line[];
  readonly clock: SimulatedTime;
} {
  const told: Told[] = [];
  const lines: Line[] = [];
  const clock = new SimulatedTime();
  const line = (fields: object, text: string): void => void lines.push({ text, fields });
  const reloads = new Reloads({
    tell: tell ?? ((...message) => void told.push(message)),
    after: clock.after,
    log: { info: line, error: line },
  });
  return { reloads, told, lines, clock };
}

/** Two workers that serve under the same config. */
function two(): ReturnType<typeof parent> {
  const made = parent();
  for (const worker of [1, 2]) made.reloads.hear(worker, { t: 'loaded', digest: 'a' });
  expect(made.told.splice(0)).toEqual([
    [1, { t: 'serve', generation: 1 }],
    [2, { t: 'serve', generation: 1 }],
  ]);
  return made;
}

const prepared = (generation: number, digest: string, changes: object = {}): ReloadRequest => ({
  t: 'prepared',
  generation,
  digest,
  changes,
});
const committed = (generation: number): ReloadRequest => ({ t: 'committed', generation });
const toAll = (message: ReloadTold): unknown[] => [1, 2].map((worker) => [worker, message]);

test('all prepare, then all commit, and one line has the changes', async () => {
  const { reloads, told, lines, clock } = two();
  const reloaded = reloads.reload();
  expect(told.splice(0)).toEqual(toAll({ t: 'prepare', generation: 2 }));
  reloads.hear(2, prepared(2, 'b'));
  expect(told).toEqual([]);
  reloads.hear(1, prepared(2, 'b', { options: ['logLevel'] }));
  expect(told.splice(0)).toEqual(toAll({ t: 'commit', generation: 2 }));
  let isOver = false;
  void reloaded.then(() => (isOver = true));
  reloads.hear(2, committed(2));
  await Promise.resolve();
  expect([isOver, lines]).toEqual([false, []]);
  reloads.hear(1, committed(2));
  await reloaded;
  expect(lines).toEqual([{ text: 'reloaded', fields: { options: ['logLevel'], generation: 2 } }]);
  expect(clock.size).toBe(0);
});

test('a worker that dies before it has put the new config in force is not waited for, and its successor has it', async () => {
  const { reloads, told, lines } = two();
  const reloaded = reloads.reload();
  for (const worker of [1, 2]) reloads.hear(worker, prepared(2, 'b'));
  reloads.hear(1, committed(2));
  reloads.left(2);
  await reloaded;
  expect(lines.map(({ text }) => text)).toEqual(['reloaded']);
  told.splice(0);
  reloads.hear(2, { t: 'loaded', digest: 'b' });
  expect(told).toEqual([[2, { t: 'serve', generation: 2 }]]);
});

test('one that cannot prepare stops it for all, with its reason, once', async () => {
  const { reloads, told, lines, clock } = two();
  const reloaded = expect(reloads.reload()).rejects.toThrow('it is broken');
  told.splice(0);
  reloads.hear(1, prepared(2, 'b'));
  reloads.hear(2, { t: 'unprepared', generation: 2, reason: 'it is broken', changed: false });
  expect(told.splice(0)).toEqual(toAll({ t: 'abort', generation: 2, failed: true }));
  expect(lines).toEqual([{ text: 'reload failed', fields: { reason: 'it is broken' } }]);
  await reloaded;
  // Too late: that reload is over.
  reloads.hear(1, prepared(2, 'b'));
  expect([told, clock.size]).toEqual([[], 0]);
});

test('a worker that takes more than 60 s is named, and nothing is reloaded', async () => {
  const { reloads, told, clock } = two();
  const reason = 'worker 2 has not prepared the config within 60 s';
  const reloaded = expect(reloads.reload()).rejects.toThrow(reason);
  reloads.hear(1, prepared(2, 'b'));
  told.splice(0);
  clock.pass(PREPARE_MS - 1);
  expect(told).toEqual([]);
  clock.pass(1);
  expect(told.splice(0)).toEqual(toAll({ t: 'abort', generation: 2, failed: true }));
  await reloaded;
});

test('a worker that dies during it, prepared or not, is left out of a second attempt', async () => {
  for (const isPrepared of [true, false]) {
    const { reloads, told, lines } = two();
    const reloaded = reloads.reload();
    if (isPrepared) reloads.hear(2, prepared(2, 'b'));
    else reloads.hear(1, prepared(2, 'b'));
    told.splice(0);
    reloads.left(2);
    expect(told.splice(0)).toEqual([
      [1, { t: 'abort', generation: 2, failed: false }],
      [1, { t: 'prepare', generation: 3 }],
    ]);
    reloads.hear(1, prepared(3, 'b'));
    expect(told.splice(0)).toEqual([[1, { t: 'commit', generation: 3 }]]);
    reloads.hear(1, committed(3));
    await reloaded;
    expect(lines.map(({ text }) => text)).toEqual(['reloaded']);
  }
});

test('workers that have read different files are told to do it again, and then it fails', async () => {
  const { reloads, told, lines } = two();
  const reloaded = expect(reloads.reload()).rejects.toThrow(/files of the config have changed/);
  for (const generation of [2, 3]) {
    reloads.hear(1, prepared(generation, 'b'));
    reloads.hear(2, prepared(generation, 'c'));
  }
  await reloaded;
  expect(lines.map(({ text }) => text)).toEqual(['reload failed']);
  expect(told.splice(0).map(([worker, { t }]) => `${t} ${worker}`)).toEqual(
    ['prepare', 'abort', 'prepare', 'abort'].flatMap((t) => [`${t} 1`, `${t} 2`]),
  );
});

test('all who ask while one runs share the next one, in which files are read again', async () => {
  const { reloads, told, lines } = two();
  const first = reloads.reload();
  const others = [reloads.reload(), reloads.reload()];
  for (const generation of [2, 3]) {
    for (const worker of [1, 2]) reloads.hear(worker, prepared(generation, `${generation}`));
    for (const worker of [1, 2]) reloads.hear(worker, committed(generation));
  }
  await Promise.all([first, ...others]);
  expect(lines.map(({ text }) => text)).toEqual(['reloaded', 'reloaded']);
  expect(told.filter(([, { t }]) => t === 'commit')).toHaveLength(4);
});

test('a successor that has loaded other files serves when all have reloaded them', () => {
  const { reloads, told } = two();
  reloads.left(2);
  reloads.hear(2, { t: 'loaded', digest: 'b' });
  expect(told.splice(0)).toEqual(toAll({ t: 'prepare', generation: 2 }));
  for (const worker of [1, 2]) reloads.hear(worker, prepared(2, 'b'));
  expect(told.splice(0)).toEqual(toAll({ t: 'commit', generation: 2 }));
});

test('a successor whose files the others refuse does not serve, and it is tried again after 10 s', () => {
  const { reloads, told, lines, clock } = two();
  reloads.left(2);
  reloads.hear(2, { t: 'loaded', digest: 'b' });
  const refuse = (generation: number): void =>
    reloads.hear(1, { t: 'unprepared', generation, reason: 'needs a restart', changed: false });
  refuse(2);
  expect(lines.map(({ text }) => text)).toEqual(['reload failed']);
  told.splice(0);
  clock.pass(AGAIN_MS);
  expect(told.splice(0)).toEqual(toAll({ t: 'prepare', generation: 3 }));
  refuse(3);
  told.splice(0);
  // Nobody is left who serves under the older config.
  reloads.left(1);
  expect(told.splice(0)).toEqual([[2, { t: 'serve', generation: 4 }]]);
  clock.pass(AGAIN_MS);
  expect([told, clock.size]).toEqual([[], 0]);
});

test('a reload that is wanted while no worker is there waits for the first', async () => {
  const { reloads, told } = parent();
  const reloaded = reloads.reload();
  reloads.hear(1, { t: 'loaded', digest: 'a' });
  expect(told.map(([, { t }]) => t)).toEqual(['serve', 'prepare']);
  reloads.hear(1, prepared(2, 'a'));
  reloads.hear(1, committed(2));
  await reloaded;
});

test('files that a new worker has loaded first are told of once, although the others hear of their change later', async () => {
  const { reloads, told, lines } = two();
  reloads.hear(3, { t: 'loaded', digest: 'b' });
  expect(told.map(([, { t }]) => t)).toEqual(['prepare', 'prepare', 'prepare']);
  const changed = reloads.reload('change');
  for (const worker of [1, 2, 3]) reloads.hear(worker, prepared(2, 'b', { options: ['logLevel'] }));
  for (const worker of [1, 2, 3]) reloads.hear(worker, committed(2));
  for (const worker of [1, 2, 3]) reloads.hear(worker, prepared(3, 'b'));
  for (const worker of [1, 2, 3]) reloads.hear(worker, committed(3));
  await changed;
  expect(lines.map(({ text }) => text)).toEqual(['reloaded']);
  const ordered = [reloads.reload('change'), reloads.reload('operator')];
  for (const generation of [4, 5]) {
    for (const worker of [1, 2, 3]) reloads.hear(worker, prepared(generation, 'b'));
    for (const worker of [1, 2, 3]) reloads.hear(worker, committed(generation));
  }
  await Promise.all(ordered);
  expect(lines.map(({ text }) => text)).toEqual(['reloaded', 'reloaded']);
});

test('a new worker that has read the files before they changed has the others prepare them again, and nothing is told of', () => {
  const { reloads, told, lines } = two();
  reloads.hear(3, { t: 'loaded', digest: 'old' });
  expect(told.splice(0)).toHaveLength(3);
  for (const worker of [1, 2, 3]) reloads.hear(worker, prepared(2, 'a'));
  expect(told.map(([, { t }]) => t)).toEqual(['commit', 'commit', 'commit']);
  expect(lines).toEqual([]);
});

test('the end tells those who wait, and stops its timers', async () => {
  const { reloads, clock } = two();
  const waiting = [reloads.reload(), reloads.reload()];
  reloads.close();
  const late = reloads.reload();
  for (const one of [...waiting, late]) await expect(one).rejects.toThrow('stopping');
  expect(clock.size).toBe(0);
});

/** A worker that may be slow, fail and die; its channel is in order both ways. */
class Simulated {
  /** To the parent, and to the worker. */
  readonly out: ReloadRequest[] = [];
  readonly in: ReloadTold[] = [];
  generation: number | undefined;
  digest: string;
  #prepared: { readonly generation: number; readonly digest: string } | undefined;
  /** How each generation ended here. */
  readonly ends = new Map<number, string>();

  constructor(digest: string) {
    this.digest = digest;
    this.out.push({ t: 'loaded', digest });
  }

  take(disk: string, fails: boolean): void {
    const message = this.in.shift();
    if (!message) return;
    if (message.t === 'prepare') {
      const { generation } = message;
      this.#prepared = fails ? undefined : { generation, digest: disk };
      this.out.push(
        fails
          ? { t: 'unprepared', generation, reason: 'it is broken', changed: false }
          : { t: 'prepared', generation, digest: disk, changes: {} },
      );
    }
    if (message.t === 'abort') {
      this.ends.set(message.generation, 'abort');
      if (this.#prepared?.generation === message.generation) this.#prepared = undefined;
    }
    if (message.t === 'serve') this.generation = message.generation;
    if (message.t !== 'commit') return;
    // It is never told to commit what it has not prepared.
    expect(this.#prepared?.generation).toBe(message.generation);
    this.ends.set(message.generation, 'commit');
    this.generation = message.generation;
    this.digest = this.#prepared?.digest ?? '';
    this.out.push({ t: 'committed', generation: message.generation });
  }
}

test('40 runs of 100 reloads with workers that fail, are slow and die: all have the same config after each', async () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const roll = random(seed);
    const pick = (below: number): number => Math.floor(roll() * below);
    const workers = new Map<number, Simulated>();
    const ends = new Map<number, Set<string>>();
    const digests = new Map<number, string>();
    let disk = '0';
    let answered = 0;
    const { reloads, clock } = parent((worker, message) => void workers.get(worker)?.in.push(message));
    const step = (worker: number, one: Simulated, failing: number): void => {
      if (one.in.length > 0 && (one.out.length === 0 || roll() < 0.5)) one.take(disk, roll() < failing);
      else {
        const message = one.out.shift();
        if (message) reloads.hear(worker, message);
      }
      for (const [generation, end] of one.ends)
        ends.set(generation, (ends.get(generation) ?? new Set()).add(end));
      if (one.generation === undefined) return;
      const known = digests.get(one.generation) ?? one.digest;
      digests.set(one.generation, known);
      expect([seed, one.digest]).toEqual([seed, known]);
    };
    const settle = (): void => {
      for (let round = 0; round < 12; round += 1) {
        for (const [worker, one] of workers) while (one.in.length + one.out.length > 0) step(worker, one, 0);
        clock.pass(AGAIN_MS);
      }
    };
    for (let reload = 0; reload < 100; reload += 1) {
      if (roll() < 0.7) disk = `${reload}`;
      void reloads.reload().then(
        () => (answered += 1),
        () => (answered += 1),
      );
      for (let turn = pick(20); turn > 0; turn -= 1) {
        const worker = 1 + pick(3);
        const one = workers.get(worker);
        if (!one) workers.set(worker, new Simulated(disk));
        else if (roll() < 0.1) {
          workers.delete(worker);
          reloads.left(worker);
        } else step(worker, one, 0.1);
        if (roll() < 0.02) clock.pass(PREPARE_MS);
        if (roll() < 0.05) disk = `${reload} again`;
      }
      settle();
      const generations = new Set([...workers.values()].map(({ generation }) => generation));
      expect([seed, reload, generations.size <= 1, generations.has(undefined)]).toEqual([
        seed,
        reload,
        true,
        false,
      ]);
    }
    for (const worker of [1, 2, 3]) if (!workers.has(worker)) workers.set(worker, new Simulated(disk));
    settle();
    await Promise.resolve();
    await Promise.resolve();
    expect([seed, answered]).toEqual([seed, 100]);
    // Of one reload none is committed here and aborted there.
    for (const [, how] of ends) expect(how.size).toBe(1);
    expect(clock.size).toBe(0);
    reloads.close();
  }
}, 60_000);
