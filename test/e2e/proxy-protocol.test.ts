import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { ListenOptions } from '../../core/contract/listen.ts';
import type { Client } from '../../core/contract/session.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith, program } from '../support/programs.ts';
import { headerV2, lineV1 } from '../support/proxy-headers.ts';
import {
  GSSENC_REQUEST,
  RawClient,
  SSL_REQUEST,
  cancelRequest,
  message,
  startup,
} from '../support/raw-client.ts';

const run = promisify(execFile);
const HELLO = startup({ user: 'alice', database: 'orders' });
/** A client on the machine of the proxy. */
const LOCAL = lineV1('PROXY TCP4 127.0.0.9 127.0.0.1 4711 6432');
/** A client anywhere. */
const REMOTE = headerV2();
const patient = { timeout: 30_000 };

let files: Certificates;
const gateways: RunningGateway[] = [];
/** What plugins were shown of each client. */
let shown: Client[] = [];

async function start(
  listen: Partial<ListenOptions> = {},
  loginTimeout: '10s' | '300ms' = '10s',
): Promise<RunningGateway> {
  shown = [];
  const tls = { cert: files.server.certFile, key: files.server.keyFile };
  const running = await startGateway({
    listen: { port: 0, tls, proxyProtocol: { trusted: ['127.0.0.0/8'] }, ...listen },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [{ name: 'shown', onStartup: ({ client }) => void shown.push(client) }, mapTo('reader')],
    loginTimeout,
  });
  gateways.push(running);
  return running;
}

beforeAll(async () => {
  files = await certificates();
});
afterAll(async () => {
  for (const { gateway } of gateways) await gateway.stop();
  files.remove();
});

/** Closed without a word. */
async function silence(client: RawClient): Promise<void> {
  expect(String(await client.rest())).toBe('');
}

function whyRefused({ lines }: RunningGateway): unknown[] {
  return lines('refused').map(({ why }) => why);
}

describe('a trusted proxy', () => {
  test('gives plugins and the log the address in its header', async () => {
    const running = await start();
    const client = await RawClient.connect(running.port);
    client.send(lineV1('PROXY TCP6 2001:DB8::0:7 2001:db8::8 4711 6432'));
    await client.startTls();
    await logIn(client);
    expect(shown).toMatchObject([{ address: '2001:db8::7', port: 4711, listener: 'default', tls: {} }]);
    client.send(message('X'));
    await client.rest();
    await expect.poll(() => running.lines('close').length, patient).toBe(1);
    const addresses = [...running.lines('login'), ...running.lines('close')].map(({ address }) => address);
    expect(addresses).toEqual(['2001:db8::7', '2001:db8::7']);
    expect(running.text()).not.toContain('"address":"127.');
  });

  test('may speak for itself', async () => {
    const { port } = await start();
    const client = await RawClient.connect(port);
    client.send(headerV2({ command: 0x20 }));
    await logIn(client);
    expect(shown).toMatchObject([{ address: '127.0.0.1', port: client.socket.localPort }]);
    client.destroy();
  });

  test('is closed silently without a header, whatever it says instead', async () => {
    const running = await start();
    for (const first of [HELLO, SSL_REQUEST, GSSENC_REQUEST, Buffer.from('16030100', 'hex')]) {
      const client = await RawClient.connect(running.port);
      client.send(first);
      await silence(client);
    }
    await expect.poll(() => whyRefused(running).length, patient).toBe(4);
    expect(new Set(whyRefused(running))).toEqual(
      new Set(['no PROXY header, although proxyProtocol.trusted names this address']),
    );
  });

  test('is closed silently with a header that is wrong, and the log says what is', async () => {
    const running = await start();
    const client = await RawClient.connect(running.port);
    client.send(lineV1('PROXY TCP4 192.0.2.7 192.0.2.8 4711 0x1'), HELLO);
    await silence(client);
    await expect.poll(() => whyRefused(running), patient).toEqual(['PROXY header: not as version 1 has it']);
  });

  test('that stops in its header is closed when the login takes too long', async () => {
    const { port, gateway } = await start({}, '300ms');
    for (const header of [LOCAL, REMOTE]) {
      for (const length of [1, 14, header.length - 1]) {
        const client = await RawClient.connect(port);
        client.send(header.subarray(0, length));
        await silence(client);
      }
    }
    // Nobody is left: it ends at once.
    await gateway.stop();
  });

  test('brings a refused client whose address stands in the log', async () => {
    const running = await start();
    const client = await RawClient.connect(running.port);
    client.send(REMOTE, HELLO);
    expect(await client.error()).toMatchObject({ C: '28000' });
    await client.rest();
    expect(running.lines('refused')).toMatchObject([{ address: '192.0.2.7', port: 4711 }]);
    const broken = await RawClient.connect(running.port);
    broken.send(REMOTE, SSL_REQUEST);
    await broken.read(1);
    broken.send(Buffer.from('no TLS at all, sorry'));
    await broken.rest();
    await expect.poll(() => running.lines('refused').length, patient).toBe(2);
    expect(running.lines('refused')[1]).toMatchObject({ address: '192.0.2.7' });
  });
});

