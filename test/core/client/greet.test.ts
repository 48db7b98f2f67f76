import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { arrive } from '../../../core/client/arrival.ts';
import { greet } from '../../../core/client/greet.ts';
import type { Introduction, ListenerContext } from '../../../core/client/greet.ts';
import { ClientGone } from '../../../core/client/reader.ts';
import { TlsTermination } from '../../../core/client/tls.ts';
import { listenShared } from '../../../core/net/shared-read.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import { GSSENC_REQUEST, RawClient, SSL_REQUEST, cancelRequest, startup } from '../../support/raw-client.ts';

const HELLO = startup({ user: 'alice' });
let files: Certificates;
let termination: TlsTermination;
const open: Server[] = [];
const clients: RawClient[] = [];

beforeAll(async () => {
  files = await certificates();
  const { server, other } = files;
  termination = new TlsTermination({
    cert: server.certFile,
    key: server.keyFile,
    servernames: { '*.example': { cert: other.certFile, key: other.keyFile } },
  });
});
afterAll(() => files.remove());
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
  for (const server of open.splice(0)) server.close();
});

interface Stage {
  readonly port: number;
  /** What became of each connection, in the order in which that was known: a kind, `gone`, or an unexpected error. */
  readonly ends: string[];
  readonly introductions: Introduction[];
}

async function stage(listener: Partial<ListenerContext> = {}): Promise<Stage> {
  const ends: string[] = [];
  const introductions: Introduction[] = [];
  const server = listenShared({ port: 0, host: '127.0.0.1' }, (channel) => {
    const whole: ListenerContext = { name: 'test', plaintext: 'loopback', tls: termination, ...listener };
    const greeted = arrive(channel, whole.proxies).then((arrival) => greet(arrival, whole));
    greeted.then(
      (introduction) => {
        introductions.push(introduction);
        ends.push(introduction.said.kind);
        if (introduction.said.kind === 'dropped') introduction.reader.channel.destroy();
      },
      (error: unknown) => ends.push(error instanceof ClientGone ? 'gone' : String(error)),
    );
  });
  await once(server, 'listening');
  open.push(server);
  return { port: (server.address() as AddressInfo).port, ends, introductions };
}

async function connect(port: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  clients.push(client);
  return client;
}

/** The gateway closes without having said anything. */
async function silence(client: RawClient): Promise<void> {
  expect((await client.rest()).toString('latin1')).toBe('');
}

test('SSLRequest is answered with S and the startup packet is read inside TLS', async () => {
  const { port, ends, introductions } = await stage();
  const client = await connect(port);
  await client.startTls();
  client.send(HELLO);
  await expect.poll(() => ends).toEqual(['startup']);
  expect(introductions[0]?.tls).toEqual({});
});

test('GSSENCRequest may come before SSLRequest, and is an unsupported protocol inside TLS, as on PostgreSQL', async () => {
  const { port, ends, introductions } = await stage();
  const first = await connect(port);
  first.send(GSSENC_REQUEST);
  expect(String(await first.read(1))).toBe('N');
  (await first.startTls()).send(HELLO);
  await expect.poll(() => ends).toEqual(['startup']);
  const second = await connect(port);
  await second.startTls();
  second.send(GSSENC_REQUEST);
  await expect.poll(() => ends).toEqual(['startup', 'refused']);
  const [, inside] = introductions;
  expect(inside?.said).toMatchObject({
    error: {
      sqlstate: '0A000',
      message: 'unsupported frontend protocol 1234.5680: server supports 3.0 to 3.2',
    },
  });
});

test('without TLS on the listener SSLRequest is answered with N, once', async () => {
  const { port, ends, introductions } = await stage({ tls: undefined });
  const client = await connect(port);
  client.send(SSL_REQUEST);
  expect(String(await client.read(1))).toBe('N');
  client.send(SSL_REQUEST);
  await expect.poll(() => ends).toEqual(['refused']);
  expect(introductions[0]?.said).toMatchObject({
    error: {
      sqlstate: '0A000',
      message: 'unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2',
    },
  });
});

