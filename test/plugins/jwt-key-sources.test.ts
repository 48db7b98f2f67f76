/** Where keys come from: a file, a function, or an https URL whose certificate is checked. */
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { keySource } from '../../plugins/jwt/key-source.ts';
import type { KeySource } from '../../plugins/jwt/key-source.ts';
import { KeyStore } from '../../plugins/jwt/key-store.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { refusalOf } from './gateway.ts';
import { json, keyIssuer } from './key-issuer.ts';
import { good, hint, jwtGateway, next, silent, subject } from './key-stores.ts';

describe('a key file', () => {
  async function folder(): Promise<string> {
    return mkdtemp(join(tmpdir(), 'postern-jwt-'));
  }

  test('is found from the config folder and serves', async () => {
    const directory = await folder();
    await writeFile(join(directory, 'keys.json'), JSON.stringify(good.jwks));
    const gateway = await jwtGateway('keys.json', { directory });
    expect((await gateway.login({ token: good.sign() })).facts.identity).toBeDefined();
    await rm(directory, { recursive: true });
    expect((await gateway.login({ token: good.sign({ sub: 'bob' }) })).facts.identity).toBeDefined();
  });

  test('that is not there stops the boot and names the option', async () => {
    await expect(jwtGateway('nowhere.json', { directory: '/nonexistent' })).rejects.toThrow(
      /^jwt\.issuers\[0\]\.jwks: .*ENOENT/,
    );
  });

  test('that changed is read again for a key it did not have', async () => {
    const directory = await folder();
    await writeFile(join(directory, 'keys.json'), JSON.stringify(good.jwks));
    const gateway = await jwtGateway('keys.json', { directory });
    await refusalOf(gateway.login({ token: next.sign() }));
    await writeFile(join(directory, 'keys.json'), JSON.stringify(next.jwks));
    expect((await gateway.login({ token: next.sign() })).facts.identity).toBeDefined();
    await rm(directory, { recursive: true });
  });
});

describe('a key file that has not changed', () => {
  /** A document that counts how often it is parsed. */
  const counted = () => {
    const document = {
      parses: 0,
      get keys() {
        document.parses += 1;
        return good.jwks.keys;
      },
    };
    return document;
  };
  const storeOf = (kind: KeySource['kind'], document: () => unknown): KeyStore => {
    const pace = { refresh: 3_600_000, wait: Infinity, unknown: 0, retry: 1_000 };
    const source = { kind, pace, load: () => Promise.resolve(document()) };
    const store = new KeyStore({ issuer: good.issuer, source, maxStaleMs: 3_600_000 });
    onTestFinished(store.open(silent));
    return store;
  };
  async function forge(store: KeyStore, count: number): Promise<void> {
    for (let i = 0; i < count; i += 1)
      await expect(store.find({ alg: 'ES256', kid: `forged-${i}` })).rejects.toThrow('no key');
  }

  test('gives the same document however often it is read, and another one as soon as a byte differs', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'postern-jwt-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    const file = join(directory, 'keys.json');
    await writeFile(file, JSON.stringify(good.jwks));
    const when = new Date(2_000);
    await utimes(file, when, when);
    const source = keySource({ issuer: good.issuer, jwks: file }, '/');
    const load = (): Promise<unknown> => source.load(new AbortController().signal);
    const first = await load();
    await utimes(file, new Date(9_000), new Date(9_000));
    expect([await load(), await load()]).toEqual([first, first]);
    expect(await load()).toBe(first);
    // As long as before, and as old: only its bytes tell.
    await writeFile(file, JSON.stringify(good.jwks).replace(/"kid":"./, '"kid":"~'));
    await utimes(file, when, when);
    const second = await load();
    expect(second).not.toEqual(first);
    expect(await load()).toBe(second);
  });

  test('is parsed once for all tokens whose key it does not have', async () => {
    const document = counted();
    const store = storeOf('file', () => document);
    const { set } = await store.find(hint);
    await forge(store, 50);
    expect(document.parses).toBe(1);
    expect((await store.find(hint)).set).toBe(set);
  });

  test('is parsed again once it has changed, and after a purge, which forgets what was verified', async () => {
    let document = counted();
    const store = storeOf('file', () => document);
    const { set } = await store.find(hint);
    document = counted();
    await forge(store, 3);
    expect(document.parses).toBe(1);
    await store.purge();
    expect(document.parses).toBe(2);
    expect((await store.find(hint)).set).not.toBe(set);
  });

  test('is the only source with that promise: what is fetched is parsed each time', async () => {
    const document = counted();
    const store = storeOf('url', () => document);
    await store.find(hint);
    await forge(store, 5);
    expect(document.parses).toBe(6);
  });
});

describe('a key function', () => {
  test('is asked at each login, so that a key it no longer gives opens nothing', async () => {
    let jwks = good.jwks;
    const gateway = await jwtGateway(() => jwks);
    const token = good.sign();
    expect((await gateway.login({ token })).facts.identity).toBeDefined();
    jwks = next.jwks;
    expect((await refusalOf(gateway.login({ token }))).sqlstate).toBe('28P01');
  });

  test('that fails makes the gateway not ready and logins come back later', async () => {
    const gateway = await jwtGateway(() => Promise.reject(new Error('no keys today')));
    const refused = await refusalOf(gateway.login({ token: good.sign() }));
    expect(refused.sqlstate).toBe('57P03');
    expect(gateway.notReady()).toEqual([`no keys of issuer ${good.issuer}: no keys today`]);
    expect((await refusalOf(gateway.login({ token: 'hunter2' }))).sqlstate).toBe('28P01');
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
    const keys = await keyIssuer(json(good.jwks), made.server);
    const running = await jwtGateway(keys.url, { options: { ca: made.ca.certFile } });
    expect(await subject(running, good.sign())).toBe('alice');
  });

  test.each([
    ['the system does not know', () => ({})],
    ['another authority vouches for', () => ({ ca: made.wrongCa.certFile })],
  ])('that %s gives no keys', async (_name, options) => {
    const keys = await keyIssuer(json(good.jwks), made.server);
    const running = await jwtGateway(keys.url, { options: options() });
    expect((await refusalOf(running.login({ token: good.sign() }))).sqlstate).toBe('57P03');
    expect(running.notReady().join()).toMatch(/certificate/);
    expect(keys.requests()).toBe(0);
  });
});
