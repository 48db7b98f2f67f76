/** The queue of requests beside a plain list: entries and their observers stay together. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Op, RequestQueue, ResponseAction, opOf } from '../../../core/relay/requests/request-queue.ts';
import type { RequestObserver } from '../../../core/relay/requests/request-queue.ts';

type Entry = readonly [op: number, observer: RequestObserver | undefined];

interface Named extends RequestObserver {
  readonly n: number;
  readonly dropped: () => void;
}

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ push: fc.constantFrom(Op.execute, Op.sync), observed: fc.boolean() }) },
  { weight: 3, arbitrary: fc.constant('shift' as const) },
  { weight: 1, arbitrary: fc.constant('syncs of the head' as const) },
);

function listOf(queue: RequestQueue): Entry[] {
  const entries: Entry[] = [];
  queue.forEach((entry, observer) => entries.push([opOf(entry), observer]));
  return entries;
}

test('whatever is sent, answered and read by a COPY, each entry keeps its observer', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new RequestQueue();
      const dropped: number[] = [];
      const expected = { list: [] as Entry[], dropped: [] as number[] };
      steps.forEach((next, n) => {
        if (next === 'shift') {
          const [first] = expected.list.splice(0, 1);
          if (first) expect(queue.shift()).toBe(first[1]);
        } else if (next === 'syncs of the head') {
          const count = queue.length === 0 ? 0 : queue.syncsAhead;
          const gone = expected.list.splice(1, count);
          expected.dropped.push(...gone.flatMap(([, one]) => (one ? [(one as Named).n] : [])));
          queue.removeBehindHead(count);
        } else {
          const observer: Named | undefined = next.observed
            ? { n, dropped: () => dropped.push(n) }
            : undefined;
          queue.push(next.push, ResponseAction.forward, observer);
          expected.list.push([next.push, observer]);
        }
        expect(listOf(queue)).toEqual(expected.list);
        expect(queue.headObserver).toBe(expected.list[0]?.[1]);
      });
      expect(dropped).toEqual(expected.dropped);
    }),
    { numRuns: 1_000 },
  );
});
