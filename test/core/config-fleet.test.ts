/** The option `fleet`: its defaults, the sentence for each mistake, and that a reload cannot change it. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { configSettings } from '../../core/gateway/config-settings.ts';
import { refuseRestart } from '../../core/gateway/restart.ts';
import type { ResolvedConfig } from '../../core/config/resolved.ts';
import { certificates } from '../support/certificates.ts';

const SECRET = 'a secret of 32 bytes at the least';
const fleet = {
  name: 'prod',
  secret: SECRET,
  store: { kind: 'redis', url: 'redis://:hunter2@store.internal:6379/1' },
};

const check = (given: unknown, directory = '/etc/postern'): ResolvedConfig =>
  checkConfig({ databases: {}, plugins: [], fleet: given }, directory);

describe('a fleet', async () => {
  const made = await certificates();
  afterAll(() => made.remove());

  test('is none by default', () => {
    expect(check(undefined).fleet).toBeUndefined();
  });

  test('is complete with a name, a secret and a store', () => {
    expect(check(fleet).fleet).toEqual({
      name: 'prod',
      instance: hostname(),
      secret: SECRET,
      store: { ...fleet.store, sentinels: [], timeoutMs: 500 },
      away: { revocations: 'refuse', limits: 'local' },
      staleMs: 10_000,
    });
  });

  test('has what it is given, and Sentinels have their usual port', () => {
    const { folder } = made;
    const store = {
      kind: 'redis',
      url: 'rediss://main/0',
      ca: 'ca.crt',
      sentinels: [{ host: 'a' }, { host: 'b', port: 1 }],
      timeout: '200ms',
    };
    const given = { ...fleet, instance: 'east-1', store, away: { limits: 'refuse' }, stale: '2s' };
    expect(check(given, folder).fleet).toMatchObject({
      instance: 'east-1',
      store: {
        url: 'rediss://main/0',
        ca: join(folder, 'ca.crt'),
        sentinels: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 1 },
        ],
        timeoutMs: 200,
      },
      away: { revocations: 'refuse', limits: 'refuse' },
      staleMs: 2_000,
    });
  });

  const withStore = (store: object): object => ({ ...fleet, store: { ...fleet.store, ...store } });
  const url = "expected a URL such as 'redis://127.0.0.1:6379/0', or rediss:// with TLS, got text";
  test.each<[unknown, string]>([
    [
      { ...fleet, name: 'a b' },
      "fleet.name: expected a name of letters, digits, '-', '_' and '.', 63 at most, got 'a b'",
    ],
    [
      { ...fleet, name: undefined },
      "fleet.name: missing: expected a name of letters, digits, '-', '_' and '.', 63 at most",
    ],
    [{ ...fleet, instance: '' }, "fleet.instance: expected a name, got ''"],
    [
      { ...fleet, secret: 'short' },
      'fleet.secret: has fewer than 32 bytes; make one by: openssl rand -hex 32',
    ],
    [{ ...fleet, secret: 5 }, 'fleet.secret: expected text or a function, got a number'],
    [{ ...fleet, store: undefined }, 'fleet.store: missing: expected an object'],
    [withStore({ kind: 'postgres' }), "fleet.store.kind: expected 'redis', got 'postgres'"],
    [withStore({ url: 'http://:hunter2@a' }), `fleet.store.url: ${url}`],
    [withStore({ url: 'redis://a/?x=1' }), `fleet.store.url: ${url}`],
    [withStore({ url: 'redis://a/x' }), `fleet.store.url: ${url}`],
    [withStore({ ca: 'ca.crt' }), 'fleet.store.ca: is for a store with TLS: write rediss:// in url'],
    [
      withStore({ sentinels: [] }),
      'fleet.store.sentinels: at least one Sentinel is needed; leave sentinels out where there is none',
    ],
    [withStore({ sentinelPassword: 'x' }), 'fleet.store.sentinelPassword: needs sentinels'],
    [withStore({ timeout: '6s' }), 'fleet.store.timeout: expected a duration from 10 ms to 5 s'],
    [
      withStore({ timeout: '1ms' }),
      "fleet.store.timeout: expected a duration from 10 ms to 24 days, got '1ms'",
    ],
    [
      { ...fleet, away: { revocations: 'go' } },
      "fleet.away.revocations: expected 'refuse', 'end' or 'goOn', got 'go'",
    ],
    [{ ...fleet, away: { limits: 'end' } }, "fleet.away.limits: expected 'local' or 'refuse', got 'end'"],
    [{ ...fleet, stale: '1s' }, "fleet.stale: expected a duration from 2000 ms to 24 days, got '1s'"],
  ])('%o is told so', (given, sentence) => {
    expect(() => check(given)).toThrow(expect.objectContaining({ message: sentence }) as Error);
  });

  test('a reload that changes it is refused, and shows nothing of it', () => {
    const before = check(fleet);
    const after = (given: unknown) => () => refuseRestart(before, check(given));
    expect(after({ ...fleet })).not.toThrow();
    expect(after(undefined)).toThrow('fleet: to go without it needs a restart');
    expect(() => refuseRestart(check(undefined), before)).toThrow('fleet: to go with it needs a restart');
    expect(
      after({ ...fleet, secret: `${SECRET}!`, stale: '20s', store: { ...fleet.store, url: 'redis://b' } }),
    ).toThrow(
      /^fleet\.secret: another one needs a restart\nfleet\.store: another one needs a restart\nfleet\.stale: another one needs a restart$/,
    );
  });

  test('operators see its settings, and no secret of it', async () => {
    const settings = await configSettings(check(fleet));
    const text = JSON.stringify(settings.filter(({ key }) => key.startsWith('fleet.')));
    expect(text).toContain('"prod"');
    expect(text).not.toMatch(/hunter2|a secret/);
    expect((await configSettings(check(undefined))).some(({ key }) => key.startsWith('fleet.'))).toBe(false);
  });
});
