/** Any plugin folder can be deleted: what is left of the product still compiles, and its documents still lead somewhere. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type * as Main from '../../core/cli/main.ts';
import type * as CliCommands from '../../core/cli/plugin-commands.ts';
import { documents, links } from '../support/markdown.ts';
import { references } from '../support/reference/documents.ts';
import type * as Gateways from '../../core/gateway.ts';
import type * as Load from '../../core/load.ts';
import type * as Log from '../../core/telemetry/log.ts';
import { factoryName } from '../../core/config/own-modules.ts';
import { databaseOf } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { sourcesIn } from '../support/source-tree.ts';
import { issuer } from '../support/token.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);
const folders = (await readdir(join(ROOT, 'plugins'), { withFileTypes: true }))
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
let copy: string;

// The compiler takes its time where others compile as well.
vi.setConfig({ testTimeout: 180_000 });

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'postern-deletion-'));
  for (const part of ['core', 'plugins', 'test/support/embedded', 'tsconfig.json', 'package.json']) {
    await cp(join(ROOT, part), join(copy, part), { recursive: true });
  }
  await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  await mkdir(join(copy, 'aside'));
});
afterAll(() => rm(copy, { recursive: true, force: true }));

/**
 * What the compiler says to the product; empty: nothing. Files that neither changed nor import one that is gone are not checked
 * again: see the test below for what that relies on.
 */
async function complaints(): Promise<string> {
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const incremental = ['--incremental', '--tsBuildInfoFile', join(copy, 'build-info')];
  const args = [compiler, '-p', 'core/tsconfig.build.json', '--noEmit', ...incremental];
  return run(process.execPath, args, { cwd: copy }).then(
    () => '',
    (error: { stdout?: string }) => error.stdout ?? 'tsc failed',
  );
}

test('there are plugins, and the copy compiles with all of them', async () => {
  expect(folders.length).toBeGreaterThan(1);
  expect(await complaints()).toBe('');
});

test('no file changes the types of another one, but where that imports it', () => {
  const sources = [...sourcesIn('core'), ...sourcesIn('plugins')];
  expect(sources.length).toBeGreaterThan(300);
  const changes = sources.filter(({ text }) => /^\s*declare (?:global|module)\b/m.test(text));
  expect(changes.map(({ path }) => path)).toEqual([]);
});

test('a type that goes with a folder is missed where it is imported', async () => {
  const [folder] = folders;
  const user = join(copy, 'core/user.ts');
  const made = join(copy, 'plugins', folder ?? '', 'made-for-this-test.ts');
  await writeFile(made, 'export const made = 1;\n');
  await writeFile(user, `export { made } from '../plugins/${folder}/made-for-this-test.ts';\n`);
  expect(await complaints()).toBe('');
  await rm(made);
  expect(await complaints()).toContain('core/user.ts');
  await rm(user);
});

test.each(folders)('without plugins/%s', async (folder) => {
  const [here, away] = [join(copy, 'plugins', folder), join(copy, 'aside', folder)];
  await cp(here, away, { recursive: true });
  await rm(here, { recursive: true });
  const said = await complaints();
  await cp(away, here, { recursive: true });
  expect(said).toBe('');
});

test.each(folders)(
  'no document of core or of another plugin leads into plugins/%s, but for the index',
  (folder) => {
    const others = documents().filter(
      ({ path }) => /^(core|plugins)\//.test(path) && !path.startsWith(`plugins/${folder}/`),
    );
    expect(others.length).toBeGreaterThan(10);
    const into = others.flatMap((document) => {
      // The index is made anew of the folders that there are.
      const text = document.text.replace(/<!-- reference: plugins -->.*?<!-- \/reference -->/s, '');
      const targets = links({ ...document, text }).map((link) =>
        normalize(join(dirname(document.path), link.split('#')[0] ?? '')),
      );
      return targets
        .filter((target) => `${target}/`.startsWith(`plugins/${folder}/`))
        .map(() => document.path);
    });
    expect(into).toEqual([]);
  },
);

test('the index of plugins forgets a folder that is gone', async () => {
  const [gone = '', stays = ''] = folders;
  await rm(join(copy, 'plugins', gone), { recursive: true });
  const index = (await references(copy)).find(({ path }) => path === 'plugins/README.md');
  expect(index?.is).toContain(`](${gone}/README.md)`);
  expect(index?.wanted).toContain(`](${stays}/README.md)`);
  expect(index?.wanted).not.toContain(`](${gone}/`);
  await cp(join(ROOT, 'plugins', gone), join(copy, 'plugins', gone), { recursive: true });
});

