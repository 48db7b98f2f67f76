/** What a session has used, by a clock that is not that of the calendar. */
import { afterEach, expect, test, vi } from 'vitest';
import { Usage } from '../../../core/connection/usage.ts';
import type { Channel } from '../../../core/net/channel.ts';
import type { OpenSession } from '../../../core/connection/open-session.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';

afterEach(() => void vi.useRealTimers());

function usage(): Usage {
  const session = { startedAt: Date.now() } as OpenSession;
  const channel = { socket: { bytesRead: 0, bytesWritten: 0 } } as Channel;
  return new Usage(session, 'main', 'app', channel);
}

test('a step of the calendar’s clock changes no duration, and dates follow it', () => {
  vi.useFakeTimers();
  const used = usage();
  used.changed('active', performance.now());
  used.waits();
  vi.advanceTimersByTime(40);
  vi.setSystemTime(Date.now() - 3_600_000);
  expect(used.waitingSince).toBe(Date.now() - 40);
  used.waited({} as ServerConnection);
  vi.advanceTimersByTime(2);
  expect(used.requestedAt).toBe(Date.now() - 42);
  used.changed('idle', performance.now());
  expect(used.counts()).toMatchObject({ waitMs: 40, queryMs: 2, transactionMs: 2, assignments: 1 });
  expect(used.waitingSince).toBeUndefined();
});

test('a statement that takes less than a millisecond counts as long as it took', () => {
  const used = usage();
  for (let at = 0; at < 10; at += 1) {
    used.changed('active', at);
    used.changed('idle', at + 0.25);
  }
  expect(used.counts()).toMatchObject({ queryMs: 2.5, transactionMs: 2.5 });
});

test('a session that has sent nothing requested last when it began', () => {
  expect(usage().requestedAt).toBeLessThanOrEqual(Date.now());
});
