/** Keys as real issuers publish them: in other spellings, for more purposes, without names, and many of one name. */
import { createPublicKey } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseKeySet } from '../../plugins/jwt/key-set.ts';
import type { Algorithm } from '../support/token.ts';
import { issuer, makeKey, signature, encode, now } from '../support/token.ts';
import { refusalOf } from './gateway.ts';
import { json, keyIssuer } from './key-issuer.ts';
import { jwtGateway, openStore, subject } from './key-stores.ts';

const good = issuer({ algorithms: ['RS256', 'ES256', 'Ed25519'] });

type Jwk = Readonly<Record<string, unknown>>;

function published(alg: Algorithm, change: (jwk: Jwk) => object): { readonly keys: readonly object[] } {
  const jwk = { ...good.publicKey(alg).export({ format: 'jwk' }), kid: good.kid(alg), use: 'sig' };
  return { keys: [change(jwk)] };
}

/** The subject of a login with a token of `alg` while the keys are these. */
async function login(keys: { readonly keys: readonly object[] }, header: Jwk): Promise<string | undefined> {
  return subject(await jwtGateway(keys), good.sign({}, header));
}

const standard = (text: unknown): string => String(text).replaceAll('-', '+').replaceAll('_', '/');
const longer = (text: unknown): string =>
  Buffer.concat([Buffer.alloc(1), Buffer.from(String(text), 'base64url')]).toString('base64url');

describe('a key is used as it is published', () => {
  test.each<[string, Algorithm, (jwk: Jwk) => object]>([
    [
      'with the six operations of Azure Key Vault',
      'RS256',
      (jwk) => ({ ...jwk, key_ops: ['encrypt', 'decrypt', 'sign', 'verify', 'wrapKey', 'unwrapKey'] }),
    ],
    ['with the operations of both halves', 'ES256', (jwk) => ({ ...jwk, key_ops: ['sign', 'verify'] })],
    ['with the operation of the private half', 'Ed25519', (jwk) => ({ ...jwk, key_ops: ['sign'] })],
    ['with no operation', 'ES256', (jwk) => ({ ...jwk, key_ops: [] })],
    ['with an operation that is no list', 'ES256', (jwk) => ({ ...jwk, key_ops: 'verify' })],
    ['not to be exported', 'RS256', (jwk) => ({ ...jwk, ext: false })],
    [
      'with nulls for what there is not',
      'RS256',
      (jwk) => ({ ...jwk, alg: null, key_ops: null, x5c: null, d: null }),
    ],
    ['with a certificate beside it', 'RS256', (jwk) => ({ ...jwk, x5c: ['MIIB'], x5t: 'AAAA' })],
    ['with padding', 'RS256', (jwk) => ({ ...jwk, n: `${String(jwk['n'])}==`, e: 'AQAB' })],
    ['in the alphabet of base64', 'RS256', (jwk) => ({ ...jwk, n: standard(jwk['n']) })],
    ['with a zero in front of the modulus', 'RS256', (jwk) => ({ ...jwk, n: longer(jwk['n']) })],
    [
      'with a zero in front of a coordinate',
      'ES256',
      (jwk) => ({ ...jwk, x: longer(jwk['x']), y: longer(jwk['y']) }),
    ],
  ])('%s', async (_name, alg, change) => {
    expect(await login(published(alg, change), { alg })).toBe('alice');
  });

  test.each(['encrypt', 'wrapKey', 'deriveBits'])('and not where it is only to %s', async (operation) => {
    const keys = published('RS256', (jwk) => ({ ...jwk, use: undefined, key_ops: [operation] }));
    expect(() => parseKeySet(keys)).toThrow('no usable key (not for signatures)');
  });
});

describe('EdDSA and Ed25519 are one algorithm (RFC 9864)', () => {
  const names = ['EdDSA', 'Ed25519'] as const;
  const pairs = names.flatMap((key) => names.map((token) => [key, token] as const));

  test.each(pairs)('a key for %s verifies a token with %s', async (key, token) => {
    const keys = published('Ed25519', (jwk) => ({ ...jwk, alg: key }));
    expect(await login(keys, { alg: token, kid: good.kid('Ed25519') })).toBe('alice');
  });

  test.each(pairs)('a config with %s takes a token with %s', async (configured, token) => {
    const running = await jwtGateway(
      published('Ed25519', (jwk) => jwk),
      { options: { algorithms: [configured] } },
    );
    expect(await subject(running, good.sign({}, { alg: token, kid: good.kid('Ed25519') }))).toBe('alice');
    expect((await refusalOf(running.login({ token: good.sign({}, { alg: 'ES256' }) }))).sqlstate).toBe(
      '28P01',
    );
  });
});

