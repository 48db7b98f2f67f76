/** Keys from a URL: one question at a time, the last good answer kept, and clients never in charge of when it is asked. */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { jwtVerify } from 'jose';
import type { CryptoKey } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions } from '../../plugins/jwt/index.ts';
import { keySource } from '../../plugins/jwt/key-source.ts';
import type { Pace } from '../../plugins/jwt/key-source.ts';
import { KeyStore } from '../../plugins/jwt/key-store.ts';
import type { Found } from '../../plugins/jwt/key-store.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { issuer } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import type { Kept, PluginHost } from './gateway.ts';
import { hang, json, keyIssuer } from './key-issuer.ts';
import type { Answer, KeyIssuer } from './key-issuer.ts';

const good = issuer({ algorithms: ['ES256', 'EdDSA'] });
const next = issuer({ algorithms: ['ES256', 'EdDSA'], generation: '2' });
const log = { info() {}, warn() {}, error() {} };
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function endpoint(
  how: Answer,
  ...more: [tls?: { cert: string; key: string }, port?: number]
): Promise<KeyIssuer> {
  const started = await keyIssuer(how, ...more);
  cleanups.push(() => started.stop());
  return started;
}

async function gateway(jwks: string, more: Partial<IssuerOptions> = {}, kept?: Kept): Promise<PluginHost> {
  const started = await host([jwt({ issuers: [{ ...good.options, jwks, ...more }] })], '/', kept);
  cleanups.push(() => started.stop());
  return started;
}

/** A store at a pace that lets a test see in milliseconds what takes minutes. */
function store(url: string, pace: Partial<Pace>, maxStaleMs = 60_000): KeyStore {
  const source = keySource(url, '/');
  return new KeyStore({
    issuer: good.issuer,
    source: { ...source, pace: { ...source.pace, ...pace } },
    maxStaleMs,
  });
}

const hint = { alg: 'ES256', kid: good.kid('ES256') } as const;
const nextHint = { alg: 'ES256', kid: next.kid('ES256') } as const;

const key = ({ keys }: Found): CryptoKey => {
  const [only] = keys;
  if (!only) throw new Error('no key');
  return only;
};

const subject = async (running: PluginHost, token: string) =>
  (await running.login({ token })).facts.identity?.subject;

