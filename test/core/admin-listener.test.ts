/** `admin` with TLS, and on a unix socket: who may connect, which certificate they get, and what stays when it is over. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { Agent, get } from 'node:https';
import type { RequestOptions } from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { AdminOptions } from '../../core/contract/config.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificate, Certificates } from '../support/certificates.ts';
import { executable } from '../support/executable.ts';
import { runGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';

let files: Certificates;
let folder: string;
let running: RunningGateway | undefined;

beforeAll(async () => {
  files = await certificates();
  return () => files.remove();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'admin-'));
  put(files.server);
});
afterEach(async () => {
  await running?.gateway.stop();
  running = undefined;
  rmSync(folder, { recursive: true });
});

const configOf = (admin: AdminOptions): ReturnType<typeof checkConfig> =>
  checkConfig({ listen: { port: 0 }, databases: {}, plugins: [], admin }, folder);

async function start(admin: AdminOptions): Promise<RunningGateway> {
  running = await runGateway(configOf(admin));
  return running;
}

/** Makes it the certificate of `admin`. */
function put({ certFile, keyFile }: Pick<Certificate, 'certFile' | 'keyFile'>): void {
  copyFileSync(certFile, join(folder, 'admin.crt'));
  copyFileSync(keyFile, join(folder, 'admin.key'));
}

const TLS = { cert: 'admin.crt', key: 'admin.key' };

interface Answer {
  readonly status: number | undefined;
  readonly certificate: string;
}

function ask(more: RequestOptions = {}): Promise<Answer> {
  const { ca } = files;
  const options = {
    host: '127.0.0.1',
    port: running?.adminPort,
    path: '/livez',
    ca: ca.cert,
    agent: false,
    ...more,
  };
  return new Promise((resolve, reject) => {
    const request = get(options, (response) => {
      const socket = response.socket as TLSSocket;
      const { fingerprint256 } = socket.getPeerCertificate();
      response
        .resume()
        .on('end', () => resolve({ status: response.statusCode, certificate: fingerprint256 }));
    });
    request.on('error', reject);
  });
}

const outcome = (more: RequestOptions = {}): Promise<number | string | undefined> =>
  ask(more).then(
    ({ status }) => status,
    () => 'refused',
  );

const pair = ({ cert, key }: Certificate): Pick<Certificate, 'cert' | 'key'> => ({ cert, key });

