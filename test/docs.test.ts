/** What the documents say of the code is so: configs, options, commands, links, the status. */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../core/cli/commands.ts';
import { standaloneCommands } from '../core/cli/plugin-commands.ts';
import { fleet } from '../core/config/fleet.ts';
import { brokenLinks } from '../.site/broken-links.ts';
import { pageOf, sidebar } from '../.site/pages.ts';
import { anchors, blocks, code, documentAt, documents, links, named, table } from './support/markdown.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const readme = documentAt('README.md');
const all = documents();

describe('the README', () => {
  test('shows the config of the first guide as it is, in about twenty lines', () => {
    const config = read('examples/jwt-roles/gateway.config.ts');
    expect(blocks(readme, 'ts')[0]).toBe(config);
    expect(config.split('\n').filter((line) => line !== '').length).toBeLessThanOrEqual(24);
  });

  test('shows a fleet as a config has it, in eight lines', () => {
    const shown = blocks(readme, 'ts')[1] ?? '';
    const values = runInNewContext(`({ ${shown} })`, {
      env: () => 'gateway-1',
      file: () => () => 'secret',
    }) as {
      readonly fleet?: unknown;
    };
    expect(fleet.safeParse(values.fleet).error?.issues).toBeUndefined();
    expect(shown.trimEnd().split('\n').length).toBeLessThanOrEqual(8);
  });

  test('has at most 120 lines, one diagram, and links to each guide', () => {
    expect(readme.text.split('\n').length).toBeLessThanOrEqual(120);
    expect(blocks(readme, 'mermaid').length).toBe(1);
    const guides = all.filter(({ path }) => /^examples\/.+\/README\.md$/.test(path)).map(({ path }) => path);
    expect(guides.filter((path) => !links(readme).includes(path))).toEqual([]);
  });
});

/** Pages about parts of the code, whose tables are still wide. */
const WIDE = ['core', 'core/relay', 'core/upstream', 'examples/demo']
  .map((folder) => `${folder}/README.md`)
  .concat('core/relay/rules.md', 'plugins/jwt/providers.md');

describe('every document', () => {
  const commands = all.flatMap(({ path, text }) => code({ path, text }).map((line) => ({ path, line })));

  test('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const npm = commands.flatMap(({ path, line }) =>
      [...line.matchAll(/\bnpm (?:run )?(start|test|(?<=run )[\w:-]+)/g)].map(([, name = '']) => ({
        path,
        name,
      })),
    );
    expect(npm.length).toBeGreaterThan(5);
    expect(npm.filter(({ name }) => !Object.hasOwn(scripts, name))).toEqual([]);
  });

  test('names commands and options of postern that exist', async () => {
    const known = Object.entries({ ...COMMANDS, ...(await standaloneCommands()) });
    const used = commands.flatMap(({ path, line }) =>
      [...line.matchAll(/(?:npx |^)postern (\w.*)$/g)].map(([, rest = '']) => ({ path, rest })),
    );
    expect(used.length).toBeGreaterThan(5);
    const wrong = used.filter(({ rest }) => {
      const [, command] = known.find(([words]) => `${rest} `.startsWith(`${words} `)) ?? [];
      const options = rest.replace(/ -- .*/, '').match(/(?<=--)[a-z-]+/g) ?? [];
      const taken = ['help', ...Object.keys(command?.options ?? {})];
      return !command || options.some((option) => !taken.includes(option));
    });
    expect(wrong).toEqual([]);
  });

  test('names programs for npx that are installed', () => {
    const programs = commands.flatMap(({ line }) =>
      [...line.matchAll(/\bnpx ([a-z]+)/g)].map(([, name = '']) => name),
    );
    const missing = programs.filter(
      (name) => name !== 'postern' && !existsSync(join(root, 'node_modules/.bin', name)),
    );
    expect(missing).toEqual([]);
  });

  test('links to files and headings that exist', () => {
    const broken = all.flatMap((document) =>
      links(document).flatMap((link) => {
        const [file = '', anchor] = link.split('#');
        const path = file === '' ? document.path : normalize(join(dirname(document.path), file));
        if (!existsSync(join(root, path))) return [`${document.path}: ${link}`];
        if (anchor === undefined || anchors(documentAt(path)).includes(anchor)) return [];
        return [`${document.path}: ${link}`];
      }),
    );
    expect(all.flatMap(links).length).toBeGreaterThan(15);
    expect(broken).toEqual([]);
  });

  test.each(all.filter(({ path }) => !WIDE.includes(path)))(
    '$path has no table wider than 100 columns',
    ({ text }) => {
      const rows = text.split('\n').filter((line) => line.startsWith('|'));
      expect(rows.filter((row) => row.length > 100)).toEqual([]);
    },
  );

  test('names paths of the repository that exist', () => {
    const paths = commands.flatMap(({ path, line }) =>
      (line.match(/\b(?:core|plugins|test|examples)\/[\w./<>-]+/g) ?? []).map((one) => ({ path, one })),
    );
    expect(paths.filter(({ one }) => !one.includes('<') && !existsSync(join(root, one)))).toEqual([]);
  });
});

