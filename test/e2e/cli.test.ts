/** The `postern` command as a person runs it: exit codes, signals, and what goes to which stream. Its arguments: `cli-arguments`. */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Chain, NOTHING_BEFORE } from '../../plugins/audit/chain.ts';
import { INSTALL } from '../../plugins/claims/install.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { postern } from '../support/command.ts';
import type { Ran } from '../support/command.ts';
import { prepareCheckout } from '../support/gateway-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const shim = join(root, 'core/cli/postern.js');
const folder = mkdtempSync(join(tmpdir(), 'postern-cli-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

// So that nothing about it is on the streams that the tests read.
beforeAll(prepareCheckout, 120_000);

const runIn = (cwd: string, ...args: readonly string[]): Ran => postern(cwd, args);
const run = (...args: readonly string[]): Ran => postern(folder, args);
const runWith = (more: Readonly<Record<string, string>>, ...args: readonly string[]): Ran =>
  postern(folder, args, more);

function config(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const DATABASES = `{ orders: { host: '127.0.0.1', login: { kind: 'password', passwords: { reader: 'secret' } } } }`;

type Running = ChildProcessByStdio<null, Readable, null>;

async function started(path: string): Promise<{ gateway: Running; lines: string[] }> {
  const gateway: Running = spawn(process.execPath, [shim, 'start', '--config', path], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: folder,
  });
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    createInterface(gateway.stdout).on('line', (line) => {
      lines.push(line);
      if (line.includes('"listening"')) resolve();
    });
    gateway.once('exit', () => {
      reject(new Error(`the gateway ended:\n${lines.join('\n')}`));
    });
  });
  return { gateway, lines };
}

describe('sql roles', () => {
  test('prints SQL on stdout and no password, for the roles it is told', () => {
    const path = config('roles.config.ts', `export default { databases: ${DATABASES}, plugins: [] };`);
    const { status, stdout, stderr } = run('sql', 'roles', '--config', path, '--role', 'a', '--role', 'b');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('grant connect on database "orders" to "a";');
    expect(stdout).toContain('--   host "orders" "a","b" 127.0.0.1/32 scram-sha-256');
    expect(stdout).not.toContain('secret');
  });

  test('says what is missing, with exit code 1', () => {
    const path = config('none.config.ts', `export default { databases: ${DATABASES}, plugins: [] };`);
    const { status, stdout, stderr } = run('sql', 'roles', '--config', path);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('name them by --role');
  });
});