const moduleOf = async (path: string): Promise<unknown> => import(pathToFileURL(join(copy, path)).href);

/** Strings and templates of a source; comments may have examples. */
function textsIn(source: string): string {
  const code = source.replace(/\/\*[^]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  return [...code.matchAll(/(['"`])(?:\\.|(?!\1)[^\\])*\1/g)].map(([text]) => text).join('\n');
}

test('nothing that the core says names a plugin; only what writes configs does', () => {
  const writers = /^core\/cli\/(?:init|pgbouncer\/|written\/|import)/;
  const calls = folders.map((folder) => `${factoryName(folder)}\\(`);
  const paths = folders.map((folder) => `plugins/${folder}\\b`);
  const named = new RegExp(`\\b(?:${[...calls, ...paths].join('|')})`);
  expect(textsIn("/* jwt() */ const a = 'put jwt() before'")).toMatch(named);
  expect(textsIn("/* jwt() */ const a = 'put one before'")).not.toMatch(named);
  const found = sourcesIn('core').filter(
    ({ path, text }) => !writers.test(path) && named.test(textsIn(text)),
  );
  expect(found.map(({ path }) => path)).toEqual([]);
});

describe('without the two ways for operators', () => {
  const ways = ['operations', 'console'];
  beforeAll(async () => {
    for (const way of ways) await rm(join(copy, 'plugins', way), { recursive: true, force: true });
  });

  test('the rest compiles', async () => {
    expect(await complaints()).toBe('');
  });

  test('a gateway starts, serves a login, answers health checks and drains', async () => {
    const postgres = sharedPostgres();
    const keys = issuer({ algorithms: ['ES256'] });
    const config = join(copy, 'gateway.config.ts');
    await writeFile(join(copy, 'jwks.json'), JSON.stringify(keys.jwks));
    await writeFile(
      config,
      `import { defineConfig } from 'postern';
       import { jwt } from 'postern/plugins/jwt';
       import { roles } from 'postern/plugins/roles';
       export default defineConfig({
         listen: { port: 0 },
         admin: { port: 0, operators: { claim: 'groups', value: 'dba' } },
         databases: { orders: ${JSON.stringify(databaseOf(postgres))} },
         plugins: [
           jwt({ issuers: [{ issuer: '${keys.issuer}', audience: 'postern', jwks: 'jwks.json' }] }),
           roles({ claim: 'role', allow: ['reader'] }),
         ],
       });`,
    );
    const of = <T>(path: string): Promise<T> => import(pathToFileURL(join(copy, path)).href) as Promise<T>;
    const { loadConfig } = await of<typeof Load>('core/load.ts');
    const { Gateway } = await of<typeof Gateways>('core/gateway.ts');
    const { createLogger } = await of<typeof Log>('core/telemetry/log.ts');
    const gateway = new Gateway(await loadConfig(config), createLogger('silent'));
    const { listeners, admin } = await gateway.start();
    const client = new Client({
      host: '127.0.0.1',
      port: listeners[0]?.port ?? 0,
      user: '_',
      database: 'orders',
      password: keys.sign({ role: 'reader' }),
    });
    await client.connect();
    expect((await client.query('select current_user as role')).rows).toEqual([{ role: 'reader' }]);
    const ask = async (path: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${admin?.port}${path}`)).status;
    expect([await ask('/livez'), await ask('/readyz')]).toEqual([200, 200]);
    expect([await ask('/v1/databases'), await ask('/openapi.json')]).toEqual([404, 404]);
    await client.end();
    await gateway.drain();
    await expect(ask('/livez')).rejects.toThrow();
  });
});

test('the commands of a folder go with it', async () => {
  const { standaloneCommands } = (await moduleOf('core/cli/plugin-commands.ts')) as typeof CliCommands;
  const before = Object.keys(await standaloneCommands());
  const gone = ['sql claims', 'access key', 'token', 'connect'];
  expect(before).toEqual(expect.arrayContaining(gone));
  for (const folder of ['claims', 'access']) await rm(join(copy, 'plugins', folder), { recursive: true });
  expect(Object.keys(await standaloneCommands())).toEqual(before.filter((words) => !gone.includes(words)));

  const { main } = (await moduleOf('core/cli/main.ts')) as typeof Main;
  const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  onTestFinished(() => said.mockRestore());
  for (const command of ['token', 'connect']) {
    expect(await main([command, 'orders'])).toBe(2);
    expect(said).toHaveBeenLastCalledWith(expect.stringContaining(`there is no command '${command}'`));
  }
});
