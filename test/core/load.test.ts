/** Config files on disk, loaded as the CLI loads them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ConfigError, GatewayError } from '../../core/contract/errors.ts';
import * as postern from '../../core/index.ts';
import { findConfig, loadConfig } from '../../core/load.ts';
import { pluginNames } from '../../core/config/own-modules.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-load-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
/** Writes a file into a folder of its own, far from any node_modules, and returns its path. */
function written(
  text: string,
  name = 'gateway.config.ts',
  directory = join(folder, String(files++)),
): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const DATABASES = `databases: { demo: { host: '127.0.0.1', login: { kind: 'trust' } } }`;

/** The sentence with which loading fails. */
async function sentence(path: string): Promise<string> {
  const error: unknown = await loadConfig(path).then(
    () => 'it loaded',
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).message;
}

test('a config anywhere on disk gets the modules that run now', async () => {
  const path = written(`
    import { GatewayError, defineConfig, type Plugin } from 'postern';
    import * as all from 'postern';
    const refuse: Plugin = {
      name: 'refuse',
      onStartup() { throw new GatewayError('insufficient_privilege', 'no'); },
      setup() { return all as never; },
    };
    export default defineConfig({ ${DATABASES}, plugins: [refuse] });
  `);
  const [plugin] = (await loadConfig(path)).plugins;
  expect(() => plugin?.onStartup?.({} as never)).toThrow(GatewayError);
  expect(plugin?.setup?.({} as never)).toBe(postern);
});

test('a file that the config imports gets the same modules', async () => {
  const path = written(`
    import { defineConfig } from 'postern';
    import { plugin } from './policies.ts';
    export default defineConfig({ ${DATABASES}, plugins: [plugin] });
  `);
  written(
    `import { GatewayError } from 'postern';
     export const plugin = { name: 'refuse', onStartup() { throw new GatewayError('insufficient_privilege', 'no'); } };`,
    'policies.ts',
    join(path, '..'),
  );
  const [plugin] = (await loadConfig(path)).plugins;
  expect(() => plugin?.onStartup?.({} as never)).toThrow(GatewayError);
});

test('a plugin is imported by its sub-path and is the very module that runs', async () => {
  const [name = 'jwt'] = pluginNames();
  const module: unknown = await import(`../../plugins/${name}/index.ts`);
  const path = written(`
    import { defineConfig } from 'postern';
    import * as plugin from 'postern/plugins/${name}';
    export default defineConfig({ ${DATABASES}, plugins: [{ name: 'x', setup: () => plugin as never }] });
  `);
  expect((await loadConfig(path)).plugins[0]?.setup?.({} as never)).toBe(module);
});

test('a plugin that does not exist is named', async () => {
  const path = written(`import { x } from 'postern/plugins/jwtt';\nexport default x;`);
  expect(await sentence(path)).toBe(`${path}: there is no plugin 'jwtt'; did you mean 'jwt'?`);
});

test('a changed file is read again, and so is what it imports', async () => {
  const path = written(`
    import { defineConfig } from 'postern';
    import { port } from './port.ts';
    export default defineConfig({ listen: { port }, ${DATABASES}, plugins: [] });
  `);
  const directory = join(path, '..');
  written('export const port = 1001;', 'port.ts', directory);
  expect((await loadConfig(path)).listeners[0]?.port).toBe(1001);
  written('export const port = 1002;', 'port.ts', directory);
  expect((await loadConfig(path)).listeners[0]?.port).toBe(1002);
});

test.each(['gateway.config.mts', 'gateway.config.js', 'other.mjs'])('%s is loaded', async (name) => {
  const text = `import { defineConfig } from 'postern';\nexport default defineConfig({ ${DATABASES}, plugins: [] });`;
  expect((await loadConfig(written(text, name))).databaseNames).toEqual(['demo']);
});