test('a second request of either kind and SSLRequest inside TLS are unsupported protocols', async () => {
  const { port, introductions } = await stage();
  const gss = await connect(port);
  gss.send(GSSENC_REQUEST);
  await gss.read(1);
  gss.send(GSSENC_REQUEST);
  await expect.poll(() => introductions.length).toBe(1);
  const inside = await connect(port);
  await inside.startTls();
  inside.send(SSL_REQUEST);
  await expect.poll(() => introductions.length).toBe(2);
  const texts = introductions.map(({ said }) => (said.kind === 'refused' ? said.error.message : said.kind));
  expect(texts).toEqual([
    'unsupported frontend protocol 1234.5680: server supports 3.0 to 3.2',
    'unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2',
  ]);
});

test.each([1, 2, 8, 100, 8192, 65_536])(
  '%i bytes stuffed behind SSLRequest are never used',
  async (stuffed) => {
    const { port, ends } = await stage();
    const extra = Buffer.concat([HELLO, Buffer.alloc(65_536)]).subarray(0, stuffed);
    const client = await connect(port);
    client.send(SSL_REQUEST, extra);
    await silence(client);
    await expect.poll(() => ends).toEqual(['dropped']);
  },
);

test('bytes behind SSLRequest in any split end the connection, at the latest in the handshake', async () => {
  const { port, ends } = await stage();
  const whole = Buffer.concat([SSL_REQUEST, HELLO]);
  for (let cut = 1; cut < whole.length; cut += 1) {
    const client = await connect(port);
    client.send(whole.subarray(0, cut));
    await new Promise((resolve) => setTimeout(resolve, 5));
    client.send(whole.subarray(cut));
    // S may have been said before the rest came; nothing else may be, but the alert of a failed handshake.
    const said = await client.rest();
    expect(said.length <= 1 || said[1] === 0x15).toBe(true);
    await expect.poll(() => ends.at(-1)).toMatch(/^(dropped|gone)$/);
    expect(ends).toHaveLength(cut);
  }
});

test('a hundred thousand alternating requests end after the second kind came twice', async () => {
  const { port, ends } = await stage({ tls: undefined });
  const client = await connect(port);
  for (let sent = 0; sent < 50_000; sent += 1) client.socket.write(sent % 2 ? SSL_REQUEST : GSSENC_REQUEST);
  await expect.poll(() => ends).toEqual(['dropped']);
  const patient = await connect(port);
  for (const request of [SSL_REQUEST, GSSENC_REQUEST]) {
    patient.send(request);
    await patient.read(1);
  }
  patient.send(SSL_REQUEST);
  await expect.poll(() => ends).toEqual(['dropped', 'refused']);
});

