import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { renameBind, renamedBind } from '../../../core/relay/prepared/statement-names.ts';
import { PendingWrite } from '../../../core/relay/pending-write.ts';
import { message } from '../../../core/wire/message.ts';

/** What is written at the next flush; undefined if nothing is. */
function flushed(write: PendingWrite): Buffer | undefined {
  let written: Buffer | undefined;
  write.flush({ toServer: (bytes, from, to) => (written = Buffer.from(bytes.subarray(from, to))) });
  return written;
}
const text = (write: PendingWrite): string | undefined => flushed(write)?.toString('latin1');

describe('a pending write', () => {
  test('is nothing at first, and after it was taken', () => {
    const write = new PendingWrite();
    expect(flushed(write)).toBeUndefined();
    write.add(Buffer.from('abc'), 1, 1);
    expect(flushed(write)).toBeUndefined();
    write.add(Buffer.from('abc'), 0, 3);
    expect(write.length).toBe(3);
    expect(text(write)).toBe('abc');
    expect(write.length).toBe(0);
    expect(flushed(write)).toBeUndefined();
  });

  test('writes a single part of a chunk without a copy, and changes nothing that it was given', () => {
    const write = new PendingWrite();
    const chunk = Buffer.from('one two');
    write.add(chunk, 4, 7);
    let written: Buffer | undefined;
    write.flush({ toServer: (bytes) => (written = bytes) });
    expect(written).toBe(chunk);
    write.add(chunk, 0, 4);
    write.addLatin1('and ');
    write.add(chunk, 4, 7);
    expect(text(write)).toBe('one and two');
    expect(chunk.toString()).toBe('one two');
  });

  test('of several sessions at once have nothing in common', () => {
    const [one, other] = [new PendingWrite(), new PendingWrite()];
    for (const part of ['a', 'b', 'c']) {
      one.addLatin1(part);
      other.addLatin1(part.toUpperCase());
    }
    one.addLatin1('d'.repeat(20_000));
    expect(text(other)).toBe('ABC');
    other.addLatin1('E');
    expect(text(one)).toBe(`abc${'d'.repeat(20_000)}`);
    expect(text(other)).toBe('E');
    one.addLatin1('forgotten');
    one.clear();
    expect(flushed(one)).toBeUndefined();
  });

  test('has everything in the order in which it was added, however much that is', () => {
    const part = fc.record({ bytes: fc.uint8Array({ maxLength: 300 }), from: fc.nat(300), how: fc.nat(2) });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 40 }), (parts) => {
        const write = new PendingWrite();
        const expected: Buffer[] = [];
        for (const { bytes, from, how } of parts) {
          const data = Buffer.from(bytes);
          if (how === 0) write.add(data, from, data.length);
          else if (how === 1) write.add(data, 0, data.length);
          else write.addLatin1(data.toString('latin1'));
          expected.push(how === 0 ? data.subarray(from) : data);
        }
        expect(flushed(write) ?? Buffer.alloc(0)).toEqual(Buffer.concat(expected));
      }),
    );
  });

  test('has a Bind for another statement as it would be made alone, wherever it stands', () => {
    const name = fc.uint8Array({ min: 1, maxLength: 40 }).map((some) => Buffer.from(some).toString('latin1'));
    const bytes = fc.uint8Array({ maxLength: 60 });
    fc.assert(
      fc.property(name, name, name, bytes, bytes, bytes, (portal, old, own, tail, before, after) => {
        const fields = [portal, old].map((one) => Buffer.from(`${one}\0`, 'latin1'));
        const bind = message('B', [...fields, tail]);
        const data = Buffer.concat([before, bind, after]);
        const write = new PendingWrite();
        write.add(data, 0, before.length);
        renameBind(write, data, before.length, before.length + bind.length, own);
        write.add(data, before.length + bind.length, data.length);
        const latin1 = Buffer.concat([
          Buffer.from(bind.subarray(0, 5 + portal.length + 1)),
          Buffer.from(`${own}\0`, 'latin1'),
          tail,
        ]);
        latin1.writeUInt32BE(latin1.length - 1, 1);
        expect(flushed(write)).toEqual(Buffer.concat([before, latin1, after]));
        if (Buffer.from(own).length === own.length) expect(renamedBind(bind, own)).toEqual(latin1);
      }),
    );
  });
});
