/** Servers made of bytes: messages, scripts that send them, and the refusal that comes of it. */
import type { Socket } from 'node:net';
import { expect } from 'vitest';
import { causes, refusal, scripted } from './support.ts';

/** A message of a server: type, then the body. */
export function message(type: string, ...parts: readonly (string | number | Buffer)[]): Buffer {
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

export function header(type: string, length: number): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeUInt32BE(length, 1);
  return head;
}

export const OK = message('R', 0);
export const KEY = message('K', 4242, Buffer.alloc(32, 7));
export const READY = message('Z', 'I');
export const STATUS = message('S', 'server_version\0', '18.0\0');
export const NOTICE = message('N', 'SNOTICE\0', 'Mhello\0', '\0');
export const SASL = message('R', 10, 'SCRAM-SHA-256\0\0');
export const ERROR = (fields: string): Buffer => message('E', fields);

/** Answers what is received with the next item of a script; `'close'` closes, items behind the last are silence. */
export const speaking =
  (...script: readonly (Buffer | 'close')[]) =>
  (socket: Socket): void => {
    const left = [...script];
    socket.on('data', () => {
      const next = left.shift();
      if (next === 'close') socket.end();
      else if (next) socket.write(next);
    });
  };

export const FAST = { connectMs: 500, loginMs: 250, queueMs: 5_000, cancelMs: 250 };

/** The refusal that a scripted server brings about; every socket is gone afterwards. */
export async function refusalBy(
  script: (socket: Socket) => void,
  kind: 'trust' | 'password' = 'trust',
  timeouts = FAST,
) {
  const server = await scripted(script);
  const login = kind === 'trust' ? { kind } : { kind, passwords: { reader: 'tell-nobody' } };
  const error = await refusal({ host: '127.0.0.1', port: server.port, login }, {}, timeouts);
  await expect.poll(() => server.sockets.size).toBe(0);
  await server.stop();
  expect(causes(error)).not.toContain('tell-nobody');
  return error;
}

/** Answers client-first-message with what a test makes of the client's nonce. */
export const scramming =
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

export const SALT = Buffer.alloc(16, 1).toString('base64');
export const honest = (nonce: string): string => `r=${nonce}more,s=${SALT},i=4096`;
export const FINAL = message('R', 12, `v=${Buffer.alloc(32).toString('base64')}`);

export const LOGGED_IN = Buffer.concat([OK, STATUS, KEY, READY]);
/** Columns of a row: an int16 count, then each behind its length. */
export function row(...columns: readonly (string | null)[]): Buffer {
  const values = columns.flatMap((column) => (column === null ? [-1] : [Buffer.byteLength(column), column]));
  return message('D', Buffer.from([0, columns.length]), ...values);
}
/** What a server says of a login that is otherwise as it should be. */
export const loginRow = (sessionUser: string | null, currentUser: string | null): Buffer =>
  row(sessionUser, currentUser, null, null, 'f', '"$user", public', ...Array<null>(7).fill(null));
/** That of the role that tests log in as. */
export const VERIFIED = loginRow('reader', 'reader');
const DONE = Buffer.concat([message('C', 'SELECT 1\0'), message('3'), READY]);
export const verified = (...rows: readonly Buffer[]): Buffer =>
  Buffer.concat([message('1'), message('2'), ...rows, DONE]);
