/** `postern health` beside a gateway that runs, drains, or is not there. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { certificates } from '../../support/certificates.ts';
import { root } from '../../support/example.ts';
import { freePort } from '../../support/free-port.ts';
import { GatewayProcess, prepareCheckout } from '../../support/gateway-process.ts';
import type { Ran } from '../../support/command.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-health-'));
});
beforeAll(prepareCheckout, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** Beside this process, which may be what is asked. */
function health(...args: readonly string[]): Promise<Ran> {
  const shim = join(root, 'core/cli/postern.js');
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [shim, 'health', ...args], (_, stdout, stderr) =>
      resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}

const configOf = (admin: string, more = ''): string => `import { defineConfig } from 'postern';
export default defineConfig({ listen: [{ port: 0 }], ${admin}, ${more} plugins: [],
  databases: { db: { host: '127.0.0.1', port: 1, tls: { mode: 'disable' }, login: { kind: 'trust' } } } });`;

function config(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test('a gateway that is ready, and one that drains, by the admin of the config', async () => {
  const port = await freePort();
  const text = configOf(`admin: { host: '0.0.0.0', port: ${port} }`, `drainDelay: '1h',`);
  const path = config('tcp.config.ts', text);
  const gateway = await GatewayProcess.start({ config: text, files: {} });
  try {
    // The only server cannot be reached, which is the gateway's answer.
    expect(await health('--config', path)).toMatchObject({ status: 1, stdout: '' });
    expect((await health('--config', path)).stderr).toContain('db');
    expect(await health('--config', path, '--live')).toMatchObject({ status: 0, stdout: 'ok\n', stderr: '' });
    expect(await health('--url', `http://127.0.0.1:${port}/livez`)).toMatchObject({ status: 0 });
    gateway.signal('SIGTERM');
    await expect
      .poll(async () => (await health('--config', path)).stderr, { timeout: 60_000 })
      .toContain('shutting down');
  } finally {
    await gateway.remove();
  }
});

test('a gateway whose admin is a unix socket, or speaks TLS', async () => {
  const socket = join(folder, 'admin.sock');
  const unix = await GatewayProcess.start({ config: configOf(`admin: { path: '${socket}' }`), files: {} });
  try {
    const path = config('unix.config.ts', configOf(`admin: { path: '${socket}' }`));
    expect(await health('--config', path, '--live')).toMatchObject({ status: 0, stdout: 'ok\n' });
  } finally {
    await unix.remove();
  }
  const made = await certificates();
  const { certFile: cert, keyFile: key } = made.server;
  const port = await freePort();
  const text = configOf(`admin: { port: ${port}, tls: { cert: '${cert}', key: '${key}' } }`);
  const ciphered = await GatewayProcess.start({ config: text, files: {} });
  try {
    const path = config('tls.config.ts', text);
    expect(await health('--config', path, '--live')).toMatchObject({ status: 0, stdout: 'ok\n' });
  } finally {
    await ciphered.remove();
    made.remove();
  }
});

test('where nothing answers, the exit code is 1, and standard error says why', async () => {
  const port = await freePort();
  expect(await health('--url', `http://127.0.0.1:${port}/readyz`)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('ECONNREFUSED'),
  });
  const silent = net.createServer(() => {}).listen(0, '127.0.0.1');
  try {
    await new Promise((resolve) => silent.once('listening', resolve));
    const { port: taken } = silent.address() as net.AddressInfo;
    const { status, stderr } = await health('--url', `http://127.0.0.1:${taken}/`);
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'postern: no answer in 5 s\n' });
  } finally {
    silent.close();
  }
});

test('a config without admin, a port that nobody knows, and a bad URL are said', async () => {
  const none = config('none.config.ts', configOf(`logLevel: 'info'`));
  expect((await health('--config', none)).stderr).toContain('admin:');
  const any = config('any.config.ts', configOf('admin: { port: 0 }'));
  expect((await health('--config', any)).stderr).toContain('use --url');
  const wrong = await health('--url', 'ftp://127.0.0.1/');
  expect(wrong).toMatchObject({ status: 2, stderr: expect.stringContaining('is no URL of http or https') });
});
