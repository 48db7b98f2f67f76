import { describe, expect, test } from 'vitest';
import { BodyReader } from '../../../core/wire/body.ts';
import { attempt, refused } from './refused.ts';

const LENGTHS = [0, 3, 4, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

test('fields come out in the order and the signedness of the manual', () => {
  const body = Buffer.from([
    0x80, 0xff, 0xfe, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x41, 0, 0x42,
  ]);
  const reader = new BodyReader(body);
  expect(reader.byte()).toBe(128);
  expect(reader.int16()).toBe(-2);
  expect(reader.uint16()).toBe(65_534);
  expect(reader.int32()).toBe(-1);
  expect(reader.uint32()).toBe(4_294_967_295);
  expect(reader.cstring()).toBe('A');
  expect(reader.at).toBe(15);
  expect(reader.rest().toString()).toBe('B');
  expect(() => reader.end()).not.toThrow();
});

test.each([
  ['byte', 1],
  ['int16', 2],
  ['uint16', 2],
  ['int32', 4],
  ['uint32', 4],
  ['sized', 4],
] as const)('%s refuses every body shorter than itself', (method, size) => {
  for (let length = 0; length < size; length += 1) {
    const error = refused(() => new BodyReader(Buffer.alloc(length))[method]());
    expect(error).toMatchObject({ code: 'protocol_violation', message: 'insufficient data left in message' });
  }
  expect(() => new BodyReader(Buffer.alloc(size))[method]()).not.toThrow();
});

describe.each(LENGTHS)('an inner length of %d', (length) => {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(length);

  test.each([0, 3, 4, 5])('is checked unsigned against the %d bytes there are', (there) => {
    const reader = new BodyReader(Buffer.concat([head, Buffer.alloc(there, 7)]));
    const value = attempt(() => reader.sized());
    if (length === 2 ** 32 - 1) expect(value).toBeUndefined();
    else if (length <= there) expect(value).toEqual(Buffer.alloc(length, 7));
    else expect(value).toMatchObject({ code: 'protocol_violation' });
  });

  test('is refused by bytes() beyond the body and moves nothing', () => {
    const reader = new BodyReader(Buffer.alloc(2));
    if (length > 2) refused(() => reader.bytes(length));
    else reader.bytes(length);
    expect(reader.left).toBe(2);
  });
});

test('a string needs its zero byte, also at the very end of the body', () => {
  for (const text of ['', 'abc']) {
    const error = refused(() => new BodyReader(Buffer.from(text)).cstring());
    expect(error).toMatchObject({ code: 'protocol_violation', message: 'invalid string in message' });
  }
  const reader = new BodyReader(Buffer.from('a\0'));
  expect(reader.cstring()).toBe('a');
  refused(() => reader.cstring());
});

test('a string longer than its limit is refused, one of the limit is not', () => {
  expect(new BodyReader(Buffer.from('abc\0')).cstring(3)).toBe('abc');
  refused(() => new BodyReader(Buffer.from('abcd\0')).cstring(3));
});

test('bytes that nobody read are a violation', () => {
  const error = refused(() => new BodyReader(Buffer.alloc(1)).end());
  expect(error).toMatchObject({ code: 'protocol_violation', message: 'invalid message format' });
});
