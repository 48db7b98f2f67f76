import net from 'node:net';
import tls from 'node:tls';
import { serialize } from 'pg-protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseOptions, UpstreamTls } from '../../../core/contract/database.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { causes, query, refusal, scripted, withConnection } from './support.ts';

let pems: Certificates;
let postgres: OwnPostgres;

const ROLES = ['scrammed', 'digested', 'spelled', 'trusted', 'banned'] as const;

beforeAll(async () => {
  pems = await certificates();
  postgres = await startPostgres({
    ssl: { cert: pems.server.cert, key: pems.server.key },
    hba: [
      'local all trusted trust',
      'host all trusted 127.0.0.1/32 trust',
      'host all digested 127.0.0.1/32 md5',
      'host all spelled 127.0.0.1/32 password',
      'host all banned 127.0.0.1/32 reject',
    ],
  });
  await postgres.sql(`
    create role scrammed login password 'right'; create role spelled login password 'right';
    create role trusted login; create role banned login password 'right';
    set password_encryption = 'md5'; create role digested login password 'right'`);
});

afterAll(async () => {
  await postgres.stop();
  pems.remove();
});

const identity = async (connection: Parameters<typeof query>[0]): Promise<unknown> =>
  query(
    connection,
    'select session_user, current_user, (select ssl from pg_stat_ssl where pid = pg_backend_pid())',
  );

function entry(tlsOptions: UpstreamTls, more: Partial<DatabaseOptions> = {}): DatabaseOptions {
  const passwords = Object.fromEntries(ROLES.map((role) => [role, 'right']));
  const { port } = postgres;
  return { host: '127.0.0.1', port, tls: tlsOptions, login: { kind: 'password', passwords }, ...more };
}

const plain = (more?: Partial<DatabaseOptions>): DatabaseOptions => entry({ mode: 'disable' }, more);
const secured = (more?: Partial<DatabaseOptions>): DatabaseOptions => entry({ ca: pems.ca.certFile }, more);
const wrong = { login: { kind: 'password', passwords: () => 'wrong' } } as const;

test.each([
  ['scrammed', 'plain', 'f'],
  ['scrammed', 'TLS', 't'],
  ['digested', 'TLS', 't'],
  ['spelled', 'TLS', 't'],
])('%s logs in over %s as itself', async (role, way, ssl) => {
  const rows = await withConnection(way === 'TLS' ? secured() : plain(), { role }, identity);
  expect(rows).toEqual([[role, role, ssl]]);
});

test.each(['digested', 'spelled'])('%s is refused without TLS, and its password stays here', async (role) => {
  const before = postgres.log().length;
  const error = await refusal(plain(), { role });
  expect(error).toMatchObject({ sqlstate: '08004', message: "the database refused the gateway's login" });
  expect(causes(error)).toContain('inside TLS only');
  expect(postgres.log().slice(before)).not.toContain('connection authenticated');
});

test.each(['scrammed', 'digested', 'spelled'])(
  'a wrong password of %s is 08004, the reason only a cause',
  async (role) => {
    const error = await refusal(secured(wrong), { role });
    expect(error).toMatchObject({ sqlstate: '08004', detail: undefined, hint: undefined });
    expect(error.message).not.toContain(role);
    expect(causes(error)).toContain(`28P01: password authentication failed for user "${role}"`);
    expect(causes(error)).not.toContain('wrong');
  },
);

test('a role that pg_hba rejects is 08004', async () => {
  const error = await refusal(plain(), { role: 'banned' });
  expect(error.sqlstate).toBe('08004');
  expect(causes(error)).toContain('28000');
});

test('trust works on the unix socket and on loopback', async () => {
  const login = { kind: 'trust' } as const;
  for (const host of ['127.0.0.1', postgres.socketDir]) {
    const rows = await withConnection({ host, port: postgres.port, login }, { role: 'trusted' }, identity);
    expect(rows).toEqual([['trusted', 'trusted', 'f']]);
  }
});

test('trust is not answered with a password', async () => {
  const error = await refusal(plain({ login: { kind: 'trust' } }), { role: 'scrammed' });
  expect(error.sqlstate).toBe('08004');
  expect(causes(error)).toContain("login.kind is 'trust'");
});

test('a server on this machine may log in without asking for the password it has', async () => {
  expect(await withConnection(plain(), { role: 'trusted' }, identity)).toEqual([['trusted', 'trusted', 'f']]);
});

test.each([
  ['3D000', { role: 'scrammed', database: 'nowhere' }, 'database "nowhere" does not exist'],
  [
    '22023',
    { role: 'scrammed', parameters: { TimeZone: 'Nowhere' } },
    'invalid value for parameter "TimeZone": "Nowhere"',
  ],
])('%s at login passes with its message and nothing else', async (sqlstate, wanted, message) => {
  expect(await refusal(plain(), wanted)).toMatchObject({
    sqlstate,
    message,
    detail: undefined,
    hint: undefined,
  });
});

test('a role at its connection limit is 53300', async () => {
  await postgres.sql("create role narrow login password 'right' connection limit 0");
  const narrow = plain({ login: { kind: 'password', passwords: { narrow: 'right' } } });
  expect((await refusal(narrow, { role: 'narrow' })).sqlstate).toBe('53300');
});

test('a database that the role may not connect to is 42501', async () => {
  await postgres.sql('create database closed');
  await postgres.sql('revoke connect on database closed from public');
  expect((await refusal(plain(), { role: 'scrammed', database: 'closed' })).sqlstate).toBe('42501');
});