describe('behind the header', () => {
  test('plaintext is allowed by the address in it', async () => {
    const { port } = await start();
    const near = await RawClient.connect(port);
    near.send(LOCAL);
    await logIn(near);
    near.destroy();
    const far = await RawClient.connect(port);
    far.send(REMOTE, HELLO);
    expect(await far.error()).toMatchObject({ C: '28000', M: 'connections without TLS are not accepted' });
  });

  test('everything may stand in the same segment: a startup packet, an SSLRequest, a cancel request', async () => {
    const { port } = await start();
    const plain = await RawClient.connect(port);
    plain.send(LOCAL, HELLO);
    await plain.until('R');
    plain.destroy();
    const secure = await RawClient.connect(port);
    secure.send(REMOTE, SSL_REQUEST);
    expect(String(await secure.read(1))).toBe('S');
    secure.destroy();
    const cancel = await RawClient.connect(port);
    cancel.send(REMOTE, cancelRequest(1, Buffer.alloc(4)));
    await silence(cancel);
  });

  test('what is stuffed behind an SSLRequest is still not used', async () => {
    const running = await start();
    const client = await RawClient.connect(running.port);
    client.send(REMOTE, SSL_REQUEST, HELLO);
    await silence(client);
    await expect.poll(() => whyRefused(running), patient).toEqual(['data behind an encryption request']);
  });

  test('a second header is garbage', async () => {
    const { port } = await start();
    const client = await RawClient.connect(port);
    client.send(LOCAL, LOCAL, HELLO);
    await silence(client);
  });

  test.each([1, 50, 2_000])(
    'direct TLS works, the header and %i bytes of it in one segment',
    async (together) => {
      const { port } = await start();
      const relay = await prepending(port, REMOTE, together);
      const client = await RawClient.connectTls(relay.port, { ALPNProtocols: ['postgresql'] });
      await logIn(client);
      expect(shown).toMatchObject([{ address: '192.0.2.7', tls: {} }]);
      client.destroy();
      relay.close();
    },
  );
});

