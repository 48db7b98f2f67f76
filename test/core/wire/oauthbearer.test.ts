import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bearerStatus, parseBearerFarewell, parseBearerRequest } from '../../../core/wire/oauthbearer.ts';
import type { BearerRequest } from '../../../core/wire/oauthbearer.ts';
import { attempt, refused } from './refused.ts';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const parse = (text: string): BearerRequest => parseBearerRequest(latin1(text));

/** What PostgreSQL 18.4 answers to an initial response, with a validator that takes `good.token` alone: SQLSTATE and DETAIL. */
const REFUSED: readonly (readonly [response: string, detail: string])[] = [
  ['', 'The message is empty.'],
  ['x,,\x01auth=\x01\x01', `Unexpected channel-binding flag "'x'".`],
  ['\x01', 'Unexpected channel-binding flag "0x01".'],
  ['\xe9,,', 'Unexpected channel-binding flag "0xe9".'],
  ['n', 'Comma expected, but found character "0x00".'],
  ['n;', `Comma expected, but found character "';'".`],
  ['n,', 'Unexpected attribute "0x00" in client-first-message.'],
  ['n,x', `Unexpected attribute "'x'" in client-first-message.`],
  ['n,,', 'Key-value separator expected, but found character "0x00".'],
  ['n,,x', `Key-value separator expected, but found character "'x'".`],
  ['n,, ', 'Key-value separator expected, but found character "0x20".'],
  ['n,,\x01', 'Message did not contain a final terminator.'],
  ['n,,\x01\x01', 'Message does not contain an auth value.'],
  ['n,,\x01auth=', 'Message contains an unterminated key/value pair.'],
  ['n,,\x01auth=Bearer good.token\x01', 'Message did not contain a final terminator.'],
  ['n,,\x01auth\x01\x01', 'Message contains a key without a value.'],
  ['n,,\x01=x\x01\x01', 'Message contains an empty key name.'],
  ['n,,\x01au1h=x\x01\x01', 'Message contains an invalid key name.'],
  ['n,,\x01auth=\x02\x01\x01', 'Message contains an invalid value.'],
  ['n,,\x01auth=\xe9\x01\x01', 'Message contains an invalid value.'],
  ['n,,\x01host=h\x01\x01', 'Message does not contain an auth value.'],
  ['n,,\x01AUTH=Bearer good.token\x01\x01', 'Message does not contain an auth value.'],
  ['n,,\x01auth=\x01auth=\x01\x01', 'Message contains multiple auth values.'],
  [
    'n,,\x01auth=Bearer good.token\x01auth=Bearer good.token\x01\x01',
    'Message contains multiple auth values.',
  ],
  ['n,,\x01auth=\x01\x01x', 'Message contains additional data after the final terminator.'],
  ['n,,\x01\x01auth=\x01\x01', 'Message does not contain an auth value.'],
  ['n,,\x01auth=\0\x01\x01', 'Message length does not match input length.'],
  ['n,,\x01auth=Bearer good.token\x01\x01\0', 'Message length does not match input length.'],
  [
    'p=tls-unique,,\x01auth=Bearer good.token\x01\x01',
    'The server does not support channel binding for OAuth, but the client message includes channel binding data.',
  ],
];

describe('an initial response', () => {
  test.each(REFUSED)('%j is malformed in the words of PostgreSQL 18', (response, detail) => {
    expect(refused(() => parse(response))).toMatchObject({
      sqlstate: '08P01',
      message: 'malformed OAUTHBEARER message',
      detail,
    });
  });

  test.each(['n,a=bob,\x01auth=\x01\x01', 'n,a'])('%j has an authorization identity', (response) => {
    expect(refused(() => parse(response))).toMatchObject({
      sqlstate: '0A000',
      message: 'client uses authorization identity, but it is not supported',
    });
  });

  test.each([
    'n,,\x01auth=Bearer good.token\x01\x01',
    'y,,\x01auth=bEARER    good.token\x01\x01',
    'n,,\x01host=a\x01port=5432\x01auth=Bearer good.token\x01other=\x01\x01',
  ])('%j has a token', (response) => {
    expect(parse(response)).toEqual({ kind: 'token', token: 'good.token' });
  });

  test('with an empty auth asks where to get a token', () => {
    expect(parse('n,,\x01auth=\x01\x01')).toEqual({ kind: 'discovery' });
    expect(parse('y,,\x01host=a\x01auth=\x01\x01')).toEqual({ kind: 'discovery' });
  });

  test.each([
    'a\tb\r\n',
    ' ',
    'Basic abc',
    'Bearer',
    'Bearer ',
    'Bearer  a b',
    'Bearer =',
    'Bearer\tgood.token',
    'Bearer good.token ',
    'Bearer good=token',
  ])('with %j has no token that can be used', (auth) => {
    expect(parse(`n,,\x01auth=${auth}\x01\x01`).kind).toBe('unusable');
  });
});

