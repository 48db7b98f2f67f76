/** Keys from a URL: one question at a time, the last good answer kept, and clients never in charge of when it is asked. */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import { issuer } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import { hang, json, keyIssuer, late } from './key-issuer.ts';
import type { Answer } from './key-issuer.ts';
import { good, hint, jwtGateway, nextHint, openStore, subject } from './key-stores.ts';

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
    const keys = await keyIssuer(json(good.jwks));
    const running = await jwtGateway(keys.url);
    expect(await subject(running, good.sign())).toBe('alice');
    const tokens = Array.from({ length: 1_000 }, (_, index) => good.sign({}, { kid: `random-${index}` }));
    const refusals = await Promise.all(tokens.map((token) => refusalOf(running.login({ token }))));
    expect(new Set(refusals.map(({ sqlstate }) => sqlstate))).toEqual(new Set(['28P01']));
    expect(keys.requests()).toBe(1);
  });

  test('never causes more than one request at a time, whatever they send at once', async () => {
    const keys = await keyIssuer(late(good.jwks));
    const store = openStore(keys.url, { unknown: 0 });
    const asked = await Promise.allSettled(
      Array.from({ length: 200 }, (_, index) => store.find({ alg: 'ES256', kid: `random-${index}` })),
    );
    expect(asked.every(({ status }) => status === 'rejected')).toBe(true);
    // The one at the start, and one for all the unknown kids.
    expect([keys.requests(), keys.mostAtOnce()]).toEqual([2, 1]);
  });

  test('never causes a request while the issuer is down: the back-off alone decides', async () => {
    const keys = await keyIssuer((response) => {
      response.writeHead(503).end();
    });
    const running = await jwtGateway(keys.url);
    await refusalOf(running.login({ token: good.sign() }));
    const before = keys.requests();
    const logins = Array.from({ length: 100 }, () => refusalOf(running.login({ token: good.sign() })));
    expect(new Set((await Promise.all(logins)).map(({ sqlstate }) => sqlstate))).toEqual(new Set(['57P03']));
    expect(keys.requests()).toBe(before);
  });

  test('for a kid that is known under another algorithm causes no request', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url, { unknown: 0 });
    await expect(store.find({ alg: 'RS256', kid: good.kid('ES256') })).rejects.toThrow('no key');
    expect(keys.requests()).toBe(1);
  });
});

describe('an issuer that cannot be used', () => {
  const misbehaviour: [string, Answer, RegExp][] = [
    ['answers 500', (response) => response.writeHead(500).end(), /status 500/],
    ['answers 404', (response) => response.writeHead(404).end(), /status 404/],
    [
      'redirects without an end',
      (response) => response.writeHead(302, { location: '/elsewhere' }).end(),
      /more than 3 redirects/,
    ],
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
      /other side closed/,
    ],
  ];

  test.each(misbehaviour)(
    '%s: logins come back later, and the operator can read why',
    async (_name, answer, why) => {
      const keys = await keyIssuer(answer);
      const running = await jwtGateway(keys.url);
      const refused = await refusalOf(running.login({ token: good.sign() }));
      expect(refused.sqlstate).toBe('57P03');
      expect(running.notReady().join()).toMatch(why);
      expect(running.lines.map(({ message }) => message)).toContain('key set not refreshed');
    },
  );

  test.each(misbehaviour)('%s: the last good keys go on serving', async (_name, answer, why) => {
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url);
    const { set } = await store.find(hint);
    keys.answer(answer);
    await store.refresh();
    expect((await store.find(hint)).set).toBe(set);
    expect(store.problem()).toBeUndefined();
    await expect(store.find(nextHint)).rejects.toThrow(why);
  });

  test('is down: logins come back later, and it is asked again until it is up', async () => {
    const port = await deadPort();
    const running = await jwtGateway(`http://127.0.0.1:${port}/jwks.json`);
    expect((await refusalOf(running.login({ token: good.sign() }))).sqlstate).toBe('57P03');
    expect(running.notReady().join()).toMatch(/ECONNREFUSED/);
    await keyIssuer(json(good.jwks), undefined, port);
    await vi.waitFor(async () => expect(await subject(running, good.sign())).toBe('alice'), 30_000);
    expect(running.notReady()).toEqual([]);
  });

  test('hangs: known kids are not kept waiting, unknown ones not for long', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url, { unknown: 0 });
    await store.find(hint);
    keys.answer(hang);
    const unknown = store.find(nextHint).catch((error: unknown) => error);
    expect((await store.find(hint)).keys).toHaveLength(1);
    expect(await unknown).toBeInstanceOf(Error);
    // The login is answered while the question is still open.
    expect([keys.open(), keys.mostAtOnce()]).toEqual([1, 1]);
  });

  test('hangs from the start: the question ends after some seconds and the next one is possible', async () => {
    const keys = await keyIssuer(hang);
    const running = await jwtGateway(keys.url);
    expect((await refusalOf(running.login({ token: good.sign() }))).sqlstate).toBe('57P03');
    expect(running.notReady().join()).toMatch(/no answer within 5 s/);
  });

  test('takes connections and says nothing, not even TLS: connecting is given up first', async () => {
    const server = createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((resolve) => {
      server.once('listening', resolve);
    });
    onTestFinished(() => {
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const running = await jwtGateway(`https://127.0.0.1:${port}/jwks.json`);
    await refusalOf(running.login({ token: good.sign() }));
    expect(running.notReady().join()).toMatch(/no connection within 2 s/);
  });
});

describe('of two issuers', () => {
  const partner = issuer({ issuer: 'https://partner.example', algorithms: ['ES256'] });

  test('one that is down is a note, as long as logins of the other work', async () => {
    const up = await keyIssuer(json(good.jwks));
    const down = await keyIssuer((response) => response.writeHead(503).end());
    const issuers = [
      { ...good.options, jwks: up.url },
      { ...partner.options, jwks: down.url },
    ];
    const running = await host([jwt({ issuers })]);
    onTestFinished(() => running.stop());
    const withoutKeys = () => running.notes().filter((note) => note.startsWith('no keys'));
    expect(await subject(running, good.sign())).toBe('alice');
    expect((await refusalOf(running.login({ token: partner.sign() }))).sqlstate).toBe('57P03');
    expect(running.notReady()).toEqual([]);
    expect(withoutKeys()).toEqual([`no keys of issuer ${partner.issuer}: the answer has status 503`]);
    down.answer(json(partner.jwks));
    await vi.waitFor(() => expect(withoutKeys()).toEqual([]), 30_000);
    expect(await subject(running, partner.sign())).toBe('alice');
  });

  test('both down are two problems', async () => {
    const down = await keyIssuer((response) => response.writeHead(503).end());
    const issuers = [good, partner].map(({ options }) => ({ ...options, jwks: down.url }));
    const running = await host([jwt({ issuers })]);
    onTestFinished(() => running.stop());
    for (const one of [good, partner])
      expect((await refusalOf(running.login({ token: one.sign() }))).sqlstate).toBe('57P03');
    expect(running.notReady()).toEqual(
      [good, partner].map((one) => `no keys of issuer ${one.issuer}: the answer has status 503`),
    );
    expect(running.notes()).toEqual([]);
  });
});
