/** What the documents say of the code is so: configs, options, commands, links, the status. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../core/cli/commands.ts';
import { standaloneCommands } from '../core/cli/plugin-commands.ts';
import { checkConfig } from '../core/config/check.ts';
import { milliseconds } from '../core/durations.ts';
import { SQLSTATES } from '../core/errors.ts';
import { anchors, blocks, code, documentAt, documents, links, named, table } from './support/markdown.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const readme = documentAt('README.md');
const all = documents();

describe('the README shows files as they are', () => {
  test.each(['examples/jwt-roles/gateway.config.ts', 'examples/your-own-plugin/no-ddl.ts'])('%s', (path) => {
    expect(blocks(readme, 'ts')).toContain(read(path));
  });

  test('a config and a plugin have about twenty lines', () => {
    const lines = blocks(readme, 'ts').map((block) => block.split('\n').filter((line) => line !== '').length);
    expect(lines.every((count) => count <= 24)).toBe(true);
  });
});

const types = ['config', 'listen', 'database', 'startup-rules']
  .map((name) => read(`core/${name}.ts`))
  .join('\n');

/** Inline object types on one line each, without comments. */
function joined(body: string): string {
  return body.replace(/\{\n((?: {4}.*\n)*) {2}\}/g, (_, inner: string) => {
    const code = inner.replace(/\/\*\*.*?\*\//gs, '');
    return `{ ${code.trim().replace(/\s+/g, ' ')} }`;
  });
}

/** Names of the members in the body of an object type, those of inline object types as `outer.inner`. */
function members(
  body: string,
  expanded: Readonly<Record<string, readonly string[]>> = {},
): readonly string[] {
  return [...joined(body).matchAll(/^ {2}readonly (\w+)\??: (.*);$/gm)].flatMap(
    ([, name = '', type = '']) => {
      const inline = /^\{(.*)\}$/.exec(type)?.[1];
      const inner = inline
        ? [...inline.matchAll(/readonly (\w+)\??:/g)].map(([, one = '']) => one)
        : expanded[type];
      return inner ? inner.map((one) => `${name}.${one}`) : [name];
    },
  );
}

function interfaceBody(name: string): string {
  return new RegExp(`^export interface ${name}\\b.*?\\{\\n(.*?)^\\}`, 'ms').exec(types)?.[1] ?? '';
}

function optionsOf(name: string): readonly string[] {
  const [, login = ''] = /^export type Login =(.*?)^\/\*\*/ms.exec(types) ?? [];
  const expanded = {
    ListenTls: members(interfaceBody('ListenTls')),
    UpstreamTls: members(interfaceBody('UpstreamTls')),
    PoolOptions: members(interfaceBody('PoolOptions')),
    StartupRules: members(interfaceBody('StartupRules')),
    Login: [...new Set([...login.matchAll(/readonly (kind|\w+)\b/g)].map(([, one = '']) => one))].filter(
      (one) => !/^(Record|string)$/.test(one),
    ),
  };
  return members(interfaceBody(name), expanded);
}

describe('the tables of options', () => {
  test.each([
    ['Top level', 'GatewayConfig'],
    ['`listen`', 'ListenOptions'],
    ['`databases`', 'DatabaseOptions'],
    ['`admin`', 'AdminOptions'],
  ])('%s has every option of %s and no other', (heading, type) => {
    const options = optionsOf(type);
    expect(options.length).toBeGreaterThan(2);
    const rows = table(readme, heading).flatMap(([names = '']) => named(names));
    expect([...rows].sort()).toEqual([...options].sort());
  });

  const { listeners, admin, ...resolved } = checkConfig({ databases: {}, plugins: [], admin: {} }, root);
  const defaultIn = (heading: string, option: string): string | undefined => {
    const row = table(readme, heading).find(([names = '']) => named(names).includes(option));
    return row?.[1]?.replaceAll('`', '').replaceAll("'", '');
  };

  test('have the defaults of the code', async () => {
    const { database } = checkConfig(
      { databases: { orders: { host: 'db', login: { kind: 'trust' } } }, plugins: [] },
      root,
    );
    const entry = await database('orders');
    const [listener] = listeners;
    const rows: readonly (readonly [string, string, unknown])[] = [
      ...(['name', 'host', 'port', 'plaintext', 'auth'] as const).map(
        (name) => ['`listen`', name, listener?.[name]] as const,
      ),
      ...(['host', 'port'] as const).map((name) => ['`admin`', name, admin?.[name]] as const),
      ['`databases`', 'port', entry?.port],
      ...Object.entries(entry?.pool ?? {}).map(
        ([name, value]) => ['`databases`', `pool.${name}`, value] as const,
      ),
      ['`databases`', 'replication', entry?.replication],
      ['Top level', 'maxStatementBytes', resolved.maxStatementBytes],
      ['Top level', 'logLevel', resolved.logLevel],
    ];
    for (const [heading, option, value] of rows)
      expect(defaultIn(heading, option), option).toBe(String(value));
    expect(milliseconds(defaultIn('Top level', 'loginTimeout') ?? '')).toBe(resolved.loginTimeoutMs);
    expect(milliseconds(defaultIn('Top level', 'drainTimeout') ?? '')).toBe(resolved.drainTimeoutMs);
  });
});

test('every SQLSTATE in the table of refusals is one the gateway can send', () => {
  const states = table(readme, 'What is refused').flatMap(
    ([, state = '']) => state.match(/\b[0-9A-Z]{5}\b/g) ?? [],
  );
  expect(states.length).toBeGreaterThan(20);
  expect(states.filter((state) => !(Object.values(SQLSTATES) as string[]).includes(state))).toEqual([]);
});

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

  test('names paths of the repository that exist', () => {
    const paths = commands.flatMap(({ path, line }) =>
      (line.match(/\b(?:core|plugins|test|examples)\/[\w./<>-]+/g) ?? []).map((one) => ({ path, one })),
    );
    expect(paths.filter(({ one }) => !one.includes('<') && !existsSync(join(root, one)))).toEqual([]);
  });
});

describe('the status', () => {
  const rows = table(readme, 'Status');

  test('has a row for each promise', () => {
    expect(rows.map(([number]) => number)).toEqual(Array.from({ length: 18 }, (_, index) => `M${index + 1}`));
  });

  test('names a test for what is done or begun, and none for the rest', () => {
    const wrong = rows.filter(([, , status = '', , tests = '']) => {
      const proven = named(tests);
      if (status === 'not yet') return proven.length > 0;
      const exist =
        proven.length > 0 &&
        proven.every((path) => path.endsWith('.test.ts') && existsSync(join(root, path)));
      return !['done', 'partly'].includes(status) || !exist;
    });
    expect(wrong).toEqual([]);
  });
});

test('the layout names every folder of core, and no other', () => {
  const rows = table(readme, 'What is where').flatMap(([names = '']) => named(names));
  const inCore = rows.flatMap((name) => /^core\/(\w+)\/$/.exec(name)?.[1] ?? []);
  const folders = readdirSync(join(root, 'core')).filter((name) =>
    statSync(join(root, 'core', name)).isDirectory(),
  );
  expect(inCore.sort()).toEqual(folders.sort());
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
