/** `postern token` and `postern connect`: a token for a shell, and psql with one; credentials are in no argument and no output. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { startGateway } from '../support/gateway.ts';
import { describeWith } from '../support/programs.ts';
import { CI_KEY, deskConfig, developer, openDesk } from './access-desk.ts';
import type { Desk } from './access-desk.ts';

const shim = fileURLToPath(new URL('../../core/cli/postern.js', import.meta.url));
beforeAll(prepareCheckout);

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'postern-token-'));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return made;
}

function environment(cache: string, more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { PATH = '', HOME = '' } = process.env;
  return { PATH, HOME, XDG_CACHE_HOME: cache, ...more };
}

function run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [shim, ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** A desk whose connection strings lead to itself. */
async function reachableDesk(): Promise<Desk> {
  const desk = await openDesk();
  const connect = { host: '127.0.0.1', port: desk.port, sslmode: 'disable' } as const;
  const next = checkConfig({ listen: { port: 0 }, ...deskConfig({ access: { connect } }) }, tmpdir());
  await desk.gateway.reload(() => Promise.resolve(next));
  return desk;
}

const serverOf = ({ adminPort }: { readonly adminPort: number }): string => `http://127.0.0.1:${adminPort}`;
const ASK = ['--role', 'reader', '--reason', 'ticket 4711'];

async function onlyFile(cache: string): Promise<string> {
  const [name = '', ...more] = await readdir(join(cache, 'postern'));
  expect(more).toEqual([]);
  return join(cache, 'postern', name);
}

