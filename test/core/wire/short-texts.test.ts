/** Values by the bytes of short texts. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { ShortTexts } from '../../../core/wire/short-texts.ts';

test('each text has its own value, however many fall on one place, wherever it stands', () => {
  const texts = new ShortTexts((bytes) => bytes.toString('latin1'));
  const text = fc.uint8Array({ maxLength: 80 });
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text), { maxLength: 50 }), (pairs) => {
      for (const [before, bytes] of pairs) {
        const data = Buffer.concat([before, bytes, before]);
        const value = texts.of(data, before.length, before.length + bytes.length);
        expect(value).toBe(Buffer.from(bytes).toString('latin1'));
      }
    }),
    { numRuns: 500 },
  );
});

test('a short text is made once, a long one each time, and what was made does not change with the message', () => {
  const made: string[] = [];
  const texts = new ShortTexts((bytes) => {
    made.push(bytes.toString());
    return bytes;
  });
  const data = Buffer.from('SELECT 1');
  const first = texts.of(data, 0, 8);
  data.fill(0);
  expect(first.toString()).toBe('SELECT 1');
  expect(texts.of(Buffer.from('SELECT 1'), 0, 8)).toBe(first);
  expect(made).toEqual(['SELECT 1']);
  const long = Buffer.alloc(65, 'x');
  texts.of(long, 0, 65);
  texts.of(long, 0, 65);
  expect(made).toHaveLength(3);
});

test('a text of which nothing can be made is tried again each time', () => {
  const texts = new ShortTexts(() => {
    throw new Error('no');
  });
  for (let i = 0; i < 2; i += 1) expect(() => texts.of(Buffer.from('x'), 0, 1)).toThrow('no');
});
