/** Which channels a suspended gateway reads, and when it goes on. */
import { expect, test } from 'vitest';
import { Suspension } from '../../../core/gateway/suspension.ts';
import type { Channel } from '../../../core/net/channel.ts';

/** As much of a channel as a suspension uses. */
class Played {
  closed = false;
  queued = 0;
  frozen = false;
  freeze(): void {
    this.frozen = true;
  }
  thaw(): void {
    this.frozen = false;
  }
}

const asChannels = (played: Iterable<Played>) => played as unknown as Iterable<Channel>;

test('every channel is frozen at once, one that comes later too, and all are read again at the end', async () => {
  const [suspension, channels] = [new Suspension(), new Set([new Played(), new Played()])];
  const end = suspension.begin(() => asChannels(channels));
  expect(suspension.on).toBe(true);
  expect([...channels].map(({ frozen }) => frozen)).toEqual([true, true]);
  const later = new Played();
  channels.add(later);
  await expect.poll(() => later.frozen).toBe(true);
  end();
  expect(suspension.on).toBe(false);
  expect([...channels].map(({ frozen }) => frozen)).toEqual([false, false, false]);
});

test('a second suspension is refused, and the end of an earlier one does not end a later one', () => {
  const suspension = new Suspension();
  const first = suspension.begin(() => []);
  expect(() => suspension.begin(() => [])).toThrow('already suspended');
  first();
  const second = suspension.begin(() => []);
  first();
  expect(suspension.on).toBe(true);
  second();
  expect(suspension.on).toBe(false);
});

test('whoever waits for the end goes on with it, and waits for nothing where there is no suspension', async () => {
  const suspension = new Suspension();
  await suspension.over;
  const end = suspension.begin(() => []);
  let over = false;
  const waiting = suspension.over.then(() => (over = true));
  await new Promise(setImmediate);
  expect(over).toBe(false);
  end();
  await waiting;
});

test('all is flushed once open channels have nothing queued; a closed one is not waited for', async () => {
  const [suspension, open, gone] = [new Suspension(), new Played(), new Played()];
  open.queued = gone.queued = 5;
  gone.closed = true;
  const end = suspension.begin(() => asChannels([open, gone]));
  let flushed = false;
  const waiting = suspension.flushed(new AbortController().signal).then(() => (flushed = true));
  await new Promise(setImmediate);
  expect(flushed).toBe(false);
  open.queued = 0;
  await waiting;
  end();
});

test('the wait for it ends with the gateway going on, and with the reason of its signal', async () => {
  const [suspension, open] = [new Suspension(), new Played()];
  open.queued = 1;
  const end = suspension.begin(() => asChannels([open]));
  const leaving = new AbortController();
  const left = suspension.flushed(leaving.signal);
  leaving.abort(new Error('the operator has gone'));
  await expect(left).rejects.toThrow('the operator has gone');
  const waiting = suspension.flushed(new AbortController().signal);
  end();
  await waiting;
});
