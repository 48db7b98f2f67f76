import { expect, test } from 'vitest';
import { causes } from './support.ts';
import {
  ERROR,
  FINAL,
  KEY,
  LOGGED_IN,
  NOTICE,
  OK,
  READY,
  SALT,
  SASL,
  STATUS,
  header,
  honest,
  message,
  refusalBy,
  row,
  scramming,
  speaking,
  verified,
  VERIFIED,
  loginRow,
} from './server-script.ts';

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

test.each([
  ['another role', [loginRow('reader', 'postgres')], '28000'],
  ['another session', [loginRow('postgres', 'reader')], '28000'],
  ['nobody', [loginRow(null, null)], '28000'],
  ['no row', [], '08001'],
  ['two rows', [VERIFIED, VERIFIED], '08001'],
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
