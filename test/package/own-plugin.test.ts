/** `examples/your-own-plugin` as a package: compiled, packed, installed beside the tarball of Postern, and tested there. */
import { cpSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sharedPostgres } from '../support/postgres.ts';
import { emptyFolder, pack, packPostern } from './tarball.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const NAME = 'postern-plugin-no-ddl';
/** Compiling, packing and installing, in milliseconds. */
const INSTALL_MS = 300_000;

const folder = emptyFolder({ POSTERN_TEST_POSTGRES: sharedPostgres().url() });
const here = (...names: readonly string[]): string => join(folder.path, ...names);
let missing: string | undefined;

beforeAll(async () => {
  missing = await folder.install(await packPostern(folder.path), 'pg@8', '@types/node@20');
  if (missing !== undefined) return;
  // Its sources are compiled where they find the installed Postern.
  cpSync(join(root, 'examples/your-own-plugin'), here('source'), {
    recursive: true,
    filter: (path) => !/(node_modules|dist)$/.test(path),
  });
  await folder.run(process.execPath, join(root, 'node_modules/typescript/bin/tsc'), '-p', 'source');
  missing = await folder.install(await pack(here('source'), folder.path));
}, INSTALL_MS);
afterAll(() => folder.remove());

test('the package has JavaScript, types and its test, and brings no Postern of its own', ({ skip }) => {
  if (missing !== undefined) skip(missing);
  const files = ['dist/no-ddl.js', 'dist/no-ddl.d.ts', 'dist/no-ddl.test.js', 'no-ddl.ts', 'README.md'];
  expect(files.filter((file) => !existsSync(here('node_modules', NAME, file)))).toEqual([]);
  expect(existsSync(here('node_modules', NAME, 'node_modules'))).toBe(false);
});

test('its own test passes by node:test, with postern/testing', async ({ skip }) => {
  if (missing !== undefined) skip(missing);
  const file = here('node_modules', NAME, 'dist/no-ddl.test.js');
  const output = await folder.run(process.execPath, '--test', '--test-reporter=tap', file);
  expect(output).toMatch(/^# pass 5$/m);
  expect(output).toMatch(/^# fail 0$/m);
});

test('a config names it by its package', async ({ skip }) => {
  if (missing !== undefined) skip(missing);
  const jwks = JSON.stringify({ keys: [{ kty: 'OKP', crv: 'Ed25519', kid: 'a', x: 'A'.repeat(43) }] });
  writeFileSync(
    here('gateway.config.ts'),
    `import { defineConfig } from 'postern';
    import { jwt } from 'postern/plugins/jwt';
    import { noDdl } from '${NAME}';
    export default defineConfig({
      databases: { orders: { host: 'localhost', login: { kind: 'trust' } } },
      plugins: [
        jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: ${jwks} }] }),
        noDdl({ migrators: ['ops'] }),
      ],
    });`,
  );
  expect(await folder.run('npx', 'postern', 'check')).toMatch(/plugins +jwt, no-ddl/);
});
