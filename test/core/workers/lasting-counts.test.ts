/** Counts of workers that die, hang and begin again: what was shown once does not fall. */
import { array, assert, asyncProperty, constantFrom, integer, record } from 'fast-check';
import { expect, test } from 'vitest';
import { LastingCounts } from '../../../core/contract/lasting-counts.ts';
import type { Counted, KnownCounts } from '../../../core/contract/lasting-counts.ts';
import { linkWorkers } from '../../support/worker-links.ts';

const sum = (one: number, other: number): number => one + other;
const WORKERS = 3;

/** What may happen to a worker, and who asks. */
const STEP = record({
  worker: integer({ min: 0, max: WORKERS - 1 }),
  what: constantFrom('counts', 'dies', 'hangs', 'asks'),
});

test('whatever happens, no worker shows less than any showed before, and nothing is counted twice', async () => {
  await assert(
    asyncProperty(array(STEP, { maxLength: 40 }), async (steps) => {
      const linked = linkWorkers(WORKERS);
      const boards = await Promise.all(
        linked.links.map(async (link) => (await link.board('counts')) as never),
      );
      const lasting = boards.map((board) => new LastingCounts<number>(board, sum));
      const processes = lasting.map((_, worker) => ({ id: `${worker}`, counts: 0, hangs: false }));
      let [shown, counted] = [0, 0];
      for (const [at, { worker, what }] of steps.entries()) {
        const process = processes[worker]!;
        if (what === 'counts') {
          process.counts += 1;
          counted += 1;
        }
        if (what === 'dies') processes[worker] = { id: `${worker} since ${at}`, counts: 0, hangs: false };
        if (what === 'hangs') process.hangs = !process.hangs;
        if (what !== 'asks') continue;
        const answers = new Map<number, Counted<number>>();
        for (const [number, { id, counts, hangs }] of processes.entries())
          if (!hangs || number === worker) answers.set(number, { id, counts });
        const own = [...answers.values()].reduce((all, { counts }) => all + counts, 0);
        const missing = lasting[worker]!.missingIn(answers).reduce(sum, 0);
        expect(own + missing).toBeGreaterThanOrEqual(shown);
        expect(own + missing).toBeLessThanOrEqual(counted);
        shown = own + missing;
        await linked.links[worker]!.board('counts').then((board) => board.drop('nothing'));
      }
      linked.close();
    }),
    { numRuns: 200 },
  );
});

test('what nobody has asked for before a death is not known', () => {
  const known = new Map<string, KnownCounts<number>>();
  const board = {
    get: (id: string) => known.get(id),
    all: () => known,
    put: (id: string, value: KnownCounts<number>) => Promise.resolve(known.set(id, value).has(id)),
    drop: () => Promise.resolve(),
    watch: () => () => {},
  };
  const lasting = new LastingCounts(board, sum);
  expect(lasting.missingIn(new Map([[1, { id: 'a', counts: 5 }]]))).toEqual([]);
  expect(lasting.missingIn(new Map([[1, { id: 'b', counts: 1 }]]))).toEqual([5]);
  expect(lasting.missingIn(new Map([[1, { id: 'c', counts: 0 }]]))).toEqual([6]);
  expect(lasting.missingIn(new Map())).toEqual([6, 0]);
});
