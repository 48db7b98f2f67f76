/** A listener that is a unix socket: clients find it as they find PostgreSQL's, and two programs never have one. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { ListenOptions } from '../../core/contract/listen.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import type { Session } from '../../core/contract/session.ts';
import { ipFilter } from '../../plugins/ip-filter/index.ts';
import { rateLimit } from '../../plugins/rate-limit/index.ts';
import { GOOD_TOKEN, databaseOf, linesOfEach, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { SSL_REQUEST } from '../support/raw-client.ts';

const PORT = 6432;
const postgres = sharedPostgres();
const running: RunningGateway[] = [];
let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-unix-'));
  file = join(folder, `.s.PGSQL.${PORT}`);
});
afterEach(async () => {
  for (const { gateway } of running.splice(0)) await gateway.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterAll(() => expect(running).toEqual([]));

async function gateway(
  listen: ListenOptions = {},
  plugins: readonly AnyPlugin[] = [],
): Promise<RunningGateway> {
  const started = await startGateway({
    listen: { path: folder, port: PORT, ...listen },
    databases: { orders: databaseOf(postgres) },
    plugins: [...plugins, mapTo('reader')],
  });
  running.push(started);
  return started;
}

async function client(): Promise<Client> {
  const one = new Client({ host: folder, port: PORT, user: '_', database: 'orders', password: GOOD_TOKEN });
  one.on('error', () => {});
  await one.connect();
  return one;
}

test('one local user’s failures and logins, counted by address, shut nobody else out', async () => {
  const limit = rateLimit({
    failedLogins: { per: 'address', limit: '1/d' },
    connections: { per: 'address', limit: '1/d' },
  });
  await gateway({}, [limit]);
  for (let times = 0; times < 3; times += 1) {
    const bad = new Client({ host: folder, port: PORT, user: '_', database: 'orders', password: 'bad' });
    await expect(bad.connect()).rejects.toMatchObject({ code: '28P01' });
  }
  await (await client()).end();
});

const modeOf = (path: string): number => statSync(path).mode & 0o777;

test('has PostgreSQL’s names and permissions, and goes when the gateway stops', async () => {
  expect(linesOfEach(await gateway(), 'listening')).toMatchObject([{ host: folder, port: PORT }]);
  expect(modeOf(file)).toBe(0o777);
  expect(modeOf(`${file}.lock`)).toBe(0o600);
  expect(readFileSync(`${file}.lock`, 'utf8').split('\n')).toMatchObject([
    String(process.pid),
    process.cwd(),
    expect.stringMatching(/^\d{10}$/),
    String(PORT),
    folder,
    '',
  ]);
  await running.pop()?.gateway.stop();
  expect([existsSync(file), existsSync(`${file}.lock`)]).toEqual([false, false]);
});

test('serves statements, cancels, and a client whose address is "unix"', async () => {
  const sessions: Session[] = [];
  const watch: AnyPlugin = { name: 'watch', onStartup: (session) => void sessions.push(session) };
  const { log } = await gateway({ mode: 0o700 }, [watch]);
  expect(modeOf(file)).toBe(0o700);
  const one = await client();
  expect((await one.query('select current_user as who')).rows).toEqual([{ who: 'reader' }]);
  const slept = one.query('select pg_sleep(600) /* over unix */');
  const refused = expect(slept).rejects.toMatchObject({ code: '57014' });
  await expect
    .poll(() =>
      postgres.sql(
        "select from pg_stat_activity where state = 'active' and query like 'select pg_sleep(600) /* over unix */'",
      ),
    )
    .toHaveLength(1);
  const { processID, secretKey } = one as unknown as { processID: number; secretKey: number };
  const cancel = net.connect(file);
  const request = Buffer.alloc(16);
  [16, 80_877_102, processID, secretKey].forEach((word, at) => request.writeInt32BE(word | 0, at * 4));
  cancel.end(request);
  await refused;
  await one.end();
  expect(sessions.map(({ client: { address, port, tls } }) => ({ address, port, tls }))).toEqual([
    { address: 'unix', port: 0, tls: undefined },
  ]);
  expect(log().filter(({ address }) => address === 'unix').length).toBeGreaterThan(0);
});

