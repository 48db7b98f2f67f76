/** Texts and names as the store of a fleet sees them. */
import { expect, test } from 'vitest';
import { sealingOf } from '../../../core/fleet/sealing.ts';

const SECRET = 'a secret of thirty-two characters';
const sealing = sealingOf(SECRET, 'prod');

test.each(['', 'text', 'žluťoučký kůň 🐎', 'x'.repeat(100_000)])('what was sealed is opened', (text) => {
  expect(sealingOf(SECRET, 'prod').open(sealing.seal(text, 'board'), 'board')).toBe(text);
});

test('equal texts are sealed differently, and do not appear in what is sealed', () => {
  const sealed = sealing.seal('alice', 'board');
  expect(sealing.seal('alice', 'board')).not.toBe(sealed);
  expect(Buffer.from(sealed, 'base64url').includes('alice')).toBe(false);
});

test('a text is not opened with another secret, for another fleet or for another context', () => {
  const sealed = sealing.seal('alice', 'board');
  expect(sealingOf('another secret of thirty-two cha.', 'prod').open(sealed, 'board')).toBeUndefined();
  expect(sealingOf(SECRET, 'test').open(sealed, 'board')).toBeUndefined();
  expect(sealing.open(sealed, 'another')).toBeUndefined();
});

test('a text with any bit changed, cut or longer is not opened', () => {
  const sealed = Buffer.from(sealing.seal('alice', 'board'), 'base64url');
  const opened = (bytes: Buffer): string | undefined => sealing.open(bytes.toString('base64url'), 'board');
  for (let bit = 0; bit < sealed.length * 8; bit += 1) {
    const changed = Buffer.from(sealed);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(opened(changed), `bit ${bit}`).toBeUndefined();
  }
  for (let length = 0; length < sealed.length; length += 1)
    expect(opened(sealed.subarray(0, length)), `${length} bytes`).toBeUndefined();
  expect(opened(Buffer.concat([sealed, Buffer.of(0)]))).toBeUndefined();
  expect(sealing.open('no sealed text', 'board')).toBeUndefined();
});

test('a hash is the same for all that have the secret, and another for each text, context, fleet and secret', () => {
  const hash = sealing.hash('alice', 'places');
  expect(hash).toMatch(/^[\w-]{22}$/);
  expect(sealingOf(SECRET, 'prod').hash('alice', 'places')).toBe(hash);
  const others = [
    sealing.hash('bob', 'places'),
    sealing.hash('alice', 'board'),
    sealing.hash('salice', 'place'),
    sealingOf(SECRET, 'test').hash('alice', 'places'),
    sealingOf('another', 'prod').hash('alice', 'places'),
  ];
  expect(new Set([hash, ...others]).size).toBe(6);
});
