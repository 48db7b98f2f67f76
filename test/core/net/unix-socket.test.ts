/** A unix socket belongs to one program: whatever stands in the lock file, and whoever starts at the same time. */
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { identityOf, removeExactly } from '../../../core/net/exclusive-file.ts';
import { UnixSocket } from '../../../core/net/unix-socket.ts';
import { importFresh } from '../../support/import-fresh.ts';

const NAME = '.s.PGSQL.1';
/** Above what a system gives out. */
const NO_PROCESS = 4_194_999;
let folder: string;
let file: string;
let lock: string;
const open: Program[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-lock-'));
  file = join(folder, NAME);
  lock = `${file}.lock`;
});
afterEach(() => {
  for (const program of open.splice(0)) program.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A start that looks whether the socket is in use reads nothing: the server's end sees a reset. */
const serve = (): net.Server =>
  net.createServer((client) => {
    client.on('error', () => {});
    client.end('served');
  });

/** A listener without a gateway. */
class Program {
  readonly socket: UnixSocket;
  readonly server = serve();

  constructor(Socket = UnixSocket) {
    this.socket = new Socket({ path: 'listen', folder, name: NAME, port: 1, mode: 0o700 });
    open.push(this);
  }

  async start(): Promise<this> {
    await this.socket.claim();
    try {
      await once(this.server.listen(this.socket.bindFile), 'listening');
      this.socket.publish();
    } catch (error) {
      this.stop();
      throw error;
    }
    return this;
  }

  stop(): void {
    this.socket.release();
    this.server.close();
  }
}

/** What another process with the id of this one runs, as in containers: it knows nothing of the locks of this one. */
async function container(): Promise<Program> {
  const fresh = (await importFresh('core/net/unix-socket.ts')) as { UnixSocket: typeof UnixSocket };
  expect(fresh.UnixSocket).not.toBe(UnixSocket);
  return new Program(fresh.UnixSocket);
}

const complaint = (program: Program): Promise<string> =>
  program.start().then(
    () => 'started',
    (error: Error) => error.message,
  );

async function served(): Promise<string> {
  const [said] = await once(net.connect(file), 'data');
  return String(said);
}

describe('a socket that is listened on', () => {
  const inUse = (): string => `listen.path: ${file} is in use by another program`;

  test('is in use although the lock names the process id of the one that starts', async () => {
    const first = await new Program().start();
    expect(await complaint(await container())).toBe(inUse());
    expect(await served()).toBe('served');
    first.stop();
    expect(readdirSync(folder)).toEqual([]);
  });

  test('is in use although the lock names its parent', async () => {
    await new Program().start();
    writeFileSync(lock, `${process.ppid}\n`);
    expect(await complaint(await container())).toBe(inUse());
  });

  test.each([
    ['no lock', undefined],
    ['the lock of a process that is gone', `${NO_PROCESS}\n`],
  ])('is in use with %s', async (_, text) => {
    const server = serve().listen(file);
    await once(server, 'listening');
    if (text !== undefined) writeFileSync(lock, text);
    expect(await complaint(new Program())).toBe(inUse());
    expect(await served()).toBe('served');
    expect(existsSync(lock)).toBe(text !== undefined);
    server.close();
  });
});

test('one that stops leaves the socket and the lock of its successor', async () => {
  const first = await new Program().start();
  unlinkSync(file);
  unlinkSync(lock);
  const second = await (await container()).start();
  first.stop();
  expect(await served()).toBe('served');
  expect(existsSync(lock)).toBe(true);
  second.stop();
  expect(readdirSync(folder)).toEqual([]);
});

test('one that lost its lock while it starts has no socket', async () => {
  const first = new Program();
  await first.socket.claim();
  const second = await container();
  await second.socket.claim();
  await once(first.server.listen(first.socket.bindFile), 'listening');
  expect(() => first.socket.publish()).toThrow('is in use by another program');
  await once(second.server.listen(second.socket.bindFile), 'listening');
  second.socket.publish();
  first.stop();
  expect(await served()).toBe('served');
});

test('of many that start at once after a crash one has it', async () => {
  for (let round = 0; round < 50; round += 1) {
    writeFileSync(lock, `${NO_PROCESS}\n`);
    const said = await Promise.all(Array.from({ length: 4 }, () => complaint(new Program())));
    expect(said.toSorted()).toEqual([
      ...Array.from({ length: 3 }, () => expect.stringContaining('is in use by') as string),
      'started',
    ]);
    expect(await served()).toBe('served');
    for (const program of open.splice(0)) program.stop();
    expect(readdirSync(folder)).toEqual([]);
  }
});

test('a file is removed only if it is the one that was looked at', () => {
  const [one, other] = [join(folder, 'one'), join(folder, 'other')];
  writeFileSync(one, 'stale');
  const identity = identityOf(one) ?? '';
  linkSync(one, other);
  rmSync(one);
  writeFileSync(one, 'new');
  removeExactly(one, identity);
  expect(readFileSync(one, 'utf8')).toBe('new');
  removeExactly(other, identity);
  removeExactly(other, identity);
  expect(readdirSync(folder)).toEqual(['one']);
});

describe('a lock that is no regular file', () => {
  test.each<[string, () => void]>([
    ['a FIFO', () => void execFileSync('mkfifo', [lock])],
    ['a folder', () => mkdirSync(lock)],
    ['a symbolic link', () => symlinkSync('elsewhere', lock)],
  ])('is refused: %s', async (_, make) => {
    make();
    expect(await complaint(new Program())).toBe(`listen.path: ${lock} is no regular file: remove it`);
    expect(readdirSync(folder)).toEqual([`${NAME}.lock`]);
  });
});

test('a folder that is a file', async () => {
  const at = join(folder, 'file');
  writeFileSync(at, '');
  const socket = new UnixSocket({ path: 'listen[1]', folder: at, name: NAME, port: 1, mode: 0o777 });
  await expect(socket.claim()).rejects.toThrow(`listen[1].path: there is no folder ${at}`);
  socket.release();
});

// Only root can make the files of two users.
test.skipIf(process.getuid?.() !== 0)(
  'another user’s files in a folder where only their owner may remove them',
  async () => {
    chmodSync(folder, 0o1777);
    const killed = `require('node:net').createServer().listen(${JSON.stringify(file)}, () => process.kill(process.pid, 9))`;
    spawnSync(process.execPath, ['-e', killed]);
    chmodSync(file, 0o777);
    process.seteuid?.(65_534);
    try {
      expect(await complaint(new Program())).toBe(`listen.path: this process may not rename ${file}`);
      expect(readdirSync(folder)).toEqual([NAME]);
    } finally {
      process.seteuid?.(0);
    }
    writeFileSync(lock, `${NO_PROCESS}\n`);
    process.seteuid?.(65_534);
    try {
      expect(await complaint(new Program())).toBe(`listen.path: this process may not rename ${lock}`);
      expect(readdirSync(folder)).toEqual([NAME, `${NAME}.lock`]);
    } finally {
      process.seteuid?.(0);
    }
  },
);
