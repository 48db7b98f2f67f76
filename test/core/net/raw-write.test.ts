import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { Channel } from '../../../core/net/channel.ts';
import { bytesTaken, rawWrite } from '../../../core/net/raw-write.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A channel, and the paused socket at its other end. */
async function pair(): Promise<{
  channel: Channel<Socket>;
  peer: Socket;
  drained: () => number;
  closed: () => number;
}> {
  const server = net.createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [peer] = (await once(server, 'connection')) as [Socket];
  if (socket.connecting) await once(socket, 'connect');
  peer.on('error', () => {});
  const channel = new Channel(socket);
  let [drained, closed] = [0, 0];
  channel.listen({ bytes() {}, drained: () => (drained += 1), closed: () => (closed += 1) });
  channel.resume();
  ends.push(() => {
    socket.destroy();
    peer.destroy();
    server.close();
  });
  return { channel, peer, drained: () => drained, closed: () => closed };
}

/** Everything that a peer reads, as a digest, when so many bytes have come. */
function digest(peer: Socket, length: number): Promise<string> {
  const hash = createHash('sha256');
  let left = length;
  return new Promise((resolve) => {
    peer.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      left -= chunk.length;
      if (left <= 0) resolve(hash.digest('hex'));
    });
    peer.resume();
  });
}

test('small writes go past the stream machinery, and arrive in order', async () => {
  const { channel, peer } = await pair();
  // The first one in a process shows what Node makes for a write.
  channel.write(Buffer.from('first '));
  await expect.poll(() => channel.queued).toBe(0);
  let plain = 0;
  const write = channel.socket.write.bind(channel.socket);
  channel.socket.write = ((...given: Parameters<typeof write>) => {
    plain += 1;
    return write(...given);
  }) as typeof write;
  for (let i = 0; i < 100; i += 1) expect(channel.write(Buffer.from(`${i} `))).toBe(true);
  const all = `first ${Array.from({ length: 100 }, (_, i) => `${i} `).join('')}`;
  expect(await digest(peer, all.length)).toBe(createHash('sha256').update(all).digest('hex'));
  expect(plain).toBe(0);
  expect(channel.socket.bytesWritten).toBe(all.length);
});

test('a peer that does not read: false, then drained once it has read, and every byte in order', async () => {
  const { channel, peer, drained } = await pair();
  const hash = createHash('sha256');
  let [length, full] = [0, 0];
  for (let i = 0; i < 400; i += 1) {
    const bytes = randomBytes(1 + ((i * 7919) % 65_536));
    hash.update(bytes);
    length += bytes.length;
    if (!channel.write(bytes)) full += 1;
  }
  expect(full).toBeGreaterThan(0);
  expect(channel.queued).toBeGreaterThan(0);
  expect(bytesTaken(channel.socket)).toBeLessThan(length);
  expect(drained()).toBe(0);
  expect(await digest(peer, length)).toBe(hash.digest('hex'));
  await expect.poll(() => [channel.queued, bytesTaken(channel.socket)]).toEqual([0, length]);
  expect(drained()).toBeGreaterThan(0);
});

test('a part of a chunk that changes right after its write arrives as it was, read at once or not', async () => {
  const { channel, peer } = await pair();
  channel.write(Buffer.from('x'));
  await expect.poll(() => channel.queued).toBe(0);
  const hash = createHash('sha256').update('x');
  const chunk = Buffer.alloc(65_536);
  let length = 1;
  // Until the system takes no more, and far beyond.
  for (let i = 0, behind = 0; behind < 2_000; i += 1) {
    const from = (i * 31) % 7;
    const to = from + 1 + ((i * 7919) % [100, 2_000, 20_000, 60_000][i % 4]!);
    randomBytes(to).copy(chunk);
    hash.update(chunk.subarray(from, to));
    length += to - from;
    channel.writeCopy(chunk, from, to);
    chunk.fill(0);
    if (channel.queued > 0) behind += 1;
  }
  expect(await digest(peer, length)).toBe(hash.digest('hex'));
  expect(channel.queued).toBe(0);
});

test('copies that are written to several sockets, of which some are not read, stay apart', async () => {
  const pairs = await Promise.all([pair(), pair(), pair()]);
  for (const { channel } of pairs) channel.write(Buffer.from('x'));
  await expect.poll(() => pairs.every(({ channel }) => channel.queued === 0)).toBe(true);
  const hashes = pairs.map(() => createHash('sha256').update('x'));
  const chunk = Buffer.alloc(16_384);
  for (let i = 0; i < 1_500; i += 1) {
    const which = i % 3;
    randomBytes(chunk.length).copy(chunk);
    hashes[which]!.update(chunk);
    pairs[which]!.channel.writeCopy(chunk, 0, chunk.length);
  }
  const digests = await Promise.all(pairs.map(({ peer }) => digest(peer, 1 + 500 * chunk.length)));
  expect(digests).toEqual(hashes.map((hash) => hash.digest('hex')));
});

test('one write that the system does not take at once is drained too', async () => {
  const { channel, peer, drained } = await pair();
  channel.write(Buffer.from('x'));
  await expect.poll(() => channel.queued).toBe(0);
  const bytes = randomBytes(32 * 1024 * 1024);
  expect(channel.write(bytes)).toBe(false);
  expect(channel.queued).toBeGreaterThan(0);
  expect(await digest(peer, bytes.length + 1)).toBe(
    createHash('sha256').update('x').update(bytes).digest('hex'),
  );
  await expect.poll(drained).toBe(1);
  expect(channel.queued).toBe(0);
});

test('the last bytes come behind those that are queued, and then the end', async () => {
  const { channel, peer, closed } = await pair();
  channel.write(Buffer.from('x'));
  await expect.poll(() => channel.queued).toBe(0);
  const bytes = randomBytes(8 * 1024 * 1024);
  channel.write(bytes);
  channel.finish(Buffer.from('last'));
  const whole = createHash('sha256').update('x').update(bytes).update('last').digest('hex');
  expect(await digest(peer, bytes.length + 5)).toBe(whole);
  await once(peer, 'end');
  peer.end();
  await expect.poll(closed).toBe(1);
});

test('a peer that is gone closes the channel once, whatever is still written', async () => {
  const { channel, peer, closed } = await pair();
  channel.write(Buffer.from('x'));
  peer.resetAndDestroy();
  await expect
    .poll(() => {
      channel.write(Buffer.alloc(1024));
      return closed();
    })
    .toBe(1);
  expect(channel.write(Buffer.from('x'))).toBe(true);
  expect(closed()).toBe(1);
});

test('where there is no handle that is known, nothing is done', () => {
  const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  expect(rawWrite(stream as unknown as Socket, Buffer.from('x'))).toBeUndefined();
  const strange = Object.assign(stream, { _handle: { writeBuffer: () => 0 } });
  expect(rawWrite(strange as unknown as Socket, Buffer.from('x'))).toBeUndefined();
});