test('a startup packet sliced into single bytes is the same packet', async () => {
  const { port, ends, introductions } = await stage();
  const client = await connect(port);
  for (const byte of HELLO) {
    client.send(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await expect.poll(() => ends).toEqual(['startup']);
  expect(introductions[0]?.said).toMatchObject({ major: 3, minor: 0, parameters: [['user', 'alice']] });
});

test('what a client sends behind its startup packet waits for the next reader', async () => {
  const { port, introductions } = await stage();
  const client = await connect(port);
  client.send(HELLO, Buffer.from('later'));
  await expect.poll(() => introductions.length).toBe(1);
  expect(String(await introductions[0]?.reader.exactly(5))).toBe('later');
});

test.each([
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['a length of 4', Buffer.from('00000004', 'hex')],
  ['a length of 10 005', Buffer.from('00002715', 'hex')],
  ['a length of 2^32 - 1', Buffer.from('ffffffff00030000', 'hex')],
  ['a TLS record inside TLS', Buffer.from('1603010200010001fc0303', 'hex')],
])('%s is closed without a word', async (_, bytes) => {
  const { port, ends } = await stage();
  const client = await connect(port);
  await client.startTls();
  client.send(bytes);
  await silence(client);
  expect(ends).toEqual(['dropped']);
});

test('a broken startup packet and a major version of the future are refused with a reason', async () => {
  const { port, introductions } = await stage();
  const broken = await connect(port);
  broken.send(Buffer.from('0000000a00030000757a', 'hex'));
  await expect.poll(() => introductions.length).toBe(1);
  const future = await connect(port);
  future.send(startup({ user: 'alice' }, 0, 4));
  await expect.poll(() => introductions.length).toBe(2);
  const states = introductions.map(({ said }) => said.kind === 'refused' && said.error.sqlstate);
  expect(states).toEqual(['08P01', '0A000']);
});

test('plaintext is refused before anything is asked where the listener says never', async () => {
  const { port, introductions } = await stage({ plaintext: 'never' });
  const client = await connect(port);
  client.send(HELLO);
  await expect.poll(() => introductions.length).toBe(1);
  expect(introductions[0]?.said).toMatchObject({ kind: 'refused', error: { sqlstate: '28000' } });
});

test('a cancel request is heard over plaintext and over TLS, whatever plaintext may do', async () => {
  const { port, introductions } = await stage({ plaintext: 'never' });
  const plain = await connect(port);
  plain.send(cancelRequest(7, Buffer.from('abcd')));
  await expect.poll(() => introductions.length).toBe(1);
  const secure = await connect(port);
  await secure.startTls();
  secure.send(cancelRequest(8, Buffer.alloc(32, 1)));
  await expect.poll(() => introductions.length).toBe(2);
  expect(introductions.map(({ said }) => said)).toMatchObject([
    { kind: 'cancel', processId: 7, secret: Buffer.from('abcd') },
    { kind: 'cancel', processId: 8 },
  ]);
});

test('direct TLS works with ALPN postgresql and reads the startup packet that comes with it', async () => {
  const { port, ends } = await stage();
  const client = await RawClient.connectTls(port, { ALPNProtocols: ['postgresql'] });
  clients.push(client);
  client.send(HELLO);
  await expect.poll(() => ends).toEqual(['startup']);
});

test('direct TLS without ALPN is closed after the handshake', async () => {
  const { port, ends } = await stage();
  const client = await RawClient.connectTls(port, {});
  clients.push(client);
  await silence(client);
  expect(ends).toEqual(['dropped']);
});

test('a wrong ALPN protocol is refused in both modes', async () => {
  const { port, ends } = await stage();
  await expect(RawClient.connectTls(port, { ALPNProtocols: ['http/1.1'] })).rejects.toThrow(
    /no application protocol/,
  );
  const client = await connect(port);
  await expect(client.startTls({ ALPNProtocols: ['h2'] })).rejects.toThrow(/no application protocol/);
  await expect.poll(() => ends).toEqual(['gone', 'gone']);
});

test('a direct ClientHello on a listener without TLS is garbage', async () => {
  const { port, ends } = await stage({ tls: undefined });
  await expect(RawClient.connectTls(port, { ALPNProtocols: ['postgresql'] })).rejects.toThrow();
  expect(ends).toEqual(['dropped']);
});

test('a client that leaves at any byte is noticed, and its socket is gone', async () => {
  const { port, ends } = await stage();
  const sockets = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
  const before = sockets();
  const words = Buffer.concat([GSSENC_REQUEST, HELLO]);
  for (let length = 0; length < words.length; length += 1) {
    const client = await connect(port);
    client.send(words.subarray(0, Math.min(length, 8)));
    if (length > 8) {
      await client.read(1);
      client.send(words.subarray(8, length));
    }
    client.socket.end();
    await client.rest();
  }
  await expect.poll(() => ends.length).toBe(words.length);
  expect(new Set(ends)).toEqual(new Set(['gone']));
  await expect.poll(sockets).toBeLessThanOrEqual(before);
});