describe('postern token', () => {
  test('prints the token only, and asks again when it is about to expire, not before', async () => {
    const [desk, cache] = [await reachableDesk(), await folder()];
    const env = environment(cache, { POSTERN_SERVER: serverOf(desk), POSTERN_CREDENTIAL: developer() });
    const first = await run(['token', 'orders', ...ASK], env);
    expect([first.code, first.stderr]).toEqual([0, '']);
    expect(first.stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    await desk.login(first.stdout.trim());
    const file = await onlyFile(cache);
    expect([(await stat(file)).mode & 0o777, (await stat(dirname(file))).mode & 0o777]).toEqual([
      0o600, 0o700,
    ]);
    expect((await run(['token', 'orders', ...ASK], env)).stdout).toBe(first.stdout);
    expect((await run(['token', 'orders', ...ASK, '--fresh'], env)).stdout).not.toBe(first.stdout);
    const kept = JSON.parse(await readFile(file, 'utf8')) as object;
    const late = new Date(Date.now() + 29_000);
    await writeFile(file, JSON.stringify({ ...kept, token: 'late', expiresAt: late }));
    expect((await run(['token', 'orders', ...ASK], env)).stdout).not.toBe('late\n');
    await writeFile(file, JSON.stringify({ ...kept, token: 'open' }));
    await chmod(file, 0o644);
    expect((await run(['token', 'orders', ...ASK], env)).stdout).not.toBe('open\n');
  });

  test('takes the credential from a file; one caller is not given the token of another', async () => {
    const [desk, cache] = [await reachableDesk(), await folder()];
    const file = join(cache, 'key');
    await writeFile(file, `${CI_KEY}\n`);
    const env = environment(cache, {});
    const args = ['token', 'orders', '--server', serverOf(desk), '--credential', file, '--role', 'writer'];
    const ours = await run(args, env);
    expect([ours.code, ours.stderr]).toEqual([0, '']);
    await writeFile(file, developer());
    const theirs = await run([...args, '--reason', 'x'], env);
    expect(theirs.code).toBe(0);
    await writeFile(file, `${CI_KEY}x`);
    const nobody = await run(args, env);
    expect([nobody.code, nobody.stdout, nobody.stderr]).toEqual([
      1,
      '',
      'postern: no access: a good token or API key is needed\n',
    ]);
  });

  test('says what is wrong in one line, with nothing secret in it', async () => {
    const [desk, cache] = [await reachableDesk(), await folder()];
    const good = { POSTERN_SERVER: serverOf(desk), POSTERN_CREDENTIAL: CI_KEY };
    const told = async (args: readonly string[], more: NodeJS.ProcessEnv): Promise<unknown[]> => {
      const { code, stdout, stderr } = await run(['token', ...args], environment(cache, more));
      expect(stdout + stderr).not.toContain(CI_KEY);
      return [code, stderr.split('\n')[0]];
    };
    expect(await told(['orders', '--role', 'reader'], good)).toEqual([
      1,
      'postern: no access: you may not have role "reader" in database "orders"',
    ]);
    expect(await told(['orders'], { POSTERN_CREDENTIAL: CI_KEY })).toEqual([
      1,
      'postern: which gateway? Set POSTERN_SERVER or --server to its URL',
    ]);
    expect(await told(['orders'], { POSTERN_SERVER: serverOf(desk) })).toEqual([
      1,
      'postern: who asks? Set POSTERN_CREDENTIAL, or POSTERN_CREDENTIAL_FILE or --credential',
    ]);
    expect(await told(['orders'], { ...good, POSTERN_SERVER: 'http://gateway.example' })).toEqual([
      1,
      'postern: the URL of the gateway has to be https://…, or http:// on this machine',
    ]);
    const known = `http://ada:${CI_KEY}@127.0.0.1:1`;
    expect(await told(['orders'], { ...good, POSTERN_SERVER: known })).toEqual([
      1,
      'postern: no user and password belong in the URL of the gateway',
    ]);
    expect(await told(['orders'], { ...good, POSTERN_SERVER: 'http://127.0.0.1:1' })).toEqual([
      1,
      expect.stringContaining('http://127.0.0.1:1 does not answer') as string,
    ]);
    const bare = await startGateway({ databases: {}, plugins: [], admin: { port: 0 } });
    onTestFinished(() => bare.gateway.stop());
    expect(await told(['orders'], { ...good, POSTERN_SERVER: serverOf(bare) })).toEqual([
      1,
      `postern: no access: ${serverOf(bare)} answers 404 Not Found; is that the admin address of a gateway, and does its config list access()?`,
    ]);
    expect(await told([], good)).toEqual([2, "postern: 'token' needs DATABASE: postern token DATABASE"]);
    expect(await told(['orders', 'other'], good)).toEqual([2, "postern: 'token' has no use for 'other'"]);
  });

  test('follows nobody who sends the credential elsewhere', async () => {
    const asked: (string | undefined)[] = [];
    const elsewhere = createServer((request, response) => {
      asked.push(request.headers.authorization);
      response.end('{}');
    });
    const server = createServer((_, response) => {
      response.writeHead(307, { location: `http://127.0.0.1:${portOf(elsewhere)}/` }).end();
    });
    for (const one of [elsewhere, server]) {
      one.listen(0, '127.0.0.1');
      await once(one, 'listening');
      onTestFinished(() => void one.close());
    }
    const env = environment(await folder(), {
      POSTERN_SERVER: `http://127.0.0.1:${portOf(server)}`,
      POSTERN_CREDENTIAL: CI_KEY,
    });
    expect((await run(['token', 'orders'], env)).code).toBe(1);
    expect(asked).toEqual([]);
  });
});

const portOf = (server: ReturnType<typeof createServer>): number => (server.address() as AddressInfo).port;

describeWith('psql', (psql) => {
  test('postern connect runs it as the role, and ends as it does', async () => {
    const [desk, cache] = [await reachableDesk(), await folder()];
    const env = environment(cache, {
      POSTERN_SERVER: serverOf(desk),
      POSTERN_CREDENTIAL: developer(),
      PATH: `${dirname(psql)}${delimiter}${process.env['PATH'] ?? ''}`,
      // Would lead the token to another server.
      PGHOSTADDR: '127.0.0.2',
      PGPORT: '1',
      PGDATABASE: 'nowhere',
    });
    const query = (sql: string): Promise<Outcome> =>
      run(['connect', 'orders', ...ASK, '--', '-XAtc', sql], env);
    const who = await query('select session_user');
    expect([who.code, who.stdout, who.stderr]).toEqual([0, 'reader\n', '']);
    expect((await query('select 1/0')).code).toBe(1);
    const script = join(cache, 'script.sql');
    await writeFile(script, 'select 1/0;\n');
    const more = ['--', '-X', '-v', 'ON_ERROR_STOP=1', '-f', script];
    expect((await run(['connect', 'orders', ...ASK, ...more], env)).code).toBe(3);
  });

  test.runIf(process.platform === 'linux')(
    'the token is in no argument of any process, and the credential not in the environment of psql',
    async () => {
      const [desk, cache] = [await reachableDesk(), await folder()];
      const credential = developer();
      const env = environment(cache, {
        POSTERN_SERVER: serverOf(desk),
        POSTERN_CREDENTIAL: credential,
        PATH: `${dirname(psql)}${delimiter}${process.env['PATH'] ?? ''}`,
      });
      const sql = String.raw`\! tr '\0' '\n' < /proc/$PPID/cmdline; tr '\0' '\n' < /proc/$PPID/environ`;
      const child = spawn(process.execPath, [shim, 'connect', 'orders', ...ASK, '--', '-X'], { env });
      let out = '';
      child.stdout.on('data', (chunk: Buffer) => (out += String(chunk)));
      child.stdin.end(`${sql}\n`);
      await once(child, 'close');
      const { token } = JSON.parse(await readFile(await onlyFile(cache), 'utf8')) as { token: string };
      const lines = out.split('\n');
      expect(lines.filter((line) => line.includes(token))).toEqual([`PGPASSWORD=${token}`]);
      expect(out).toContain('postgresql://_@127.0.0.1');
      expect(out).not.toContain(credential);
      expect(desk.text()).not.toContain(token);
    },
  );

  test('without psql postern connect says so', async () => {
    const [desk, cache] = [await reachableDesk(), await folder()];
    const env = environment(cache, {
      POSTERN_SERVER: serverOf(desk),
      POSTERN_CREDENTIAL: developer(),
      PATH: cache,
    });
    const { code, stderr } = await run(['connect', 'orders', ...ASK], env);
    expect([code, stderr]).toEqual([1, 'postern: psql cannot be run: spawn psql ENOENT\n']);
  });
});
