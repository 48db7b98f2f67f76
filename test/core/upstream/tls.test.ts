import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { UpstreamTls } from '../../../core/contract/database.ts';
import { dial } from '../../../core/upstream/dial.ts';
import type { Server } from '../../../core/upstream/hosts/endpoint.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificate, Certificates } from '../../support/certificates.ts';
import { causes, refusal, scripted } from './support.ts';
import type { ScriptedServer } from './support.ts';

let pems: Certificates;

beforeAll(async () => {
  pems = await certificates();
});

afterAll(() => {
  pems.remove();
});

interface TlsServer extends ScriptedServer {
  /** What clients asked for in their handshakes. */
  readonly hellos: { servername: string; alpn: string; version: string }[];
}

/** Answers SSLRequest as PostgreSQL does, then does TLS with a certificate. */
async function tlsServer({ cert, key }: Certificate, options: tls.TlsOptions = {}): Promise<TlsServer> {
  const hellos: TlsServer['hellos'] = [];
  const secure = new tls.Server({ cert, key, ALPNProtocols: ['postgresql'], ...options });
  secure.on('tlsClientError', (_error, socket) => socket.destroy());
  secure.on('secureConnection', (socket) => {
    const { servername, alpnProtocol } = socket as tls.TLSSocket & { servername: string };
    hellos.push({ servername, alpn: String(alpnProtocol), version: String(socket.getProtocol()) });
    socket.on('error', () => {});
    socket.resume();
  });
  const server = await scripted((socket) => {
    socket.once('data', (request) => {
      expect(request.toString('hex')).toBe('0000000804d2162f');
      socket.pause();
      socket.write('S');
      setImmediate(() => secure.emit('connection', socket));
    });
  });
  return Object.assign(server, { hellos });
}

const database = (port: number, given: UpstreamTls, host = '127.0.0.1'): Server => ({
  host,
  port,
  tls: given,
  login: { kind: 'trust' },
});

/** Dials and closes; the text of all causes where it fails. */
async function attempt(options: Server): Promise<string> {
  try {
    const { channel, proven, certificate } = await dial(options, new AbortController().signal);
    channel.destroy();
    await once(channel.socket, 'close');
    return `${certificate ? 'TLS' : 'plain'}, ${proven ? 'proven' : 'unknown'}`;
  } catch (error) {
    expect(error).toMatchObject({
      sqlstate: '08001',
      message: 'could not connect to the database',
      detail: undefined,
    });
    return causes(error);
  }
}

const MODES = ['require', 'verify-ca', 'verify-full'] as const;
const CHAIN = /self-signed|unable to (get|verify)/;
const NAME = /does not match certificate|not in the cert/;

test.each([
  ['disable', 'ca', 'server', 'plain, proven'],
  ['require', undefined, 'server', 'TLS, proven'],
  ['require', undefined, 'wrongServer', 'TLS, proven'],
  ['require', 'ca', 'server', 'TLS, proven'],
  ['require', 'ca', 'other', 'TLS, proven'],
  ['require', 'ca', 'wrongServer', CHAIN],
  ['verify-ca', 'ca', 'server', 'TLS, proven'],
  ['verify-ca', 'ca', 'other', 'TLS, proven'],
  ['verify-ca', 'ca', 'wrongServer', CHAIN],
  ['verify-ca', undefined, 'server', CHAIN],
  ['verify-full', 'ca', 'server', 'TLS, proven'],
  ['verify-full', 'ca', 'other', NAME],
  ['verify-full', 'ca', 'wrongServer', CHAIN],
  ['verify-full', 'wrongCa', 'server', CHAIN],
  ['verify-full', undefined, 'server', CHAIN],
] as const)('mode %s with authority %s and certificate %s', async (mode, ca, certificate, expected) => {
  const server = await tlsServer(pems[certificate]);
  const outcome = await attempt(database(server.port, { mode, ...(ca && { ca: pems[ca].certFile }) }));
  if (typeof expected === 'string') expect(outcome).toBe(expected);
  else expect(outcome).toMatch(expected);
  await expect.poll(() => server.sockets.size).toBe(0);
  await server.stop();
});

test('without a mode the name is verified, and servername says which', async () => {
  const server = await tlsServer(pems.other);
  const ca = pems.ca.certFile;
  expect(await attempt(database(server.port, { ca }))).toMatch(NAME);
  expect(await attempt(database(server.port, { ca, servername: 'other.example' }))).toBe('TLS, proven');
  await server.stop();
});

test.each([
  ['localhost', undefined, 'localhost'],
  ['127.0.0.1', undefined, false],
  ['127.0.0.1', 'localhost', 'localhost'],
])(
  'the handshake with %s, servername %s, names %s, the protocol, and a modern TLS',
  async (host, servername, sni) => {
    const server = await tlsServer(pems.server);
    const given = { ca: pems.ca.certFile, ...(servername && { servername }) };
    const { channel } = await dial(database(server.port, given, host), new AbortController().signal);
    const expected = { servername: sni, alpn: 'postgresql', version: 'TLSv1.3' };
    await expect.poll(() => server.hellos).toEqual([expected]);
    channel.destroy();
    await server.stop();
  },
);

