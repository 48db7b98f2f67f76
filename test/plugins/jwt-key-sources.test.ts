/** Where keys come from: a file, a function, or an https URL whose certificate is checked. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { refusalOf } from './gateway.ts';
import { json, keyIssuer } from './key-issuer.ts';
import { good, jwtGateway, next, subject } from './key-stores.ts';

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
