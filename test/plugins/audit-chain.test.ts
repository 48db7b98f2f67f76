/** Lines as bytes beside the definition of the chain, and numbers in them beside JSON's own. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Events } from '../../core/index.ts';
import { Chain, NOTHING_BEFORE, hashOf, textsOf } from '../../plugins/audit/chain.ts';
import { Recorder } from '../../plugins/audit/record.ts';

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.string({ maxLength: 9_000 }));

test.each([undefined, 'a key of at least thirty-two bytes'])(
  'lines have the hashes of their definition, whatever characters they have, with the key %s',
  (key) => {
    fc.assert(
      fc.property(fc.array(fc.array(text, { maxLength: 6 }), { maxLength: 5 }), (batches) => {
        const chain = new Chain({ n: 0, hash: NOTHING_BEFORE }, key);
        let [n, before] = [0, NOTHING_BEFORE];
        for (const batch of batches) {
          const events = batch.map((one) => `"time":"x","sql":${JSON.stringify(one)}`);
          const expected = events.map((event) => {
            n += 1;
            before = hashOf(before, `{"audit":1,"n":${n},${event}}`, key);
            return `{"audit":1,"n":${n},${event},"hash":"${before}"}`;
          });
          const sealed = chain.seal(events);
          expect(sealed.bytes.toString()).toBe(expected.map((line) => `${line}\n`).join(''));
          expect(sealed).toMatchObject({ length: batch.length, last: { n, hash: before } });
          if (batch.length > 0) expect(textsOf(sealed)).toEqual(expected);
        }
      }),
      { numRuns: 200 },
    );
  },
);

test('times and durations are those of JSON and ISO 8601', () => {
  const recorder = new Recorder('none');
  const session = { id: 'x', facts: {}, startup: { user: 'u', database: 'd' }, client: {} };
  const line = (startedAt: number, durationMs: number): Record<string, unknown> => {
    const used = { tags: [], rows: 0, bytesIn: 0, bytesOut: 0, sql: '' };
    const event = { session, startedAt, durationMs, id: 1, kind: 'query', ...used };
    return JSON.parse(`{${recorder.statement(event as unknown as Events['statement'])}}`) as never;
  };
  const time = fc.integer({ min: 0, max: 4_102_444_800_000 });
  const duration = fc.oneof(
    fc.double({ min: 0, max: 5, noNaN: true }),
    fc.double({ min: 0, max: 1e9, noNaN: true }),
  );
  fc.assert(
    fc.property(time, duration, (startedAt, durationMs) => {
      expect(line(startedAt, durationMs)).toMatchObject({
        time: new Date(startedAt).toISOString(),
        durationMs: Math.round(durationMs * 1_000) / 1_000,
      });
    }),
    { numRuns: 2_000 },
  );
});