test('a file in CommonJS is loaded', async () => {
  const text = `const { defineConfig } = require('postern');\nmodule.exports = defineConfig({ ${DATABASES}, plugins: [] });`;
  expect((await loadConfig(written(text, 'gateway.config.js'))).databaseNames).toEqual(['demo']);
});

test('the directory is the folder of the file, and file() starts from it', async () => {
  const path = written(`
    import { defineConfig, file } from 'postern';
    const login = { kind: 'password' as const, passwords: { reader: file('reader.secret') } };
    export default defineConfig({ databases: { demo: { host: '::1', login } }, plugins: [] });
  `);
  const directory = join(path, '..');
  written('hunter2\n', 'reader.secret', directory);
  const config = await loadConfig(path);
  expect(config.directory).toBe(directory);
  const entry = await config.database('demo');
  const passwords = entry?.login.kind === 'password' ? entry.login.passwords : {};
  expect(
    typeof passwords === 'object' && typeof passwords['reader'] === 'function' && passwords['reader'](),
  ).toBe('hunter2');
});

test('a syntax error is told with file and line', async () => {
  const path = written(`import { defineConfig } from 'postern';\n\nexport default defineConfig({ x: ; });\n`);
  expect(await sentence(path)).toMatch(`${path}:3:`);
  expect(await sentence(path)).toMatch('syntax error');
});

test('a syntax error in an imported file names that file', async () => {
  const path = written(`import './broken.ts';\nexport default {};`);
  const broken = written('const = 1;', 'broken.ts', join(path, '..'));
  expect(await sentence(path)).toMatch(`${broken}:1:`);
});

test('an error thrown in the file names the file and the line', async () => {
  const path = written(
    `interface Some {\n  x: number;\n}\nconst none = undefined as unknown as Some;\n\nexport default none.x;\n`,
  );
  expect(await sentence(path)).toBe(`${path}:6: Cannot read properties of undefined (reading 'x')`);
});

test('a ConfigError passes through as it is', async () => {
  delete process.env['POSTERN_TEST_UNSET'];
  const path = written(`import { env } from 'postern';\nexport default env('POSTERN_TEST_UNSET');`);
  expect(await sentence(path)).toBe('environment variable POSTERN_TEST_UNSET is not set');
});

test.each([
  'export const config = {};',
  `import { defineConfig } from 'postern';\nconst config = defineConfig({ databases: {}, plugins: [] });`,
  '',
])('a file without a default export is refused: %j', async (text) => {
  const path = written(text);
  expect(await sentence(path)).toBe(
    `${path} has no default export: expected 'export default defineConfig({ … })'`,
  );
});

test.each([
  ['() => 1', 'a function'],
  ['[1]', 'a list'],
  ['Promise.resolve({})', 'a promise (await it)'],
  [`'x'`, 'text'],
])('the default export %s is not a config', async (text, kind) => {
  expect(await sentence(written(`export default ${text};`))).toBe(
    `the default export is ${kind}, not a config: did you forget 'export default defineConfig({ … })'?`,
  );
});

test('a missing module is named without the require stack', async () => {
  const path = written(`import 'no-such-package';\nexport default {};`);
  const text = await sentence(path);
  expect(text).toContain(path);
  expect(text).toContain('no-such-package');
  expect(text).not.toContain('\n');
});

test('the config is found in the working directory, .ts before .mts before .js', () => {
  const directory = join(folder, 'found');
  const js = written('', 'gateway.config.js', directory);
  expect(findConfig(directory)).toBe(js);
  const ts = written('', 'gateway.config.ts', directory);
  expect(findConfig(directory)).toBe(ts);
  expect(findConfig(directory, 'gateway.config.js')).toBe(js);
});

test('no config file is an error that says where it was looked for', () => {
  expect(() => findConfig(folder)).toThrow(`no gateway.config.ts in ${folder}: postern init writes one`);
  expect(() => findConfig(folder, 'x.ts')).toThrow(`no config file ${join(folder, 'x.ts')}`);
});
