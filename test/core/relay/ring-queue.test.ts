/** The ring beside a plain list. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { RingQueue } from '../../../core/relay/requests/ring-queue.ts';

test('values leave in the order in which they came, however far the ring has turned and grown', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('push', 'push', 'shift', 'back'), { maxLength: 300 }), (steps) => {
      const [queue, list] = [new RingQueue<number>(), [] as number[]];
      let last: number | undefined;
      steps.forEach((step, value) => {
        if (step === 'push') {
          queue.push(value);
          list.push(value);
          last = undefined;
        } else if (step === 'shift') {
          last = list.shift();
          expect(queue.shift()).toBe(last);
        } else if (last !== undefined) {
          queue.unshift(last);
          list.unshift(last);
          last = undefined;
        }
        expect(queue.first).toBe(list[0]);
        list.forEach((one, index) => expect(queue.at(index)).toBe(one));
      });
    }),
    { numRuns: 200 },
  );
});
