import { expect, test } from 'vitest';
import { cancelKeyLength, negotiateVersion } from '../../../core/wire/version.ts';

test.each([0, 1, 2])('a client of protocol 3.%d gets what it asked for, without a word', (minor) => {
  expect(negotiateVersion(minor, [])).toEqual({ minor, reply: undefined });
});

test('a client that greases gets 3.2 and the list of what is unknown', () => {
  const { minor, reply } = negotiateVersion(9_999, ['_pq_.grease', '_pq_.b']);
  expect(minor).toBe(2);
  expect(reply?.toString('latin1')).toBe('v\0\0\0\x1f\0\x03\0\x02\0\0\0\x02_pq_.grease\0_pq_.b\0');
});

test('a client of protocol 3.0 with an option stays at 3.0', () => {
  const { minor, reply } = negotiateVersion(0, ['_pq_.x']);
  expect(minor).toBe(0);
  expect(reply?.toString('latin1')).toBe('v\0\0\0\x13\0\x03\0\0\0\0\0\x01_pq_.x\0');
});

test('a newer client without options gets an empty list', () => {
  expect(negotiateVersion(3, []).reply?.toString('hex')).toBe('760000000c0003000200000000');
});

test('cancel keys have 4 bytes before 3.2, for libpq would break off, and 256 bits since', () => {
  expect([0, 1, 2].map(cancelKeyLength)).toEqual([4, 4, 32]);
});