test('the answer to a status is one separator and nothing else', () => {
  expect(parseBearerFarewell(latin1('\x01'))).toBeUndefined();
  for (const [answer, detail] of [
    ['', 'The message is empty.'],
    ['x', 'Client did not send a kvsep response.'],
    ['\x01\x01', 'Client did not send a kvsep response.'],
    ['\x01\0', 'Message length does not match input length.'],
  ] as const)
    expect(refused(() => parseBearerFarewell(latin1(answer)))).toMatchObject({ sqlstate: '08P01', detail });
});

test('a status is the JSON of RFC 7628', () => {
  const discovery = 'https://id.example/.well-known/openid-configuration';
  expect(JSON.parse(bearerStatus(discovery, 'openid "x"').toString())).toEqual({
    status: 'invalid_token',
    'openid-configuration': discovery,
    scope: 'openid "x"',
  });
});

const token = fc
  .tuple(
    fc.string({ unit: fc.constantFrom(...Array.from('abcXYZ019-._~+/')), minLength: 1 }),
    fc.constantFrom('', '=', '=='),
  )
  .map((parts) => parts.join(''));
const key = fc
  .string({ unit: fc.constantFrom(...Array.from('ahostprxAZ')), minLength: 1 })
  .filter((name) => name !== 'auth');
const text = fc.string({ unit: fc.constantFrom('\t', '\r', '\n', ...Array.from(' !=,~azAZ09"\\')) });
const pairs = fc.array(
  fc.tuple(key, text).map(([name, value]) => `${name}=${value}\x01`),
  { maxLength: 4 },
);
const scheme = fc
  .mixedCase(fc.constant('bearer'))
  .chain((word) => fc.string({ unit: fc.constant(' '), minLength: 1 }).map((spaces) => word + spaces));

test('a token is found behind any pairs, in front of any others, whatever the case of its scheme', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('n', 'y'),
      pairs,
      scheme,
      token,
      pairs,
      (flag, before, word, given, after) => {
        const response = `${flag},,\x01${before.join('')}auth=${word}${given}\x01${after.join('')}\x01`;
        expect(parse(response)).toEqual({ kind: 'token', token: given });
      },
    ),
  );
});

/** The grammar of RFC 7628 §3.1 with what PostgreSQL asks for beyond it, another way. */
function allowed(response: string): 'discovery' | 'token' | 'unusable' | 'refused' {
  // The separator as a letter that no response has otherwise.
  const readable = response.includes('§') ? '' : response.replaceAll('\x01', '§');
  const list = /^[ny],,§((?:[A-Za-z]+=[\t\r\n\x20-\x7e]*§)*)§$/.exec(readable)?.[1];
  const auths = (list ?? '').split('§').filter((pair) => pair.startsWith('auth='));
  if (list === undefined || auths.length !== 1) return 'refused';
  if (auths[0] === 'auth=') return 'discovery';
  return /^auth=bearer +[\w.~+/-]+=*$/i.test(auths[0] ?? '') ? 'token' : 'unusable';
}

test(
  "a hundred thousand responses are read as the grammar says, and refused with PostgreSQL's two errors",
  { timeout: 120_000 },
  () => {
    const piece = fc.constantFrom(
      'n,,\x01',
      'y,,',
      'p=x,,',
      'n,a=b,',
      '\x01',
      'auth=',
      'Bearer ',
      'bearer',
      'ab.c',
      '==',
      'host=a',
      '=',
      ' ',
      ',',
      '\0',
      '\xff',
      '\t',
      'é',
    );
    const composed = fc.array(piece, { maxLength: 8 }).map((all) => all.join(''));
    const good = 'n,,\x01host=a\x01auth=Bearer ab.c==\x01\x01';
    const edited = fc
      .tuple(fc.nat(good.length), fc.nat(2), fc.oneof(piece, fc.string({ maxLength: 2 })))
      .map(([at, gone, more]) => good.slice(0, at) + more + good.slice(at + gone));
    fc.assert(
      fc.property(fc.oneof(composed, edited), (said) => {
        const response = Buffer.from(said);
        const read = attempt(() => parseBearerRequest(response));
        if (read instanceof Error) {
          if (allowed(response.toString('latin1')) !== 'refused') throw read;
          if (!['08P01', '0A000'].includes(read.sqlstate)) throw read;
        } else if (read.kind !== allowed(response.toString('latin1'))) throw new Error(read.kind);
      }),
      { numRuns: 100_000 },
    );
  },
);
