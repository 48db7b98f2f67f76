/** What each plugin is, in the words of its factory: what it provides and needs, and where it stands in the list. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as ast from 'typescript/unstable/ast';
import type { Node } from 'typescript/unstable/ast';
import { docOf } from './declarations.ts';
import type { Declarations, Doc } from './declarations.ts';

interface Plugin {
  readonly folder: string;
  /** `rateLimit`. */
  readonly factory: string;
  readonly doc: Doc;
  /** Its number in a list of all plugins, and where it stands in one of some. */
  readonly order: number;
  readonly place: string;
  readonly needs: readonly string[];
  readonly provides: readonly string[];
  /** Services that it lends, and those that it asks for. */
  readonly lends: readonly string[];
  readonly asks: readonly string[];
}

/** A factory is named as its folder in camelCase. */
function factoryOf(folder: string): string {
  return folder.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** The names in the type arguments of `Plugin<Needs, Provides, …>`. */
function names(declarations: Declarations, type: Node | undefined): readonly string[] {
  const text = type === undefined ? '' : declarations.resolved(type);
  return [...text.matchAll(/["'](\w+)["']/g)].map(([, name = '']) => name);
}

/** Services that the sources of a folder lend, or ask for. */
function services(root: string, folder: string, verb: 'provide' | 'service'): readonly string[] {
  const sources = readdirSync(join(root, folder)).filter((name) => name.endsWith('.ts'));
  const texts = sources.map((name) => readFileSync(join(root, folder, name), 'utf8'));
  const calls = new RegExp(`\\.${verb}\\(\\s*'(\\w+)'`, 'g');
  return [...new Set(texts.flatMap((text) => [...text.matchAll(calls)].map(([, name = '']) => name)))].sort();
}

function pluginIn(declarations: Declarations, root: string, folder: string): Plugin {
  const factory = factoryOf(folder.replace('plugins/', ''));
  const node = declarations.exportsOf(`${folder}/index.ts`).get(factory);
  if (!node || !ast.isFunctionDeclaration(node) || !node.type || !ast.isTypeReferenceNode(node.type))
    throw new Error(`${folder}: index.ts exports no function ${factory} that says its type`);
  const [needs, provides] = node.type.typeArguments ?? [];
  const lends = services(root, folder, 'provide');
  const doc = docOf(node);
  const [, order, place] = /^(\d+) (.*)$/s.exec(doc.tags['place'] ?? '') ?? [];
  if (order === undefined || place === undefined) throw new Error(`${folder}: ${factory} has no @place`);
  return {
    folder: folder.replace('plugins/', ''),
    factory,
    doc,
    order: Number(order),
    place,
    needs: names(declarations, needs),
    provides: names(declarations, provides),
    lends,
    asks: services(root, folder, 'service').filter((name) => !lends.includes(name)),
  };
}

function listed(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ');
}

/** Each fact that there is, with what it is called. */
function facts({
  needs,
  provides,
  lends,
  asks,
}: Plugin): readonly (readonly [what: string, names: string])[] {
  const all = [
    ['Provides', provides],
    ['Needs', needs],
    [lends.length === 1 ? 'Lends the service' : 'Lends the services', lends],
    [asks.length === 1 ? 'Asks for the service' : 'Asks for the services', asks],
  ] as const;
  return all.flatMap(([what, names]) => (names.length === 0 ? [] : [[what, listed(names)] as const]));
}

/** The head of a plugin's README. */
export function pluginFacts(declarations: Declarations, root: string, folder: string): string {
  const plugin = pluginIn(declarations, root, folder);
  const lines = [...facts(plugin), ['Place in the list of plugins', plugin.place] as const];
  return `${plugin.doc.summary}\n\n${lines.map(([what, text]) => `- ${what}: ${text}`).join('\n')}`;
}

/** The index of plugins, in the order in which a config lists them. */
export function pluginIndex(declarations: Declarations, root: string, folders: readonly string[]): string {
  const plugins = folders
    .map((folder) => pluginIn(declarations, root, `plugins/${folder}`))
    .toSorted((one, other) => one.order - other.order);
  return plugins
    .map((plugin) => {
      const { folder, doc } = plugin;
      const about = facts(plugin).map(([what, text]) => `${what} ${text}.`);
      return `- [\`${folder}\`](${folder}/README.md): ${[doc.summary.replaceAll('\n', ' '), ...about].join(' ')}`;
    })
    .join('\n');
}