describe('commands of plugins', () => {
  const broken = (text: string): string => {
    const own = mkdtempSync(join(folder, 'broken-'));
    writeFileSync(join(own, 'gateway.config.ts'), text);
    return own;
  };
  const unset = broken(
    `import { env } from 'postern'; export default { secret: env('POSTERN_TEST_UNSET') };`,
  );

  test.each([
    ['without a config', folder],
    ['with a config whose variables are not set', unset],
  ])('access key, sql claims and sql tenant with templates work %s', (_, cwd) => {
    const key = runIn(cwd, 'access', 'key');
    expect(key).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^key: {4}postern_\S{43}\nsha256: [0-9a-f]{64}\n$/) as string,
    });
    expect(runIn(cwd, 'sql', 'claims')).toEqual({ status: 0, stdout: INSTALL, stderr: '' });
    const tenant = runIn(cwd, 'sql', 'tenant', 'acme', '--role', 'app_{tenant}', '--schema', 's_{tenant}');
    expect(tenant).toMatchObject({ status: 0, stderr: '' });
    expect(tenant.stdout).toContain('grant usage on schema "s_acme" to "app_acme";');
  });

  test('what needs a config says what is wrong with it, and which plugin is missing', () => {
    expect(run('sql', 'tenant', 'acme')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('no gateway.config.ts in') as string,
    });
    expect(runIn(unset, 'sql', 'tenant', 'acme')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'postern: environment variable POSTERN_TEST_UNSET is not set\n',
    });
    const path = config('bare.config.ts', `export default { databases: {}, plugins: [] };`);
    for (const [plugin, ...line] of [
      ['tenant', 'sql', 'tenant', 'acme'],
      ['audit', 'audit', 'verify', 'audit.jsonl'],
    ]) {
      const { status, stdout, stderr } = run(...line, '--config', path);
      expect({ status, stdout, stderr }).toEqual({
        status: 1,
        stdout: '',
        stderr: `postern: the config lists no ${plugin}(): ${path}\n`,
      });
    }
  });

  test('sql tenant takes the templates of the config, unless the command line has some', () => {
    const path = config(
      'tenant.config.ts',
      `import { tenant } from 'postern/plugins/tenant';
       const identity = { name: 'identity', provides: ['identity'], onAuth() {} };
       export default { databases: {}, plugins: [identity, tenant({ claim: 'tenant', role: 'of_config_{tenant}' })] };`,
    );
    expect(run('sql', 'tenant', 'acme', '--config', path).stdout).toContain('"of_config_acme"');
    const given = run('sql', 'tenant', 'acme', '--config', path, '--role', 'given_{tenant}').stdout;
    expect(given).toContain('"given_acme"');
    expect(given).not.toContain('of_config');
    expect(run('sql', 'tenant', 'acme', '--role', 'same').stderr).toBe(
      'postern: --role: {tenant} has to be in it once\n',
    );
    expect(run('sql', 'tenant', 'A B', '--role', 'x_{tenant}')).toMatchObject({
      status: 1,
      stderr: 'postern: not a valid tenant name\n',
    });
  });

  test('audit verify takes a key from a file, and says where a key is missing', () => {
    const key = 'k'.repeat(32);
    const [keyed, plain] = [key, undefined].map((secret, index) => {
      const chain = new Chain({ n: 0, hash: NOTHING_BEFORE }, secret);
      const opened = `"time":"2026-01-01T00:00:00.000Z","type":"opened","previous":"${NOTHING_BEFORE}"${secret === undefined ? '' : ',"keyed":true'}`;
      return config(`trail-${index}.jsonl`, chain.seal([opened]).bytes.toString());
    }) as [string, string];
    const keyFile = config('audit.key', `${key}\n`);
    const whole = {
      status: 0,
      stdout: expect.stringContaining('1 lines are as they were written') as string,
    };
    expect(runIn(unset, 'audit', 'verify', plain)).toMatchObject({ ...whole, stderr: '' });
    expect(runIn(unset, 'audit', 'verify', '--key-file', keyFile, keyed)).toMatchObject({
      ...whole,
      stderr: '',
    });
    expect(runIn(unset, 'audit', 'verify', keyed)).toEqual({
      status: 1,
      stdout: '',
      stderr:
        `${keyed}:1: the chain has a key, which is needed to verify it\n` +
        'postern: give it by --key-file, or by a config: environment variable POSTERN_TEST_UNSET is not set\n',
    });
    expect(run('audit', 'verify', '--key-file', 'nowhere', keyed).stderr).toBe(
      'postern: --key-file nowhere cannot be read: ENOENT\n',
    );
  });

  test('a plugin of the config has its own, with help, options and exit code', () => {
    const path = config(
      'own.config.ts',
      `const run = ({ options, operands }) => { console.log(JSON.stringify([options.loud, operands])); return 3; };
       const greet = { summary: 'greets', options: { loud: { help: 'loudly' } }, operands: ['WHO'], run };
       export default { databases: {}, plugins: [{ name: 'mine', commands: { 'mine greet': greet } }] };`,
    );
    const mine = (...args: readonly string[]): ReturnType<typeof run> =>
      run('mine', ...args, '--config', path);
    expect(mine('greet', 'Ada', '--loud')).toEqual({ status: 3, stdout: '[[""],["Ada"]]\n', stderr: '' });
    expect(mine('greet', '-h')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^Usage: postern mine greet \[options\] WHO\n\nGreets\.\n/) as string,
    });
    expect(mine('-h')).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('mine greet  greets') as string,
    });
    expect(mine('greet').stderr).toContain("'mine greet' needs WHO");
    expect(mine('gret').stderr).toContain("did you mean 'mine greet'?");
    expect(run('mine', 'greet')).toMatchObject({ status: 2, stdout: '' });
    expect(runIn(unset, 'mine', 'greet').stderr).toMatch(
      /^postern: there is no command 'mine'; a plugin of the config could bring it, but that does not load: environment/,
    );
  });
});

