/** The guide `deploy`: its commands as they stand but for ports, its unit and its proxy. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandsIn, copyExamples, root, start } from './support/example.ts';
import type { RunningExample } from './support/example.ts';
import { freePort } from './support/free-port.ts';
import { prepareCheckout } from './support/gateway-process.ts';
import { startPostgres } from './support/postgres.ts';
import type { OwnPostgres } from './support/postgres.ts';
import { describeWith } from './support/programs.ts';

const shim = join(root, 'core/cli/postern.js');
const examples = copyExamples();
const folder = join(examples.folder, 'deploy');
const [
  make = '',
  check = '',
  run = '',
  log = '',
  change = '',
  spoil = '',
  mend = '',
  renew = '',
  behind = '',
  ,
  through = '',
] = commandsIn(join(folder, 'README.md'));
let postgres: OwnPostgres;

beforeAll(async () => {
  prepareCheckout();
  postgres = await startPostgres();
  await postgres.sql('create database orders');
  await promisify(execFile)('sh', ['-ec', make.replace('r3ader', postgres.passwords.reader)], {
    cwd: folder,
  });
}, 120_000);
afterAll(async () => {
  await postgres.stop();
  examples.remove();
});

async function shell(script: string): Promise<string> {
  const env = { ...process.env, ORDERS_PORT: String(postgres.port) };
  return (await promisify(execFile)('sh', ['-ec', script], { cwd: folder, env })).stdout;
}

interface Ports {
  readonly port: number;
  readonly admin: number;
}

/** The gateway of a command of the guide. */
async function gatewayOf(command: string): Promise<Ports & { readonly gateway: RunningExample }> {
  const admin = await freePort();
  const gateway = await start(command, folder, { ORDERS_PORT: postgres.port, PORT: 0, ADMIN_PORT: admin });
  return { gateway, admin, port: gateway.ports['default'] ?? 0 };
}

/** With the ports of this test instead of the guide's. */
function onPorts(text: string, { port, admin }: Ports): string {
  return text.replaceAll('6432', String(port)).replaceAll('9432', String(admin));
}

function lines(gateway: RunningExample, msg: string): readonly Record<string, unknown>[] {
  return gateway
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => line['msg'] === msg);
}

/** The fingerprint of the certificate that a client of the gateway is shown. */
async function certificateAt(port: number): Promise<string> {
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    ALPNProtocols: ['postgresql'],
    rejectUnauthorized: false,
  });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

/** Options of unshare(1) with which a program is PID 1, and gone when unshare is. */
const AS_PID_1 = [
  '--pid',
  '--fork',
  '--kill-child',
  ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']),
];

function mayUnshare(): boolean {
  return spawnSync('unshare', [...AS_PID_1, '--', 'true']).status === 0;
}

/** Connections from another address of this machine than those of HAProxy. */
class FromElsewhere extends Socket {
  override connect(...[port, host]: readonly unknown[]): this {
    return super.connect({ port: Number(port), host: String(host), localAddress: '127.0.0.2' });
  }
}

