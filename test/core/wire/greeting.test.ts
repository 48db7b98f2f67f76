import { serialize } from 'pg-protocol';
import { describe, expect, test } from 'vitest';
import {
  MAX_STARTUP_PACKET,
  SSL_REQUEST,
  encodeCancel,
  encodeStartup,
  greetingLength,
  parseGreeting,
  unsupportedProtocol,
} from '../../../core/wire/greeting.ts';
import { refused } from './refused.ts';

/** A packet with the given code and bytes behind it. */
function packet(code: number, rest: Uint8Array | string = ''): Buffer {
  const body = Buffer.from(rest as string);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + body.length);
  head.writeUInt32BE(code, 4);
  return Buffer.concat([head, body]);
}

const V3 = 3 << 16;

function uint32(value: number): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(value);
  return head;
}

describe('the length of the first packet', () => {
  test.each([0, 3, 4, 7, 10_005, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 0x47455420])(
    '%d is refused',
    (length) => {
      expect(refused(() => greetingLength(uint32(length))).code).toBe('protocol_violation');
    },
  );

  test.each([8, 9, 10_004])('%d is accepted', (length) => {
    expect(greetingLength(uint32(length))).toBe(length);
  });

  test.each([0, 1, 3])('is not guessed from %d bytes', (size) => {
    refused(() => greetingLength(Buffer.alloc(size)));
  });

  test('that differs from the packet is refused', () => {
    refused(() => parseGreeting(Buffer.concat([packet(V3, '\0'), Buffer.alloc(1)])));
    refused(() => parseGreeting(packet(V3, 'user\0a\0\0').subarray(0, -1)));
  });
});

test('encryption requests are told apart, and one with a body is answered with silence', () => {
  expect(parseGreeting(SSL_REQUEST)).toEqual({ kind: 'ssl' });
  expect(SSL_REQUEST).toEqual(serialize.requestSsl());
  expect(parseGreeting(Buffer.from('0000000804d21630', 'hex'))).toEqual({ kind: 'gssenc' });
  expect(parseGreeting(packet(0x04d2162f, 'x'))).toMatchObject({ kind: 'silent' });
  expect(parseGreeting(packet(0x04d21630, 'x'))).toMatchObject({ kind: 'silent' });
});

describe('a CancelRequest', () => {
  test.each([4, 32, 256])('with a secret of %d bytes is read', (length) => {
    const secret = Buffer.alloc(length, 0xfe);
    expect(parseGreeting(encodeCancel(-2, secret))).toEqual({ kind: 'cancel', processId: -2, secret });
  });

  test.each([0, 3, 257])('with a secret of %d bytes is answered with silence', (length) => {
    expect(parseGreeting(encodeCancel(1, Buffer.alloc(length)))).toMatchObject({ kind: 'silent' });
  });

  test('without a process id is answered with silence', () => {
    expect(parseGreeting(packet(0x04d2162e))).toMatchObject({ kind: 'silent' });
  });

  test('is the one that node-postgres sends', () => {
    expect(encodeCancel(77, uint32(12_345))).toEqual(serialize.cancel(77, 12_345));
  });
});

describe('a StartupMessage', () => {
  test('keeps parameters in order, duplicates and dangerous names included', () => {
    const pairs: [string, string][] = [
      ['user', 'a'],
      ['__proto__', 'x'],
      ['user', 'b'],
      ['Ünï', ''],
    ];
    expect(parseGreeting(encodeStartup(pairs))).toEqual({
      kind: 'startup',
      major: 3,
      minor: 0,
      parameters: pairs,
    });
  });

  test('keeps its minor version', () => {
    expect(parseGreeting(packet(V3 + 9_999, '\0'))).toMatchObject({
      kind: 'startup',
      minor: 9_999,
      parameters: [],
    });
  });

  test('keeps a byte order mark, which tells two names apart', () => {
    const greeting = parseGreeting(packet(V3, 'user\0\ufeffadmin\0\0'));
    expect(greeting).toMatchObject({ parameters: [['user', '\ufeffadmin']] });
  });

  test.each(['', 'user\0a\0', 'user\0a', 'user\0', 'user', 'user\0a\0\0x', 'user\0a\0\0\0', '\0\0'])(
    'that ends wrongly is refused in the words of PostgreSQL: %j',
    (body) => {
      expect(refused(() => parseGreeting(packet(V3, body)))).toMatchObject({
        sqlstate: '08P01',
        message: 'invalid startup packet layout: expected terminator as last byte',
      });
    },
  );

  test('that is not UTF-8 is refused naming the parameter and not the value', () => {
    const body = Buffer.from('user\0s3cret\xff\0\0', 'latin1');
    expect(refused(() => parseGreeting(packet(V3, body)))).toMatchObject({
      sqlstate: '08P01',
      message: 'startup parameter "user" is not valid UTF-8',
    });
    refused(() => parseGreeting(packet(V3, Buffer.from('\xc3\0a\0\0', 'latin1'))));
  });

  test('is built as node-postgres builds it', () => {
    const pairs = [
      ['user', 'ä'],
      ['database', 'd'],
      ['client_encoding', 'UTF8'],
    ] as const;
    expect(encodeStartup(pairs)).toEqual(serialize.startup({ user: 'ä', database: 'd' }));
  });

  test('is not built when a zero byte or an empty name would forge its next parameter', () => {
    const forged = 'app\0user\0postgres';
    const error = refused(() => encodeStartup([['application_name', forged]]));
    expect(error).toMatchObject({
      code: 'protocol_violation',
      message: expect.stringContaining('"application_name"'),
    });
    expect(JSON.stringify([error.message, error.detail, error.hint])).not.toContain('postgres');
    refused(() => encodeStartup([['a\0user', 'x']]));
    refused(() => encodeStartup([['', 'x']]));
  });

  test('is not built beyond what a server reads', () => {
    const room = MAX_STARTUP_PACKET - encodeStartup([['user', '']]).length;
    expect(encodeStartup([['user', 'x'.repeat(room)]])).toHaveLength(MAX_STARTUP_PACKET);
    expect(refused(() => encodeStartup([['user', 'x'.repeat(room + 1)]])).code).toBe(
      'program_limit_exceeded',
    );
  });
});

test('older protocols and newer ones are met with 0A000 and a reason', () => {
  expect(parseGreeting(packet(2 << 16, 'x'))).toEqual({ kind: 'unsupported', major: 2, minor: 0 });
  expect(parseGreeting(packet(0))).toEqual({ kind: 'unsupported', major: 0, minor: 0 });
  expect(parseGreeting(packet((4 << 16) + 1))).toEqual({ kind: 'unsupported', major: 4, minor: 1 });
  expect(parseGreeting(packet(0x04d2162d))).toEqual({ kind: 'unsupported', major: 1234, minor: 5677 });
  expect(unsupportedProtocol(4, 1)).toMatchObject({
    sqlstate: '0A000',
    message: 'unsupported frontend protocol 4.1: server supports 3.0 to 3.2',
  });
});
