import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as backend from '../../../core/wire/backend.ts';
import { serverEndPoint } from '../../../core/wire/channel-binding.ts';
import * as frontend from '../../../core/wire/frontend.ts';
import { encodeCancel, encodeStartup, greetingLength, parseGreeting } from '../../../core/wire/greeting.ts';
import { parseBearerRequest } from '../../../core/wire/oauthbearer.ts';
import { parseOptions } from '../../../core/wire/options.ts';
import { acceptParameters } from '../../../core/wire/startup-parameters.ts';
import * as client from '../../../core/wire/to-client.ts';
import * as server from '../../../core/wire/to-server.ts';
import { negotiateProtocolVersion } from '../../../core/wire/version.ts';
import { attempt } from './refused.ts';

const LENGTHS = [0, 3, 4, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

/** Everything that takes bytes from the network, with a message of its own that is right. */
const READERS: [name: string, read: (body: Buffer) => unknown, sample: Buffer][] = [
  ['greetingLength', greetingLength, Buffer.from([0, 0, 0, 8])],
  ['parseGreeting', parseGreeting, encodeStartup([['user', 'a']])],
  ['parseGreeting of a cancel', parseGreeting, encodeCancel(1, Buffer.alloc(32))],
  ['readQuery', frontend.readQuery, server.encodeQuery('select 1').subarray(5)],
  ['querySlice', frontend.querySlice, server.encodeQuery('select 1').subarray(5)],
  [
    'readParse',
    frontend.readParse,
    server.encodeParse('n', 'select 1', Buffer.from([0, 1, 0, 0, 0, 23])).subarray(5),
  ],
  ['parseName', frontend.parseName, server.encodeParse('n', 'select 1').subarray(5)],
  ['parseSlice', frontend.parseSlice, server.encodeParse('n', 'select 1').subarray(5)],
  ['readBind', frontend.readBind, server.encodeBind('p', 's', ['a', null, 'ccccc']).subarray(5)],
  ['bindNames', frontend.bindNames, server.encodeBind('p', 's').subarray(5)],
  ['readDescribe', frontend.readDescribe, server.encodeDescribe('S', 'n').subarray(5)],
  ['readClose', frontend.readClose, server.encodeClose('P', 'n').subarray(5)],
  ['readExecute', frontend.readExecute, server.encodeExecute('p', 1).subarray(5)],
  ['readFunctionCall', frontend.readFunctionCall, server.encodeFunctionCall(1).subarray(5)],
  ['readPassword', frontend.readPassword, server.encodePassword('a').subarray(5)],
  [
    'readSaslInitialResponse',
    frontend.readSaslInitialResponse,
    server.encodeSaslInitialResponse('M', Buffer.from('abcd')).subarray(5),
  ],
  ['parseBearerRequest', parseBearerRequest, Buffer.from('n,,\x01host=h\x01auth=Bearer a.b.c\x01\x01')],
  ['errorFields', backend.errorFields, Buffer.from('SERROR\0C42601\0Mm\0\0')],
  ['readParameterStatus', backend.readParameterStatus, client.parameterStatus('a', 'b').subarray(5)],
  ['readBackendKeyData', backend.readBackendKeyData, client.backendKeyData(1, Buffer.alloc(32)).subarray(5)],
  [
    'readNegotiateProtocolVersion',
    backend.readNegotiateProtocolVersion,
    negotiateProtocolVersion(2, ['_pq_.a', '_pq_.b']).subarray(5),
  ],
  ['readCommandComplete', backend.readCommandComplete, client.commandComplete('SET').subarray(5)],
  ['readReadyForQuery', backend.readReadyForQuery, client.readyForQuery('I').subarray(5)],
  ['readAuthentication', backend.readAuthentication, client.authenticationSasl(['A', 'B']).subarray(5)],
  ['serverEndPoint', serverEndPoint, Buffer.from('300c30003008060353656304013003030100', 'hex')],
];

/** Bytes reachable from a value: a reader must not make more of a body than there is in it. */
function weight(value: unknown): number {
  if (Buffer.isBuffer(value)) return value.length;
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value))
    return value.reduce<number>((sum, element) => sum + weight(element), value.length);
  if (value instanceof Map) return weight([...value.values()]);
  return typeof value === 'object' && value !== null ? weight(Object.values(value)) : 0;
}

