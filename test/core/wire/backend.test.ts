import { serialize } from 'pg-protocol';
import { Parser } from 'pg-protocol/dist/parser.js';
import { describe, expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import * as backend from '../../../core/wire/backend.ts';
import * as client from '../../../core/wire/to-client.ts';
import { encodePassword } from '../../../core/wire/to-server.ts';
import { refused } from './refused.ts';

const body = (message: Buffer): Buffer => message.subarray(5);
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** What node-postgres understands of our bytes, each message complete and nothing left over. */
function understood(...messages: Buffer[]): object[] {
  const seen: object[] = [];
  new Parser().parse(Buffer.concat([...messages, client.readyForQuery('E')]), (message) =>
    seen.push({ ...message }),
  );
  expect(seen.pop()).toMatchObject({ name: 'readyForQuery', status: 'E' });
  return seen;
}

describe('node-postgres understands', () => {
  test.each<[string, Buffer, object]>([
    ['AuthenticationOk', client.AUTHENTICATION_OK, { name: 'authenticationOk' }],
    [
      'AuthenticationCleartextPassword',
      client.AUTHENTICATION_CLEARTEXT_PASSWORD,
      { name: 'authenticationCleartextPassword' },
    ],
    [
      'AuthenticationSASL',
      client.authenticationSasl(['A', 'B']),
      { name: 'authenticationSASL', mechanisms: ['A', 'B'] },
    ],
    [
      'AuthenticationSASLContinue',
      client.authenticationSaslContinue(bytes('x')),
      { name: 'authenticationSASLContinue', data: 'x' },
    ],
    [
      'AuthenticationSASLFinal',
      client.authenticationSaslFinal(bytes('x')),
      { name: 'authenticationSASLFinal', data: 'x' },
    ],
    [
      'ParameterStatus',
      client.parameterStatus('a', 'ü'),
      { name: 'parameterStatus', parameterName: 'a', parameterValue: 'ü' },
    ],
    [
      'BackendKeyData',
      client.backendKeyData(5, bytes('\0\0\0\x07')),
      { name: 'backendKeyData', processID: 5, secretKey: 7 },
    ],
    ['ReadyForQuery', client.readyForQuery('T'), { name: 'readyForQuery', status: 'T' }],
    ['CommandComplete', client.commandComplete('SET'), { name: 'commandComplete', text: 'SET' }],
    ['ParseComplete', client.PARSE_COMPLETE, { name: 'parseComplete' }],
    ['BindComplete', client.BIND_COMPLETE, { name: 'bindComplete' }],
    ['CloseComplete', client.CLOSE_COMPLETE, { name: 'closeComplete' }],
    ['NoData', client.NO_DATA, { name: 'noData' }],
    ['EmptyQueryResponse', client.EMPTY_QUERY_RESPONSE, { name: 'emptyQuery' }],
    ['PortalSuspended', client.PORTAL_SUSPENDED, { name: 'portalSuspended' }],
    [
      'ParameterDescription',
      client.parameterDescription([23]),
      { name: 'parameterDescription', dataTypeIDs: [23] },
    ],
    ['DataRow', client.dataRow(['ü', null, '']), { name: 'dataRow', fields: ['ü', null, ''] }],
  ])('%s', (_name, message, expected) => {
    expect(understood(message)).toMatchObject([expected]);
  });

  test('RowDescription', () => {
    const fields = [
      {
        name: 'a',
        tableID: 0,
        columnID: 0,
        dataTypeID: 25,
        dataTypeSize: -1,
        dataTypeModifier: -1,
        format: 'text',
      },
      { name: 'b' },
    ];
    expect(understood(client.rowDescription(['a', 'b']))).toMatchObject([{ name: 'rowDescription', fields }]);
  });

  test('ErrorResponse and NoticeResponse', () => {
    const error = client.errorResponse({
      severity: 'FATAL',
      code: '28P01',
      message: 'ü',
      detail: 'd',
      hint: 'h',
    });
    const notice = client.noticeResponse({ severity: 'NOTICE', code: '00000', message: 'n' });
    expect(understood(error, notice)).toMatchObject([
      { name: 'error', severity: 'FATAL', code: '28P01', detail: 'd', hint: 'h' },
      { name: 'notice', severity: 'NOTICE', code: '00000', message: 'n' },
    ]);
  });
});

describe('an ErrorResponse of the gateway', () => {
  test('has the fields S, V, C, M, D, H in this order, absent ones left out', () => {
    const message = client.errorResponse({ severity: 'ERROR', code: '42501', message: 'no', hint: 'h' });
    expect(body(message).toString()).toBe('SERROR\0VERROR\0C42501\0Mno\0Hh\0\0');
  });

  test('says what a GatewayError says, its cause excepted', () => {
    const error = new GatewayError('insufficient_privilege', 'no', {
      detail: 'd',
      cause: new Error('inner'),
    });
    expect(body(client.refusal('FATAL', error)).toString()).toBe('SFATAL\0VFATAL\0C42501\0Mno\0Dd\0\0');
  });

  test.each(['x', 'é', '€', '😀', '\ud83d', '\0', '\0€'])(
    'stays below 30 000 bytes whatever is repeated: %j',
    (text) => {
      const long = text.repeat(50_000);
      const message = client.errorResponse({
        severity: 'FATAL',
        code: 'XX000',
        message: long,
        detail: long,
        hint: long,
      });
      expect(message.length).toBeLessThan(30_000);
      expect(backend.errorFields(body(message)).fields.size).toBe(6);
    },
  );

  test('cannot be forged by a zero byte in its text', () => {
    const message = client.errorResponse({ severity: 'ERROR', code: '42501', message: 'no\0C00000\0' });
    expect(backend.errorFields(body(message))).toMatchObject({ code: '42501', message: 'noC00000' });
  });
});

test('a zero byte in a parameter or tag is refused', () => {
  refused(() => client.parameterStatus('a\0', 'b'));
  refused(() => client.parameterStatus('a', 'b\0'));
  refused(() => client.commandComplete('SET\0'));
});

describe('the ErrorResponse of a server is read', () => {
  test('as it should be', () => {
    const error = backend.errorFields(bytes('SFEHLER\0VERROR\0C42P01\0Mm\0Dd\0Hh\0Pxy\0\0'));
    expect(error).toMatchObject({ severity: 'ERROR', code: '42P01', message: 'm', detail: 'd', hint: 'h' });
    expect(error.fields.get('P')).toBe('xy');
  });

  test.each<[string, string, object]>([
    ['empty', '', { severity: 'ERROR', code: 'XX000', message: '', detail: undefined }],
    ['only the terminator', '\0', { code: 'XX000' }],
    ['without terminator', 'C42601\0Mm\0', { code: '42601', message: 'm' }],
    ['without the end of its last field', 'C42601\0Mm', { code: '42601', message: 'm' }],
    ['ending in a field type', 'C42601\0M', { code: '42601', message: '' }],
    ['without SQLSTATE', 'SFATAL\0Mm\0\0', { severity: 'FATAL', code: 'XX000', message: 'm' }],
    ['with a SQLSTATE that is none', 'C4260\0Mm\0\0', { code: 'XX000' }],
    ['with a forged SQLSTATE', 'C42\n01\0\0', { code: 'XX000' }],
    ['with a field twice: the last counts, as in libpq', 'Ma\0Mb\0\0', { message: 'b' }],
    ['with bytes behind its terminator', 'Ma\0\0Mb\0', { message: 'a' }],
    ['with empty fields', 'M\0D\0\0', { message: '', detail: '' }],
  ])('%s', (_name, message, expected) => {
    expect(backend.errorFields(bytes(message))).toMatchObject(expected);
  });

  test('of 100 MB, and only its first part is decoded', () => {
    const error = backend.errorFields(Buffer.concat([bytes('C42601\0M'), Buffer.alloc(100_000_000, 'x')]));
    expect(error.code).toBe('42601');
    expect(error.message.length).toBeLessThan(2_000_000);
  });
});

describe('authentication requests are told apart', () => {
  test.each<[string, object]>([
    ['\0\0\0\0', { kind: 'ok' }],
    ['\0\0\0\x03', { kind: 'cleartext' }],
    ['\0\0\0\x05abcd', { kind: 'md5', salt: bytes('abcd') }],
    ['\0\0\0\x0aX\0Y\0\0', { kind: 'sasl', mechanisms: ['X', 'Y'] }],
    ['\0\0\0\x0a\0', { kind: 'sasl', mechanisms: [] }],
    ['\0\0\0\x0bdata', { kind: 'sasl-continue', data: bytes('data') }],
    ['\0\0\0\x0cdata', { kind: 'sasl-final', data: bytes('data') }],
    ['\0\0\0\x07whatever', { kind: 'unsupported', code: 7 }],
    ['\xff\xff\xff\xff', { kind: 'unsupported', code: -1 }],
  ])('%j', (request, expected) => {
    expect(backend.readAuthentication(bytes(request))).toEqual(expected);
  });

  test.each([
    '',
    '\0\0\0',
    '\0\0\0\0x',
    '\0\0\0\x03x',
    '\0\0\0\x05abc',
    '\0\0\0\x05abcde',
    '\0\0\0\x0aX',
    '\0\0\0\x0aX\0',
  ])('malformed: %j', (request) => {
    expect(refused(() => backend.readAuthentication(bytes(request))).code).toBe('protocol_violation');
  });
});

test('a server’s key has 4 to 256 bytes', () => {
  expect(backend.readBackendKeyData(bytes('\0\0\0\x01abcd'))).toEqual({
    processId: 1,
    secret: bytes('abcd'),
  });
  expect(backend.readBackendKeyData(Buffer.alloc(260)).secret).toHaveLength(256);
  for (const length of [0, 3, 4, 7, 261]) refused(() => backend.readBackendKeyData(Buffer.alloc(length)));
});

test('the version that a server answers, and the options that it does not know', () => {
  const answer = Buffer.concat([bytes('\0\x03\0\x02\0\0\0\x01'), bytes('_pq_.a\0')]);
  expect(backend.readNegotiateProtocolVersion(answer)).toEqual({ major: 3, minor: 2, options: ['_pq_.a'] });
  for (const end of [1, 8, answer.length - 1])
    refused(() => backend.readNegotiateProtocolVersion(answer.subarray(0, end)));
  refused(() => backend.readNegotiateProtocolVersion(Buffer.concat([answer, bytes('x')])));
});

test('parameters, tags and states are read back', () => {
  expect(backend.readParameterStatus(body(client.parameterStatus('a', 'ü')))).toEqual({
    name: 'a',
    value: 'ü',
  });
  expect(backend.readCommandComplete(body(client.commandComplete('COPY 3')))).toBe('COPY 3');
  expect(backend.readReadyForQuery(body(client.readyForQuery('T')))).toBe('T');
  for (const status of ['', 'X', 'II']) refused(() => backend.readReadyForQuery(bytes(status)));
});

test('an md5 answer goes out as any other password', () => {
  expect(encodePassword('md5abc')).toEqual(serialize.password('md5abc'));
});
