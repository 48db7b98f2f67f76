import { setTimeout as sleep } from 'node:timers/promises';
import { Writable } from 'node:stream';
import { afterEach, expect, test, vi } from 'vitest';
import { GatewayError } from '../../core/contract/errors.ts';
import { SessionFacts } from '../../core/hooks/session-facts.ts';
import type { Identity } from '../../core/contract/facts.ts';
import { compileHooks } from '../../core/hooks.ts';
import { createLogger } from '../../core/telemetry/log.ts';
import { OpenSession } from '../../core/connection/open-session.ts';
import type { Controls } from '../../core/connection/open-session.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';

const EXPIRED = new GatewayError('admin_shutdown', 'the token has expired', { hint: 'reconnect' });
const HOUR_MS = 3_600_000;

const opened: OpenSession[] = [];

afterEach(() => {
  for (const session of opened.splice(0)) session.conclude({ kind: 'lost' });
  vi.useRealTimers();
});

function identity(subject = 'alice'): Identity {
  return { issuer: 'https://id.example', subject, expiresAt: new Date(), claims: {} };
}

interface Opened {
  readonly session: OpenSession;
  readonly log: () => Record<string, unknown>[];
}

function openSession(plugins: readonly AnyPlugin[] = []): Opened {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  const session = new OpenSession({
    client: { address: '127.0.0.1', port: 1, listener: 'default' },
    startup: { user: 'alice', database: 'orders', parameters: {} },
    credential: 'password',
    hooks: compileHooks(plugins),
    facts: new SessionFacts(),
    log: createLogger('info', sink),
  });
  opened.push(session);
  return { session, log: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

/** Records what a session asks of its relay. */
function controls(): Controls & { readonly calls: string[] } {
  const calls: string[] = [];
  return {
    calls,
    end: (error) => calls.push(`end ${error.message}`),
    drain: (error) => calls.push(`drain ${error.message}`),
    refresh: () => calls.push('refresh'),
    notice: (message) => calls.push(`notice ${message}`),
  };
}

test('an end before the relay refuses the login and aborts what waits, with that error', async () => {
  const { session } = openSession();
  session.end(EXPIRED);
  expect(await session.ended).toEqual({ kind: 'refused', error: EXPIRED });
  expect(session.signal.reason).toBe(EXPIRED);
});

test('the first reason counts', () => {
  const { session } = openSession();
  session.conclude({ kind: 'lost' });
  session.end(EXPIRED);
  session.conclude({ kind: 'client' });
  expect(session.reason).toEqual({ kind: 'lost' });
});

test('endAt with a time in the past ends at once', () => {
  const { session } = openSession();
  session.endAt(new Date(Date.now() - 1), EXPIRED);
  expect(session.reason).toEqual({ kind: 'refused', error: EXPIRED });
});

test('of several ends the earliest wins, and each can be moved', () => {
  vi.useFakeTimers();
  const { session } = openSession();
  const relay = controls();
  session.attach(relay);
  const early = session.endAt(
    new Date(Date.now() + HOUR_MS),
    new GatewayError('idle_session_timeout', 'early'),
  );
  session.endAt(new Date(Date.now() + 2 * HOUR_MS), new GatewayError('admin_shutdown', 'late'));
  early.move(new Date(Date.now() + 3 * HOUR_MS));
  vi.advanceTimersByTime(2 * HOUR_MS - 1);
  expect(relay.calls).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(relay.calls).toEqual(['end late']);
});

test('an end farther away than setTimeout can count does not fire early', () => {
  vi.useFakeTimers();
  const { session } = openSession();
  const relay = controls();
  session.attach(relay);
  session.endAt(new Date(Date.now() + 2 ** 31 + HOUR_MS), EXPIRED);
  vi.advanceTimersByTime(2 ** 31);
  expect(relay.calls).toEqual([]);
  vi.advanceTimersByTime(HOUR_MS);
  expect(relay.calls).toEqual(['end the token has expired']);
});

test('a clock that was set forward is noticed within a minute', () => {
  vi.useFakeTimers();
  const { session } = openSession();
  const relay = controls();
  session.attach(relay);
  session.endAt(new Date(Date.now() + 24 * HOUR_MS), EXPIRED);
  vi.setSystemTime(Date.now() + 25 * HOUR_MS);
  vi.advanceTimersByTime(60_000);
  expect(relay.calls).toEqual(['end the token has expired']);
});

test('ends that are far away share one timer, and each comes at its time', () => {
  vi.useFakeTimers();
  const ended = [3, 1, 2].map((hours) => {
    const { session } = openSession();
    const relay = controls();
    session.attach(relay);
    session.endAt(new Date(Date.now() + hours * HOUR_MS), EXPIRED);
    return relay.calls;
  });
  expect(vi.getTimerCount()).toBe(1);
  const counts = [1, 2, 3].map(() => {
    vi.advanceTimersByTime(HOUR_MS - 1);
    const before = ended.flat().length;
    vi.advanceTimersByTime(1);
    return [before, ended.flat().length];
  });
  expect(counts).toEqual([
    [0, 1],
    [1, 2],
    [2, 3],
  ]);
  expect(vi.getTimerCount()).toBe(0);
});

test('no date at all is a mistake of the plugin', () => {
  const { session } = openSession();
  expect(() => session.endAt(new Date(Number.NaN), EXPIRED)).toThrow(RangeError);
});

test('a notice comes before the end, once', () => {
  vi.useFakeTimers({ now: new Date('2030-01-01T00:00:00Z') });
  const { session } = openSession();
  const relay = controls();
  session.attach(relay);
  session.endAt(new Date(Date.now() + HOUR_MS), EXPIRED, { noticeMs: 60_000 });
  vi.advanceTimersByTime(HOUR_MS - 60_001);
  expect(relay.calls).toEqual([]);
  vi.advanceTimersByTime(60_000);
  expect(relay.calls).toEqual([
    'notice this connection ends at 2030-01-01T01:00:00.000Z: the token has expired',
  ]);
});

test('a running transaction may take the grace, an idle session does not', () => {
  vi.useFakeTimers();
  const busy = openSession().session;
  const relay = controls();
  busy.attach(relay);
  busy.changed('idle in transaction');
  busy.endAt(new Date(Date.now() + 1000), EXPIRED, { graceMs: 5000 });
  vi.advanceTimersByTime(1000);
  expect(relay.calls).toEqual(['drain the token has expired']);
  vi.advanceTimersByTime(5000);
  expect(relay.calls).toEqual(['drain the token has expired', 'end the token has expired']);
  const idle = openSession().session;
  const other = controls();
  idle.attach(other);
  idle.changed('idle');
  idle.endAt(new Date(Date.now() + 1000), EXPIRED, { graceMs: 5000 });
  vi.advanceTimersByTime(1000);
  expect(other.calls).toEqual(['end the token has expired']);
});

test('a session that is over leaves no timer behind', () => {
  vi.useFakeTimers();
  const { session } = openSession();
  session.attach(controls());
  session.changed('active');
  session.endAt(new Date(Date.now() + 1000), EXPIRED, { graceMs: 5000, noticeMs: 500 });
  session.endAt(new Date(Date.now() + 9000), EXPIRED);
  vi.advanceTimersByTime(1000);
  session.conclude({ kind: 'client' });
  session.endAt(new Date(Date.now() + 9000), EXPIRED);
  expect(vi.getTimerCount()).toBe(0);
});

test('notices given during the login are said after it', () => {
  const { session } = openSession();
  session.notice('welcome');
  const relay = controls();
  session.attach(relay);
  expect(relay.calls).toEqual(['notice welcome']);
});

test('deferred releases run once, the latest first, whatever the others do, and at once afterwards', async () => {
  const { session, log } = openSession();
  const ran: string[] = [];
  session.defer(() => void ran.push('first'));
  session.defer(() => {
    throw new Error('broken lease');
  });
  session.defer(async () => {
    await Promise.resolve();
    ran.push('last');
  });
  session.conclude({ kind: 'client' });
  expect(ran).toEqual([]);
  await session.settle();
  session.defer(() => void ran.push('late'));
  expect(ran).toEqual(['last', 'first', 'late']);
  expect(log()).toMatchObject([
    { msg: 'a deferred release failed', error: expect.stringContaining('broken lease') },
  ]);
});

test('the token is asked for once, only during onAuth, and not kept', async () => {
  const { session } = openSession();
  await expect(session.token()).rejects.toThrow('onAuth');
  let asked = 0;
  session.askToken = () => Promise.resolve(`token ${(asked += 1)}`);
  expect(await Promise.all([session.token(), session.token()])).toEqual(['token 1', 'token 1']);
  session.forgetToken();
  await expect(session.token()).rejects.toThrow('onAuth');
  expect(JSON.stringify(session)).not.toContain('token 1');
});

test('log lines carry the session id, and the subject once it is known', () => {
  const { session, log } = openSession();
  session.log.info({}, 'before');
  session.establish('identity', identity());
  session.log.info({ token: 'secret', inner: { password: 'secret' } }, 'after');
  expect(log()).toMatchObject([
    { level: 'info', msg: 'before', session: session.id },
    { msg: 'after', session: session.id, subject: 'alice', issuer: 'https://id.example', token: '[secret]' },
  ]);
  expect(JSON.stringify(log())).not.toContain('"secret"');
});

test('a renewal passes every check before anything changes, one after the other', async () => {
  const events: (string | undefined)[] = [];
  const { session } = openSession([
    {
      name: 'guard',
      checks: {
        async identity(value, _, renewed) {
          await Promise.resolve();
          if (renewed && value.subject !== 'alice') throw EXPIRED;
        },
      },
      on: { renewal: (event) => events.push(event.sqlstate) },
    },
  ]);
  session.establish('identity', identity());
  await expect(session.renew({ identity: identity('mallory') })).rejects.toBe(EXPIRED);
  expect(session.facts.identity.subject).toBe('alice');
  const later = { ...identity(), tokenId: '2' };
  await session.renew({ identity: later });
  expect(session.facts.identity).toBe(later);
  expect(events).toEqual(['57P01', undefined]);
  session.conclude({ kind: 'client' });
  await expect(session.renew({ identity: later })).rejects.toThrow('ended');
});

test('state and stateSince follow the relay', async () => {
  const { session } = openSession();
  expect(session.state).toBe('starting');
  await sleep(20);
  session.changed('active');
  const since = session.stateSince;
  expect(since).toBeGreaterThanOrEqual(session.startedAt + 18);
  expect(since).toBeLessThanOrEqual(Date.now() + 1);
  await sleep(5);
  session.changed('active');
  expect(Math.abs(session.stateSince - since)).toBeLessThanOrEqual(1);
});

test.each([
  [10_000, 60_000],
  [60_000, 10_000],
])('of two graces of a running transaction, %i ms and %i ms, the one that ends first counts', (...graces) => {
  vi.useFakeTimers({ now: 0 });
  const { session } = openSession();
  const relay = controls();
  session.attach(relay);
  session.changed('idle in transaction');
  const ends = (): readonly string[] => relay.calls.filter((call) => call.startsWith('end '));
  for (const ms of graces) session.endWithin(ms, new GatewayError('admin_shutdown', `after ${ms} ms`));
  vi.advanceTimersByTime(9_999);
  expect(ends()).toEqual([]);
  vi.advanceTimersByTime(60_000);
  expect(ends()).toEqual(['end after 10000 ms']);
});