describe('a key without kid', () => {
  const nameless = published('ES256', (jwk) => ({ ...jwk, kid: undefined }));

  test('verifies a token that names one, and the issuer is not asked again for it', async () => {
    const keys = await keyIssuer(json(nameless));
    const running = await jwtGateway(keys.url);
    for (let index = 0; index < 100; index += 1) {
      expect(await subject(running, good.sign({}, { alg: 'ES256', kid: `new-${index}` }))).toBe('alice');
    }
    expect(keys.requests()).toBe(1);
  });

  test('verifies a token that names none', async () => {
    expect(await login(nameless, { alg: 'ES256', kid: undefined })).toBe('alice');
  });

  test('beside others is the one for a kid that none of them has', async () => {
    const other = issuer({ algorithms: ['ES256'], generation: '7' });
    const keys = { keys: [...other.jwks.keys, ...nameless.keys] };
    expect(await login(keys, { alg: 'ES256', kid: 'unheard of' })).toBe('alice');
    const refused = await refusalOf(login(keys, { alg: 'ES256', kid: other.kid('ES256') }));
    expect((refused.cause as Error).message).toMatch(/^wrong signature/);
  });

  test('that is replaced is found by the next token, and by a thousand wrong ones once', async () => {
    const next = issuer({ algorithms: ['ES256'] });
    const keys = await keyIssuer(json(nameless));
    const running = await jwtGateway(keys.url);
    const wrong = Array.from({ length: 1_000 }, () =>
      refusalOf(running.login({ token: next.sign({}, { kid: 'x' }) })),
    );
    expect(new Set((await Promise.all(wrong)).map(({ sqlstate }) => sqlstate))).toEqual(new Set(['28P01']));
    expect(keys.requests()).toBe(1);

    const store = openStore(keys.url, { unknown: 0 });
    const hint = { alg: 'ES256', kid: 'x' } as const;
    const found = await store.find(hint);
    keys.answer(json({ keys: next.jwks.keys.map((jwk) => ({ ...jwk, kid: undefined })) }));
    const newer = await store.findNewer(hint, found);
    expect(newer?.set).not.toBe(found.set);
    expect(await store.findNewer(hint, newer ?? found)).toBeUndefined();
  });
});

test('a key that is replaced under its kid verifies the first token that it has signed', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'postern-jwt-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, 'keys.json'), JSON.stringify(good.jwks));
  const running = await jwtGateway('keys.json', { directory });
  expect(await subject(running, good.sign({}, { alg: 'ES256' }))).toBe('alice');
  const replaced = issuer({ algorithms: ['ES256'] });
  await writeFile(join(directory, 'keys.json'), JSON.stringify(replaced.jwks));
  expect(await subject(running, replaced.sign({ sub: 'bob' }))).toBe('bob');
  expect(
    (await refusalOf(running.login({ token: good.sign({ sub: 'bob' }, { alg: 'ES256' }) }))).sqlstate,
  ).toBe('28P01');
});

describe('many keys of one kid', () => {
  const keys = Array.from({ length: 17 }, () => makeKey('ES256'));
  const jwks = {
    keys: keys.map((key) => ({ ...createPublicKey(key).export({ format: 'jwk' }), kid: 'one' })),
  };
  const signed = (index: number): string => {
    const key = keys[index];
    if (!key) throw new Error('no such key');
    const claims = { iss: good.issuer, aud: 'postern', sub: 'alice', exp: now() + 60 };
    const input = `${encode({ alg: 'ES256', kid: 'one' })}.${encode(claims)}`;
    return `${input}.${encode(signature('ES256', key, input))}`;
  };

  test('are tried, sixteen of them', async () => {
    const running = await jwtGateway(jwks);
    for (let index = 0; index < 16; index += 1) expect(await subject(running, signed(index))).toBe('alice');
    expect((await refusalOf(running.login({ token: signed(16) }))).sqlstate).toBe('28P01');
    expect(running.lines.find(({ message }) => message === 'key set loaded')?.fields).toMatchObject({
      keys: 16,
      skipped: 1,
      skippedKeys: ["'one': more than 16 keys share its kid"],
    });
  });

  test('are one where they are the same', () => {
    const [first] = jwks.keys;
    expect(parseKeySet({ keys: Array.from({ length: 50 }, () => first) })).toMatchObject({
      size: 1,
      skipped: [],
    });
  });
});

test('one line of the log counts and names the keys that are skipped', async () => {
  const running = await jwtGateway({
    keys: [
      { kty: 'RSA', use: 'sig', kid: 'a', x5c: ['MIIB'] },
      { kty: 'RSA', use: 'enc', kid: 'b\n{"level":30}', n: 'AQAB', e: 'AQAB' },
      { kty: 'oct', k: 'c2VjcmV0', kid: 'c' },
      { kty: 'EC', crv: 'secp256k1', x: 'AAAA', y: 'AAAA', kid: 'd' },
      { ...makePublic('ES256'), alg: 'RS256', kid: 'e' },
      { ...makePublic('ES256'), alg: 'ECDH-ES', kid: 'f' },
      { ...makePublic('ES256'), kid: 7 },
      { kty: 'AKP', kid: 'h' },
      null as unknown as object,
      ...good.jwks.keys,
    ],
  });
  const loaded = running.lines.filter(({ message }) => message === 'key set loaded');
  expect(loaded.map(({ fields }) => fields)).toEqual([
    {
      issuer: 'https://id.example',
      keys: 3,
      skipped: 9,
      skippedKeys: [
        "'a': only a certificate (x5c), without the key itself",
        '\'b\\u{a}{"level":30}\': not for signatures',
        "'c': private or secret",
        "'d': not a valid key",
        "'e': alg 'RS256' is for another kind of key",
        "'f': unknown algorithm 'ECDH-ES'",
        '7: kid is not a text',
        "'h': unknown kind of key",
        'a key without kid: not an object',
      ],
    },
  ]);
  expect(JSON.stringify(running.lines)).not.toContain('c2VjcmV0');
});

function makePublic(alg: Algorithm): object {
  return createPublicKey(makeKey(alg)).export({ format: 'jwk' });
}

test('a key alone is told from a key set', () => {
  expect(() => parseKeySet(good.jwks.keys[0])).toThrow('and not a key alone');
});
