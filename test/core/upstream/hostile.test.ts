import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { encodeQuery } from '../../../core/wire/to-server.ts';
import { causes, poolOf, refusal, request, scripted } from './support.ts';

/** A message of a server: type, then the body. */
function message(type: string, ...parts: readonly (string | number | Buffer)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => {
      if (typeof part !== 'number') return Buffer.from(part as string);
      const word = Buffer.alloc(4);
      word.writeInt32BE(part);
      return word;
    }),
  );
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

function header(type: string, length: number): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeUInt32BE(length, 1);
  return head;
}

const OK = message('R', 0);
const KEY = message('K', 4242, Buffer.alloc(32, 7));
const READY = message('Z', 'I');
const STATUS = message('S', 'server_version\0', '18.0\0');
const NOTICE = message('N', 'SNOTICE\0', 'Mhello\0', '\0');
const SASL = message('R', 10, 'SCRAM-SHA-256\0\0');
const ERROR = (fields: string): Buffer => message('E', fields);

/** Answers what is received with the next item of a script; `'close'` closes, items behind the last are silence. */
const speaking =
  (...script: readonly (Buffer | 'close')[]) =>
  (socket: Socket): void => {
    const left = [...script];
    socket.on('data', () => {
      const next = left.shift();
      if (next === 'close') socket.end();
      else if (next) socket.write(next);
    });
  };

const FAST = { connectMs: 500, loginMs: 250, queueMs: 250, cancelMs: 250 };

/** The refusal that a scripted server brings about; every socket is gone afterwards. */
async function refusalBy(script: (socket: Socket) => void, kind: 'trust' | 'password' = 'trust') {
  const server = await scripted(script);
  const login = kind === 'trust' ? { kind } : { kind, passwords: { reader: 'tell-nobody' } };
  const error = await refusal({ host: '127.0.0.1', port: server.port, login }, {}, FAST);
  await expect.poll(() => server.sockets.size).toBe(0);
  await server.stop();
  expect(causes(error)).not.toContain('tell-nobody');
  return error;
}

const LONG = Buffer.alloc(70_000, 'x');

test.each([
  ['length 0', header('R', 0)],
  ['length 3', header('R', 3)],
  ['length 65537', header('R', 65_537)],
  ['length 2^31-1', header('E', 0x7fff_ffff)],
  ['length 2^31', header('R', 0x8000_0000)],
  ['length 2^32-1', header('R', 0xffff_ffff)],
  ['a message that is all there and too long', message('E', LONG)],
  ['HTTP', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')],
  ['an unknown type', message('?', 'x')],
  ['a notice before AuthenticationOk', NOTICE],
  ['a ParameterStatus before AuthenticationOk', STATUS],
  ['ReadyForQuery before AuthenticationOk', READY],
  ['NegotiateProtocolVersion nobody asked for', message('v', 196_608, 0)],
  ['AuthenticationOk with a body', message('R', 0, 'x')],
  ['an authentication request without a code', message('R')],
  ['mechanisms without an end', message('R', 10, 'SCRAM-SHA-256')],
  ['a salt that is too short', message('R', 5, 'ab')],
  ['a row nobody asked for', Buffer.concat([OK, KEY, message('D', 'xx')])],
  ['a second key', Buffer.concat([OK, KEY, KEY, READY])],
  ['a key of 3 bytes', Buffer.concat([OK, message('K', 1, 'abc'), READY])],
  ['a key of 257 bytes', Buffer.concat([OK, message('K', 1, Buffer.alloc(257)), READY])],
  ['no key', Buffer.concat([OK, READY])],
  ['a transaction at login', Buffer.concat([OK, KEY, message('Z', 'T')])],
  ['a status that does not exist', Buffer.concat([OK, KEY, message('Z', '?')])],
  ['a ParameterStatus without a value', Buffer.concat([OK, message('S', 'name\0'), KEY, READY])],
  ['COPY at login', Buffer.concat([OK, message('G', '\0\0\0')])],
  ['a second AuthenticationOk', Buffer.concat([OK, OK, KEY, READY])],
])('a server that sends %s is left with 08001', async (_what, bytes) => {
  const error = await refusalBy(speaking(bytes));
  expect(error).toMatchObject({ sqlstate: '08001', message: 'could not connect to the database' });
  expect(causes(error)).not.toContain('within 250 ms');
});

test.each([
  ['GSSAPI', message('R', 7), 'method 7'],
  ['SSPI', message('R', 9), 'method 9'],
  ['unheard-of authentication', message('R', 99), 'method 99'],
  ['only OAUTHBEARER', message('R', 10, 'OAUTHBEARER\0\0'), 'no SCRAM-SHA-256'],
  ['SCRAM data without SCRAM', message('R', 11, 'r=x'), 'sasl-continue out of order'],
])('a server that wants %s is 08004, the cause says so', async (_what, bytes, reason) => {
  const error = await refusalBy(speaking(bytes), 'password');
  expect(error).toMatchObject({ sqlstate: '08004', message: "the database refused the gateway's login" });
  expect(causes(error)).toContain(reason);
});

/** Answers client-first-message with what a test makes of the client's nonce. */
const scramming =
  (first: (nonce: string) => string, ...then: readonly Buffer[]) =>
  (socket: Socket): void => {
    let step = 0;
    socket.on('data', (chunk: Buffer) => {
      step += 1;
      if (step === 1) socket.write(SASL);
      else if (step === 2)
        socket.write(message('R', 11, first(/r=(\S+)/.exec(chunk.toString('latin1'))?.[1] ?? '')));
      else socket.write(Buffer.concat(then));
    });
  };

const SALT = Buffer.alloc(16, 1).toString('base64');
const honest = (nonce: string): string => `r=${nonce}more,s=${SALT},i=4096`;
const FINAL = message('R', 12, `v=${Buffer.alloc(32).toString('base64')}`);

test.each([
  ['skips its signature', scramming(honest, OK, KEY, READY), 'sent ok where SCRAM'],
  ['says Ok at once', speaking(SASL, OK), 'sent ok where SCRAM'],
  ['signs wrongly', scramming(honest, FINAL, OK, KEY, READY), 'does not know the password'],
  ['sends an empty signature', scramming(honest, message('R', 12, 'v='), OK, KEY, READY), 'SCRAM'],
  ['reports a SCRAM error', scramming(honest, message('R', 12, 'e=other-error'), OK), 'no verifier'],
  ['repeats our nonce', scramming((nonce) => `r=${nonce},s=${SALT},i=4096`), 'nonce'],
  ['has a nonce of its own', scramming(() => `r=foreign,s=${SALT},i=4096`), 'nonce'],
  [
    'has an endless nonce',
    scramming((nonce) => `r=${nonce}${'x'.repeat(60_000)},s=${SALT},i=4096`),
    'too long',
  ],
  ['has no salt', scramming((nonce) => `r=${nonce}more,s=,i=4096`), 'salt'],
  ['asks for one iteration', scramming((nonce) => `r=${nonce}more,s=${SALT},i=1`), 'iterations'],
  ['asks for 2^31 iterations', scramming((nonce) => `r=${nonce}more,s=${SALT},i=2147483647`), 'iterations'],
  ['talks nonsense', scramming(() => 'nonsense'), 'malformed'],
  ['starts SASL again', speaking(SASL, SASL), 'sent sasl where SCRAM'],
  ['asks for the password behind SCRAM', scramming(honest, message('R', 3)), 'sent cleartext where SCRAM'],
])('a server that %s does not get past SCRAM', async (_what, script, reason) => {
  const error = await refusalBy(script, 'password');
  expect(error.sqlstate).toBe('08004');
  expect(causes(error)).toContain(reason);
});

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
  ['a code to pass', 'SFATAL\0VFATAL\0C53300\0Mtoo many\0Dsecret detail\0\0', '53300', 'too many'],
  ['a code not to pass', 'SFATAL\0C28P01\0Mno\0\0', '08004', "the database refused the gateway's login"],
  ['an unknown code', 'SFATAL\0CABCDE\0Mno\0\0', '08004', "the database refused the gateway's login"],
  ['no SQLSTATE', 'SFATAL\0Mno\0\0', '08004', "the database refused the gateway's login"],
  ['no message', 'C57P03\0\0', '57P03', 'the database refused the connection'],
  ['no terminator', 'C57P03\0Mstarting up', '57P03', 'starting up'],
  ['nothing at all', '', '08004', "the database refused the gateway's login"],
  [
    'a name of Object.prototype as code',
    'Cconstructor\0Mno\0\0',
    '08004',
    "the database refused the gateway's login",
  ],
])('an ErrorResponse with %s is understood', async (_what, fields, sqlstate, text) => {
  for (const script of [speaking(ERROR(fields)), speaking(Buffer.concat([OK, ERROR(fields)]))]) {
    const error = await refusalBy(script);
    expect(error).toMatchObject({ sqlstate, message: text, detail: undefined, hint: undefined });
  }
});