test('has no TLS, as on PostgreSQL', async () => {
  await gateway();
  const answers = [];
  for (const path of [file, join(postgres.socketDir, `.s.PGSQL.${postgres.port}`)]) {
    const socket = net.connect(path);
    socket.write(SSL_REQUEST);
    answers.push(String((await once(socket, 'data'))[0]));
    socket.destroy();
  }
  expect(answers).toEqual(['N', 'N']);
});

test('its clients are in no network', async () => {
  await gateway({}, [ipFilter({ allow: ['0.0.0.0/0', '::/0'] })]);
  await expect(client()).rejects.toMatchObject({ code: '28000' });
});

test('many clients at once, and nothing of them is left', async () => {
  const pipes = (): number => process.getActiveResourcesInfo().filter((name) => name === 'PipeWrap').length;
  const before = pipes();
  await gateway();
  const clients = await Promise.all(Array.from({ length: 30 }, () => client().catch(() => undefined)));
  const served = clients.filter((one) => one !== undefined);
  expect(served.length).toBeGreaterThan(10);
  const use = async (one: Client): Promise<void> => {
    await one.query('select 1');
    await one.end();
  };
  await Promise.all(served.map(use));
  await running.pop()?.gateway.stop();
  await expect.poll(pipes).toBe(before);
});

