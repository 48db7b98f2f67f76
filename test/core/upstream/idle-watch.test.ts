/** What an idle connection may send, in any pieces, without becoming unusable. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ChannelListener } from '../../../core/net/channel.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { watch } from '../../../core/upstream/idle-watch.ts';
import { ERROR, NOTICE, READY, header, message } from './server-script.ts';

/** A connection that a test speaks for. */
function played() {
  const parameters = new Map([['TimeZone', 'UTC']]);
  let listener: ChannelListener | undefined;
  const channel = {
    closed: false,
    listen: (one: ChannelListener) => (listener = one),
    resume() {},
    pause() {},
  };
  let unusable = 0;
  const connection = { channel, parameters } as unknown as ServerConnection;
  const stop = watch(connection, () => (unusable += 1));
  return {
    parameters,
    channel,
    stop,
    say: (bytes: Buffer) => listener?.bytes(bytes),
    close: () => listener?.closed(undefined),
    unusable: () => unusable,
  };
}

const ZONE = message('S', 'TimeZone\0', 'Asia/Tokyo\0');

test('reported parameters are kept and notices dropped, however their bytes arrive', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(ZONE, NOTICE), { minLength: 1 }),
      fc.array(fc.nat()),
      (messages, cuts) => {
        const bytes = Buffer.concat(messages);
        const server = played();
        const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].toSorted(
          (a, b) => a - b,
        );
        for (const [i, from] of places.entries())
          server.say(bytes.subarray(from, places[i + 1] ?? bytes.length));
        expect(server.parameters.get('TimeZone')).toBe(messages.includes(ZONE) ? 'Asia/Tokyo' : 'UTC');
        expect(server.unusable()).toBe(0);
        expect(server.stop()).toBe(true);
      },
    ),
  );
});

test.each<[string, Buffer]>([
  ['an error', ERROR('SFATAL\0C57P01\0Mgone\0\0')],
  ['ReadyForQuery', READY],
  ['a notification', message('A', Buffer.alloc(4), 'channel\0', 'payload\0')],
  ['a length below its own four bytes', header('S', 3)],
  ['a message of 64 KiB and more', header('N', 65_537)],
  ['a parameter without its end', message('S', 'TimeZone')],
])('%s makes it unusable, once', (_, bytes) => {
  const server = played();
  server.say(bytes);
  server.say(bytes);
  server.close();
  expect(server.unusable()).toBe(1);
  expect(server.stop()).toBe(false);
});

test('its end makes it unusable, and so does half a message that is there when a session wants it', () => {
  const closed = played();
  closed.close();
  expect(closed.unusable()).toBe(1);
  const half = played();
  half.say(ZONE.subarray(0, 7));
  expect(half.unusable()).toBe(0);
  expect(half.stop()).toBe(false);
  const gone = played();
  gone.channel.closed = true;
  expect(gone.stop()).toBe(false);
});
