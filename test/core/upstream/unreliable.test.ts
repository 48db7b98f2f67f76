import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { encodeQuery } from '../../../core/wire/to-server.ts';
import {
  ERROR,
  FAST,
  KEY,
  LOGGED_IN,
  OK,
  READY,
  SASL,
  honest,
  message,
  refusalBy,
  row,
  scramming,
  speaking,
  verified,
} from './server-script.ts';
import { causes, poolOf, request, scripted } from './support.ts';

test('endless notices end with a bound on bytes, not with time or memory', async () => {
  const flood = Buffer.concat(
    Array.from({ length: 2_000 }, () => message('N', 'Mx', Buffer.alloc(1_000, 'x'))),
  );
  const error = await refusalBy((socket) => {
    socket.once('data', () => socket.write(Buffer.concat([OK, flood])));
  });
  expect(error.sqlstate).toBe('08001');
  expect(causes(error)).toContain('bytes before it was ready');
});

test('endless parameters end in the same way', async () => {
  const status = (_: unknown, i: number): Buffer => message('S', `p${i}\0`, Buffer.alloc(1_000, 'x'), '\0');
  const flood = Buffer.concat(Array.from({ length: 2_000 }, status));
  const error = await refusalBy(speaking(Buffer.concat([OK, flood])));
  expect(causes(error)).toContain('bytes before it was ready');
});

test.each([
  ['the startup packet', speaking()],
  ['an offer of SCRAM', speaking(SASL)],
  ['a SCRAM challenge', scramming(honest)],
  ['AuthenticationOk', speaking(OK)],
  ['the key', speaking(Buffer.concat([OK, KEY]))],
  ['half a message', speaking(Buffer.concat([OK, KEY, READY.subarray(0, 3)]))],
  ['ReadyForQuery', speaking(LOGGED_IN)],
  [
    'half the verification',
    speaking(LOGGED_IN, verified(row('reader', 'reader', null, null)).subarray(0, 30)),
  ],
])('a server that stalls after %s is given up at the deadline', async (what, script) => {
  const error = await refusalBy(script, what.includes('SCRAM') ? 'password' : 'trust');
  expect(error.sqlstate).toBe('08001');
  expect(causes(error)).toContain('no login within 250 ms');
});

test.each([
  ['accept', (socket: Socket): void => void socket.destroy()],
  ['the startup packet', speaking('close')],
  ['AuthenticationOk', (socket: Socket): void => void socket.once('data', () => socket.end(OK))],
  ['ReadyForQuery', (socket: Socket): void => void socket.once('data', () => socket.end(LOGGED_IN))],
  ['the verification began', speaking(LOGGED_IN, 'close')],
])('a server that dies after %s is 08001', async (_what, script) => {
  const error = await refusalBy(script);
  expect(error.sqlstate).toBe('08001');
  expect(causes(error)).not.toContain('within 250 ms');
});

test('an error sent with the last breath is heard although the connection is gone', async () => {
  const error = await refusalBy((socket) => {
    socket.once('data', () => socket.end(ERROR('C57P03\0Mstarting up\0\0')));
  });
  expect(error.sqlstate).toBe('57P03');
});

test('a login in pieces of one byte is a login', async () => {
  const script = speaking(LOGGED_IN, verified(row('reader', 'reader', null, null)));
  const server = await scripted((socket) => {
    const write = socket.write.bind(socket);
    const pieces = (bytes: Buffer): boolean => {
      for (const byte of bytes) write(Buffer.from([byte]));
      return true;
    };
    Object.assign(socket, { write: pieces });
    script(socket);
  });
  const pool = poolOf({ host: '127.0.0.1', port: server.port, login: { kind: 'trust' } }, FAST);
  const connection = await pool.acquire(request());
  expect(connection).toMatchObject({ pid: 4242, role: 'reader' });
  expect([...connection.parameters]).toEqual([['server_version', '18.0']]);
  await pool.close();
  await expect.poll(() => server.sockets.size).toBe(0);
  await server.stop();
});

test('what comes behind the last ReadyForQuery belongs to the next owner, to the byte', async () => {
  const late = message('A', 1, 'channel\0', 'payload\0');
  const answer = Buffer.concat([verified(row('reader', 'reader', null, null)), late]);
  const server = await scripted(speaking(LOGGED_IN, answer, READY));
  const pool = poolOf({ host: '127.0.0.1', port: server.port, login: { kind: 'trust' } }, FAST);
  const { channel } = await pool.acquire(request());
  let seen = '';
  channel.listen({ bytes: (chunk) => (seen += chunk.toString('hex')), drained() {}, closed() {} });
  channel.resume();
  channel.write(encodeQuery('select 1'));
  await expect.poll(() => seen).toBe(Buffer.concat([late, READY]).toString('hex'));
  await pool.close();
  await server.stop();
});

test('a caller that leaves in the middle of a login leaves nothing behind', async () => {
  for (const script of [speaking(), speaking(OK), speaking(LOGGED_IN)]) {
    const server = await scripted(script);
    const leaving = new AbortController();
    const pool = poolOf({ host: '127.0.0.1', port: server.port, login: { kind: 'trust' } });
    const acquiring = pool.acquire(request({ signal: leaving.signal }));
    await expect.poll(() => server.sockets.size).toBe(1);
    leaving.abort(new Error('left'));
    await expect(acquiring).rejects.toThrow('left');
    expect(pool).toMatchObject({ size: 0, waiting: 0, lent: 0 });
    await expect.poll(() => server.sockets.size).toBe(0);
    await server.stop();
  }
});
