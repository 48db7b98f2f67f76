/** A stream in the form of a socket: what a channel sees of it, whatever the stream does. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import { Channel } from '../../../core/net/channel.ts';
import { StreamSocket } from '../../../core/net/stream-socket.ts';
import { StreamEnd } from '../../support/stream-pair.ts';

interface Opened {
  readonly channel: Channel;
  readonly peer: StreamEnd;
  readonly seen: () => string;
  readonly drained: () => number;
  readonly closed: () => readonly (string | undefined)[];
}

/** Whether the end of the input leaves the channel open. */
function open(halfOpen = false, [stream, peer] = StreamEnd.pair()): Opened {
  const channel = new Channel(new StreamSocket(stream));
  let [text, drained] = ['', 0];
  const closed: (string | undefined)[] = [];
  channel.listen({
    bytes: (chunk) => void (text += chunk.toString()),
    drained: () => void (drained += 1),
    inputEnded: () => halfOpen,
    closed: (error) => void closed.push(error?.message),
  });
  peer.on('error', () => {});
  return { channel, peer, seen: () => text, drained: () => drained, closed: () => closed };
}

function all(peer: Duplex): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    peer.on('data', (chunk: Buffer) => void chunks.push(chunk));
    peer.on('end', () => resolve(Buffer.concat(chunks)));
  });
}

test('bytes go both ways, and are counted', async () => {
  const { channel, peer, seen } = open();
  peer.write('hello');
  await new Promise(setImmediate);
  expect(seen()).toBe('');
  channel.resume();
  await expect.poll(seen).toBe('hello');
  channel.write(Buffer.from('world!'));
  channel.writeCopy(Buffer.from('xabcx'), 1, 4);
  const told = all(peer);
  channel.finish(Buffer.from('.'));
  expect((await told).toString()).toBe('world!abc.');
  expect([channel.socket.bytesRead, channel.socket.bytesWritten]).toEqual([5, 10]);
});

test('a peer that does not read: false, drained once it has read, and every byte in order', async () => {
  const { channel, peer, drained } = open();
  const chunk = Buffer.alloc(10_000, 'x');
  let sent = 0;
  while (channel.write(chunk)) sent += 1;
  sent += 1;
  await new Promise(setImmediate);
  expect(drained()).toBe(0);
  expect(channel.queued).toBeGreaterThan(0);
  const told = all(peer);
  await expect.poll(drained).toBe(1);
  expect(channel.queued).toBe(0);
  channel.finish();
  expect((await told).length).toBe(sent * chunk.length);
});

test('a channel that is paused holds the peer up, and what came comes before the end', async () => {
  const { channel, peer, seen, closed } = open();
  channel.resume();
  channel.halt();
  for (let i = 0; i < 200; i += 1) {
    peer.write(Buffer.alloc(1_000, 'y'));
    await new Promise(setImmediate);
  }
  expect(peer.writableLength).toBeGreaterThan(100_000);
  peer.end('end');
  channel.resume();
  await expect.poll(closed).toEqual([undefined]);
  expect(seen()).toBe(`${'y'.repeat(200_000)}end`);
});

test('half of it may end: the other half goes on', async () => {
  const { channel, peer, closed } = open(true);
  const told = all(peer);
  channel.resume();
  peer.end('question');
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  channel.write(Buffer.from('answer'));
  channel.close();
  expect((await told).toString()).toBe('answer');
  await expect.poll(closed).toEqual([undefined]);
});

test('either side may be destroyed: the other hears of it, and the channel tells it once', async () => {
  const [one, two] = [open(), open()];
  for (const { channel } of [one, two]) channel.resume();
  one.peer.destroy();
  await expect.poll(one.closed).toEqual([undefined]);
  two.channel.destroy();
  await expect.poll(two.closed).toEqual([undefined]);
  expect(two.peer.destroyed).toBe(true);
  one.channel.destroy();
  await new Promise(setImmediate);
  expect(one.closed()).toHaveLength(1);
});

test('one that is over already closes its channel', async () => {
  const [stream, peer] = StreamEnd.pair();
  stream.destroy();
  const { closed } = open(false, [stream, peer]);
  await expect.poll(closed).toEqual([undefined]);
});

test.each<[string, Partial<Record<'_write' | '_read', () => void>>, string]>([
  ['throws when it is written to', { _write: () => throwing() }, 'strange'],
  ['throws when it is read', { _read: () => throwing() }, 'strange'],
])('a stream that %s ends its channel and nothing else', async (_, methods, message) => {
  const stream = Object.assign(new Duplex({ read() {}, write() {} }), methods);
  const { channel, closed } = open(false, [stream as unknown as StreamEnd, StreamEnd.pair()[0]]);
  channel.resume();
  channel.write(Buffer.from('x'));
  await expect.poll(closed).toEqual([message]);
  expect(stream.destroyed).toBe(true);
});

test('a stream that fails, and one that gives text, end their channel with the reason', async () => {
  const failing = StreamEnd.pair();
  const one = open(false, failing);
  failing[0].destroy(new Error('broken'));
  await expect.poll(one.closed).toEqual(['broken']);
  const texts = StreamEnd.pair();
  const two = open(false, texts);
  two.channel.resume();
  texts[0].setEncoding('utf8');
  two.peer.write('text');
  await expect.poll(two.closed).toEqual(['the stream gives no bytes']);
});

test("the stream's methods run as its owner, its events as the gateway", async () => {
  const who = new AsyncLocalStorage<string>();
  const seen: string[] = [];
  const tell = (what: string): void => void seen.push(`${what} as ${who.getStore() ?? 'the gateway'}`);
  const stream = new Duplex({
    read: () => tell('read'),
    write(_chunk, _encoding, done) {
      tell('write');
      done();
    },
    destroy(_error, done) {
      tell('destroy');
      done(null);
    },
  });
  const channel = new Channel(new StreamSocket(stream, (work) => who.run('owner', work)));
  channel.listen({ bytes: () => tell('bytes'), drained() {}, closed: () => tell('closed') });
  channel.resume();
  channel.write(Buffer.from('x'));
  await expect.poll(() => seen).toContain('read as owner');
  who.run('owner', () => stream.push('y'));
  await expect.poll(() => seen).toContain('bytes as the gateway');
  channel.destroy();
  await expect.poll(() => seen).toContain('closed as the gateway');
  expect(seen).toEqual(expect.arrayContaining(['write as owner', 'destroy as owner']));
});

function throwing(): never {
  throw new Error('strange');
}
