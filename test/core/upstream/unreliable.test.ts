import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
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
  scramming,
  speaking,
  verified,
  VERIFIED,
} from './server-script.ts';
import { causes, poolOf, request, scripted } from './support.ts';

/** A busy machine reads a megabyte in time. */
const UNHURRIED = { ...FAST, loginMs: 60_000 };

test('endless notices end with a bound on bytes, not with time or memory', async () => {
  const flood = Buffer.concat(
    Array.from({ length: 2_000 }, () => message('N', 'Mx', Buffer.alloc(1_000, 'x'))),
  );
  const error = await refusalBy(
    (socket) => socket.once('data', () => socket.write(Buffer.concat([OK, flood]))),
    'trust',
    UNHURRIED,
  );
  expect(error.sqlstate).toBe('08001');
  expect(causes(error)).toContain('bytes before it was ready');
});

test('endless parameters end in the same way', async () => {
  const status = (_: unknown, i: number): Buffer => message('S', `p${i}\0`, Buffer.alloc(1_000, 'x'), '\0');
  const flood = Buffer.concat(Array.from({ length: 2_000 }, status));
  const error = await refusalBy(speaking(Buffer.concat([OK, flood])), 'trust', UNHURRIED);
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
  ['half the verification', speaking(LOGGED_IN, verified(VERIFIED).subarray(0, 30))],
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
  const script = speaking(LOGGED_IN, verified(VERIFIED));
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

const entryOf = (port: number): DatabaseOptions => ({ host: '127.0.0.1', port, login: { kind: 'trust' } });
const good = verified(VERIFIED);

test('parameters and notices behind the last ReadyForQuery are read before the connection is handed out', async () => {
  const late = Buffer.concat([message('N', 'Mhello\0\0'), message('S', 'in_hot_standby\0on\0')]);
  const server = await scripted(speaking(LOGGED_IN, Buffer.concat([good, late])));
  const pool = poolOf(entryOf(server.port), FAST);
  const { parameters } = await pool.acquire(request());
  expect(parameters.get('in_hot_standby')).toBe('on');
  await pool.close();
  await server.stop();
});

test.each([
  ['a notification', message('A', 1, 'channel\0', 'payload\0')],
  ['half a message', message('S', 'in_hot_standby\0on\0').subarray(0, 9)],
  ['an error', ERROR('C57P01\0Mgoing\0\0')],
  ['a second ReadyForQuery', READY],
])(
  'a server that says %s where nobody asked gets no session and is not asked again and again',
  async (_what, late) => {
    const server = await scripted(speaking(LOGGED_IN, Buffer.concat([good, late])));
    const pool = poolOf(entryOf(server.port), FAST);
    await expect(pool.acquire(request())).rejects.toMatchObject({ sqlstate: '08001' });
    expect(server.accepted).toBe(1);
    await pool.close();
    await server.stop();
  },
);

test('a login goes on when its caller has left, for the next one', async () => {
  const server = await scripted(speaking(LOGGED_IN, good));
  const leaving = new AbortController();
  const pool = poolOf(entryOf(server.port));
  const acquiring = pool.acquire(request({ signal: leaving.signal }));
  leaving.abort(new Error('left'));
  await expect(acquiring).rejects.toThrow('left');
  expect(pool).toMatchObject({ waiting: 0, lent: 0, size: 1, opening: 1 });
  expect((await pool.acquire(request())).pid).toBe(4242);
  expect(server.accepted).toBe(1);
  await pool.close();
  await server.stop();
});

test('a login that never ends is ended by the pool’s end', async () => {
  for (const script of [speaking(), speaking(OK), speaking(LOGGED_IN)]) {
    const server = await scripted(script);
    const pool = poolOf(entryOf(server.port));
    const refused = expect(pool.acquire(request())).rejects.toMatchObject({ sqlstate: '57P03' });
    await expect.poll(() => server.sockets.size).toBe(1);
    await pool.close();
    await refused;
    expect(pool).toMatchObject({ size: 0, waiting: 0, lent: 0, opening: 0 });
    await expect.poll(() => server.sockets.size).toBe(0);
    await server.stop();
  }
});
