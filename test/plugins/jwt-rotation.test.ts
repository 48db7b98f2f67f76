/** Keys that change: new ones are found, removed ones forgotten, and nothing else disturbs the set in use. */
import { jwtVerify } from 'jose';
import type { CryptoKey } from 'jose';
import { describe, expect, test, vi } from 'vitest';
import type { Found } from '../../plugins/jwt/key-store.ts';
import { issuer } from '../support/token.ts';
import type { Kept } from './gateway.ts';
import { json, keyIssuer } from './key-issuer.ts';
import {
  good,
  hint,
  jwtGateway,
  keyStore,
  next,
  nextHint,
  openStore,
  silent,
  subject,
} from './key-stores.ts';

const key = ({ keys }: Found): CryptoKey => {
  const [only] = keys;
  if (!only) throw new Error('no key');
  return only;
};

describe('a rotation', () => {
  test('is seen when a token names a new key', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url, { unknown: 0 });
    await store.find(hint);
    keys.answer(json({ keys: [...good.jwks.keys, ...next.jwks.keys] }));
    expect((await store.find(nextHint)).keys).toHaveLength(1);
    expect((await store.find(hint)).keys).toHaveLength(1);
  });

  test('is seen in the background, and a removed key then opens nothing', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url, { refresh: 20 });
    await store.find(hint);
    keys.answer(json(next.jwks));
    await vi.waitFor(async () => expect((await store.find(nextHint)).keys).toHaveLength(1), 30_000);
    await expect(store.find(hint)).rejects.toThrow('no key');
  });

  test('that puts another key under a known kid ends the trust in the first one', async () => {
    const again = issuer({ algorithms: ['ES256', 'EdDSA'] });
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url);
    const before = await store.find(hint);
    keys.answer(json(again.jwks));
    await store.refresh();
    const after = await store.find(hint);
    expect(after.set).not.toBe(before.set);
    await expect(jwtVerify(good.sign(), key(before))).resolves.toBeDefined();
    await expect(jwtVerify(good.sign(), key(after))).rejects.toThrow('signature');
  });

  test('that changes nothing keeps the very set, so that verified tokens stay verified', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url);
    const before = await store.current();
    await store.refresh();
    expect(keys.requests()).toBe(2);
    expect(await store.current()).toBe(before);
  });
});

describe('the last good set', () => {
  test('ends after maxStale: then nothing is verified with it', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url, {}, 50);
    await store.find(hint);
    keys.answer((response) => response.writeHead(503).end());
    await vi.waitFor(() => expect(store.problem()).toMatch(/too old/), 30_000);
    await expect(store.find(hint)).rejects.toThrow('too old');
  });

  test('outlives a reload while the issuer is down', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const kept: Kept = new Map();
    const before = await jwtGateway(keys.url, { kept });
    expect(await subject(before, good.sign())).toBe('alice');
    await keys.stop();
    const after = await jwtGateway(keys.url, { kept });
    await before.stop();
    expect(await subject(after, good.sign())).toBe('alice');
  });

  test('is asked for no more once every user has let go', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const store = keyStore(keys.url, { refresh: 100 });
    const [close, closeToo] = [store.open(silent), store.open(silent)];
    await close();
    await vi.waitFor(() => expect(keys.requests()).toBeGreaterThan(2), 30_000);
    await closeToo();
    const before = keys.requests();
    await new Promise((resolve) => {
      setTimeout(resolve, 500);
    });
    expect(keys.requests()).toBe(before);
  });
});
