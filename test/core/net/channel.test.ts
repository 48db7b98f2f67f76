import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { Channel, READ_BYTES } from '../../../core/net/channel.ts';
import { connectShared, listenShared } from '../../../core/net/shared-read.ts';

const portOf = (server: net.Server): number => (server.address() as net.AddressInfo).port;

function echo(channel: Channel): void {
  channel.listen({ bytes: (chunk) => void channel.write(Buffer.from(chunk)), drained() {}, closed() {} });
  channel.resume();
}

async function listening(accepted: (channel: Channel) => void): Promise<net.Server> {
  const server = listenShared({ port: 0, host: '127.0.0.1' }, accepted);
  await once(server, 'listening');
  return server;
}

test('an accepted and a connected channel carry bytes both ways through one shared buffer', async () => {
  const server = await listening(echo);
  const channels = Array.from({ length: 20 }, () =>
    connectShared({ port: portOf(server), host: '127.0.0.1' }),
  );
  const answers = channels.map(
    (channel, i) =>
      new Promise<string>((resolve) => {
        let text = '';
        channel.listen({
          bytes: (chunk) => (text += chunk.toString()).length === 3000 && resolve(text),
          drained() {},
          closed() {},
        });
        channel.resume();
        channel.write(Buffer.from(`${i % 10}`.repeat(3000)));
      }),
  );
  const texts = await Promise.all(answers);
  texts.forEach((text, i) => expect(text).toBe(`${i % 10}`.repeat(3000)));
  for (const channel of channels) channel.destroy();
  server.close();
});

test('nothing is read before resume, and a pause inside a chunk keeps the rest', async () => {
  const seen: string[] = [];
  let accepted: Channel | undefined;
  const server = await listening((channel) => {
    accepted = channel;
    channel.listen({
      bytes(chunk) {
        seen.push(chunk.toString());
        channel.pause();
        channel.unshift(Buffer.from('again'));
      },
      drained() {},
      closed() {},
    });
  });
  const client = net.connect(portOf(server), '127.0.0.1');
  client.write('first');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(seen).toEqual([]);
  accepted?.resume();
  await expect.poll(() => seen).toEqual(['first']);
  accepted?.resume();
  await expect.poll(() => seen).toEqual(['first', 'again']);
  client.destroy();
  server.close();
});

test('what comes during a pause is kept, one read of it at most, and comes first afterwards, an end behind it', async () => {
  const sum = createHash('sha256');
  const told: string[] = [];
  let channel: Channel | undefined;
  const server = await listening((accepted) => {
    channel = accepted;
    accepted.listen({
      bytes: (chunk) => void sum.update(chunk),
      drained() {},
      closed: () => told.push('closed'),
    });
    accepted.resume();
    accepted.pause();
  });
  const sent = randomBytes(8 * 1_048_576);
  net.connect(portOf(server), '127.0.0.1').end(sent);
  await expect.poll(() => channel?.socket.bytesRead).toBeGreaterThan(0);
  await sleep(200);
  expect(channel?.socket.bytesRead).toBeLessThanOrEqual(READ_BYTES);
  expect(told).toEqual([]);
  channel?.resume();
  await expect.poll(() => told).toEqual(['closed']);
  expect(sum.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'));
  server.close();
});

test('a peer that goes away is told once, also to a listener that comes later', async () => {
  const ends: string[] = [];
  const server = await listening((channel) => {
    const late = { bytes() {}, drained() {}, closed: () => ends.push('late') };
    const closed = (): void => {
      ends.push('closed');
      setTimeout(() => channel.listen(late), 10);
    };
    channel.listen({ bytes() {}, drained() {}, closed });
    channel.resume();
  });
  net.connect(portOf(server), '127.0.0.1').end();
  await expect.poll(() => ends).toEqual(['closed', 'late']);
  server.close();
});

test('an accepted channel upgrades to TLS on the same socket', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'postern-'));
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '1',
      '-subj',
      '/CN=localhost',
      '-keyout',
      join(dir, 'k.pem'),
      '-out',
      join(dir, 'c.pem'),
    ],
    { stdio: 'ignore' },
  );
  const secure = tls.createServer({
    key: readFileSync(join(dir, 'k.pem')),
    cert: readFileSync(join(dir, 'c.pem')),
  });
  secure.on('secureConnection', (socket) => echo(new Channel(socket)));
  const server = await listening((channel) => {
    channel.listen({
      bytes() {
        channel.halt();
        channel.write(Buffer.from('S'));
        setImmediate(() => secure.emit('connection', channel.socket));
      },
      drained() {},
      closed() {},
    });
    channel.resume();
  });
  const plain = net.connect(portOf(server), '127.0.0.1');
  plain.write('please');
  expect(String(await once(plain, 'data'))).toBe('S');
  const client = tls.connect({ socket: plain, rejectUnauthorized: false });
  await once(client, 'secureConnect');
  const big = Buffer.alloc(1_000_000, 'x');
  client.write(big);
  let got = 0;
  client.on('data', (chunk: Buffer) => (got += chunk.length));
  await expect.poll(() => got).toBe(big.length);
  client.destroy();
  server.close();
});

