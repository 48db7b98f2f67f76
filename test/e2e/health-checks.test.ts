/** Who asks how the gateway is: load balancers and scrapers that speak old or odd HTTP. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { tracing } from '../../plugins/tracing/index.ts';
import { freePort } from '../support/free-port.ts';
import { databaseOf, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';

let running: RunningGateway;
let problem: string | undefined;

beforeAll(async () => {
  running = await startGateway({
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [
      tracing({ metrics: { public: true } }),
      { name: 'mood', setup: (gateway) => gateway.ready(() => problem) },
      mapTo('reader'),
    ],
    admin: { port: 0 },
  });
  return () => running.gateway.stop();
});

/** Sends a request as it is, and gives the whole answer; the gateway closes. */
async function ask(request: string): Promise<string> {
  const socket = net.connect({ port: running.adminPort, host: '127.0.0.1' });
  socket.write(request);
  return text(socket);
}

test.each([
  ['/livez', 'ok\n'],
  ['/readyz', 'ready\n'],
  ['/metrics', 'postern_'],
])('HTTP/1.0 without Host is answered: %s', async (path, content) => {
  // Not ready until a server was reached.
  await expect.poll(() => ask('GET /readyz HTTP/1.0\r\n\r\n')).toMatch(/\r\n\r\nready\n$/);
  const answer = await ask(`GET ${path} HTTP/1.0\r\n\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(answer).toContain(content);
  expect(await ask(`HEAD ${path} HTTP/1.0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
});

test('HTTP/1.1 without Host is 400 (RFC 9112 §3.2)', async () => {
  expect(await ask('GET /livez HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
});

test.each([
  ['of nothing', '', 200],
  ['with a port', 'gateway.example:9432', 200],
  ['of IPv6', '[::1]:9432', 200],
  ['with a blank', 'a b', 400],
  ['that is a bracket', '[', 400],
  ['with a path', 'a/b', 400],
  ['with a user', 'me@gateway.example', 400],
  ['of bytes beyond ASCII', '\u00ff\u00fe', 400],
  ['with a port that is none', 'gateway.example:99999', 400],
])('a Host %s is answered, and logs nothing', async (_, host, status) => {
  for (const version of ['1.0', '1.1']) {
    const answer = await ask(`GET /livez HTTP/${version}\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  }
  expect(running.lines('internal error')).toEqual([]);
});

describeWith('haproxy', (haproxy) => {
  test('option httpchk finds the gateway up, down where it is not ready, and up again', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-httpchk-'));
    const [port, admin] = [await freePort(), join(folder, 'admin.sock')];
    const config = `global
  stats socket ${admin}
defaults
  mode tcp
  timeout connect 20s
  timeout client 1m
  timeout server 1m
listen postgres
  bind 127.0.0.1:${port}
  option httpchk GET /readyz
  server one 127.0.0.1:${running.port} check port ${running.adminPort} inter 100ms fall 1 rise 1
`;
    writeFileSync(join(folder, 'haproxy.cfg'), config);
    const child = spawn(haproxy, ['-db', '-q', '-f', join(folder, 'haproxy.cfg')], { stdio: 'ignore' });
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await once(child, 'close');
      rmSync(folder, { recursive: true });
      problem = undefined;
    });
    const checked = async (): Promise<string> => {
      const socket = net.connect(admin);
      socket.end('show stat -1 4 -1\n');
      const [head = '', ...lines] = (await text(socket).catch(() => '')).split('\n');
      const names = head.slice(2).split(',');
      const fields = lines[0]?.split(',') ?? [];
      const of = (name: string): string => fields[names.indexOf(name)] ?? '';
      return `${of('status')} ${of('check_status')} ${of('check_code')}`;
    };
    await expect.poll(checked).toBe('UP L7OK 200');
    problem = 'a bad day';
    await expect.poll(checked).toBe('DOWN L7STS 503');
    problem = undefined;
    await expect.poll(checked).toBe('UP L7OK 200');
  });
});