/** A port where nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => {
    server.once('listening', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return port;
}

describe('what clients send', () => {
  test('never causes a second request: a thousand unknown kids', async () => {
    const keys = await endpoint(json(good.jwks));
    const running = await gateway(keys.url);
    expect(await subject(running, good.sign())).toBe('alice');
    const tokens = Array.from({ length: 1_000 }, (_, index) => good.sign({}, { kid: `random-${index}` }));
    const refusals = await Promise.all(tokens.map((token) => refusalOf(running.login({ token }))));
    expect(new Set(refusals.map(({ sqlstate }) => sqlstate))).toEqual(new Set(['28P01']));
    expect(keys.requests()).toBe(1);
  });

  test('never causes more than one request at a time, whatever they send at once', async () => {
    const keys = await endpoint((response, request) => {
      setImmediate(() => json(good.jwks)(response, request));
    });
    const keyStore = store(keys.url, { unknown: 0 });
    cleanups.push(keyStore.open(log));
    const asked = await Promise.allSettled(
      Array.from({ length: 200 }, (_, index) => keyStore.find({ alg: 'ES256', kid: `random-${index}` })),
    );
    expect(asked.every(({ status }) => status === 'rejected')).toBe(true);
    expect(keys.mostAtOnce()).toBe(1);
  });

  test('never causes a request while the issuer is down: the back-off alone decides', async () => {
    const keys = await endpoint((response) => {
      response.writeHead(503).end();
    });
    const running = await gateway(keys.url);
    await refusalOf(running.login({ token: good.sign() }));
    const before = keys.requests();
    const logins = Array.from({ length: 100 }, () => refusalOf(running.login({ token: good.sign() })));
    expect(new Set((await Promise.all(logins)).map(({ sqlstate }) => sqlstate))).toEqual(new Set(['57P03']));
    expect(keys.requests()).toBe(before);
  });

  test('for a kid that is known under another algorithm causes no request', async () => {
    const keys = await endpoint(json(good.jwks));
    const keyStore = store(keys.url, { unknown: 0 });
    cleanups.push(keyStore.open(log));
    await expect(keyStore.find({ alg: 'RS256', kid: good.kid('ES256') })).rejects.toThrow('no key');
    expect(keys.requests()).toBe(1);
  });
});

describe('an issuer that cannot be used', () => {
  const misbehaviour: [string, Answer, RegExp][] = [
    ['answers 500', (response) => response.writeHead(500).end(), /status 500/],
    ['answers 404', (response) => response.writeHead(404).end(), /status 404/],
    ['redirects', (response) => response.writeHead(302, { location: '/elsewhere' }).end(), /status 302/],
    ['sends no JSON', (response) => response.end('<html>'), /not JSON/],
    ['sends an empty body', (response) => response.end(), /not JSON/],
    ['sends null', json(null), /not a key set/],
    ['sends a list', json(good.jwks.keys), /not a key set/],
    ['sends an empty set', json({ keys: [] }), /no usable key/],
    [
      'sends keys that verify nothing',
      json({ keys: [{ kty: 'oct', k: 'AAAA' }] }),
      /no usable key \(private or secret\)/,
    ],
    [
      'sends 101 keys',
      json({ keys: Array.from({ length: 101 }, () => good.jwks.keys[0]) }),
      /more than 100 keys/,
    ],
    ['sends 10 MB', (response) => response.end(Buffer.alloc(10_000_000, 32)), /longer than 262144 bytes/],
    [
      'breaks off',
      (response) => response.writeHead(200, { 'content-length': 100 }).write('{', () => response.destroy()),
      /aborted/,
    ],
  ];

  test.each(misbehaviour)(
    '%s: logins come back later, and the operator can read why',
    async (_name, answer, why) => {
      const keys = await endpoint(answer);
      const running = await gateway(keys.url);
      const refused = await refusalOf(running.login({ token: good.sign() }));
      expect(refused.sqlstate).toBe('57P03');
      expect(running.notReady().join()).toMatch(why);
      expect(running.lines.map(({ message }) => message)).toContain('key set not refreshed');
    },
  );

  test.each(misbehaviour)('%s: the last good keys go on serving', async (_name, answer, why) => {
    const keys = await endpoint(json(good.jwks));
    const keyStore = store(keys.url, {});
    cleanups.push(keyStore.open(log));
    const { set } = await keyStore.find(hint);
    keys.answer(answer);
    await keyStore.refresh();
    expect((await keyStore.find(hint)).set).toBe(set);
    expect(keyStore.problem()).toBeUndefined();
    await expect(keyStore.find(nextHint)).rejects.toThrow(why);
  });

  test('is down: logins come back later, and it is asked again until it is up', async () => {
    const port = await deadPort();
    const running = await gateway(`http://127.0.0.1:${port}/jwks.json`);
    expect((await refusalOf(running.login({ token: good.sign() }))).sqlstate).toBe('57P03');
    expect(running.notReady().join()).toMatch(/ECONNREFUSED/);
    await endpoint(json(good.jwks), undefined, port);
    await vi.waitFor(async () => expect(await subject(running, good.sign())).toBe('alice'), 10_000);
    expect(running.notReady()).toEqual([]);
  });

  test('hangs: known kids are not kept waiting, unknown ones not for long', async () => {
    const keys = await endpoint(json(good.jwks));
    const keyStore = store(keys.url, { unknown: 0 });
    cleanups.push(keyStore.open(log));
    await keyStore.find(hint);
    keys.answer(hang);
    const unknown = keyStore.find(nextHint).catch((error: unknown) => error);
    expect((await keyStore.find(hint)).keys).toHaveLength(1);
    // Settles although the endpoint never answers; the test's own timeout would fail it.
    expect(await unknown).toBeInstanceOf(Error);
    expect(keys.mostAtOnce()).toBe(1);
  });

  test('hangs from the start: the question ends after some seconds and the next one is possible', async () => {
    const keys = await endpoint(hang);
    const running = await gateway(keys.url);
    expect((await refusalOf(running.login({ token: good.sign() }))).sqlstate).toBe('57P03');
    expect(running.notReady().join()).toMatch(/no answer within 5 s/);
  });

  test('takes connections and says nothing, not even TLS: connecting is given up first', async () => {
    const server = createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((resolve) => {
      server.once('listening', resolve);
    });
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const running = await gateway(`https://127.0.0.1:${port}/jwks.json`);
    await refusalOf(running.login({ token: good.sign() }));
    expect(running.notReady().join()).toMatch(/no connection within 2 s/);
  });
});

describe('a rotation', () => {
  test('is seen when a token names a new key', async () => {
    const keys = await endpoint(json(good.jwks));
    const keyStore = store(keys.url, { unknown: 0 });
    cleanups.push(keyStore.open(log));
    await keyStore.find(hint);
    keys.answer(json({ keys: [...good.jwks.keys, ...next.jwks.keys] }));
    expect((await keyStore.find(nextHint)).keys).toHaveLength(1);
    expect((await keyStore.find(hint)).keys).toHaveLength(1);
  });

  test('is seen in the background, and a removed key then opens nothing', async () => {
    const keys = await endpoint(json(good.jwks));
    const keyStore = store(keys.url, { refresh: 20 });
    cleanups.push(keyStore.open(log));
    await keyStore.find(hint);
    keys.answer(json(next.jwks));
    await vi.waitFor(async () => expect((await keyStore.find(nextHint)).keys).toHaveLength(1), 10_000);
    await expect(keyStore.find(hint)).rejects.toThrow('no key');
  });

  test('that puts another key under a known kid ends the trust in the first one', async () => {
    const again = issuer({ algorithms: ['ES256', 'EdDSA'] });
    const keys = await endpoint(json(good.jwks));
    const keyStore = store(keys.url, {});
    cleanups.push(keyStore.open(log));
    const before = await keyStore.find(hint);
    keys.answer(json(again.jwks));
    await keyStore.refresh();
    const after = await keyStore.find(hint);
    expect(after.set).not.toBe(before.set);
    await expect(jwtVerify(good.sign(), key(before))).resolves.toBeDefined();
    await expect(jwtVerify(good.sign(), key(after))).rejects.toThrow('signature');
  });

  test('that changes nothing keeps the very set, so that verified tokens stay verified', async () => {
    const keys = await endpoint(json(good.jwks));
    const keyStore = store(keys.url, {});
    cleanups.push(keyStore.open(log));
    const before = await keyStore.current();
    await keyStore.refresh();
    expect(keys.requests()).toBe(2);
    expect(await keyStore.current()).toBe(before);
  });
});

describe('the last good set', () => {
  test('ends after maxStale: then nothing is verified with it', async () => {
    const keys = await endpoint(json(good.jwks));
    const keyStore = store(keys.url, {}, 50);
    cleanups.push(keyStore.open(log));
    await keyStore.find(hint);
    keys.answer((response) => response.writeHead(503).end());
    await vi.waitFor(() => expect(keyStore.problem()).toMatch(/too old/), 10_000);
    await expect(keyStore.find(hint)).rejects.toThrow('too old');
  });

  test('outlives a reload while the issuer is down', async () => {
    const keys = await endpoint(json(good.jwks));
    const kept: Kept = new Map();
    const before = await gateway(keys.url, {}, kept);
    expect(await subject(before, good.sign())).toBe('alice');
    await keys.stop();
    const after = await gateway(keys.url, {}, kept);
    await before.stop();
    expect(await subject(after, good.sign())).toBe('alice');
  });

  test('is asked for no more once every user has let go', async () => {
    const keys = await endpoint(json(good.jwks));
    const keyStore = store(keys.url, { refresh: 5 });
    const close = keyStore.open(log);
    await keyStore.current();
    await close();
    await keyStore.refresh();
    const before = keys.requests();
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
    expect(keys.requests()).toBe(before);
  });
});

describe('an https issuer', () => {
  let made: Certificates;
  beforeAll(async () => {
    made = await certificates();
  });
  afterAll(() => {
    made.remove();
  });

  test('is trusted by the configured authority', async () => {
    const keys = await endpoint(json(good.jwks), made.server);
    const running = await gateway(keys.url, { ca: made.ca.certFile });
    expect(await subject(running, good.sign())).toBe('alice');
  });

  test.each([
    ['the system does not know', () => ({})],
    ['another authority vouches for', () => ({ ca: made.wrongCa.certFile })],
  ])('that %s gives no keys', async (_name, options) => {
    const keys = await endpoint(json(good.jwks), made.server);
    const running = await gateway(keys.url, options());
    expect((await refusalOf(running.login({ token: good.sign() }))).sqlstate).toBe('57P03');
    expect(running.notReady().join()).toMatch(/certificate/);
    expect(keys.requests()).toBe(0);
  });
});