describeWith('openssl', () => {
  test('check finds nothing wrong, and names what is', async () => {
    expect(await shell(check.replace('npx postern', `'${process.execPath}' '${shim}'`))).toContain(
      'is valid',
    );
    const config = join(folder, 'gateway.config.ts');
    const text = readFileSync(config, 'utf8');
    writeFileSync(config, text.replace("'tls/server.key'", "'tls/none.key'"));
    await expect(shell(check.replace('npx postern', `'${process.execPath}' '${shim}'`))).rejects.toThrow(
      'none.key',
    );
    writeFileSync(config, text);
  });

  describeWith('psql', () => {
    test('a gateway is started, reloaded, given a new certificate, and stopped', async () => {
      const { gateway, ...ports } = await gatewayOf(run);
      const { port } = ports;
      const config = join(folder, 'gateway.config.ts');
      const before = readFileSync(config, 'utf8');
      expect(await shell(onPorts(log, ports))).toMatch(/^reader\n.*\n.*/);
      await shell(change);
      await expect.poll(() => lines(gateway, 'reloaded').length).toBe(1);
      await shell(spoil);
      await expect.poll(() => lines(gateway, 'reload failed').length).toBe(1);
      await shell(mend);
      expect(readFileSync(config, 'utf8')).toBe(before.replace("['reader']", "['reader', 'analyst']"));

      const old = await certificateAt(port);
      await shell(renew);
      await expect.poll(() => certificateAt(port)).not.toBe(old);
      expect(await shell(onPorts(log, ports))).toMatch(/^reader\n/);
      expect(await gateway.stop()).toBe(0);
    });

    describeWith('haproxy', (haproxy) => {
      test('behind HAProxy the login has the address of the client, and a client that avoids it is closed', async () => {
        const { gateway, ...ports } = await gatewayOf(behind);
        const front = await freePort();
        const text = onPorts(readFileSync(join(folder, 'haproxy.cfg'), 'utf8'), ports).replace(
          '7432',
          String(front),
        );
        writeFileSync(join(folder, 'own.cfg'), text);
        const proxy = spawn(haproxy, ['-f', 'own.cfg'], { cwd: folder, stdio: 'ignore' });
        try {
          const command = onPorts(through, ports).replace('7432', String(front));
          await expect.poll(() => shell(command).catch(String)).toBe('reader\n');
          const elsewhere = new Client({
            host: '127.0.0.1',
            port: front,
            user: '_',
            database: 'orders',
            password: readFileSync(join(folder, 'token'), 'utf8').trim(),
            ssl: { rejectUnauthorized: false },
            stream: () => new FromElsewhere(),
          });
          await elsewhere.connect();
          await elsewhere.end();
          expect(lines(gateway, 'login').at(-1)).toMatchObject({ address: '127.0.0.2' });
          const direct = new Client({ host: '127.0.0.1', port: ports.port, user: '_', database: 'orders' });
          direct.on('error', () => undefined);
          await expect(direct.connect()).rejects.toThrow('Connection terminated unexpectedly');
        } finally {
          proxy.kill('SIGTERM');
          await once(proxy, 'close');
        }
        expect(await gateway.stop()).toBe(0);
      });
    });
  });
});

describe('the programs that start it', () => {
  const unit = readFileSync(join(folder, 'postern.service'), 'utf8');

  test('start the program itself, with neither npm nor a shell in between', () => {
    expect(/(?<=^ExecStart=)\S+/m.exec(unit)?.[0]).toBe('/opt/postern/node_modules/.bin/postern');
  });

  test('wait longer than the gateway drains', () => {
    const [, drain] =
      /drainTimeout: '(\d+)s'/.exec(readFileSync(join(folder, 'gateway.config.ts'), 'utf8')) ?? [];
    const guides = ['README.md', 'image/README.md'].map((name) => readFileSync(join(folder, name), 'utf8'));
    const waits = [...`${unit}\n${guides.join('')}`.matchAll(/(?:TimeoutStopSec=|stop-timeout )(\d+)/g)];
    expect(waits.length).toBe(3);
    for (const [, seconds] of waits) expect(Number(seconds)).toBeGreaterThan(Number(drain) + 1);
  });

  describeWith('systemd-analyze', (analyze) => {
    test('systemd has nothing to say against the units', () => {
      const copies = ['postern-test.service', 'postern-test.socket'].map((name) => join(folder, name));
      const socket = readFileSync(join(folder, 'postern.socket'), 'utf8');
      const service = unit.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath} ${shim}`);
      for (const [i, text] of [service, socket].entries()) writeFileSync(copies[i] ?? '', text);
      const { stdout, stderr } = spawnSync(analyze, ['verify', ...copies], { encoding: 'utf8' });
      expect(`${stdout}${stderr}`).not.toContain('postern-test');
    });
  });

  describe.runIf(mayUnshare())('as PID 1', () => {
    test('the gateway ends with 0 at SIGTERM', async () => {
      const admin = String(await freePort());
      const env = {
        ...process.env,
        ORDERS_HOST: 'localhost',
        JWKS: 'jwks.json',
        PORT: '0',
        ADMIN_PORT: admin,
      };
      const child = spawn('unshare', [...AS_PID_1, '--', shim, 'start'], {
        cwd: folder,
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const closed = once(child, 'close');
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
      await expect.poll(() => output).toContain('"listening"');
      const [first] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ');
      expect(readFileSync(`/proc/${first}/status`, 'utf8')).toMatch(/^NSpid:\t\d+\t1$/m);
      process.kill(Number(first), 'SIGTERM');
      expect(await closed).toEqual([0, null]);
    });
  });
});
