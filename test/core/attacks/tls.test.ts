/** TLS clients that stall, renegotiate, resume, and leave in the middle. */
import net from 'node:net';
import { once } from 'node:events';
import tls from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import type { RunningGateway } from '../../support/gateway.ts';
import { RawClient, SSL_REQUEST, message, startup } from '../../support/raw-client.ts';
import { attacked } from './attacked.ts';

const here = attacked();
let files: Certificates;

beforeAll(async () => {
  files = await certificates();
});
afterAll(() => files.remove());

const HELLO = startup({ user: '_', database: 'orders' });

function secured(loginTimeout: '3s' | '10s' | '1h' = '10s'): Promise<RunningGateway> {
  const { certFile: cert, keyFile: key } = files.server;
  const clientCa = files.ca.certFile;
  return here.gateway({ listen: { port: 0, tls: { cert, key, clientCa } }, loginTimeout });
}

const sockets = (): number =>
  process.getActiveResourcesInfo().filter((name) => /^(TCPSocketWrap|TLSWrap)$/.test(name)).length;

test('a client cannot renegotiate: who it is was settled in the first handshake', async () => {
  const { port } = await secured();
  const client = await RawClient.connectTls(port, {
    ALPNProtocols: ['postgresql'],
    maxVersion: 'TLSv1.2',
  });
  const socket = client.socket as tls.TLSSocket;
  const outcome = new Promise<string>((resolve) => {
    socket.on('error', () => resolve('refused'));
    socket.on('close', () => resolve('refused'));
    socket.renegotiate({ rejectUnauthorized: false }, (error) => resolve(error ? 'refused' : 'done'));
  });
  expect(await outcome).toBe('refused');
  client.destroy();
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('no %s session is resumed', async (maxVersion) => {
  const { port } = await secured();
  let session: Buffer | undefined;
  const reused: boolean[] = [];
  for (let round = 0; round < 3; round += 1) {
    const socket = tls.connect({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['postgresql'],
      maxVersion,
      ...(session && { session }),
    });
    socket.on('session', (ticket) => (session = ticket));
    socket.resume();
    await once(socket, 'secureConnect');
    session ??= socket.getSession();
    reused.push(socket.isSessionReused());
    socket.write(startup({ user: '_', database: 'orders', role: 'x' }));
    await once(socket, 'close');
  }
  expect(reused).toEqual([false, false, false]);
});

test.each([
  [
    'a ClientHello after SSLRequest',
    async (port: number) => {
      const socket = await dial(port, SSL_REQUEST);
      await once(socket, 'data');
      socket.write(Buffer.from('16030102', 'hex'));
      return socket;
    },
  ],
  ['a direct ClientHello', async (port: number) => dial(port, Buffer.from('1603010200010001fc0303', 'hex'))],
])(
  'a client that closes its half within %s is gone before any deadline: of 200 no socket stays',
  async (_, begin) => {
    const { port } = await secured('1h');
    const before = sockets();
    const open = await Promise.all(Array.from({ length: 200 }, async () => begin(port)));
    await Promise.all(
      open.map(async (socket) => {
        socket.end();
        return socket.closed || once(socket, 'close');
      }),
    );
    await expect.poll(sockets).toBeLessThanOrEqual(before);
  },
);

test('every stage at which a TLS client can stall ends with the deadline, and no socket stays', async () => {
  const { port } = await secured('3s');
  const before = sockets();
  const stalls: Record<string, () => Promise<net.Socket>> = {
    silent: async () => dial(port),
    'one byte': async () => dial(port, Buffer.from([0])),
    'first byte of a ClientHello': async () => dial(port, Buffer.from([0x16])),
    'half a record': async () => dial(port, Buffer.from('1603010200010001fc0303', 'hex')),
    'SSLRequest alone': async () => dial(port, SSL_REQUEST),
    'SSLRequest and half a hello': async () => {
      const socket = await dial(port, SSL_REQUEST);
      await once(socket, 'data');
      socket.write(Buffer.from('1603010200010001fc0303', 'hex'));
      return socket;
    },
    'TLS and nothing': async () => (await RawClient.connect(port)).startTls().then(({ socket }) => socket),
    'TLS and half a startup packet': async () => {
      const client = await (await RawClient.connect(port)).startTls();
      client.send(HELLO.subarray(0, 9));
      return client.socket;
    },
    'direct TLS and nothing': async () =>
      (await RawClient.connectTls(port, { ALPNProtocols: ['postgresql'] })).socket,
    'no token': async () => {
      const client = await (await RawClient.connect(port)).startTls();
      client.send(HELLO);
      await client.until('R');
      return client.socket;
    },
    'half a token': async () => {
      const client = await (await RawClient.connect(port)).startTls();
      client.send(HELLO);
      await client.until('R');
      client.send(message('p', `${'x'.repeat(3000)}\0`).subarray(0, 1500));
      return client.socket;
    },
  };
  const open = await Promise.all(Object.values(stalls).map((stall) => stall()));
  await Promise.all(open.map(async (socket) => socket.closed || once(socket, 'close')));
  await expect.poll(sockets).toBeLessThanOrEqual(before);
});

async function dial(port: number, bytes?: Buffer): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  socket.on('data', () => {});
  await once(socket, 'connect');
  if (bytes) socket.write(bytes);
  return socket;
}

test('clients that leave at any byte of the handshake leave no socket', async () => {
  const { port } = await secured();
  const before = sockets();
  const recorded: Buffer[] = [];
  const recorder = net.createServer((socket) =>
    socket.on('data', (chunk) => recorded.push(Buffer.from(chunk))),
  );
  recorder.listen(0, '127.0.0.1');
  await once(recorder, 'listening');
  const client = tls.connect({
    port: (recorder.address() as net.AddressInfo).port,
    host: '127.0.0.1',
    ALPNProtocols: ['postgresql'],
  });
  client.on('error', () => {});
  await expect.poll(() => recorded.length).toBeGreaterThan(0);
  client.destroy();
  recorder.close();
  const hello = Buffer.concat(recorded);
  for (let cut = 1; cut <= hello.length; cut += 7) {
    const socket = await dial(port, hello.subarray(0, cut));
    if (cut % 2 === 0) socket.resetAndDestroy();
    else socket.end();
  }
  await expect.poll(sockets).toBeLessThanOrEqual(before);
  // The gateway still serves.
  const next = await RawClient.connectTls(port, { ALPNProtocols: ['postgresql'] });
  next.send(startup({ user: '_', database: 'orders', role: 'x' }));
  expect((await next.error())['C']).toBe('08P01');
});
