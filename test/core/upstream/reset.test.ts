/** A reset is believed only if each of its steps is confirmed. */
import { expect, test, vi } from 'vitest';
import type { ChannelListener } from '../../../core/net/channel.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { reset } from '../../../core/upstream/reset.ts';
import { encodeQuery } from '../../../core/wire/to-server.ts';
import { ERROR, NOTICE, READY, STATUS, message } from './server-script.ts';

const tag = (text: string): Buffer => message('C', `${text}\0`);
const FAILED = message('Z', 'E');
const IN_TRANSACTION = message('Z', 'T');
const NOTIFICATION = message('A', Buffer.alloc(4), 'channel\0', 'payload\0');
const REFUSED = ERROR('SERROR\0C57014\0Mcanceling statement\0\0');
const GOOD = [tag('RESET'), READY, tag('DISCARD ALL'), READY, tag('RESET'), READY];

/** Resets a connection whose server answers with these bytes, or goes away; what it was asked, and how it ended. */
async function outcome(answer: readonly Buffer[], { ms = 60_000, gone = false } = {}) {
  const asked: Buffer[] = [];
  let listener: ChannelListener | undefined;
  let said = false;
  const cancel = vi.fn(() => Promise.resolve(true));
  const channel = {
    listen: (one: ChannelListener) => (listener = one),
    write: (bytes: Buffer) => asked.push(bytes) > 0,
    resume: () =>
      queueMicrotask(() => {
        if (said) return;
        said = true;
        listener?.bytes(Buffer.concat(answer));
        if (gone) listener?.closed(undefined);
      }),
    pause() {},
    unshift() {},
  };
  const prepared = new Map([['select 1', 'a name']]);
  const connection = { channel, parameters: new Map(), prepared, cancel } as unknown as ServerConnection;
  const { done } = await reset(connection, { ms, closing: new AbortController().signal });
  return { done, prepared: prepared.size, cancelled: cancel.mock.calls.length, asked: Buffer.concat(asked) };
}

test('time-outs and defaults go first, the role comes back last, and all are asked for in one write', async () => {
  const { done, prepared, asked } = await outcome(GOOD);
  expect(done).toBe(true);
  expect(prepared).toBe(0);
  expect(asked).toEqual(Buffer.concat(['RESET ALL', 'DISCARD ALL', 'RESET ROLE'].map(encodeQuery)));
});

test('notices, parameters, and notifications that were on their way change nothing', async () => {
  const noisy = GOOD.flatMap((one) => [NOTICE, STATUS, NOTIFICATION, one]);
  expect(await outcome(noisy)).toMatchObject({ done: true });
});

test.each<[string, readonly Buffer[]]>([
  ['an error at the first step', [REFUSED, READY]],
  ['an error at the second', [...GOOD.slice(0, 2), REFUSED, READY]],
  ['an error at the last', [...GOOD.slice(0, 4), REFUSED, READY]],
  ['the tag of another command', [tag('SET'), READY, ...GOOD.slice(2)]],
  ['no tag', [READY, READY, READY]],
  ['a transaction that is open', [tag('RESET'), IN_TRANSACTION, ...GOOD.slice(2)]],
  ['a transaction that has failed', [...GOOD.slice(0, 5), FAILED]],
  ['rows', [message('D', 0, 0), ...GOOD]],
])('%s is no reset', async (_, answer) => {
  expect(await outcome(answer)).toMatchObject({ done: false, cancelled: 0 });
});

test('a server that goes away in between has reset nothing', async () => {
  expect(await outcome(GOOD.slice(0, 3), { gone: true })).toMatchObject({ done: false, cancelled: 0 });
});

test('a reset that hangs is cancelled before it is given up', async () => {
  expect(await outcome(GOOD.slice(0, 3), { ms: 5 })).toMatchObject({ done: false, cancelled: 1 });
});
