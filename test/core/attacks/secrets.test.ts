/** Texts of strangers in the log and in messages: they must stay texts, and secrets must stay out. */
import tls from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import { databaseOf, logIn } from '../../support/gateway.ts';
import { message, startup } from '../../support/raw-client.ts';
import { scripted } from '../upstream/support.ts';
import { attacked } from './attacked.ts';

const here = attacked();
let files: Certificates;

beforeAll(async () => {
  files = await certificates();
});
afterAll(() => files.remove());

/** What a terminal or a reader of lines obeys: C0, DEL, C1 (0x9b is CSI), line separators, directions. */
const OBEYED = /[\p{Cc}\u2028\u2029\p{Bidi_Control}]/u;
const EVIL = '\u001b[2J\u009b31m\u0085{"level":"info","msg":"login"}\u2028\u202egpj.exe\u007f';

test('no text of a client or a token is obeyed by whoever reads the log', async () => {
  const { port, text, log } = await here.gateway();
  const visible = EVIL.replaceAll(/\p{Cc}/gu, '');
  const token = here.keys.sign({ sub: EVIL, iss: EVIL }, { kid: EVIL });
  for (const parameters of [
    { user: visible },
    { database: visible },
    { application_name: EVIL },
    { user: EVIL },
    { [`postern.${EVIL}`]: 'x' },
    { [EVIL]: 'x' },
    { options: `-c ${EVIL}=1` },
  ]) {
    await expect(logIn(await here.connect(port), parameters, { token })).rejects.toThrow('"C":');
  }
  const good = await logIn(
    await here.connect(port),
    { application_name: EVIL, user: '_' },
    { token: here.keys.sign({}) },
  );
  expect(good.processId).toBeGreaterThan(0);
  for (const line of text().trimEnd().split('\n')) expect(OBEYED.exec(line)).toBeNull();
  // Escaped, not lost.
  expect(log().some(({ user }) => user === visible)).toBe(true);
});

test('a message about a startup parameter never repeats what a terminal would obey', async () => {
  const { port } = await here.gateway();
  for (const name of [EVIL, `postern.${EVIL}`, `postern.${'x'.repeat(5000)}`]) {
    const client = await here.connect(port);
    client.send(startup({ user: '_', database: 'orders', [name]: 'x' }));
    const { M = '' } = await client.error();
    expect([OBEYED.exec(M), M.length < 200]).toEqual([null, true]);
  }
});

test('a server name in TLS is no more than a text', async () => {
  const { port, text } = await here.gateway({
    listen: { port: 0, tls: { cert: files.server.certFile, key: files.server.keyFile } },
  });
  for (const servername of [
    '\u009b31m',
    'a'.repeat(255),
    '.',
    '..',
    '*',
    '__proto__',
    'constructor',
    'x y',
  ]) {
    const client = await here.connect(port);
    // OpenSSL of the client refuses some of them itself; the others have to work.
    await client.startTls({ servername }).catch(() => undefined);
    if (client.socket instanceof tls.TLSSocket) {
      client.send(startup({ user: '_', database: 'orders', role: 'x' }));
      expect([servername, (await client.error())['C']]).toEqual([servername, '08P01']);
    }
  }
  for (const line of text().trimEnd().split('\n')) expect(OBEYED.exec(line)).toBeNull();
});

test('no token, key or password is in a log at debug level, whatever became of the login', async () => {
  const observing: AnyPlugin = { name: 'observing', on: { login() {}, refused() {}, close() {} } };
  const running = await here.gateway({ plugins: [...here.policies, observing], logLevel: 'debug' });
  const good = here.keys.sign({});
  const bad = [here.keys.sign({ aud: 'other' }), `${good}x`, good.replace('.', '..'), `Bearer ${good}`];
  for (const token of bad) {
    const attempt = logIn(await here.connect(running.port), { user: '_' }, { token });
    await expect(attempt).rejects.toThrow('"C":"28P01"');
  }
  const { secret } = await logIn(await here.connect(running.port), { user: '_' }, { token: good });
  const client = await here.connect(running.port);
  client.send(startup({ user: '_', database: 'orders' }));
  await client.until('R');
  client.send(message('Q', `${good}\0`));
  await client.error();
  await running.gateway.stop();
  const said = running.text();
  const parts = good.split('.').filter((part) => part.length > 40);
  const passwords = Object.values(here.postgres.passwords);
  for (const canary of [...parts, ...passwords, secret.toString('hex'), secret.toString('base64')]) {
    expect(said.includes(canary)).toBe(false);
  }
});

test('a hostile server’s words reach no client: not its text, not its host, not its own codes', async () => {
  const fields = 'SFATAL\0VFATAL\0C28P01\0Mcanary-of-the-server\0Dcanary-detail\0Hcanary-hint\0Fcanary.c\0\0';
  const server = await scripted((socket) => void socket.write(message('E', fields)));
  const muted = { host: '127.0.0.1', port: server.port, tls: { mode: 'disable' } as const };
  const { port, lines } = await here.gateway({ databases: { orders: databaseOf(here.postgres, muted) } });
  const attempt = logIn(await here.connect(port), { user: '_' }, { token: here.keys.sign({}) });
  const error: unknown = await attempt.catch((reason: unknown) => reason);
  expect(String(error)).toMatch(/"C":"08004"/);
  expect(String(error)).not.toMatch(/canary|127\.0\.0\.1/);
  expect(lines('no server connection')).toMatchObject([{ reason: expect.stringContaining('canary-of') }]);
  await server.stop();
});