test('where the system gives no handle, a socket that net has made carries bytes as well', async () => {
  const server = await listening(echo);
  const other = net.createServer({ pauseOnConnect: true }, (socket) => server.emit('connection', socket));
  await once(other.listen(0, '127.0.0.1'), 'listening');
  const client = net.connect(portOf(other), '127.0.0.1');
  client.write('hello');
  const [heard] = (await once(client, 'data')) as [Buffer];
  expect(heard.toString()).toBe('hello');
  client.destroy();
  for (const one of [server, other]) one.close();
});

test('a peer that has said its last word is closed at once when it has been sent everything, and gets what is queued before', async () => {
  const much = randomBytes(8_000_000);
  const accepted: Channel[] = [];
  const server = await listening((channel) => accepted.push(channel));
  const read = async (): Promise<[Buffer[], Channel]> => {
    const socket = net.connect(portOf(server), '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    const ended = once(socket, 'end');
    await expect.poll(() => accepted.length).toBe(1);
    const [channel] = accepted.splice(0) as [Channel];
    channel.resume();
    if (chunks.length === 0) channel.write(Buffer.from('answer'));
    if (sends) channel.write(much);
    channel.close();
    expect(channel.socket.destroyed).toBe(!sends);
    await ended;
    return [chunks, channel];
  };
  let sends = false;
  const [few] = await read();
  expect(Buffer.concat(few).toString()).toBe('answer');
  sends = true;
  const [all] = await read();
  expect(Buffer.concat(all).subarray(6).equals(much)).toBe(true);
  server.close();
});

test.each([
  ['one that only reads', true, [false, true]],
  ['another', false, [false, false]],
])(
  'a peer that leaves a little untaken is cut off within two minutes: %s',
  async (_, onlyReads, expected) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    let accept: (channel: Channel) => void = () => {};
    const accepted = new Promise<Channel>((resolve) => (accept = resolve));
    const server = await listening((one) => accept(one));
    const peer = net.connect(portOf(server), '127.0.0.1');
    peer.pause().on('error', () => {});
    const channel = await accepted;
    let closed = false;
    channel.listen({ bytes() {}, drained() {}, closed: () => (closed = true) });
    channel.cutOffWhenStalled();
    try {
      // Until the system takes no more, and so little is left that nobody waits for it.
      const little = Buffer.alloc(1_000);
      for (let count = 1; channel.queued === 0; count += 1) {
        expect(channel.write(little)).toBe(true);
        if (count % 500 === 0) await sleep(1);
      }
      if (onlyReads) channel.watchQueued();
      const over: boolean[] = [];
      for (const ms of [59_000, 61_000]) {
        vi.advanceTimersByTime(ms);
        await sleep(20);
        over.push(closed);
      }
      expect(over).toEqual(expected);
    } finally {
      vi.useRealTimers();
      channel.destroy();
      peer.destroy();
      server.close();
    }
  },
);
