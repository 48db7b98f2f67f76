/** The reference is what the code says: options with their defaults and examples, plugins, and what plugins may use. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import * as ast from 'typescript/unstable/ast';
import { afterAll, describe, expect, test } from 'vitest';
import { checkConfig } from '../core/config/check.ts';
import { milliseconds } from '../core/contract/durations.ts';
import { anchors, documents } from './support/markdown.ts';
import { membersOf, typesIn, valuesIn } from './support/reference/api.ts';
import type { Entry } from './support/reference/api.ts';
import { blocksIn } from './support/reference/blocks.ts';
import { Declarations, ROOT } from './support/reference/declarations.ts';
import { pluginFolders, referencePaths, references } from './support/reference/documents.ts';
import { OptionReader } from './support/reference/options.ts';
import type { Option } from './support/reference/options.ts';
import { sourcesIn } from './support/source-tree.ts';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const CONFIG = 'core/config/README.md';
const declarations = new Declarations();
afterAll(() => declarations[Symbol.dispose]());

/** Every option of a type, followed to the end. */
function optionsOf(folder: string, type: string, prefix = ''): readonly Option[] {
  const declaration = declarations.exportsOf(`${folder}/index.ts`).get(type);
  if (!declaration) throw new Error(`${folder}: no ${type}`);
  return new OptionReader(declarations, `${folder}/`).read(declaration, prefix);
}

/** `JwtOptions` of `plugins/jwt`. */
const typeOf = (folder: string): string =>
  folder.replace(/(?:^|-)(\w)/g, (_, letter: string) => letter.toUpperCase()) + 'Options';

const all = [
  { path: CONFIG, options: optionsOf('core', 'GatewayConfig') },
  ...pluginFolders().map((name) => ({
    path: `plugins/${name}/README.md`,
    options: optionsOf(`plugins/${name}`, typeOf(name)),
  })),
];

/** The functions that a plugin exports: its own examples call them. */
function functionsOf(folder: string): readonly string[] {
  const exported = [...declarations.exportsOf(`${folder}/index.ts`)];
  return exported.flatMap(([name, node]) => (ast.isFunctionDeclaration(node) ? [name] : []));
}

/** A module that gives each example the type of its option's owner. */
function optionExamples(options: readonly Option[], folder: string, functions: readonly string[]): string {
  const lines = options.flatMap(({ owner, file, doc: { tags } }, index) => [
    `import type { ${owner} as Owner${index} } from '${join(ROOT, file)}';`,
    `export const example${index}: Partial<Owner${index}> = { ${tags['example'] ?? ''} };`,
  ]);
  const own =
    functions.length === 0
      ? ''
      : `import { ${functions.join(', ')} } from '${join(ROOT, folder, 'index.ts')}';`;
  return [
    `import { env, file } from '${join(ROOT, 'core/index.ts')}';`,
    own,
    // What an example leaves to its reader.
    'declare const sharedRevocations: never;',
    ...lines,
  ].join('\n');
}

const api = declarations.exportsOf('core/index.ts');

function typeNamed(name: string): ast.Node {
  const type = api.get(name);
  if (!type) throw new Error(`postern exports no ${name}`);
  return type;
}

const members = (type: string): readonly Entry[] => membersOf(declarations, typeNamed(type));

/** What the examples of the API leave to their reader. */
const GIVEN = `
declare const session: LoginSession<'identity'>;
declare const gateway: GatewayHandle;
declare const identity: Identity;
declare const ada: Identity;
declare const plugin: AnyPlugin;
declare const options: { readonly from: number; readonly to: number; readonly notice?: Duration };
declare const value: unknown;
declare const word: string;
declare const token: string;
declare const password: string;
declare const secret: string;
declare const loaded: boolean;
declare const stream: import('node:stream').Duplex;
declare const watcher: { close(): void };
declare const audited: unknown[];
declare const times: unknown[];
declare const refusals: unknown[];
declare const orders: unknown[];
declare const revoked: unknown[];
declare const decisions: unknown[];
declare function accept(value: unknown): void;
`;

