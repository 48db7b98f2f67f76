/** Sessions by what revocations name: a revocation ends its sessions, and looks at no others. */
import { describe, expect, test, vi } from 'vitest';
import type { Identity } from '../../core/index.ts';
import type { Revocation } from '../../plugins/jwt/index.ts';
import { SessionIndex } from '../../plugins/jwt/session-index.ts';
import type { IndexedSession } from '../../plugins/jwt/session-index.ts';

const ISSUER = 'https://id.example';

interface FakeSession extends IndexedSession {
  readonly name: string;
  /** It ends: hooks still run. */
  readonly concludes: () => void;
  readonly close: () => void;
  readonly becomes: (after: Partial<Identity>) => void;
  looks: number;
}

function sessionOf(
  name: string,
  { tokenId = name, subject = 'ada', issuer = ISSUER, iat = 1_000 } = {},
): FakeSession {
  const over = new AbortController();
  const releases: (() => unknown)[] = [];
  const identityOf = (claims: object): Identity => ({
    issuer,
    subject,
    tokenId,
    claims: { iat },
    expiresAt: new Date(),
    ...claims,
  });
  let identity = identityOf({});
  const session: FakeSession = {
    name,
    looks: 0,
    signal: over.signal,
    get facts() {
      session.looks += 1;
      return { identity };
    },
    defer: (release) => void releases.push(release),
    concludes: () => over.abort(),
    close() {
      for (const release of releases) release();
    },
    becomes: (after) => (identity = identityOf(after)),
  };
  return session;
}

const revocationOf = (what: Revocation['what']): Revocation => ({ id: 'x', what, at: 0, until: Infinity });
const before = (seconds: number) => ({ issuer: ISSUER, before: new Date(seconds * 1_000) });

function indexOf(...sessions: readonly FakeSession[]) {
  const index = new SessionIndex<FakeSession>();
  for (const session of sessions) {
    index.add(session);
    session.defer(() => index.remove(session));
  }
  const take = (what: Revocation['what']): readonly string[] =>
    index.take(revocationOf(what)).map(({ name }) => name);
  return { index, take };
}

test.each([
  ['a token', { tokenId: 'a' }, ['a', 'elsewhere']],
  ['a token of one issuer', { tokenId: 'a', issuer: ISSUER }, ['a']],
  ['a subject', { issuer: ISSUER, subject: 'bob' }, ['b']],
  ['all before a date', before(50), ['old']],
  ['what no session came with', { tokenId: 'z' }, []],
])('%s has its sessions found, once', (_, what, names) => {
  const { take } = indexOf(
    sessionOf('a'),
    sessionOf('elsewhere', { tokenId: 'a', issuer: 'https://other.example' }),
    sessionOf('b', { subject: 'bob' }),
    sessionOf('old', { iat: 40 }),
  );
  expect(take(what)).toEqual(names);
  expect(take(what)).toEqual([]);
});

test('a token without a date was issued before any, and is found although nothing older was', () => {
  const silent = sessionOf('silent');
  silent.becomes({ claims: {} });
  const { index, take } = indexOf(sessionOf('a', { iat: 100 }));
  expect(take(before(90))).toEqual([]);
  index.add(silent);
  expect(take(before(80))).toEqual(['silent']);
  index.add(sessionOf('old', { iat: 10 }));
  expect(take(before(20))).toEqual(['old']);
  expect(take(before(101))).toEqual(['a']);
});

test('a session that is renewed is found by the token it has, before and after', () => {
  const session = sessionOf('a');
  const { index, take } = indexOf(session);
  index.add(session, { ...(session.facts.identity as Identity), tokenId: 'fresh' });
  expect(take({ tokenId: 'fresh' })).toEqual([]);
  session.becomes({ tokenId: 'fresh' });
  expect(take({ tokenId: 'a' })).toEqual([]);
  expect(take({ tokenId: 'fresh' })).toEqual(['a']);
});

test('a session that is over is not found', () => {
  const [ending, closed] = [sessionOf('ending'), sessionOf('closed')];
  const { take } = indexOf(ending, closed, sessionOf('open'));
  closed.close();
  ending.concludes();
  expect(take({ issuer: ISSUER, subject: 'ada' })).toEqual(['open']);
});

test('a thousand revocations look at the sessions that they end, and at no others', () => {
  const sessions = Array.from({ length: 2_000 }, (_, n) => sessionOf(`${n}`, { subject: `s${n % 500}` }));
  const { take } = indexOf(...sessions);
  for (const session of sessions) session.looks = 0;
  for (let n = 0; n < 1_000; n += 1) {
    take({ tokenId: `nobody ${n}` });
    take({ issuer: ISSUER, subject: `nobody ${n}` });
    take(before(n));
  }
  expect(take({ tokenId: '7' })).toEqual(['7']);
  expect(sessions.reduce((sum, { looks }) => sum + looks, 0)).toBe(1);
});

describe('sessions that nobody has added', () => {
  test('are looked for at once, and for all that ask within a while once more', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] });
    const { index, take } = indexOf();
    const late: string[][] = [];
    const hear = (added: readonly FakeSession[]): void => void late.push(added.map(({ name }) => name));
    const sessions = [sessionOf('a', { subject: 'ada' })];
    let looks = 0;
    const all = { [Symbol.iterator]: () => (looks++, sessions[Symbol.iterator]()) };
    index.addOthers(all, hear);
    expect(take({ tokenId: 'a' })).toEqual(['a']);
    sessions.push(sessionOf('b'));
    for (let n = 0; n < 1_000; n += 1) index.addOthers(all, hear);
    expect([looks, late]).toEqual([1, []]);
    vi.runAllTimers();
    // One that was ended is not taken for a new one.
    expect([looks, late]).toEqual([2, [['b']]]);
    vi.useRealTimers();
  });
});