test('TLS 1.1 is refused', async () => {
  const server = await tlsServer(pems.server, {
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'ALL:@SECLEVEL=0',
  });
  expect(await attempt(database(server.port, { ca: pems.ca.certFile }))).toMatch(
    /protocol version|unsupported protocol/,
  );
  await server.stop();
});

test('a file of authorities that changes is read again, and one that is gone refuses', async () => {
  const server = await tlsServer(pems.server);
  const ca = join(pems.folder, 'changing.crt');
  copyFileSync(pems.wrongCa.certFile, ca);
  expect(await attempt(database(server.port, { ca }))).toMatch(CHAIN);
  writeFileSync(ca, `${pems.wrongCa.cert}${pems.ca.cert}`);
  expect(await attempt(database(server.port, { ca }))).toBe('TLS, proven');
  rmSync(ca);
  expect(await attempt(database(server.port, { ca }))).toContain('ENOENT');
  await server.stop();
});

test.each(MODES)('mode %s refuses a server without TLS', async (mode) => {
  const server = await scripted((socket) => socket.once('data', () => socket.write('N')));
  const outcome = await attempt(database(server.port, { mode, ca: pems.ca.certFile }));
  expect(outcome).toContain('does not offer TLS');
  await expect.poll(() => server.sockets.size).toBe(0);
  await server.stop();
});

test.each([1, 2, 5, 1_000, 65_536])(
  '%i stuffed bytes behind the S are never read as TLS or as anything',
  async (count) => {
    const server = await scripted((socket) =>
      socket.once('data', () => socket.write(Buffer.concat([Buffer.from('S'), Buffer.alloc(count, 'R')]))),
    );
    expect(await attempt(database(server.port, { mode: 'require' }))).toContain('unencrypted bytes behind');
    await expect.poll(() => server.sockets.size).toBe(0);
    await server.stop();
  },
);

test('bytes stuffed a moment after the S break the handshake', async () => {
  const server = await scripted((socket) =>
    socket.once('data', () => {
      socket.write('S');
      setImmediate(() => socket.write(Buffer.from('520000000800000000', 'hex')));
    }),
  );
  expect(await attempt(database(server.port, { mode: 'require' }))).toContain('failed');
  await expect.poll(() => server.sockets.size).toBe(0);
  await server.stop();
});

test('an error message instead of an answer to SSLRequest is not shown to anybody', async () => {
  const server = await scripted((socket) => socket.once('data', () => socket.end('Eevil words\0')));
  const error = await refusal(database(server.port, { mode: 'require' }));
  expect(error).toMatchObject({ sqlstate: '08001', message: 'could not connect to the database' });
  expect(causes(error)).not.toContain('evil');
  await server.stop();
});

test.each([
  ['before its answer', () => {}],
  ['inside the handshake', (write: (bytes: Buffer) => void) => write(Buffer.from('S'))],
])('a server that goes silent %s is given up after the deadline', async (_when, answer) => {
  const server = await scripted((socket) => {
    socket.once('data', () => answer((bytes) => socket.write(bytes)));
    socket.resume();
  });
  const error = await refusal(database(server.port, { mode: 'require' }), {}, { connectMs: 100 });
  expect(error.sqlstate).toBe('08001');
  expect(causes(error)).toContain('within 100 ms');
  await expect.poll(() => server.sockets.size).toBe(0);
  await server.stop();
});

test.each([
  ['before its answer', ''],
  ['inside the handshake', 'S'],
])('a server that goes away %s ends the attempt', async (_when, answer) => {
  const server = await scripted((socket) => socket.once('data', () => socket.end(answer)));
  expect(await attempt(database(server.port, { mode: 'require' }))).toMatch(
    /closed the connection|disconnected|ECONNRESET/,
  );
  await server.stop();
});

test('a caller that leaves ends each step at once, and no socket stays', async () => {
  for (const answer of ['', 'S']) {
    const server = await scripted((socket) => {
      socket.once('data', () => socket.write(answer));
      socket.resume();
    });
    const leaving = new AbortController();
    const dialing = dial(database(server.port, { mode: 'require' }), leaving.signal);
    await expect.poll(() => server.sockets.size).toBe(1);
    leaving.abort(new Error('left'));
    await expect(dialing).rejects.toThrow('left');
    await expect.poll(() => server.sockets.size).toBe(0);
    await server.stop();
  }
});

test.each([
  ['nobody listens', { host: '127.0.0.1', port: 1 }, 'ECONNREFUSED'],
  ['the name is unknown', { host: 'no-such-host.invalid', port: 5432 }, /ENOTFOUND|EAI_AGAIN/],
  ['the socket folder is empty', { host: '/nonexistent', port: 5432 }, 'ENOENT'],
])('where %s, only the operator learns the address', async (_what, where, reason) => {
  const error = await refusal({ ...where, tls: { mode: 'disable' }, login: { kind: 'trust' } });
  expect(error).toMatchObject({ sqlstate: '08001', message: 'could not connect to the database' });
  expect(error.message).not.toContain(where.host);
  expect(causes(error)).toMatch(reason);
});