describe('check', () => {
  const marker = join(folder, 'was-set-up');
  const plugin = `{ name: 'mine', setup() { writeFileSync(${JSON.stringify(marker)}, ''); } }`;

  test('says what a config would run, and sets up no plugin', () => {
    const path = config(
      'good.config.ts',
      `import { writeFileSync } from 'node:fs';
       import { defineConfig } from 'postern';
       import { console } from 'postern/plugins/console';
       export default defineConfig({
         listen: [{ name: 'public', port: 7000 }, { name: 'local', path: '/run/postern', mode: 0o770 }],
         databases: ${DATABASES},
         admin: { port: 7001, operators: { claim: 'role', value: 'operator' } },
         plugins: [${plugin}, console()],
       });`,
    );
    const { status, stdout, stderr } = run('check', '--config', path);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/listeners +public \(127\.0\.0\.1 port 7000, no TLS\)/);
    expect(stdout).toContain('local (/run/postern port 6432, unix socket, mode 0o770)');
    expect(stdout).toMatch(/databases +orders/);
    expect(stdout).toMatch(/plugins +mine, console/);
    expect(stdout).toMatch(/admin +127\.0\.0\.1 port 7001, console pgbouncer on public, local/);
    expect(existsSync(marker)).toBe(false);
  });

  test.each([
    ['an unknown key', `{ listen: { prot: 7000 }, databases: {}, plugins: [] }`, 'prot'],
    [
      'a wrong value',
      `{ databases: { orders: { host: 1, login: { kind: 'trust' } } }, plugins: [] }`,
      'databases.orders.host',
    ],
  ])('%s stops it with one sentence that names the path', (_, text, path) => {
    const { status, stdout, stderr } = run(
      'check',
      '--config',
      config('bad.config.ts', `export default ${text};`),
    );
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain(path);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test.each([
    ['keys that are fetched', `jwt({ issuers: [{ ...id, jwks: 'https://id.example/jwks.json' }] })`],
    ['keys by discovery', `jwt({ issuers: [id] })`],
    ['an audit trail', `audit({ sink: { otlp: 'https://collector.example/v1/logs' } })`],
    ['traces', `tracing({ traces: { endpoint: 'https://collector.example' } })`],
    ['metrics that are sent', `tracing({ metrics: { otlp: { endpoint: 'https://collector.example' } } })`],
  ])('a proxy that is none stops it where it is needed, for %s, and shows nothing of it', (_, plugins) => {
    const path = config(
      'proxied.config.ts',
      `import { audit } from 'postern/plugins/audit';
       import { jwt } from 'postern/plugins/jwt';
       import { tracing } from 'postern/plugins/tracing';
       const id = { issuer: 'https://id.example', audience: 'postern' };
       void [audit, jwt, tracing];
       export default { databases: ${DATABASES}, plugins: [${plugins}] };`,
    );
    const checked = (env: Readonly<Record<string, string>>): Ran =>
      runWith({ NO_PROXY: '', no_proxy: '', ...env }, 'check', '--config', path);
    const bad = { https_proxy: 'http://user:canary@no port:x' };
    const { status, stdout, stderr } = checked(bad);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('environment variable https_proxy: the URL of a proxy is needed');
    expect(stderr).not.toContain('canary');
    expect(checked({ https_proxy: 'http://proxy.example:3128' }).status).toBe(0);
  });

  test('a config that is not there is named', () => {
    const { status, stderr } = run('start', '--config', 'nowhere.config.ts');
    expect(status).toBe(1);
    expect(stderr).toContain('nowhere.config.ts');
  });
});

describe('start', () => {
  const path = config(
    'start.config.ts',
    `import { defineConfig } from 'postern';
     export default defineConfig({ listen: { port: 0 }, databases: ${DATABASES}, plugins: [] });`,
  );

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'listens, says so as a JSON line, and ends with 0 on %s',
    async (signal) => {
      const { gateway, lines } = await started(path);
      gateway.kill(signal);
      await expect(once(gateway, 'exit')).resolves.toEqual([0, null]);
      const logged = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(logged).toContainEqual(expect.objectContaining({ msg: 'listening', host: '127.0.0.1' }));
    },
  );

  test('a taken address stops it with a sentence', async () => {
    const { gateway, lines } = await started(path);
    const line = lines.find((each) => each.includes('"listening"')) ?? '';
    const { port } = JSON.parse(line) as { port: number };
    const taken = config(
      'taken.config.ts',
      `import { defineConfig } from 'postern';
       export default defineConfig({ listen: { port: ${port} }, databases: ${DATABASES}, plugins: [] });`,
    );
    const { status, stderr } = run('start', '--config', taken);
    gateway.kill('SIGTERM');
    expect(status).toBe(1);
    expect(stderr).toContain(String(port));
    expect(stderr).not.toMatch(/^\s+at /m);
    await once(gateway, 'exit');
  });
});