describe('TLS', () => {
  test('of 1.2 or newer is the only way in', async () => {
    const { adminPort, lines } = await start({ port: 0, tls: TLS });
    expect(lines('admin listening')).toMatchObject([{ host: '127.0.0.1', port: adminPort, tls: true }]);
    expect(await outcome()).toBe(200);
    expect(await outcome({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })).toBe(200);
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    expect(await outcome(old)).toBe('refused');
    expect(await fetch(`http://127.0.0.1:${adminPort}/livez`).catch(() => 'refused')).toBe('refused');
  });

  test('is cut off at a stop also where a client has not said a word, or stops in the middle of its handshake', async () => {
    const { adminPort, gateway } = await start({ port: 0, tls: TLS });
    const sockets = [net.connect(adminPort, '127.0.0.1'), net.connect(adminPort, '127.0.0.1')];
    for (const socket of sockets)
      await once(
        socket.on('error', () => {}),
        'connect',
      );
    // The head of a record of TLS that does not come.
    sockets[1]?.write(Buffer.from('1603010200', 'hex'));
    for (const socket of sockets) socket.resume();
    expect(await outcome()).toBe(200);
    await gateway.stop(1_000);
    const closed = (): readonly boolean[] => sockets.map(({ destroyed }) => destroyed);
    await expect.poll(closed).toEqual([true, true]);
  });

  test('gives the certificate that the server name asks for', async () => {
    const { certFile: cert, keyFile: key } = files.other;
    await start({ port: 0, tls: { ...TLS, servernames: { 'other.example': { cert, key } } } });
    const [own, other] = [await ask({ servername: 'localhost' }), await ask({ servername: 'other.example' })];
    expect([own.status, other.status]).toEqual([200, 200]);
    expect(own.certificate).not.toBe(other.certificate);
  });

  test.each([
    ['required by default', {}, ['refused', 200, 'refused', 'refused']],
    ['required', { clientCertificate: 'required' }, ['refused', 200, 'refused', 'refused']],
    ['optional', { clientCertificate: 'optional' }, [200, 200, 'refused', 'refused']],
  ] as const)('with clientCa, a certificate is %s', async (_, demand, expected) => {
    await start({ port: 0, tls: { ...TLS, clientCa: files.ca.certFile, ...demand } });
    const { client, wrongServer, expiredClient } = files;
    const shown = [{}, pair(client), pair(wrongServer), pair(expiredClient)];
    const outcomes = [];
    for (const one of shown) outcomes.push(await outcome(one));
    expect(outcomes).toEqual(expected);
  });

  test('has a new certificate for new connections after a reload, and open ones go on', async () => {
    const { gateway, lines } = await start({ port: 0, tls: TLS });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const before = await ask({ agent });
    put(files.other);
    await gateway.reload(configOf({ port: 0, tls: TLS }));
    expect(lines('reloaded')).toMatchObject([{ options: ['admin.tls'] }]);
    expect((await ask({ agent })).certificate).toBe(before.certificate);
    const after = await ask({ servername: 'other.example' });
    expect(after.certificate).not.toBe(before.certificate);

    rmSync(join(folder, 'admin.key'));
    expect(() => configOf({ port: 0, tls: TLS })).toThrow('admin.tls.key: cannot read');
    expect((await ask({ servername: 'other.example' })).certificate).toBe(after.certificate);
  });

  test('asks for certificates or not as a reload says', async () => {
    const tls = { ...TLS, clientCa: files.ca.certFile };
    const { gateway } = await start({ port: 0, tls });
    expect(await outcome()).toBe('refused');
    await gateway.reload(configOf({ port: 0, tls: { ...tls, clientCertificate: 'optional' } }));
    expect(await outcome()).toBe(200);
    await expect(gateway.reload(configOf({ port: 0, tls: TLS }))).rejects.toThrow(
      'admin.tls.clientCa: to go without it needs a restart',
    );
    await expect(gateway.reload(configOf({ port: 0 }))).rejects.toThrow(
      'admin.tls: to go without it needs a restart',
    );
    expect(await outcome()).toBe(200);
  });

  test(
    'that is never begun, or not finished, is closed, and keeps nobody out',
    { timeout: 40_000 },
    async () => {
      const { adminPort } = await start({ port: 0, tls: TLS });
      const sockets = Array.from({ length: 300 }, () => net.connect(adminPort, '127.0.0.1'));
      for (const socket of sockets) socket.on('error', () => {});
      onTestFinished(() => sockets.forEach((socket) => socket.destroy()));
      await Promise.all(sockets.map((socket) => once(socket, 'connect')));
      const [last] = sockets.slice(-1);
      // The begin of a ClientHello that is not complete.
      last?.write(Buffer.from('16030100c8010000c40303', 'hex'));
      expect(await outcome()).toBe(200);
      await Promise.all(
        sockets.map(async (socket) => (socket.closed ? undefined : once(socket.resume(), 'close'))),
      );
      expect(await outcome()).toBe(200);
    },
  );

  test.each([
    [{ tls: { cert: 'none.crt', key: 'admin.key' } }, /^admin\.tls\.cert: cannot read .*none\.crt/],
    [{ tls: { cert: 'admin.key', key: 'admin.key' } }, /^admin\.tls\.cert: no PEM certificate in /],
    [{ tls: { ...TLS, clientCertificate: 'required' } }, /^admin\.tls\.clientCertificate: needs clientCa/],
    [{ tls: { ...TLS, clientCa: 'none.crt' } }, /^admin\.tls\.clientCa: cannot read /],
    [{ tls: { cert: 'admin.crt' } }, /^admin\.tls\.key: /],
  ] as const)('%j stops the boot', (admin, sentence) => {
    expect(() => configOf(admin as AdminOptions)).toThrow(sentence);
  });
});