describe('a place that is taken', () => {
  const complaint = async (listen: ListenOptions = {}): Promise<string> =>
    gateway(listen).then(
      () => 'started',
      (error: Error) => error.message,
    );

  test('by another gateway of this process, which goes on', async () => {
    await gateway();
    expect(await complaint()).toBe(`listen.path: ${file} is in use by process ${process.pid}`);
    await (await client()).end();
    expect(existsSync(`${file}.lock`)).toBe(true);
  });

  test('by PostgreSQL', async () => {
    const { socketDir, port } = postgres;
    expect(await complaint({ path: socketDir, port })).toMatch(/^listen\.path: .* is in use by process \d+$/);
    expect(await postgres.sql('select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('by a file that is no socket', async () => {
    writeFileSync(file, 'mine');
    expect(await complaint()).toBe(`listen.path: ${file} is no socket: remove it`);
    expect(existsSync(`${file}.lock`)).toBe(false);
  });

  test('by a lock file without a process id', async () => {
    writeFileSync(`${file}.lock`, '');
    expect(await complaint()).toContain('has no process id: if no other program starts here, remove it');
  });

  test('a folder that there is not', async () => {
    expect(await complaint({ path: join(folder, 'none') })).toBe(
      `listen.path: there is no folder ${join(folder, 'none')}`,
    );
  });

  test.skipIf(process.getuid?.() === 0)('a folder where the gateway may not write', async () => {
    chmodSync(folder, 0o500);
    expect(await complaint()).toBe(`listen.path: this process may not write in ${folder}`);
    chmodSync(folder, 0o700);
  });
});

test('what a process that was killed has left is removed', async () => {
  const script = `require('node:net').createServer().listen(${JSON.stringify(file)}, () => console.log('up'))`;
  const child = spawn(process.execPath, ['-e', script]);
  await once(child.stdout, 'data');
  writeFileSync(`${file}.lock`, `${child.pid}\n`);
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
  expect(existsSync(file)).toBe(true);
  await gateway();
  await (await client()).end();
});

test('a reload keeps it, and says what needs a restart', async () => {
  const { gateway: one } = await gateway();
  const before = await client();
  const config = (listen: ListenOptions): Parameters<typeof one.reload>[0] =>
    checkConfig(
      { listen, databases: { orders: databaseOf(postgres) }, plugins: [mapTo('reader')] },
      tmpdir(),
    );
  await one.reload(config({ path: folder, port: PORT }));
  await before.end();
  await (await client()).end();
  const restart = 'needs a restart';
  await expect(one.reload(config({ path: folder, port: PORT, mode: 0o700 }))).rejects.toThrow(
    `listen.mode: 0o700 instead of 0o777 ${restart}`,
  );
  await expect(one.reload(config({ port: PORT }))).rejects.toThrow(
    `listen.host: 127.0.0.1 instead of none ${restart}`,
  );
  await (await client()).end();
});

test.each<[string, ListenOptions, string]>([
  ['a host as well', { host: '127.0.0.1', path: '/tmp' }, 'listen.host: a unix socket has none'],
  ['TLS', { path: '/tmp', tls: { cert: 'a', key: 'b' } }, 'listen.tls: a unix socket has none'],
  [
    'a PROXY header',
    { path: '/tmp', proxyProtocol: { trusted: ['10.0.0.0/8'] } },
    'listen.proxyProtocol: a unix',
  ],
  ['no port', { path: '/tmp', port: 0 }, 'listen.port: a unix socket has its port in its name'],
  ['nobody who may come', { path: '/tmp', plaintext: 'never' }, "listen.plaintext: 'never' without tls"],
  ['a long path', { path: `/tmp/${'x'.repeat(90)}` }, "listen.path: a unix socket's path has at most"],
  ['a decimal mode', { path: '/tmp', mode: 770 }, 'listen.mode: expected a whole number from 0 to 511'],
  [
    'a decimal mode that is a number of permissions',
    { path: '/tmp', mode: 440 },
    'listen.mode: 440 is 0o670, which are no permissions of a socket: write an octal number such as 0o660',
  ],
  ['a mode without its owner', { path: '/tmp', mode: 0o066 }, 'listen.mode: 54 is 0o66, which are no'],
  [
    'a mode as text',
    { path: '/tmp', mode: '0777' as never },
    "got '0777'; write an octal number such as 0o777",
  ],
  [
    'the socket instead of its folder',
    { path: '/run/postern/.s.PGSQL.6432' },
    "listen.path: is the folder of the socket: write path: '/run/postern', and port",
  ],
  ['a mode without a path', { mode: 0o700 }, 'listen.mode: is for a unix socket'],
  ['a folder as host', { host: '/tmp' }, "listen.host: write path: '/tmp'"],
])('a config with %s is refused', (_, listen, sentence) => {
  const check = (): unknown => checkConfig({ listen, databases: {}, plugins: [] }, '/');
  expect(check).toThrow(sentence);
});

test('two listeners on one socket are refused, and a path starts from the config file', () => {
  const listen = [
    { name: 'a', path: 'run', port: 1 },
    { name: 'b', path: '/etc/run', port: 1 },
  ];
  const config = (all: readonly ListenOptions[]): unknown => ({ listen: all, databases: {}, plugins: [] });
  expect(() => checkConfig(config(listen), '/etc')).toThrow(
    "listen[1].port: listener 'a' has /etc/run port 1 already",
  );
  expect(checkConfig(config(listen.slice(0, 1)), '/etc').listeners).toMatchObject([
    { host: '/etc/run', mode: 0o777 },
  ]);
});

test('two listeners on one socket are refused although a symbolic link gives it two names', () => {
  const alias = join(folder, 'alias');
  symlinkSync(folder, alias);
  const listen = [
    { name: 'a', path: folder, port: 1 },
    { name: 'b', path: alias, port: 1 },
  ];
  expect(() => checkConfig({ listen, databases: {}, plugins: [] }, '/')).toThrow(
    `listen[1].port: listener 'a' has ${folder} port 1 already`,
  );
});

describeWith('psql', (psql) => {
  test('finds it by -h and the folder', async () => {
    await gateway();
    const args = ['-XAtq', '-h', folder, '-p', String(PORT), '-U', '_', '-d', 'orders', '-c', 'select 42'];
    const env = { ...process.env, PGPASSWORD: GOOD_TOKEN, PGSSLMODE: 'verify-full' };
    const said = await new Promise((resolve) => {
      execFile(psql, args, { env }, (_, stdout, stderr) => resolve(stdout + stderr));
    });
    expect(said).toBe('42\n');
  });
});
