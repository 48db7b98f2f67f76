/** Protocol 3.2 towards servers: asked for where the entry says so, with a long cancel key from those that have it. */
import net from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { LOGGED_IN, OK, READY, message } from './server-script.ts';
import { causes, query, refusal, scripted, withConnection } from './support.ts';

let postgres: OwnPostgres;
beforeAll(async () => (postgres = await startPostgres()));
afterAll(() => postgres.stop());

const HEAD_BYTES = 8;
const VERSION = (minor: number, ...options: string[]): Buffer =>
  message('v', 3 * 65_536 + minor, options.length, ...options.map((one) => `${one}\0`));

describe.each([
  ['3.0', undefined],
  ['3.0', '3.0'],
  ['3.2', '3.2'],
] as const)('with protocol %s, maxProtocolVersion %s', (version, maxProtocolVersion) => {
  const entry = (port: number): DatabaseOptions => ({
    host: '127.0.0.1',
    port,
    login: { kind: 'password', passwords: postgres.passwords },
    ...(maxProtocolVersion && { maxProtocolVersion }),
  });

  test('a server that is newer or older is used, and a cancel with its key ends the statement', async () => {
    const first: Buffer[] = [];
    const proxy = await scripted((socket: Socket) => {
      const server = net.connect(postgres.port, postgres.host);
      socket.once('data', (chunk) => first.push(Buffer.from(chunk)));
      socket.pipe(server).pipe(socket);
      server.on('error', () => socket.destroy());
      socket.on('close', () => server.destroy());
    });
    await withConnection(entry(proxy.port), {}, async (connection) => {
      const running = query(connection, 'select pg_sleep(60)');
      const { pid } = connection;
      await expect
        .poll(() =>
          postgres.sql(`select from pg_stat_activity where pid = ${pid} and wait_event = 'PgSleep'`),
        )
        .toHaveLength(1);
      const cancelled = expect(running).rejects.toThrow('57014');
      expect(await connection.cancel()).toBe(true);
      await cancelled;
    });
    await proxy.stop();
    const [login, cancel] = first;
    expect(login?.readUInt32BE(4)).toBe(3 * 65_536 + (version === '3.2' ? 2 : 0));
    const secret = version === '3.2' && postgres.version >= 18 ? 32 : 4;
    expect(cancel).toHaveLength(HEAD_BYTES + 4 + secret);
  });
});

const asking = (port: number, maxProtocolVersion: '3.0' | '3.2' = '3.2'): DatabaseOptions => ({
  host: '127.0.0.1',
  port,
  login: { kind: 'trust' },
  maxProtocolVersion,
});

async function refusedBy(answer: Buffer, maxProtocolVersion?: '3.0' | '3.2'): Promise<string> {
  const server = await scripted((socket) => socket.once('data', () => socket.write(answer)));
  const error = await refusal(asking(server.port, maxProtocolVersion), {}, { loginMs: 250 });
  await server.stop();
  expect(error.sqlstate).toBe('08001');
  return causes(error);
}

test.each([
  ['the version that was asked for', VERSION(2)],
  ['a newer one', VERSION(3)],
  ['an option that was not sent', VERSION(0, '_pq_.a')],
  ['half an answer', message('v', 3 * 65_536)],
  ['its answer twice', Buffer.concat([VERSION(0), VERSION(0)])],
  ['its answer after the login', Buffer.concat([OK, VERSION(0), READY])],
])('a server that answers %s is left', async (_, answer) => {
  expect(await refusedBy(Buffer.concat([answer, LOGGED_IN]))).toMatch(/unexpected message of type v|message/);
});

test('a server that speaks of versions although none but 3.0 was asked for is left', async () => {
  expect(await refusedBy(Buffer.concat([VERSION(0), LOGGED_IN]), '3.0')).toContain(
    'unexpected message of type v',
  );
});

test('a pooler that refuses 3.2 says so in the log, and takes 3.0', async () => {
  const said = message('E', 'SFATAL\0C08P01\0Munsupported protocol version: 3.2\0\0');
  const server = await scripted((socket) => socket.once('data', () => socket.end(said)));
  const error = await refusal(asking(server.port));
  await server.stop();
  expect(error.sqlstate).toBe('08004');
  expect(causes(error)).toContain('unsupported protocol version: 3.2');
});