/** A module with the examples of what plugins may use. */
function apiExamples(): string {
  const examples = (entries: readonly Entry[], type?: string): readonly string[] =>
    entries.map(({ doc }) => {
      const example = doc.tags['example'] ?? '';
      return type === undefined
        ? `uses.push(async () => {\n${example}\n});`
        : `members.push({ ${example} } satisfies ${type});`;
    });
  const core = join(ROOT, 'core/index.ts');
  return [
    `import { ${valuesIn(api)
      .map(({ name }) => name)
      .join(', ')} } from '${core}';`,
    `import type { ${typesIn(api)
      .map(({ name }) => name)
      .join(', ')} } from '${core}';`,
    "import { readFile } from 'node:fs/promises';\nimport { resolve } from 'node:path';",
    GIVEN,
    'const uses: unknown[] = [];\nconst members: unknown[] = [];',
    ...examples(members('Plugin'), "Partial<Plugin<'identity', 'identity'>>"),
    ...examples(members('Events'), 'Observers'),
    ...examples([...members('GatewayHandle'), ...members('Services'), ...valuesIn(api)]),
  ].join('\n');
}

/** The options that a document has a heading for. */
function headings(path: string): readonly string[] {
  return [...read(path).matchAll(/^###? `([\w.<>[\]]+)`$/gm)].map(([, option = '']) => option);
}

/** Each option's heading, its facts and its example, as a block of a document has them. */
function sectionsOf(path: string): readonly string[] {
  return read(path)
    .split(/\n(?=##)/)
    .filter((section) => /^###? `[\w.<>[\]]+`\n/.test(section));
}

/** The default that a document says of an option, without marks; undefined where it says none. */
function defaultIn(path: string, option: string): string | undefined {
  const [, section = ''] = read(path).split(`\n### \`${option}\`\n`);
  const [, text] = /^- Default: (.*)$/m.exec(section.split('\n##')[0] ?? '') ?? [];
  return text?.replaceAll('`', '').replaceAll("'", '');
}

describe('generated parts', async () => {
  const all = await references();

  test.each(all)('$path is what `npm run docs:reference` writes', ({ is, wanted }) => {
    expect(is).toBe(wanted);
  });

  test('each plugin has its page, and the index names it', () => {
    const index = read('plugins/README.md');
    for (const name of pluginFolders()) expect(index).toContain(`- [\`${name}\`](${name}/README.md): `);
    expect(all.map(({ path }) => path)).toEqual(expect.arrayContaining([...referencePaths()]));
  });
});

describe.each(all)('$path', ({ path, options }) => {
  test('has a heading for every option, and for no other', () => {
    expect(options.length).toBeGreaterThan(0);
    const more = blocksIn(read(path)).flatMap(({ kind, words: [type = '', prefix = ''] }) =>
      kind === 'options' && path !== CONFIG && prefix !== '' ? optionsOf(dirname(path), type, prefix) : [],
    );
    const wanted = [...options, ...more].map((option) => option.path);
    expect([...headings(path)].sort()).toEqual(wanted.sort());
  });

  test('says type, default, reload and an example under every heading', () => {
    const wanting = sectionsOf(path).filter(
      (section) => !/^- Type: .*\n- Default: .*\n- Reload: .*\n\n```ts$/m.test(section),
    );
    expect(wanting).toEqual([]);
  });

  test.each(options.map((option) => [option.path, option] as const))(
    '%s has a sentence, a default where it may be left out, what a reload does, and an example',
    (_, { doc, required, reload }) => {
      const { defaultValue, example } = doc.tags;
      expect(doc.summary).toMatch(/^[-`'"[A-Z*].*[.:)`*]$/s);
      expect(defaultValue === undefined).toBe(required);
      expect(reload).not.toBe('');
      expect(example ?? '').not.toBe('');
    },
  );
});

test('every example is one that the compiler takes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-examples-'));
  const files = all.map(({ path, options }) => {
    const own = path === CONFIG ? [] : functionsOf(dirname(path));
    return optionExamples(options, dirname(path), own);
  });
  for (const [index, text] of [...files, apiExamples()].entries())
    await writeFile(join(folder, `${index}.ts`), text);
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  const tsconfig = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: {
      rootDir: '/',
      allowImportingTsExtensions: true,
      rewriteRelativeImportExtensions: false,
      noUnusedLocals: false,
      noUnusedParameters: false,
      typeRoots: [join(ROOT, 'node_modules/@types')],
    },
    include: ['*.ts'],
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig));
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const said = await promisify(execFile)(process.execPath, [tsc, '-p', folder]).then(
    () => '',
    (error: { stdout?: string }) => error.stdout ?? 'tsc failed',
  );
  await rm(folder, { recursive: true });
  expect(said).toBe('');
});

describe('the reference of plugins', async () => {
  const PAGE = 'plugins/README.md';
  const sections = [...read(PAGE).matchAll(/^### `(?:\w+\.|\w+: )?(?:new )?(\w+)/gm)].map(
    ([, name = '']) => name,
  );

  test('has every export that is there at run time', async () => {
    const exported = Object.keys(await import('../core/index.ts'));
    expect(exported.length).toBeGreaterThan(40);
    expect(exported.filter((name) => !sections.includes(name))).toEqual([]);
  });

  test.each(['Plugin', 'GatewayHandle', 'Events', 'Services'])('has every member of %s', (type) => {
    const names = members(type).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(4);
    expect(names.filter((name) => !sections.includes(name))).toEqual([]);
  });

  test('has a sentence for each, and an example', () => {
    const entries = [
      ...['Plugin', 'GatewayHandle', 'Events', 'Services'].flatMap((type) => members(type)),
      ...valuesIn(api),
    ];
    expect(entries.length).toBeGreaterThan(80);
    const wanting = entries.filter(
      ({ doc }) => !/^[`"A-Z*].*[.:)`]$/s.test(doc.summary) || (doc.tags['example'] ?? '') === '',
    );
    expect(wanting.map(({ name }) => name)).toEqual([]);
  });

  test('has a sentence for every member of a session and every type', () => {
    const entries = [...['Session', 'LoginSession'].flatMap((type) => members(type)), ...typesIn(api)];
    expect(entries.filter(({ doc }) => doc.summary === '').map(({ name }) => name)).toEqual([]);
  });
});

describe('the defaults of the config', () => {
  const { listeners, admin, ...resolved } = checkConfig({ databases: {}, plugins: [], admin: {} }, ROOT);

  test('are those of the code', async () => {
    const { database } = checkConfig(
      { databases: { orders: { host: 'db', login: { kind: 'trust' } } }, plugins: [] },
      ROOT,
    );
    const entry = await database('orders');
    const [listener] = listeners;
    const rows: readonly (readonly [string, unknown])[] = [
      ...(['name', 'host', 'port', 'plaintext', 'auth'] as const).map(
        (name) => [`listen.${name}`, listener?.[name]] as const,
      ),
      ...(['host', 'port'] as const).map((name) => [`admin.${name}`, admin?.[name]] as const),
      ['databases.<name>.port', entry?.port],
      ...Object.entries(entry?.pool ?? {}).map(
        ([name, value]) => [`databases.<name>.pool.${name}`, value] as const,
      ),
      ['databases.<name>.replication', entry?.replication],
      ['maxStatementBytes', resolved.maxStatementBytes],
      ['logLevel', resolved.logLevel],
    ];
    expect(rows.length).toBeGreaterThan(20);
    for (const [option, value] of rows) expect(defaultIn(CONFIG, option), option).toBe(String(value));
    expect(milliseconds(defaultIn(CONFIG, 'loginTimeout') ?? '')).toBe(resolved.loginTimeoutMs);
    expect(milliseconds(defaultIn(CONFIG, 'drainTimeout') ?? '')).toBe(resolved.drainTimeoutMs);
  });
});

describe('the defaults of plugins', () => {
  /** Lines that run, with numbers as a document has them. */
  const codeOf = (folder: string): readonly string[] =>
    sourcesIn(folder).flatMap(({ code }) =>
      code
        .replace(/(?<=\d)_(?=\d)/g, '')
        .split('\n')
        .filter((line) => !/^\s*readonly /.test(line)),
    );

  test.each(pluginFolders())('%s: texts and numbers stand in its code', (name) => {
    const lines = codeOf(`plugins/${name}`);
    const { options } = all.find(({ path }) => path === `plugins/${name}/README.md`) ?? { options: [] };
    const missing = options.filter(({ doc: { tags } }) => {
      const [, literal] = /^`('[^']*'|\d+)`/.exec(tags['defaultValue'] ?? '') ?? [];
      return literal !== undefined && !lines.some((line) => line.includes(literal));
    });
    expect(missing.map(({ path, doc }) => `${path}: ${doc.tags['defaultValue']}`)).toEqual([]);
  });
});

describe('pages of the reference', () => {
  const pages = documents().filter(
    ({ path }) => referencePaths().includes(path) || path === 'core/errors.md',
  );

  test.each(pages)('$path has no table wider than 100 columns', ({ text }) => {
    const wide = text.split('\n').filter((line) => line.startsWith('|') && line.length > 100);
    expect(wide).toEqual([]);
  });

  test.each(pages)('$path has no two headings with one anchor', (page) => {
    const names = anchors(page);
    expect(names.filter((name, index) => names.indexOf(name) < index)).toEqual([]);
  });
});
