/** The keys of the own issuer: each published before it signs and until all it signed has expired, also over a restart. */
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { describe, expect, onTestFinished, test } from 'vitest';
import { KeyRing } from '../../plugins/access/key-ring.ts';
import { ownIssuer } from '../../plugins/access/index.ts';
import { developer, openDesk } from './access-desk.ts';
import type { Desk } from './access-desk.ts';

const HOUR = 3_600_000;
const SCHEDULE = { rotateMs: 24 * HOUR, aheadMs: HOUR, lifetimeMs: 12 * HOUR };
const MINUTE = 60_000;
const WANTED = { database: 'orders', role: 'reader', reason: 'ticket 4711' };

describe('a ring of keys', () => {
  const published = (ring: KeyRing): unknown[] =>
    ring.published().keys.map((key) => (key as { readonly kid: string }).kid);

  test('publishes each one before it signs, and until what it signed has expired', () => {
    const ring = new KeyRing();
    const turn = (at: number): boolean => ring.turn(SCHEDULE, at);
    expect(turn(0)).toBe(true);
    const first = ring.current(0).kid;
    expect(published(ring)).toEqual([first]);
    expect(turn(23 * HOUR - 1)).toBe(false);
    expect(turn(23 * HOUR)).toBe(true);
    const second = ring.keys[1]?.kid;
    expect(published(ring)).toEqual([first, second]);
    expect(ring.current(24 * HOUR - 1).kid).toBe(first);
    expect(ring.current(24 * HOUR).kid).toBe(second);
    expect(turn(36 * HOUR + MINUTE - 1)).toBe(false);
    expect(published(ring)).toEqual([first, second]);
    expect(turn(36 * HOUR + MINUTE)).toBe(true);
    expect(published(ring)).toEqual([second]);
  });

  test('goes on with the old key after a long rest, until the new one has been published', () => {
    const before = new KeyRing();
    before.turn(SCHEDULE, 0);
    const ring = new KeyRing(before.keys);
    const late = 500 * HOUR;
    expect(ring.turn(SCHEDULE, late)).toBe(true);
    const [old, next] = ring.keys;
    expect([ring.current(late), ring.current(late + HOUR)]).toEqual([old, next]);
    expect(ring.turn(SCHEDULE, late)).toBe(false);
  });

  test('signs whenever it is asked, however the clock goes', () => {
    const ring = new KeyRing();
    for (let at = 0; at < 100 * HOUR; at += HOUR / 2) {
      const [known, signing] = [new Set(published(ring)), (ring.turn(SCHEDULE, at), ring.current(at).kid)];
      // Whoever has looked an hour ago knows the key.
      if (at > 0) expect(known.has(signing)).toBe(true);
      expect(published(ring)).toContain(signing);
    }
    expect(published(ring).length).toBeLessThan(4);
    expect(ring.current(-HOUR)).toBe(ring.keys[0]);
  });

  test('never shows a private key', () => {
    const ring = new KeyRing();
    ring.turn(SCHEDULE, 0);
    expect(Object.keys(ring.published().keys[0] ?? {}).sort()).toEqual(
      ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'].sort(),
    );
  });
});

const kidOf = (token: unknown): string => decodeProtectedHeader(String(token)).kid ?? '';

async function granted(desk: Desk): Promise<string> {
  const { status, body, text } = await desk.ask(developer(), WANTED);
  expect([status, text]).toEqual([201, text]);
  return String(body['token']);
}

const keysOf = async (desk: Desk): Promise<{ keys: { kid: string }[] }> =>
  (await desk.send('GET', '/.well-known/jwks.json')).body as { keys: { kid: string }[] };

test('keys turn while tokens live: those of the old key are good, and so are those of the new one', async () => {
  const desk = await openDesk({
    issuer: { rotate: '2s', publishAhead: '1s' },
    access: { rate: '1000/s' },
  });
  const first = await granted(desk);
  const session = await desk.login(first);
  const { headers, body } = await desk.send('GET', '/.well-known/jwks.json');
  expect(headers.get('content-type')).toBe('application/jwk-set+json');
  await jwtVerify(first, createLocalJWKSet(body as unknown as { keys: { kty: string }[] }));
  let second = await granted(desk);
  while (kidOf(second) === kidOf(first)) {
    second = await granted(desk);
    await sleep(50);
  }
  expect((await keysOf(desk)).keys.map(({ kid }) => kid)).toContain(kidOf(first));
  for (const token of [first, second]) {
    const client = await desk.login(token);
    expect((await client.query('select session_user as who')).rows).toEqual([{ who: 'reader' }]);
  }
  expect((await session.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
  expect(desk.lines('signing keys turned').length).toBeGreaterThan(0);
});

describe('keys on disk', () => {
  async function folder(): Promise<string> {
    const made = await mkdtemp(join(tmpdir(), 'postern-access-'));
    onTestFinished(() => rm(made, { recursive: true, force: true }));
    return made;
  }

  test('outlive a restart, so that tokens do, in a file and a folder that are only ours', async () => {
    const place = join(await folder(), 'keys');
    const keys = join(place, 'access.json');
    const before = await openDesk({ issuer: { keys } });
    const token = await granted(before);
    expect((await stat(keys)).mode & 0o777).toBe(0o600);
    expect((await stat(place)).mode & 0o777).toBe(0o700);
    expect(await readdir(place)).toEqual(['access.json']);
    await before.gateway.stop();
    const after = await openDesk({ issuer: { keys } });
    expect(kidOf(await granted(after))).toBe(kidOf(token));
    await after.login(token);
    const inMemory = await openDesk();
    await expect(inMemory.login(token)).rejects.toMatchObject({ code: '28P01' });
  });

  test('that others could have read, or that are none, stop the boot with the file and no word of what is in it', async () => {
    const keys = join(await folder(), 'access.json');
    await (await openDesk({ issuer: { keys } })).gateway.stop();
    const good = await readFile(keys, 'utf8');
    await chmod(keys, 0o640);
    await expect(openDesk({ issuer: { keys } })).rejects.toThrow(`ownIssuer.keys: ${keys} cannot be used`);
    await chmod(keys, 0o600);
    await writeFile(keys, good.replace('"kid"', '"canary"'));
    const failed: Error = await openDesk({ issuer: { keys } }).then(
      () => new Error('it went well'),
      (error: Error) => error,
    );
    expect(failed.message).toBe(`ownIssuer.keys: ${keys} cannot be used: it has no keys of ours`);
    await expect(openDesk({ issuer: { keys: join(keys, 'x') } })).rejects.toThrow('ownIssuer.keys: ');
  });
});

test.each([
  [undefined, 'ownIssuer: '],
  [{}, 'ownIssuer.issuer: '],
  [{ issuer: 'x', rotate: '1' }, 'ownIssuer.rotate: '],
  [{ issuer: 'x', rotate: '1h', publishAhead: '1h' }, 'ownIssuer.publishAhead: '],
  [{ issuer: 'x', keys: '' }, 'ownIssuer.keys: '],
  [{ issuer: 'x', key: 'x' }, 'ownIssuer.key: no such option'],
])('an issuer of %j is refused with the path of the option', (options, path) => {
  expect(() => ownIssuer(options as never)).toThrow(path);
});
