/** What must stay true of the sources: layers, cycles, libraries, sizes, words. */
import { describe, expect, test } from 'vitest';
import { packageOf, wrongImports } from './support/layers.ts';
import { LONGEST_FILES } from './support/longest-files.ts';
import { dependencies, source, sourcesIn } from './support/source-tree.ts';
import type { Source } from './support/source-tree.ts';

/** A file ends where its concept ends; one that is longer holds two. */
const LONGEST_FILE = 400;
/** Files that may be longer: none. */
const LONGER: readonly string[] = [];

const core = sourcesIn('core');
const plugins = sourcesIn('plugins');
const examples = sourcesIn('examples');
const embedded = sourcesIn('test/support/embedded');
const all = [...core, ...plugins, ...examples, ...embedded];
/** All that is compiled and installed: the demo and the PostgreSQL that it starts are a command of the package. */
const installed = all.filter(
  ({ path }) => !path.startsWith('examples/') || /^examples\/demo\/(?!.*\.config\.ts$)/.test(path),
);

/** The first way from a file back to itself, as paths; types count. */
function cycleIn(sources: readonly Source[]): readonly string[] | undefined {
  const graph = new Map(sources.map(({ path, imports }) => [path, imports]));
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): readonly string[] | undefined => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const target of graph.get(path) ?? []) {
      const cycle = visit(target, [...way, path]);
      if (cycle) return cycle;
    }
    done.add(path);
    return undefined;
  };
  for (const path of graph.keys()) {
    const cycle = visit(path, []);
    if (cycle) return cycle;
  }
  return undefined;
}

/** The lines of a file's code that match, as `path:line`. */
function linesWith(pattern: RegExp, sources: readonly Source[]): readonly string[] {
  return sources.flatMap(({ path, bare }) =>
    bare.split('\n').flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
  );
}

