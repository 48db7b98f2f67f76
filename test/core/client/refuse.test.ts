/** What a refused client reads, what only the log has, and which addresses are this machine's own. */
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { isLoopback, peerOf } from '../../../core/client/address.ts';
import { asGatewayError, describe as described, uniform } from '../../../core/client/refuse.ts';
import { reasonOf } from '../../../core/contract/reason.ts';
import { GatewayError } from '../../../core/contract/errors.ts';

const refused = (detail: string, hint?: string): GatewayError =>
  new GatewayError('invalid_password', detail, {
    detail,
    ...(hint !== undefined && { hint }),
    cause: new Error('the signature is wrong'),
  });

test('every failed authentication reads the same, whatever the plugin said', () => {
  const [one, other] = [
    uniform(refused('unknown issuer', 'look'), 'alice'),
    uniform(refused('bad signature'), 'alice'),
  ];
  for (const { sqlstate, message, detail, hint } of [one, other])
    expect([sqlstate, message, detail, hint]).toEqual([
      '28P01',
      'password authentication failed for user "alice"',
      undefined,
      undefined,
    ]);
  expect(reasonOf(one)).toContain('the signature is wrong');
  const another = new GatewayError('cannot_connect_now', 'later', { hint: 'x' });
  expect(uniform(another, 'alice')).toBe(another);
});

describe('what is no GatewayError', () => {
  const told = (thrown: unknown): { client: GatewayError; lines: readonly object[] } => {
    const lines: object[] = [];
    const log = { info() {}, warn() {}, error: (fields: object) => void lines.push(fields) };
    return { client: asGatewayError(thrown, log), lines };
  };

  test.each([
    ['an error', new TypeError('canary')],
    ['a text', 'canary'],
    ['an object', { canary: 'canary' }],
    ['nothing', undefined],
  ])('%s becomes XX000 with an id that is in the log, and says nothing else', (_, thrown) => {
    const { client, lines } = told(thrown);
    const id = /^internal error, id ([0-9a-f]{8})$/.exec(client.message)?.[1];
    expect([client.sqlstate, lines]).toEqual([
      'XX000',
      [{ errorId: id, error: expect.any(String) as unknown }],
    ]);
    expect(`${client.message}${client.detail}${client.hint}`).not.toContain('canary');
  });

  test('a GatewayError stays what it is, and is not logged', () => {
    const error = refused('x');
    const { client, lines } = told(error);
    expect(client).toBe(error);
    expect(lines).toEqual([]);
  });

  test('the log has name, message and place of an error, and none of its other properties', () => {
    const error = Object.assign(new TypeError('a mistake'), { body: 'canary', cause: 'canary' });
    expect(described(error)).toMatch(/^TypeError: a mistake\n\s+at /);
    expect(described(error)).not.toContain('canary');
    expect([described('canary'), described(null), described({ a: 'canary' })]).toEqual([
      'string',
      'object',
      'object',
    ]);
  });
});

test('the reason is the messages of an error and its causes, so many at most, and those of each address', () => {
  const chain = Array.from({ length: 9 }).reduce<Error>(
    (cause, _, n) => new Error(`${8 - n}`, { cause }),
    new Error('end'),
  );
  expect(reasonOf(chain)).toBe('0: 1: 2: 3: 4');
  expect(reasonOf(new Error('no', { cause: 'a text' }))).toBe('no');
  const all = new AggregateError([new Error('ECONNREFUSED ::1'), new Error('ECONNREFUSED 127.0.0.1'), 'x']);
  expect(reasonOf(new Error('outer', { cause: all }))).toBe(
    'outer: ECONNREFUSED ::1, ECONNREFUSED 127.0.0.1, string',
  );
});

test.each([
  ['127.0.0.1', true],
  ['127.255.0.9', true],
  ['::1', true],
  ['128.0.0.1', false],
  ['127.0.0.1.example', false],
  ['10.127.0.0', false],
  ['::ffff:127.0.0.1', false],
  ['', false],
])('%s is this machine’s own: %s', (address, own) => {
  expect(isLoopback(address)).toBe(own);
});

test.each([
  ['::ffff:10.0.0.7', '10.0.0.7'],
  ['::FFFF:10.0.0.7', '10.0.0.7'],
  ['10.0.0.7', '10.0.0.7'],
  ['2001:db8::7', '2001:db8::7'],
  ['::ffff:a00:7', '::ffff:a00:7'],
  [undefined, ''],
])('a peer at %s is %s', (remoteAddress, address) => {
  expect(peerOf({ remoteAddress, remotePort: 4711 } as Socket)).toEqual({ address, port: 4711 });
});
