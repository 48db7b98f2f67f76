/** The documents with generated parts as they have to be: read from the disk, their parts made anew. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import type { Node } from 'typescript/unstable/ast';
import { entryList, entrySections, membersOf, typesIn, valuesIn } from './api.ts';
import type { Entry } from './api.ts';
import { withBlocks } from './blocks.ts';
import type { Block } from './blocks.ts';
import { commandSections } from './commands.ts';
import { Declarations, ROOT } from './declarations.ts';
import { optionSections } from './option-sections.ts';
import { OptionReader } from './options.ts';
import type { Option } from './options.ts';
import { pluginFacts, pluginIndex } from './plugins.ts';

/** A document with generated parts. */
export interface Reference {
  /** From the root. */
  readonly path: string;
  /** What is on the disk. */
  readonly is: string;
  /** What has to be there. */
  readonly wanted: string;
}

/** The folders of plugins, in the order of their names. */
export function pluginFolders(root = ROOT): readonly string[] {
  const entries = readdirSync(join(root, 'plugins'), { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** The documents with generated parts. */
export function referencePaths(root = ROOT): readonly string[] {
  const plugins = pluginFolders(root).map((name) => `plugins/${name}/README.md`);
  return ['core/cli/README.md', 'core/config/README.md', 'plugins/README.md', ...plugins];
}

/** Reads what a document's parts are made of: the index of the folder it belongs to. */
class Page {
  readonly #declarations: Declarations;
  readonly #root: string;
  /** `plugins/jwt`, `core` or `plugins`. */
  readonly #folder: string;
  readonly #commands: string;

  constructor(declarations: Declarations, root: string, path: string, commands: string) {
    this.#commands = commands;
    this.#declarations = declarations;
    this.#root = root;
    this.#folder = path.startsWith('core/') ? 'core' : dirname(path);
  }

  give({ kind, words }: Block): string {
    const [first = '', ...more] = words;
    if (kind === 'options') return optionSections(this.options(first, more));
    if (kind === 'commands') return this.#commands;
    if (kind === 'plugin') return pluginFacts(this.#declarations, this.#root, this.#folder);
    if (kind === 'plugins') return pluginIndex(this.#declarations, this.#root, pluginFolders(this.#root));
    if (kind === 'exports') return entrySections(valuesIn(this.#api()), '');
    if (kind === 'types') return entryList(typesIn(this.#api()), '');
    if (kind === 'members') return entrySections(this.#members(first, more), prefixOf(more));
    if (kind === 'list') return entryList(this.#members(first, more), prefixOf(more));
    throw new Error(`${this.#folder}: nothing is known of '${kind}'`);
  }

  /** What `postern` exports. */
  #api(): ReadonlyMap<string, Node> {
    return this.#declarations.exportsOf('core/index.ts');
  }

  #members(name: string, words: readonly string[]): readonly Entry[] {
    const type = this.#api().get(name);
    if (!type) throw new Error(`postern exports no ${name}`);
    return chosen(membersOf(this.#declarations, type), words);
  }

  /** The options of a type that the folder's index exports; `more`: their prefix, then those that are not followed, each with a minus. */
  options(type: string, more: readonly string[]): readonly Option[] {
    const declaration = this.#declarations.exportsOf(`${this.#folder}/index.ts`).get(type);
    if (!declaration) throw new Error(`${this.#folder}: there is no ${type}`);
    const prefix = more.find((word) => !word.startsWith('-')) ?? '';
    const closed = more.filter((word) => word.startsWith('-')).map((word) => word.slice(1));
    return new OptionReader(this.#declarations, `${this.#folder}/`).read(declaration, prefix, closed);
  }
}

/** `gateway.` of `members GatewayHandle gateway.`, `event: ` of `members Events event:`. */
function prefixOf(words: readonly string[]): string {
  return words.find((word) => /[.:]$/.test(word))?.replace(/:$/, ': ') ?? '';
}

/** The members that are named with a plus, those that are not named with a minus, or all. */
function chosen(entries: readonly Entry[], words: readonly string[]): readonly Entry[] {
  const only = words.filter((word) => word.startsWith('+'));
  return entries.filter(({ name }) =>
    only.length > 0 ? only.includes(`+${name}`) : !words.includes(`-${name}`),
  );
}

/** Every document with generated parts. */
export async function references(root = ROOT): Promise<readonly Reference[]> {
  using declarations = new Declarations(root);
  const commands = await commandSections();
  const found = referencePaths(root).map((path) => {
    const is = readFileSync(join(root, path), 'utf8');
    const page = new Page(declarations, root, path, commands);
    return { path, is, made: withBlocks(is, (block) => page.give(block)) };
  });
  return Promise.all(
    found.map(async ({ path, is, made }) => ({
      path,
      is,
      wanted: await format(made, { ...(await resolveConfig(join(ROOT, path))), parser: 'markdown' }),
    })),
  );
}