/** A proxy in few lines: puts `header` in front, and sends it with so many bytes of the client as one. */
async function prepending(
  port: number,
  header: Buffer,
  together: number,
): Promise<{ port: number; close(): void }> {
  const server = net.createServer((front) => {
    const back = net.connect({ port, host: '127.0.0.1', noDelay: true });
    front.once('data', (chunk) => {
      back.write(Buffer.concat([header, chunk.subarray(0, together)]));
      setImmediate(() => {
        back.write(chunk.subarray(together));
        front.pipe(back);
      });
    });
    back.pipe(front);
    for (const socket of [front, back]) socket.on('error', () => {});
    front.on('close', () => back.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

describe('anybody else', () => {
  const trusted = { proxyProtocol: { trusted: ['10.0.0.0/8', '::/0'] } };

  test('logs in without a header, as itself', async () => {
    const { port } = await start(trusted);
    const client = await RawClient.connect(port);
    await logIn(client);
    expect(shown).toMatchObject([{ address: '127.0.0.1', port: client.socket.localPort }]);
    client.destroy();
  });

  test.each([LOCAL, REMOTE])('is closed silently with one, and the log says so', async (header) => {
    for (const listen of [trusted, { proxyProtocol: undefined }]) {
      const running = await start(listen as Partial<ListenOptions>);
      const client = await RawClient.connect(running.port);
      client.send(header, HELLO);
      await silence(client);
      await expect
        .poll(() => whyRefused(running), patient)
        .toEqual(['a PROXY header from an address that proxyProtocol.trusted does not name']);
      expect(shown).toEqual([]);
    }
  });
});

test('a reload puts other proxies in force for new connections', async () => {
  const listen = { port: 0, name: 'public' } as const;
  const running = await start(listen);
  const config = (trusted: readonly string[]): unknown => ({
    listen: { ...listen, proxyProtocol: { trusted } },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [mapTo('reader')],
  });
  await running.gateway.reload(checkConfig(config(['10.0.0.0/8']), tmpdir()));
  const client = await RawClient.connect(running.port);
  await logIn(client);
  client.destroy();
});

describeWith('haproxy', (haproxy) => {
  const psql = program('psql');
  let folder: string;
  let running: RunningGateway;
  let child: ChildProcess | undefined;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'postern-haproxy-'));
    // HAProxy comes from another address than psql, so that the log can tell them apart.
    running = await start({ proxyProtocol: { trusted: ['127.0.0.5'] } });
  });
  afterAll(async () => {
    await end();
    rmSync(folder, { recursive: true });
  });

  async function end(): Promise<void> {
    if (!child || child.exitCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }

  /** HAProxy in front of the gateway, on a free port. */
  async function inFront(options: string): Promise<number> {
    await end();
    const probe = net.createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    const config = `defaults
  mode tcp
  timeout connect 20s
  timeout client 1m
  timeout server 1m
listen postgres
  bind 127.0.0.1:${port}
  server one 127.0.0.1:${running.port} source 127.0.0.5 ${options}
`;
    writeFileSync(join(folder, 'haproxy.cfg'), config);
    child = spawn(haproxy, ['-db', '-q', '-f', join(folder, 'haproxy.cfg')], { stdio: 'ignore' });
    await expect.poll(() => open(port), patient).toBe(true);
    return port;
  }

  async function open(port: number): Promise<boolean> {
    const socket = net.connect(port, '127.0.0.1');
    const opened = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    return opened;
  }

  describe.skipIf(psql === undefined)('and psql', () => {
    test.each([
      ['send-proxy', 'disable'],
      ['send-proxy', 'require'],
      ['send-proxy-v2', 'disable'],
      ['send-proxy-v2', 'require'],
      ['send-proxy-v2 proxy-v2-options crc32c,unique-id', 'require'],
      ['send-proxy-v2 check inter 100ms check-send-proxy', 'require'],
    ])(
      '%s with sslmode=%s: psql logs in under its own address',
      async (options, sslmode) => {
        const port = await inFront(options);
        const before = running.lines('login').length;
        const where = `host=127.0.0.1 port=${port} user=alice dbname=orders sslmode=${sslmode}`;
        const env = { ...process.env, PGPASSWORD: GOOD_TOKEN };
        const { stdout } = await run(psql ?? '', ['-XAtqc', 'select session_user', where], { env });
        expect(stdout).toBe('reader\n');
        const [login] = running.lines('login').slice(before);
        expect(login).toMatchObject({ address: '127.0.0.1' });
      },
      120_000,
    );

    test('without send-proxy nobody gets in', async () => {
      const port = await inFront('');
      const env = { ...process.env, PGPASSWORD: GOOD_TOKEN };
      const where = `host=127.0.0.1 port=${port} user=alice dbname=orders`;
      await expect(run(psql ?? '', ['-XAtqc', 'select 1', where], { env })).rejects.toThrow(
        'server closed the connection unexpectedly',
      );
    });
  });
});
