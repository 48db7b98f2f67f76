/** Sockets that a service manager has bound, and to which listener each goes; and, where systemd's programs are installed, a gateway that takes them. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ConfigError } from '../../../core/contract/errors.ts';
import { inheritedSockets } from '../../../core/cli/inherited-sockets.ts';
import { root } from '../../support/example.ts';
import { freePort } from '../../support/free-port.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { describeWith } from '../../support/programs.ts';
import { startTokenGateway } from '../../support/token-gateway.ts';

const LISTENERS = [{ name: 'public' }, { name: 'local' }];
const passed = (names: string | undefined, count = 2, pid = '7'): NodeJS.ProcessEnv => ({
  LISTEN_PID: pid,
  LISTEN_FDS: String(count),
  ...(names !== undefined && { LISTEN_FDNAMES: names }),
  OTHER: 'x',
});
const taken = (env: NodeJS.ProcessEnv, listeners = LISTENERS): object =>
  Object.fromEntries(inheritedSockets(listeners, env, 7));

describe('a socket that was passed goes to', () => {
  test('the listener of its name', () => {
    expect(taken(passed('local:public'))).toEqual({ local: 3, public: 4 });
    expect(taken(passed('local', 1))).toEqual({ local: 3 });
  });

  test('the only listener, whatever it is called', () => {
    expect(taken(passed('postern.socket', 1), LISTENERS.slice(0, 1))).toEqual({ public: 3 });
    expect(taken(passed(undefined, 1), LISTENERS.slice(0, 1))).toEqual({ public: 3 });
  });

  test('no listener, where it is for another process, or where none was passed', () => {
    expect(taken(passed('local:public', 2, '8'))).toEqual({});
    expect(taken({})).toEqual({});
  });

  test.each(['local:other', 'local:local', 'a:b:c', 'postern.socket', 'a:b'])(
    'nowhere: %s stops the boot',
    (names) => {
      expect(() => taken(passed(names, names.split(':').length))).toThrow(ConfigError);
    },
  );

  test('the process alone: the variables are taken away', () => {
    const env = passed('local:public');
    inheritedSockets(LISTENERS, env, 7);
    expect(env).toEqual({ OTHER: 'x' });
  });
});

describeWith('systemd-socket-activate', (activate) => {
  test.each([1, 2])(
    'with %i workers clients that connect to the passed socket are served',
    async (workers) => {
      const port = await freePort();
      const shim = join(root, 'core/cli/postern.js');
      const start = [process.execPath, shim, 'start', '--config', 'gateway.config.ts'] as const;
      const command = [activate, '-l', `127.0.0.1:${port}`, '--fdname=default', ...start] as const;
      // Without a client systemd does not start it; these wait in the socket's queue until it does.
      const knock = (): void => void net.connect(port, '127.0.0.1').on('error', () => {});
      const knocking = setInterval(knock, 200);
      onTestFinished(() => clearInterval(knocking));
      const running = await startTokenGateway(sharedPostgres(), {
        command,
        onlyOne: 'it says itself how many workers there are',
        more: `...{ workers: ${workers} },`,
      });
      const { gateway } = running;
      expect(gateway.port).toBe(port);
      const client = await running.login();
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      await client.end();
      gateway.signal('SIGTERM');
      expect(await gateway.ended()).toBe(0);
      await gateway.remove();
    },
  );
});

describeWith('systemd-notify', () => {
  test('a unit of the kind notify is told when clients are served, and when the end begins', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-notify-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const [socket, heard] = [join(folder, 'notify.sock'), join(folder, 'heard')];
    writeFileSync(heard, '');
    const manager = spawn('python3', ['-uc', RECEIVER, socket, heard]);
    onTestFinished(() => void manager.kill());
    await new Promise((resolve) => manager.stdout.once('data', resolve));
    const { gateway } = await startTokenGateway(sharedPostgres(), { env: { NOTIFY_SOCKET: socket } });
    await expect.poll(() => readFileSync(heard, 'utf8')).toContain('READY=1');
    gateway.signal('SIGTERM');
    expect(await gateway.ended()).toBe(0);
    await expect.poll(() => readFileSync(heard, 'utf8')).toMatch(/READY=1[^]*STOPPING=1/);
    await gateway.remove();
  });
});

/** Node has no sockets of this kind. */
const RECEIVER = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound')
while True:
    with open(sys.argv[2], 'ab') as f: f.write(s.recv(4096) + b'\\n')
`;