describe('the promises', () => {
  const rows = [
    ...documentAt('test/README.md').text.matchAll(/^- \*\*(M\d+)\*\* [^:]*: ([a-z ]+)\.(.*)$/gm),
  ].map(([, number = '', status = '', rest = '']) => ({
    number,
    status,
    proven: rest.split(' Proved by ')[1],
  }));

  test('have a row each', () => {
    const numbers = Array.from({ length: 18 }, (_, index) => `M${index + 1}`);
    expect(rows.map(({ number }) => number)).toEqual(numbers);
  });

  test('name a test where they are done or begun, and none otherwise', () => {
    const wrong = rows.filter(({ status, proven }) => {
      if (status === 'not yet') return proven !== undefined;
      const tests = named(proven ?? '');
      const exist =
        tests.length > 0 && tests.every((path) => path.endsWith('.test.ts') && existsSync(join(root, path)));
      return !['done', 'partly'].includes(status) || !exist;
    });
    expect(wrong).toEqual([]);
  });
});

test('the layout names every folder of core, and no other', () => {
  const rows = table(documentAt('CONTRIBUTING.md'), 'What is where').flatMap(([names = '']) => named(names));
  const inCore = rows.flatMap((name) => /^core\/(\w+)\/$/.exec(name)?.[1] ?? []);
  const folders = readdirSync(join(root, 'core')).filter((name) =>
    statSync(join(root, 'core', name)).isDirectory(),
  );
  expect(inCore.toSorted()).toEqual(folders.toSorted());
});

describe('the pages about parts of core', () => {
  const pages = [
    ['core/relay/README.md', 80],
    ['core/upstream/README.md', 150],
  ] as const;

  test.each(pages)('%s has at most %i lines', (path, most) => {
    expect(read(path).trimEnd().split('\n').length).toBeLessThanOrEqual(most);
  });

  test.each(pages)('%s names files that exist, by their path from its folder or from core', (path) => {
    const files = code(documentAt(path)).filter((name) => /^[\w./-]+\.(ts|md)$/.test(name));
    expect(files.length).toBeGreaterThan(10);
    const exists = (name: string): boolean =>
      [dirname(path), 'core'].some((folder) => existsSync(join(root, folder, name)));
    expect(files.filter((name) => !exists(name))).toEqual([]);
  });

  test.each(pages)('%s names every file of its folder', (path) => {
    const named = new Set(code(documentAt(path)));
    const files = readdirSync(join(root, dirname(path)), { recursive: true, encoding: 'utf8' });
    const sources = files.filter((name) => name.endsWith('.ts'));
    expect(sources.length).toBeGreaterThan(20);
    expect(sources.filter((name) => !named.has(name))).toEqual([]);
  });
});

describe('the README of each example', () => {
  const folders = readdirSync(join(root, 'examples'), { withFileTypes: true }).filter((one) =>
    one.isDirectory(),
  );

  test.each(folders.map(({ name }) => name))('%s: the table of variables is that of its config', (name) => {
    const config = read(`examples/${name}/gateway.config.ts`);
    const used = [...config.matchAll(/\benv\('(\w+)'/g)].map(([, variable = '']) => variable);
    const rows = table(documentAt(`examples/${name}/README.md`), 'Environment').flatMap(([names = '']) =>
      named(names),
    );
    expect(rows.sort()).toEqual(used.sort());
  });
});

describe('the site', () => {
  test('has every document once in its sidebar', () => {
    const listed = sidebar().flatMap(({ items }) => items.map(({ link }) => link));
    expect(listed.toSorted()).toEqual(all.map(({ path }) => pageOf('', path)).toSorted());
  });

  test('leads a link of a document to the page of that document, folder or file', () => {
    const from = 'examples/jwt-roles/README.md';
    expect(pageOf(from, '../token.js')).toBe('/examples/token.js.md');
    expect(pageOf(from, '../')).toBe('/examples/index.md');
    expect(pageOf(from, '../../SECURITY.md#boundaries')).toBe('/SECURITY.md#boundaries');
    expect(() => pageOf(from, 'no-such-file.ts')).toThrow('no-such-file.ts');
  });

  test('is not built with a link that leads to no page, or to no heading', () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-site-'));
    const page =
      '<a href="#here">1</a> <a href="/postern/other">2</a> <a href="./other.html#gone">3</a> <a href="none/">4</a>';
    writeFileSync(join(folder, 'index.html'), `<h1 id="here"></h1>${page}`);
    writeFileSync(join(folder, 'other.html'), '<a class="back" href="https://id.example/none">5</a>');
    expect(brokenLinks(folder, '/postern/')).toEqual(['index.html: ./other.html#gone', 'index.html: none/']);
    rmSync(folder, { recursive: true });
  });
});
