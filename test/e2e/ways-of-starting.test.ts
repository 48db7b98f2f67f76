/** SIGTERM and SIGHUP reach the gateway however it was started, and at its end the process goes, whatever cannot be written or read any more. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Client } from 'pg';
import { afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { root } from '../support/example.ts';
import { hasProc, prepareCheckout } from '../support/gateway-process.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { childrenOf, isAlive } from '../support/processes.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway, TokenGatewayOptions } from '../support/token-gateway.ts';

const postgres = sharedPostgres();
const shim = join(root, 'core/cli/postern.js');
let running: TokenGateway | undefined;
/** It was started in a container. */
let isContained = false;

beforeAll(prepareCheckout, 120_000);
afterEach(async () => {
  if (!running) return;
  for (const pid of gatewayPids()) process.kill(pid, 'SIGKILL');
  await running.gateway.remove();
  running = undefined;
});

function gateway(): GatewayProcess {
  if (!running) throw new Error('nothing was started');
  return running.gateway;
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-start-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** The processes of the gateway that still live, by their ids here. In a container it has others, and all processes there end with it. */
function gatewayPids(): readonly number[] {
  const [line] = gateway().lines('starting');
  const found = isContained ? descendantsOf(gateway().pid) : line ? [Number(line['pid'])] : [];
  return found.filter((one) => isAlive(one));
}

function descendantsOf(pid: number): readonly number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** A package that has the gateway installed, with a script `start`. */
async function startBy(command: string, script = '', more: TokenGatewayOptions = {}): Promise<void> {
  const install = `mkdir -p node_modules/.bin && ln -s '${shim}' node_modules/.bin/postern`;
  isContained = command.startsWith('unshare');
  running = await startTokenGateway(postgres, {
    files: { 'package.json': JSON.stringify({ private: true, type: 'module', scripts: { start: script } }) },
    command: ['sh', '-c', `${install} && exec ${command}`],
    env: { npm_config_update_notifier: 'false' },
    ...more,
  });
}

/** A session in a transaction, which a drain lets go on. */
async function begin(): Promise<Client> {
  const client = await running?.login('writer');
  if (!client) throw new Error('nothing was started');
  await client.query('begin');
  return client;
}

async function isDrained(client: Client): Promise<void> {
  // The parent of several workers, and each of them.
  await expect.poll(() => gateway().lines('draining')).toHaveLength(workersOf() === 1 ? 1 : workersOf() + 1);
  expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  const ended = new Promise((resolve) => client.once('end', resolve));
  await client.query('commit');
  await ended;
  await expect.poll(() => gateway().lines('stopped')).toHaveLength(workersOf());
  await expect.poll(gatewayPids).toEqual([]);
}

async function reloads(): Promise<void> {
  for (const pid of gatewayPids()) process.kill(pid, 'SIGHUP');
  await expect.poll(() => gateway().lines('reloaded')).toHaveLength(1);
}

describe('started by', () => {
  test.each([
    ['node_modules/.bin/postern start', ''],
    ['npm start --silent', 'exec postern start'],
    ["npx -c 'exec postern start'", ''],
  ])('%s (%s): SIGTERM drains it, and the command ends with 0', async (command, script) => {
    await startBy(command, script);
    const client = await begin();
    await reloads();
    gateway().signal('SIGTERM');
    await isDrained(client);
    expect(await gateway().ended()).toBe(0);
    expect(gateway().log).not.toContain('npm');
  });

  test.each([
    ['npm start --silent', 'postern start'],
    ['npx postern start', ''],
  ])('%s (%s): npm ends at SIGTERM, and the gateway drains and ends as well', async (command, script) => {
    await startBy(command, script);
    expect(gateway().lines('starting')).toMatchObject([{ workers: workersOf() }]);
    const client = await begin();
    await reloads();
    gateway().signal('SIGTERM');
    expect(await gateway().exited()).toBe('SIGTERM');
    await isDrained(client);
    await gateway().ended();
    expect(gateway().log).toContain('npm will not wait for the drain');
    expect(gateway().log).toContain('npm, which started this process, has ended');
  });

  test.skipIf(!hasProc)('npx: an npm that ends while its shell does not ends the gateway too', async () => {
    await startBy('npx postern start');
    const client = await begin();
    // npm does not pass this one on either.
    gateway().signal('SIGHUP');
    expect(await gateway().exited()).toBe('SIGHUP');
    await isDrained(client);
  });

  const unshare = ['--fork', '--pid', '--mount-proc', '--kill-child', '--map-root-user', '--user'];
  // Containers within which the tests run may not make others.
  const mayUnshare = hasProc && spawnSync('unshare', [...unshare, 'true']).status === 0;

  test.skipIf(!mayUnshare).each([
    ['node_modules/.bin/postern start', ''],
    ['npm start --silent', 'exec postern start'],
  ])('the first process of a container, %s (%s): SIGTERM drains it', async (command, script) => {
    await startBy(`unshare ${unshare.join(' ')} ${command}`, script);
    const client = await begin();
    const [first = 0] = childrenOf(gateway().pid);
    process.kill(first, 'SIGTERM');
    await isDrained(client);
    expect(await gateway().ended()).toBe(0);
  });

  test.skipIf(!mayUnshare)(
    'the first process of a container, before its config is loaded: SIGTERM ends it',
    async () => {
      const folder = temporaryFolder();
      const slow = 'process.stderr.write("loading\\n"); await new Promise((r) => setTimeout(r, 2 ** 30));';
      writeFileSync(join(folder, 'gateway.config.ts'), slow);
      const child = spawn('unshare', [...unshare, process.execPath, shim, 'start'], {
        cwd: folder,
        stdio: ['ignore', 'inherit', 'pipe'],
      });
      const ended = once(child, 'exit');
      await once(child.stderr, 'data');
      for (const pid of childrenOf(child.pid ?? 0)) process.kill(pid, 'SIGTERM');
      expect(await ended).toEqual([0, null]);
    },
  );
});

describe('at its end', () => {
  test('a log whose reader has gone after the first line keeps nothing up', async () => {
    const port = await freePort();
    const folder = temporaryFolder();
    const config = `export default { listen: { port: ${port} }, databases: {}, plugins: [] };`;
    writeFileSync(join(folder, 'gateway.config.ts'), config);
    // A pipe of the shell: those that Node makes for its children are sockets.
    const pipe = `exec 3>&1; { '${process.execPath}' '${shim}' start; echo "ended with $?" >&3; } | head -n 1`;
    const child = spawn('sh', ['-c', pipe], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const { pid } = JSON.parse(String((await lines.next()).value)) as { readonly pid: number };
    await expect.poll(() => connects(port)).toBe(true);
    process.kill(pid, 'SIGTERM');
    expect((await lines.next()).value).toBe('ended with 0');
  });

  test.skipIf(!hasProc)('a thread that waits for ever, as for a name server, keeps nothing up', async () => {
    const stuck = `{ name: 'stuck', setup() { open('nobody-writes', 'r', () => {}); } },`;
    isContained = false;
    running = await startTokenGateway(postgres, {
      before: `import { open } from 'node:fs';`,
      plugins: stuck,
      command: ['sh', '-c', `mkfifo nobody-writes && exec '${process.execPath}' '${shim}' start`],
    });
    gateway().signal('SIGTERM');
    // Node can end such a process with a code of its own from 22.15 on. The parent of workers has no such thread.
    expect(await gateway().ended()).toBe('execve' in process || workersOf() > 1 ? 0 : 'SIGTERM');
    expect(gateway().lines('stopped')).toHaveLength(workersOf());
  });
});