test('the text of an ErrorResponse is cut before it reaches anybody', async () => {
  const error = await refusalBy(speaking(ERROR(`C53300\0M${'x'.repeat(20_000)}\0\0`)));
  expect(error.message).toHaveLength(1_000);
});

const LOGGED_IN = Buffer.concat([OK, STATUS, KEY, READY]);
/** Columns of a row: an int16 count, then each behind its length. */
function row(...columns: readonly (string | null)[]): Buffer {
  const values = columns.flatMap((column) => (column === null ? [-1] : [Buffer.byteLength(column), column]));
  return message('D', Buffer.from([0, columns.length]), ...values);
}
const DONE = Buffer.concat([message('C', 'SELECT 1\0'), message('3'), READY]);
const verified = (...rows: readonly Buffer[]): Buffer =>
  Buffer.concat([message('1'), message('2'), ...rows, DONE]);

test.each([
  ['another role', [row('reader', 'postgres', null, null)], '28000'],
  ['another session', [row('postgres', 'reader', null, null)], '28000'],
  ['nobody', [row(null, null, null, null)], '28000'],
  ['no row', [], '08001'],
  ['two rows', [row('reader', 'reader', null, null), row('reader', 'reader', null, null)], '08001'],
  ['too few columns', [row('reader', 'reader')], '08001'],
  ['a row longer than its message', [message('D', Buffer.from([0, 1]), 1_000_000, 'x')], '08001'],
  ['a row with a negative count', [message('D', Buffer.from([0xff, 0xff]))], '08001'],
  ['an error', [ERROR('C42501\0Mno\0\0')], '08001'],
  ['two errors', [ERROR('C42501\0Mno\0\0'), ERROR('C42501\0Mno\0\0')], '08001'],
  ['COPY', [message('H', '\0\0\0')], '08001'],
  ['a notification', [message('A', 1, 'c\0', 'p\0')], '08001'],
])('a server whose answer to the verification has %s is not handed out', async (_what, rows, sqlstate) => {
  const error = await refusalBy(speaking(LOGGED_IN, verified(...rows)));
  expect(error.sqlstate).toBe(sqlstate);
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
