/** Who is the same for a pool: only then is a server connection used again without a reset, or shared. */
import { describe, expect, test } from 'vitest';
import {
  fingerprintOf,
  isolationScopesOf,
  knownFingerprintOf,
} from '../../../core/connection/fingerprint.ts';
import type { Facts, Identity } from '../../../core/contract/facts.ts';
import { parseDatabase, parseRole, parseSchema, parseTenant } from '../../../core/contract/names.ts';
import type { Upstream } from '../../../core/contract/session.ts';
import { keyOf } from '../../../core/upstream/pool-key.ts';

const ALICE: Identity = {
  issuer: 'https://id.example',
  subject: 'alice',
  expiresAt: new Date(0),
  claims: {},
};
const facts = (more: Partial<Identity> = {}, tenant?: string): Partial<Facts> => ({
  identity: { ...ALICE, ...more },
  ...(tenant !== undefined && { tenant: parseTenant(tenant) }),
});
const UPSTREAM: Upstream = {
  entry: 'orders',
  database: parseDatabase('orders'),
  role: parseRole('reader'),
  settings: { 'app.a': '1', 'app.b': '2' },
  schemas: [parseSchema('a'), parseSchema('b')],
  onCheckout: [],
};
const of = (who: Partial<Facts>, upstream: Partial<Upstream> = {}, id = 's1'): string =>
  fingerprintOf(who, { ...UPSTREAM, ...upstream }, id);

describe('a fingerprint', () => {
  test('is the same for one person, whatever else the token says and however often it is asked', () => {
    const one = of(facts());
    expect(of(facts({ claims: { role: 'x' }, tokenId: 'another', expiresAt: new Date(9) }), {}, 's2')).toBe(
      one,
    );
    expect(of(facts(), { onCheckout: [() => ({})] })).toBe(one);
  });

  test('is another one as soon as anything differs that the server connection depends on', () => {
    const all = [
      of(facts()),
      of(facts({ subject: 'bob' })),
      of(facts({ issuer: 'https://other.example' })),
      // No border between issuer and subject can be moved.
      of(facts({ issuer: 'https://id.examplea', subject: 'lice' })),
      of(facts({}, 'acme')),
      of(facts({}, 'other')),
      of(facts(), { entry: 'archive' }),
      of(facts(), { database: parseDatabase('archive') }),
      of(facts(), { role: parseRole('writer') }),
      of(facts(), { settings: { 'app.a': '1' } }),
      of(facts(), { settings: { 'app.a': '2', 'app.b': '1' } }),
      of(facts(), { schemas: [parseSchema('b'), parseSchema('a')] }),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  test('of a session without an identity is its own', () => {
    expect(of({}, {}, 's1')).not.toBe(of({}, {}, 's2'));
  });
});

test('sessions share with their session, their subject and their tenant; who has none of them shares with fewer', () => {
  const [one, twin, other] = [
    isolationScopesOf(facts({}, 'acme'), 's1'),
    isolationScopesOf(facts({}, 'acme'), 's2'),
    isolationScopesOf(facts({ subject: 'bob' }, 'acme'), 's3'),
  ];
  expect([one.session === twin.session, one.subject === twin.subject, one.tenant === twin.tenant]).toEqual([
    false,
    true,
    true,
  ]);
  expect([one.subject === other.subject, one.tenant === other.tenant]).toEqual([false, true]);
  const alone = isolationScopesOf({}, 's1');
  expect([alone.subject, alone.tenant]).toEqual([alone.session, alone.session]);
  expect(isolationScopesOf(facts(), 's1').tenant).toBe(one.subject);
  // A tenant cannot be named so that it is a subject.
  expect(isolationScopesOf({ tenant: parseTenant('s1') }, 'x').tenant).not.toBe(
    isolationScopesOf({}, 's1').session,
  );
});

test('sessions of one token share a fingerprint that is made once, and never one of somebody else or of other rights', () => {
  const plain: Partial<Upstream> = { settings: {}, schemas: [] };
  const who = [facts(), facts({ subject: 'bob' }), facts({ issuer: 'other' }), facts({}, 'acme'), {}];
  const upstreams: readonly Partial<Upstream>[] = [
    plain,
    { ...plain, role: parseRole('writer') },
    { ...plain, entry: 'other' },
    { ...plain, database: parseDatabase('other') },
    { ...plain, settings: { 'app.a': '1' } },
    { ...plain, schemas: [parseSchema('a')] },
  ];
  // All of them have the same claims, and each comes behind each.
  for (let round = 0; round < 3; round += 1) {
    for (const one of who) {
      for (const more of upstreams) {
        const upstream = { ...UPSTREAM, ...more };
        expect(knownFingerprintOf(one, upstream, 's1')).toBe(fingerprintOf(one, upstream, 's1'));
        expect(knownFingerprintOf(one, upstream, 's1')).toBe(fingerprintOf(one, upstream, 's1'));
      }
    }
  }
});

describe('the key of a pool', () => {
  const key = (upstream: Partial<Upstream> = {}): string => keyOf({ ...UPSTREAM, ...upstream }, false).text;

  test('does not depend on the order of settings, and does on that of schemas', () => {
    expect(key({ settings: { 'app.b': '2', 'app.a': '1' } })).toBe(key());
    expect(key({ schemas: UPSTREAM.schemas.toReversed() })).not.toBe(key());
  });

  test('differs with role, database, settings and target', () => {
    const all = [
      key(),
      key({ role: parseRole('writer') }),
      key({ database: parseDatabase('x') }),
      key({ settings: {} }),
      key({ target: 'replica' }),
    ];
    expect(new Set(all).size).toBe(all.length);
    expect(keyOf({ ...UPSTREAM }, false, 'primary')).toMatchObject({ target: 'primary', pooled: true });
  });

  test('of a replication connection is for it alone', () => {
    const [one, other] = [keyOf(UPSTREAM, true), keyOf(UPSTREAM, true)];
    expect([one.pooled, other.pooled, one.text === other.text]).toEqual([false, false, false]);
  });

  test('needs a role', () => {
    const { role: _, ...nobody } = UPSTREAM;
    expect(() => keyOf(nobody, false)).toThrow('no role is mapped');
  });
});