/** Weight of what a value says beyond the bytes: its `kind`, its reasons, the number of its fields, a hash. */
const KIND = 64;

describe.each(READERS)('%s', (_name, read, sample) => {
  test('reads its sample', () => {
    expect(attempt(() => read(sample))).not.toBeInstanceOf(Error);
  });

  test.each(LENGTHS)('meets %d at every offset with a value or a GatewayError', (length) => {
    const field = Buffer.alloc(4);
    field.writeUInt32BE(length);
    for (let at = 0; at <= sample.length; at += 1) {
      const replaced = Buffer.concat([sample.subarray(0, at), field, sample.subarray(at + 4)]);
      attempt(() => read(replaced));
      attempt(() => read(Buffer.concat([sample.subarray(0, at), field, sample.subarray(at)])));
    }
  });

  test('meets every prefix of its sample with a value or a GatewayError', () => {
    for (let end = 0; end < sample.length; end += 1) attempt(() => read(sample.subarray(0, end)));
  });

  test('meets anything with a value or a GatewayError, and makes no more of it than there is', () => {
    const mutated = fc
      .array(fc.tuple(fc.nat(sample.length - 1), fc.nat(255)), { maxLength: 4 })
      .map((edits) => edits.reduce((bytes, [at, byte]) => bytes.fill(byte, at, at + 1), Buffer.from(sample)));
    const any = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(mutated, any), (bytes) => {
        const value = attempt(() => read(bytes));
        if (value instanceof Error) return;
        // U+FFFD for an invalid byte has three, and an element of an array counts one.
        expect(weight(value)).toBeLessThanOrEqual(bytes.length * 4 + KIND);
      }),
      { numRuns: 2_000 },
    );
  });
});

const likeOptions = fc.string({
  unit: fc.constantFrom('-', 'c', '-c ', '--', '=', ' ', '\\', 'a', 'DateStyle', '\n', 'ü'),
});

test('options of any kind are settings or a GatewayError', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), likeOptions), (text) => {
      const options = attempt(() => parseOptions(text));
      if (options instanceof Error) return;
      expect(options.every(({ name }) => !name.includes('-') && !name.includes('='))).toBe(true);
    }),
    { numRuns: 5_000 },
  );
});

test('of any startup parameters only names that PostgreSQL could know come through, and none that changes the role', () => {
  const name = fc.constantFrom(
    'user',
    'database',
    'options',
    'TimeZone',
    'role',
    '_pq_.x',
    'postern.x',
    '__proto__',
  );
  const pairs = fc.array(fc.tuple(fc.oneof(name, fc.string()), fc.oneof(likeOptions, fc.string())), {
    maxLength: 5,
  });
  fc.assert(
    fc.property(pairs, (given) => {
      const startup = attempt(() => acceptParameters([['user', 'a'], ...given]));
      if (startup instanceof Error) return;
      for (const name of Object.keys(startup.parameters)) {
        expect(name).toMatch(/^[A-Za-z_][\w$]*(\.[a-z_][\w$]*)*$/);
        expect(name).not.toMatch(
          /^(role|session_authorization|user|database|options|replication|_pq_\..*|postern\..*)$/i,
        );
      }
      expect(Object.keys(startup.gatewayOptions).every((key) => key.startsWith('postern.'))).toBe(true);
    }),
    { numRuns: 5_000 },
  );
});

test('a StartupMessage that we build is the one that is read', () => {
  const text = fc.string({ unit: 'binary' }).filter((value) => !value.includes('\0'));
  const pair = fc.tuple(
    text.filter((value) => value !== ''),
    text,
  );
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 10 }), (parameters) => {
      expect(parseGreeting(encodeStartup(parameters))).toMatchObject({ kind: 'startup', parameters });
    }),
  );
});