const ANY = /(?:[:<|&,([=]|\bas|\bextends)\s*any\b(?!['`\w])/;
const DEFAULT_EXPORT = /^\s*export\s+(?:default\b|\{[^}]*\bas default\b)/;
/** Members of a token taken by hand: one that is elsewhere would look absent. */
const BY_HAND = /\bclaims\??\.?\[|\bidentity\.claims\.\w|\}\s*=\s*(?:\w+\.)*claims\b/;
/** An error of the config that is put together with a path by hand. */
const OWN_READER = /new ConfigError\(`\$\{(?:path|at|where)\}: /;
const SENTENCE = /^["`'A-Z*{[\d].*\w.*[.?!:)`](\s|$)/s;
const EXPORT = /^export (?:declare |abstract |async )*(?:function\*?|const|let|class|interface|type) (\w+)/;

/** The text of the doc comment that ends right above a line; undefined without one. */
function docAbove(lines: readonly string[], index: number): string | undefined {
  if (!lines[index - 1]?.trimEnd().endsWith('*/')) return undefined;
  const start = lines.slice(0, index).findLastIndex((line) => line.trimStart().startsWith('/**'));
  const block = lines.slice(start, index).join('\n');
  return start < 0 ? undefined : block.replace(/\/\*\*|\*\/|^\s*\*/gm, '').trim();
}

/** Exports without a sentence; overloads share the one of the first. */
function speechless({ path, text }: Source): readonly string[] {
  const lines = text.split('\n');
  const documented = new Set<string>();
  return lines.flatMap((line, index) => {
    const [, name] = EXPORT.exec(line) ?? [];
    if (name === undefined || documented.has(name)) return [];
    documented.add(name);
    return SENTENCE.test(docAbove(lines, index) ?? '') ? [] : [`${path}:${index + 1} ${name}`];
  });
}

describe('imports', () => {
  test('each layer imports only what is below it, and each library has one place', () => {
    expect(
      [...all, ...sourcesIn('.').filter(({ path }) => /^[^/]+\.config\.ts$/.test(path))].flatMap(layered),
    ).toEqual([]);
  });

  test('there is no cycle, types included', () => {
    expect(cycleIn(installed)).toBeUndefined();
  });

  test('no two folders of core import each other, by any way', () => {
    expect(cycleIn(foldersOf(core))).toBeUndefined();
  });

  test('every file is imported, or is where a program begins', () => {
    expect(orphans(installed)).toEqual([]);
  });

  test('every library is installed with the package, or beside it where it is used', () => {
    const used = new Set(installed.flatMap(({ imports }) => imports.map(packageOf)));
    const missing = [...used].filter((name) => name !== undefined && !dependencies().includes(name));
    expect(missing.filter((name) => name !== undefined)).toEqual([]);
  });
});

/** The folders of core as sources: `core/hooks.ts` belongs to `core/hooks/`. */
function foldersOf(sources: readonly Source[]): readonly Source[] {
  const folderOf = (path: string): string => path.replace(/^(core\/[\w-]+)(?:\.ts|\/.*)$/, '$1');
  const graph = new Map<string, Set<string>>();
  for (const { path, imports } of sources) {
    const folder = folderOf(path);
    const targets = graph.get(folder) ?? new Set();
    graph.set(folder, targets);
    for (const one of imports.map(folderOf)) if (one !== folder) targets.add(one);
  }
  return [...graph].map(([path, targets]) => ({ ...source(path, ''), imports: [...targets] }));
}

/** Where the command line, plugins, and users' own modules begin. */
const BEGINNINGS = [
  /^core\/(index|wire\/index|cli\/(main|worker|orphan-thread)|testing\/test-gateway)\.ts$/,
  /^plugins\/[\w-]+\/(index|commands|hints)\.ts$/,
  /^examples\/[\w-]+\/commands\.ts$/,
];

/** Files that no other imports. */
function orphans(sources: readonly Source[]): readonly string[] {
  const imported = new Set(sources.flatMap(({ imports }) => imports));
  return sources
    .map(({ path }) => path)
    .filter((path) => !imported.has(path) && !BEGINNINGS.some((one) => one.test(path)));
}

function layered(one: Source): readonly string[] {
  // vitest's config is the test runner's, not a gateway's.
  return one.path === 'vitest.config.ts' ? [] : wrongImports(one);
}

describe('files', () => {
  test(`none that is installed is longer than ${LONGEST_FILE} lines`, () => {
    const long = installed.filter(({ text }) => text.split('\n').length - 1 > LONGEST_FILE);
    expect(long.map(({ path }) => path).filter((path) => !LONGER.includes(path))).toEqual([]);
  });

  test('each begins with a sentence that says why it exists', () => {
    expect(
      all.filter(({ text }) => !/^(#!.*\n)?\/\*\*\s*\*?\s*\S/.test(text)).map(({ path }) => path),
    ).toEqual([]);
  });

  test('none is called utils or helpers', () => {
    expect(
      all.filter(({ path }) => /(^|[/.-])(utils?|helpers?)[/.-]/.test(path)).map(({ path }) => path),
    ).toEqual([]);
  });

  test('index.ts stands only where others import a folder', () => {
    const barrels = installed.filter(({ path }) => path.endsWith('/index.ts'));
    expect(
      barrels
        .map(({ path }) => path)
        .filter((path) => !/^(core|core\/wire|plugins\/[^/]+)\/index\.ts$/.test(path)),
    ).toEqual([]);
  });
});

describe('code', () => {
  test('every export has a sentence', () => {
    expect(installed.flatMap(speechless)).toEqual([]);
  });

  test('nothing is `any`', () => {
    expect(linesWith(ANY, all)).toEqual([]);
  });

  test('core never turns a stream of bytes into text', () => {
    expect(linesWith(/\bsetEncoding\b/, core)).toEqual([]);
  });

  test('nothing on the way of a statement is a private getter, which V8 calls through its runtime each time', () => {
    const crossed = core.filter(({ path }) => /^core\/(?:net|relay|upstream)\//.test(path));
    expect(crossed.length).toBeGreaterThan(100);
    expect(linesWith(/\bget #/, crossed)).toEqual([]);
  });

  test('claims are read by core/options/claim.ts, but for those that jwt itself looks at', () => {
    const others = all.filter(
      ({ path }) => path !== 'core/options/claim.ts' && !path.startsWith('plugins/jwt/'),
    );
    expect(linesWith(BY_HAND, others)).toEqual([]);
  });

  test('plugins read their options by core/options/option-readers.ts', () => {
    expect(plugins.filter(({ code }) => OWN_READER.test(code)).map(({ path }) => path)).toEqual([]);
  });

  test('only configs have a default export', () => {
    expect(
      linesWith(
        DEFAULT_EXPORT,
        all.filter(({ path }) => !path.endsWith('.config.ts')),
      ),
    ).toEqual([]);
  });

  test('core does not name a plugin by its path', () => {
    expect(
      core.filter(({ imports }) => imports.some((one) => one.startsWith('plugins/'))).map(({ path }) => path),
    ).toEqual([]);
  });
});

/** All that a file needs, types included. */
function neededBy(path: string, sources: readonly Source[]): ReadonlySet<string> {
  const graph = new Map(sources.map((one) => [one.path, one.imports]));
  const needed = new Set([path]);
  for (const one of needed) for (const target of graph.get(one) ?? []) needed.add(target);
  return needed;
}

/** The clock, timers and modules of Node. */
const IMPURE =
  /\b(?:performance|Date|process\.(?:env|on|hrtime|nextTick)|Math\.random|setTimeout|setInterval|setImmediate|fetch|queueMicrotask)\b|'node:/;

describe('the parent of workers', () => {
  const parent = core.filter(({ path }) => path.startsWith('core/workers/parent/'));

  test('has fewer than 1 000 lines, comments and all', () => {
    expect(parent.length).toBeGreaterThan(0);
    expect(parent.reduce((sum, { text }) => sum + text.split('\n').length - 1, 0)).toBeLessThan(1_000);
  });

  test('needs no plugin, nothing of a config, and nothing that reads what clients and servers say', () => {
    const needed = [...neededBy('core/workers/parent/parent.ts', all)];
    const may =
      /^(?:core\/(?:workers|net|contract)\/|core\/upstream\/(?:pause|pool\/(?:connection-slots|limits))\.ts$|node:)/;
    expect(needed.filter((one) => !may.test(one))).toEqual([]);
    expect(needed.filter((one) => one.startsWith('core/workers/worker/'))).toEqual([]);
  });

  test('what it decides is decided without a clock, a timer or anything of the system', () => {
    const decisions = core.filter(({ path }) => path.startsWith('core/workers/decisions/'));
    expect(decisions.length).toBeGreaterThan(0);
    expect(decisions.filter(({ code }) => IMPURE.test(code)).map(({ path }) => path)).toEqual([]);
  });
});

describe('these tests can fail', () => {
  test.each<[string, string, string]>([
    [
      'core/wire/x.ts',
      `import type { A } from '../contract/names.ts';`,
      'core/wire/x.ts: core/wire may not import core/contract/names.ts',
    ],
    [
      'core/relay/x.ts',
      `import { a } from '../client/a.ts';`,
      'core/relay/x.ts: core/relay may not import core/client/a.ts',
    ],
    [
      'core/relay/x.ts',
      `import { a } from '../upstream/pool.ts';`,
      'core/relay/x.ts: core/relay may not import core/upstream/pool.ts',
    ],
    [
      'core/contract/plugin.ts',
      `import type { Hooks } from '../hooks.ts';`,
      'core/contract/plugin.ts: core/contract may not import core/hooks.ts',
    ],
    [
      'core/client/x.ts',
      `export { a } from '../gateway.ts';`,
      'core/client/x.ts: core/client may not import core/gateway.ts',
    ],
    [
      'plugins/a/index.ts',
      `import { b } from '../b/index.ts';`,
      'plugins/a/index.ts: a plugin may not import plugins/b/index.ts',
    ],
    [
      'plugins/a/index.ts',
      `import { b } from '../../core/contract/errors.ts';`,
      'plugins/a/index.ts: a plugin may not import core/contract/errors.ts',
    ],
    ['plugins/a/index.ts', `import { b } from 'postern';`, 'plugins/a/index.ts: imports postern by name'],
    [
      'examples/a/gateway.config.ts',
      `import { b } from '../../core/index.ts';`,
      'examples/a/gateway.config.ts: an example may not import core/index.ts',
    ],
    [
      'core/x.ts',
      `const jose = await import('jose');`,
      'core/x.ts: jose belongs to plugins/jwt/ or plugins/access/',
    ],
    [
      'core/x.ts',
      `import x from '@scope/name/deep';`,
      'core/x.ts: @scope/name has no place yet: give it one in test/support/layers.ts',
    ],
  ])('%s with %s', (path, text, sentence) => {
    expect(wrongImports(source(path, text))).toEqual([sentence]);
  });

  test('an import in a comment is none, one after a comment is', () => {
    expect(
      source('core/x.ts', `// import './a.ts'\n/* from './b.ts' */ import './c.ts'; const u = 'http://x';`)
        .imports,
    ).toEqual(['core/c.ts']);
  });

  test('a cycle of types is found', () => {
    const a = source('core/a.ts', `import type { B } from './b.ts';`);
    const b = source('core/b.ts', `export type { A } from './a.ts';`);
    expect(cycleIn([a, b])).toEqual(['core/a.ts', 'core/b.ts', 'core/a.ts']);
  });

  test('folders that import each other are found', () => {
    const a = source('core/a/x.ts', `import type { B } from '../b/y.ts';`);
    const b = source('core/b.ts', `export type { A } from './a/z.ts';`);
    expect(cycleIn(foldersOf([a, b]))).toEqual(['core/a', 'core/b', 'core/a']);
  });

  test('what a file needs by way of others is found', () => {
    const [a, b] = [source('core/a.ts', `import './b.ts';`), source('core/b.ts', `import './wire/c.ts';`)];
    expect([...neededBy('core/a.ts', [a, b])]).toEqual(['core/a.ts', 'core/b.ts', 'core/wire/c.ts']);
  });

  test.each(['performance.now()', 'setTimeout(run, 1)', `import fs from 'node:fs';`])(
    '%s is no decision',
    (text) => {
      expect(IMPURE.test(source('x.ts', text).code)).toBe(true);
    },
  );

  test('a file that no other imports is found', () => {
    const a = source('core/a.ts', `import type { B } from './b.ts';`);
    expect(orphans([a, source('core/b.ts', '')])).toEqual(['core/a.ts']);
  });

  test.each([
    'x: any',
    'x as any',
    'Array<any>',
    'any[]'.padStart(8, '='),
    '(a: string, b: any) => void',
    'T extends any',
  ])('%s is any', (text) => {
    expect(linesWith(ANY, [source('x.ts', text)])).toHaveLength(1);
  });

  test('any in words is not', () => {
    expect(
      linesWith(ANY, [
        source('x.ts', `// is any\nconst company = "any: any"; // any\nmany(anything, anyone);`),
      ]),
    ).toHaveLength(0);
  });

  test('an export without a comment, or with one that says nothing, is found', () => {
    const text = `/** Good sentence. */\nexport const a = 1;\nexport const b = 2;\n/** x */\nexport type C = 1;\n`;
    expect(speechless(source('x.ts', text))).toEqual(['x.ts:3 b', 'x.ts:5 C']);
  });

  test.each([
    'identity.claims[name]',
    'claims?.[name]',
    'identity.claims.groups',
    'const { groups } = facts.identity.claims;',
  ])('a claim that is read by hand is found: %s', (text) => {
    expect(linesWith(BY_HAND, [source('x.ts', text)])).toHaveLength(1);
  });

  test('an option that is read by hand is found', () => {
    expect(OWN_READER.test('throw new ConfigError(`${path}: ${why}`);')).toBe(true);
  });

  test('a default export is found', () => {
    expect(
      linesWith(DEFAULT_EXPORT, [
        source('x.ts', 'export default 1;'),
        source('y.ts', 'export { a as default };'),
      ]),
    ).toHaveLength(2);
  });
});

test('the longest test files, which start first, are there', () => {
  const tests = sourcesIn('test').map(({ path }) => path);
  expect(tests).toEqual(expect.arrayContaining([...LONGEST_FILES]));
});