test.each([
  ['no entry', {}, 'has no password for role "scrammed"'],
  ['an inherited name', Object.create({ scrammed: 'right' }) as Record<string, string>, 'has no password'],
  ['an empty text', { scrammed: '' }, 'empty or unusable'],
  ['nothing of a source', () => undefined, 'has no password'],
  ['null of a source', () => null as unknown as undefined, 'has no password'],
  ['a number of a source', () => 42 as unknown as string, 'empty or unusable'],
  ['a source that fails without a reason', () => Promise.reject(), 'databases.main.login.passwords failed'],
  ['a source that fails', () => Promise.reject(new Error('vault sealed')), 'vault sealed'],
  [
    'a source that throws',
    () => {
      throw new Error('vault gone');
    },
    'vault gone',
  ],
])('%s instead of a password refuses before anything is connected', async (_what, passwords, reason) => {
  const server = await scripted(() => {});
  const database = { host: '127.0.0.1', port: server.port, login: { kind: 'password', passwords } } as const;
  const error = await refusal(database, { role: 'scrammed' });
  const message = 'the gateway could not get its credentials for the database';
  expect(error).toMatchObject({ sqlstate: '08004', message });
  expect(causes(error)).toContain(reason);
  expect(causes(error)).toContain('databases.main.login.passwords');
  expect(server.accepted).toBe(0);
  await server.stop();
});

test('a password source that never answers is given up, and the database is not to blame', async () => {
  const login = { kind: 'password', passwords: () => new Promise<string>(() => {}) } as const;
  const error = await refusal(plain({ login }), { role: 'scrammed' }, { loginMs: 50 });
  const message = 'the gateway could not get its credentials for the database';
  expect(error).toMatchObject({ sqlstate: '08004', message });
  expect(causes(error)).toContain('databases.main.login: no credentials within 50 ms');
});

/** A man in the middle who ends TLS with a certificate of his own, and may change what the server says. */
async function interceptor(
  change: (chunk: Buffer) => Buffer,
): Promise<{ port: number; stop(): Promise<void> }> {
  const { cert, key } = pems.wrongServer;
  const ours = new tls.Server({ cert, key });
  ours.on('secureConnection', (client) => {
    const raw = net.connect(postgres.port, '127.0.0.1', () =>
      raw.write(Buffer.from('0000000804d2162f', 'hex')),
    );
    raw.once('data', () => {
      const server = tls.connect({ socket: raw, rejectUnauthorized: false });
      server.on('data', (chunk: Buffer) => client.write(change(chunk)));
      client.on('data', (chunk: Buffer) => server.write(chunk));
      server.on('close', () => client.end()).on('error', () => {});
      client.on('close', () => server.destroy()).on('error', () => {});
    });
  });
  return scripted((socket) => {
    socket.once('data', () => {
      socket.pause();
      socket.write('S');
      setImmediate(() => ours.emit('connection', socket));
    });
  });
}

test('channel binding gives away a man in the middle whom TLS alone would not', async () => {
  const middle = await interceptor((chunk) => chunk);
  const error = await refusal({ ...entry({ mode: 'require' }), port: middle.port }, { role: 'scrammed' });
  expect(error.sqlstate).toBe('08004');
  expect(causes(error)).toContain('channel binding');
  await middle.stop();
});

test('taking the offer of channel binding away gives him away as well', async () => {
  const offer = Buffer.from('SCRAM-SHA-256-PLUS\0');
  const middle = await interceptor((chunk) => {
    const at = chunk.indexOf(offer);
    if (at < 0) return chunk;
    const shorter = Buffer.concat([chunk.subarray(0, at), chunk.subarray(at + offer.length)]);
    shorter.writeUInt32BE(chunk.readUInt32BE(1) - offer.length, 1);
    return shorter;
  });
  const error = await refusal({ ...entry({ mode: 'require' }), port: middle.port }, { role: 'scrammed' });
  expect(error.sqlstate).toBe('08004');
  expect(causes(error)).toMatch(/channel binding/);
  await middle.stop();
});

test('the same man in the middle sees nothing at all when the chain is verified', async () => {
  let seen = 0;
  const middle = await interceptor((chunk) => ((seen += 1), chunk));
  const error = await refusal({ ...secured(), port: middle.port }, { role: 'scrammed' });
  expect(error).toMatchObject({ sqlstate: '08001', message: 'could not connect to the database' });
  expect(seen).toBe(0);
  await middle.stop();
});

test('what the server says after ReadyForQuery waits in the channel for the next owner', async () => {
  await withConnection(plain(), { role: 'scrammed' }, async (connection) => {
    expect(connection.channel.paused).toBe(true);
    expect(connection.parameters.get('server_version')).toMatch(/^\d+/);
    expect(connection.parameters.get('session_authorization')).toBe('scrammed');
    await postgres.sql(`select pg_terminate_backend(${connection.pid})`);
    const text = await new Promise<string>((resolve) => {
      connection.channel.listen({ bytes: (chunk) => resolve(chunk.toString()), drained() {}, closed() {} });
      connection.channel.resume();
    });
    expect(text).toContain('57P01');
  });
});

test('nothing of the verification is left for a client to execute', async () => {
  await withConnection(plain(), { role: 'scrammed' }, async (connection) => {
    const { channel } = connection;
    const answered = new Promise<string>((resolve) => {
      channel.listen({ bytes: (chunk) => resolve(chunk.toString('latin1')), drained() {}, closed() {} });
    });
    channel.resume();
    channel.write(Buffer.concat([serialize.bind(), serialize.sync()]));
    expect(await answered).toMatch(/^E.*26000/s);
  });
});

test('a released connection is gone from the server', async () => {
  const pid = await withConnection(plain(), { role: 'scrammed' }, async (connection) => connection.pid);
  await expect.poll(() => postgres.sql(`select 1 from pg_stat_activity where pid = ${pid}`)).toEqual([]);
});
