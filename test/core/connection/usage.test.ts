/** What a session has used, by a clock that is not that of the calendar. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { monotonicNow } from '../../../core/connection/epoch-time.ts';
import { Usage } from '../../../core/connection/usage.ts';
import type { Channel } from '../../../core/net/channel.ts';
import type { OpenSession } from '../../../core/connection/open-session.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';

afterEach(() => void vi.restoreAllMocks());

function usage(): Usage {
  const session = { startedAt: 1_000 } as OpenSession;
  const channel = { socket: { bytesRead: 0, bytesWritten: 0 } } as Channel;
  return new Usage(session, 'main', 'app', channel);
}

test('a step of the calendar’s clock changes no duration, and dates follow it', async () => {
  const used = usage();
  used.changed('active', monotonicNow());
  used.waits();
  await sleep(20);
  const began = Date.now();
  vi.spyOn(Date, 'now').mockReturnValue(began - 3_600_000);
  expect(used.waitingSince).toBeLessThanOrEqual(Date.now() - 18);
  expect(used.waitingSince).toBeGreaterThan(Date.now() - 60_000);
  used.waited({} as ServerConnection);
  expect(used.requestedAt).toBeLessThanOrEqual(Date.now() - 18);
  used.changed('idle', monotonicNow() + 50);
  const { waitMs, queryMs, transactionMs, assignments } = used.counts();
  expect(waitMs).toBeGreaterThan(18);
  expect(waitMs).toBeLessThan(60_000);
  expect(queryMs).toBeGreaterThanOrEqual(50);
  expect(transactionMs).toBe(queryMs);
  expect(assignments).toBe(1);
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
  expect(usage().requestedAt).toBe(1_000);
});
