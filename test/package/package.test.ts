/** The tarball of `npm pack` alone, in an empty folder: what it contains, weighs, declares and does. */
import { existsSync, lstatSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { anchors, links } from '../support/markdown.ts';
import type { Document } from '../support/markdown.ts';
import { emptyFolder, packPostern } from './tarball.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** The oldest compiler that the declarations are for. */
const OLDEST_TYPESCRIPT = '5.6';
/** Of a production install, in MB of 1024 KB. */
const MOST_MEGABYTES = 60;

/** Compiling, packing and installing, in milliseconds. */
const INSTALL_MS = 300_000;

const folder = emptyFolder();
const here = (...names: readonly string[]): string => join(folder.path, ...names);
const postern = here('node_modules/postern');
let tarball: string;
/** Why there is no install to look at. */
let missing: string | undefined;

beforeAll(async () => {
  tarball = await packPostern(folder.path);
  missing = await folder.install(tarball, `typescript@~${OLDEST_TYPESCRIPT}.0`);
}, INSTALL_MS);
afterAll(() => folder.remove());

/** Paths of all files below a folder, from there. */
function filesIn(path: string): readonly string[] {
  const entries = readdirSync(path, { recursive: true, withFileTypes: true });
  return entries.filter((one) => one.isFile()).map((one) => relative(path, join(one.parentPath, one.name)));
}

/** What the repository has or would take; none where this is no clone. */
function repositoryFiles(): readonly string[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard'];
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.split('\n').filter((path) => path !== '') : [];
}

function documentIn(path: string): Document {
  return { path, text: readFileSync(join(postern, path), 'utf8') };
}

/** Kilobytes on the disk, as `du -sk` counts them. */
function kilobytesOf(path: string): number {
  return Number(spawnSync('du', ['-sk', path], { encoding: 'utf8' }).stdout.split('\t')[0]);
}

describe('the files of the package', () => {
  test('are in the repository, or compiled from it', ({ skip }) => {
    if (missing !== undefined) skip(missing);
    const own = repositoryFiles();
    if (own.length === 0) skip('this is no clone of the repository');
    const files = filesIn(postern).filter((path) => !path.startsWith('dist/'));
    expect(files.length).toBeGreaterThan(50);
    expect(files.filter((path) => !own.includes(path))).toEqual([]);
  });

  test('are the reference of each plugin and the guides as well', ({ skip }) => {
    if (missing !== undefined) skip(missing);
    const own = repositoryFiles().filter((path) => !/(^|\/)\./.test(path));
    const wanted = own.filter((path) => /^(examples\/|(core|plugins)\/.*\.md$)/.test(path));
    if (wanted.length === 0) skip('this is no clone of the repository');
    const files = filesIn(postern);
    expect(wanted.length).toBeGreaterThan(30);
    expect(wanted.filter((path) => !files.includes(path))).toEqual([]);
  });

  test('link to files of the package, and to headings that they have', ({ skip }) => {
    if (missing !== undefined) skip(missing);
    const documents = filesIn(postern).filter((path) => path.endsWith('.md'));
    const targets = documents.map(documentIn).flatMap((document) =>
      links(document).map((link) => {
        const [file = '', anchor] = link.split('#');
        return { from: document.path, link, anchor, to: normalize(join(dirname(document.path), file)) };
      }),
    );
    const dead = targets.filter(({ from, link, to, anchor }) => {
      const path = link.startsWith('#') ? from : to;
      if (!existsSync(join(postern, path))) return true;
      return anchor !== undefined && !anchors(documentIn(path)).includes(anchor);
    });
    expect(targets.length).toBeGreaterThan(50);
    expect(dead.map(({ from, link }) => `${from}: ${link}`)).toEqual([]);
  });

  test('are those that publint wants', async () => {
    const { buffer, byteOffset, byteLength } = readFileSync(tarball);
    const data = buffer.slice(byteOffset, byteOffset + byteLength);
    const { messages, pkg } = await publint({ strict: true, pack: { tarball: data } });
    // The example is a package of its own: its `exports` count where it is the root.
    const found = messages.map((message) => formatMessage(message, pkg as never) ?? '');
    expect(found.filter((one) => !one.startsWith('./examples/'))).toEqual([]);
  });

  test('have types where @arethetypeswrong/core looks for those of an ES module', async () => {
    const plugins = readdirSync(join(root, 'plugins'), { withFileTypes: true }).filter((one) =>
      one.isDirectory(),
    );
    const entrypoints = ['.', './wire', './testing', ...plugins.map(({ name }) => `./plugins/${name}`)];
    const checked = createPackageFromTarballData(new Uint8Array(readFileSync(tarball)));
    const result = await checkPackage(checked, { entrypoints: [...entrypoints] });
    if (!result.types) throw new Error('no types at all');
    expect(Object.keys(result.entrypoints).sort()).toEqual([...entrypoints].sort());
    // The profile `esm-only` of its command line: Node 20.19 requires ES modules, and `node10` knows no exports.
    const problems = result.problems.filter(
      (one) => !('resolutionKind' in one && ['node10', 'node16-cjs'].includes(one.resolutionKind)),
    );
    expect(problems).toEqual([]);
  });
});

describe('the installed package', () => {
  test(`weighs at most ${MOST_MEGABYTES} MB with all that it depends on`, ({ skip }) => {
    if (missing !== undefined) skip(missing);
    const all = kilobytesOf(here('node_modules')) - kilobytesOf(here('node_modules/typescript'));
    expect(all).toBeGreaterThan(1_000);
    expect(all / 1_024).toBeLessThanOrEqual(MOST_MEGABYTES);
  });

  test('brings nothing that only a part of it needs: no OpenTelemetry, no Redis, no PostgreSQL', ({
    skip,
  }) => {
    if (missing !== undefined) skip(missing);
    const { peerDependencies } = JSON.parse(readFileSync(join(postern, 'package.json'), 'utf8')) as {
      readonly peerDependencies: Readonly<Record<string, string>>;
    };
    const peers = Object.keys(peerDependencies);
    expect(peers).toContain('@opentelemetry/api');
    expect(peers.filter((name) => existsSync(here('node_modules', name)))).toEqual([]);
    expect(lstatSync(postern).isSymbolicLink()).toBe(false);
  });

  test('says its version, and checks a config', async ({ skip }) => {
    if (missing !== undefined) skip(missing);
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(await folder.run('npx', 'postern', '--version')).toBe(`${version}\n`);
    writeFileSync(here('gateway.config.ts'), config('roles({ claim: "role", allow: ["reader"] })'));
    expect(await folder.run('npx', 'postern', 'check')).toContain('gateway.config.ts is valid');
  });

  test('says what to install where tracing needs packages that are not there', async ({ skip }) => {
    if (missing !== undefined) skip(missing);
    writeFileSync(here('tracing.config.ts'), config('tracing()'));
    const checked = folder.run('npx', 'postern', 'check', '--config', 'tracing.config.ts');
    await expect(checked).rejects.toThrow(
      /tracing: .*npm install @opentelemetry\/api@1 @opentelemetry\/exporter/,
    );
    writeFileSync(here('log.config.ts'), config('tracing({ metrics: false, accessLog: true })'));
    expect(await folder.run('npx', 'postern', 'check', '--config', 'log.config.ts')).toContain('is valid');
  });
});

/** A config with one plugin besides `jwt`. */
function config(plugin: string): string {
  const jwks = JSON.stringify({ keys: [{ kty: 'OKP', crv: 'Ed25519', kid: 'a', x: 'A'.repeat(43) }] });
  return `
    import { defineConfig } from 'postern';
    import { jwt } from 'postern/plugins/jwt';
    import { roles } from 'postern/plugins/roles';
    import { tracing } from 'postern/plugins/tracing';
    void [roles, tracing];
    export default defineConfig({
      databases: { orders: { host: 'localhost', login: { kind: 'trust' } } },
      plugins: [jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: ${jwks} }] }), ${plugin}],
    });
  `;
}

describe('the types of the package, without @types/node', () => {
  /** Everything there is, and a plugin that uses what it is given. */
  const source = (): string => {
    const plugins = readdirSync(join(postern, 'dist/plugins'));
    return `
      import { GatewayError, defineConfig } from 'postern';
      import type { Plugin } from 'postern';
      import * as core from 'postern';
      import { testGateway } from 'postern/testing';
      import * as wire from 'postern/wire';
      ${plugins.map((name, index) => `import * as p${index} from 'postern/plugins/${name}';`).join('\n')}
      export const all = [core, wire, ${plugins.map((_, index) => `p${index}`).join(', ')}];
      export const own: Plugin<'identity'> = {
        name: 'own',
        needs: ['identity'],
        setup(gateway) {
          gateway.signal.addEventListener('abort', () => {}, { once: true });
        },
        onQuery({ facts, signal }, statement) {
          if (signal.aborted || statement.kind !== 'query') return;
          if (facts.identity.subject === 'eve') throw new GatewayError('insufficient_privilege', statement.sql);
        },
      };
      export async function tried(): Promise<readonly unknown[]> {
        await using gateway = await testGateway({ plugins: [own], roles: ['reader'] });
        await using client = await gateway.connect({ sub: 'ada' });
        return client.query('select 1');
      }
      export default defineConfig({ databases: {}, plugins: [] });
    `;
  };
  const compilers = [
    [OLDEST_TYPESCRIPT, here('node_modules/typescript/bin/tsc')],
    ['as the repository has it', join(root, 'node_modules/typescript/bin/tsc')],
  ] as const;
  const resolutions = [
    ['nodenext', 'nodenext', ['es2023']],
    ['esnext', 'bundler', ['es2023', 'dom']],
  ] as const;

  describe.each(compilers)('TypeScript %s', (_name, tsc) => {
    test.for(resolutions)(
      'module %s, moduleResolution %s, libraries %j',
      async ([module, moduleResolution, lib], { skip }) => {
        if (missing !== undefined) skip(missing);
        const project = `tsconfig-${moduleResolution}-${lib.length}.json`;
        writeFileSync(here('use.ts'), source());
        const strict = { strict: true, exactOptionalPropertyTypes: true, noEmit: true, skipLibCheck: false };
        const compilerOptions = { ...strict, target: 'es2023', types: [], module, moduleResolution, lib };
        writeFileSync(here(project), JSON.stringify({ compilerOptions, files: ['use.ts'] }));
        expect(await folder.run(process.execPath, tsc, '-p', project)).toBe('');
      },
    );
  });

  test('there is no @types/node that a declaration could lean on', ({ skip }) => {
    if (missing !== undefined) skip(missing);
    expect(existsSync(here('node_modules/@types/node'))).toBe(false);
  });
});