test.each([
  [{ host: '0.0.0.0', port: 0 }, 1],
  [{ host: '127.0.0.1', port: 0 }, 0],
  [{ host: '0.0.0.0', port: 0, tls: TLS }, 0],
])('%j: plain HTTP on a network is warned of', async (admin, warnings) => {
  const { log } = await start(admin);
  const found = log().filter(({ level, msg }) => level === 'warn' && String(msg).includes('admin.tls'));
  expect(found).toHaveLength(warnings);
});

describe('a unix socket', () => {
  const curl = executable('curl');
  const path = (): string => join(folder, 'admin.sock');

  const reason = curl === undefined ? ': skipped, curl is not installed here' : '';
  test.skipIf(curl === undefined)(`answers curl, and is gone at the end${reason}`, async () => {
    const { gateway, lines } = await start({ path: 'admin.sock' });
    const args = ['--silent', '--show-error', '--unix-socket', path(), 'http://localhost/readyz?verbose'];
    const { stdout } = await promisify(execFile)(curl ?? '', args);
    expect(stdout).toContain('[+] config');
    expect(lines('admin listening')).toMatchObject([{ path: path() }]);
    expect(statSync(path()).mode & 0o777).toBe(0o660);
    await gateway.stop();
    expect(readdirSync(folder).filter((name) => name.includes('sock') || name.startsWith('.s'))).toEqual([]);
  });

  test('of its own permissions takes the place of one that is left over', async () => {
    const left = net.createServer();
    await once(left.listen(join(folder, 'first')), 'listening');
    // As a process leaves it that is killed.
    linkSync(join(folder, 'first'), path());
    left.close();
    await start({ path: path(), mode: 0o600 });
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(existsSync(`${path()}.lock`)).toBe(true);
    expect(readFileSync(`${path()}.lock`, 'utf8')).toMatch(new RegExp(`^${process.pid}\n`));
  });

  test('that is in use stops the boot', async () => {
    await start({ path: 'admin.sock' });
    await expect(runGateway(configOf({ path: 'admin.sock' }))).rejects.toThrow(
      `admin.path: ${path()} is in use by process ${process.pid}`,
    );
    const socket = net.connect(path());
    await once(socket, 'connect');
    socket.destroy();
  });

  test.each([
    [{ path: 'a', host: '127.0.0.1' }, 'admin.host: a unix socket has none; leave it out, or path'],
    [{ path: 'a', port: 1 }, 'admin.port: a unix socket has none; leave it out, or path'],
    [{ path: 'a', tls: TLS }, 'admin.tls: a unix socket has none; leave it out, or path'],
    [
      { path: 'a'.repeat(120) },
      /^admin\.path: a unix socket's path has at most 10\d bytes, this one would have /,
    ],
    [{ mode: 0o660 }, 'admin.mode: is for a unix socket, which has a path'],
    [{ host: '/run/postern' }, "admin.host: write path: '/run/postern' for a unix socket, which is a file"],
    [{ path: 'a', mode: 440 }, /^admin\.mode: 440 is 0o670/],
  ] as const)('%j stops the boot', (admin, sentence) => {
    expect(() => configOf(admin)).toThrow(sentence);
  });

  test('that moves needs a restart', async () => {
    const { gateway } = await start({ path: 'admin.sock' });
    await expect(gateway.reload(configOf({ path: 'other.sock' }))).rejects.toThrow(
      /^admin\.path: .* needs a restart$/,
    );
    await expect(gateway.reload(configOf({ path: 'admin.sock', mode: 0o600 }))).rejects.toThrow(
      'admin.mode: 0o600 instead of 0o660 needs a restart',
    );
  });
});
