/**
 * The exported declarations of Postern with their TSDoc, as the compiler reads them. TypeScript 7 gives its parser and checker to programs as
 * `typescript/unstable/…`: the lock file keeps the version, and a test fails where another one reads anything else.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as ast from 'typescript/unstable/ast';
import type { Node } from 'typescript/unstable/ast';
import { API } from 'typescript/unstable/sync';
import type { Project, Symbol as TsSymbol } from 'typescript/unstable/sync';

/** The folder of the repository. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** What the comment in front of a declaration says. */
export interface Doc {
  /** Markdown in front of the first tag. */
  readonly summary: string;
  /** Text of each tag by its name, such as `defaultValue`; of several with one name, one after the other. */
  readonly tags: Readonly<Record<string, string>>;
}

function textOf(comment: Parameters<typeof ast.getTextOfJSDocComment>[0]): string {
  const text = ast.getTextOfJSDocComment(comment) ?? '';
  return text.replace(/\{@link ([^}]*)\}/g, '`$1`').trim();
}

/** The comment in front of a node; empty without one. */
export function docOf(node: Node): Doc {
  const doc = node.jsDoc?.at(-1) as ast.JSDoc | undefined;
  const tags: Record<string, string> = {};
  for (const tag of doc?.tags ?? []) {
    const name = tag.tagName.text;
    tags[name] = [tags[name] ?? [], textOf(tag.comment)].flat().join('\n\n');
  }
  return { summary: textOf(doc?.comment), tags };
}

/** One line of a node's source text, without comments. */
export function sourceOf(node: Node): string {
  const file = node.getSourceFile();
  const text = file.text.slice(node.pos, node.end).replace(/\/\*.*?\*\//gs, '');
  return text.replace(/\s+/g, ' ').trim();
}

/** The sources of core and plugins, opened once: close it, or the compiler stays. */
export class Declarations implements Disposable {
  readonly #api: API;
  readonly #project: Project;
  readonly #root: string;

  /** @param root the repository, or a copy of it */
  constructor(root = ROOT) {
    this.#root = root;
    this.#api = new API({ cwd: root });
    const config = join(root, 'core/tsconfig.build.json');
    const project = this.#api.updateSnapshot({ openProjects: [config] }).getProject(config);
    if (!project) throw new Error(`${config} cannot be opened`);
    this.#project = project;
  }

  [Symbol.dispose](): void {
    this.#api.close();
  }

  /** What a file exports, in the order of the file, each with its declaration. */
  exportsOf(path: string): ReadonlyMap<string, Node> {
    const file = this.#project.program.getSourceFile(join(this.#root, path));
    const module = file && this.#project.checker.getSymbolAtLocation(file);
    if (!module) throw new Error(`${path} is no module`);
    const found = this.#project.checker.getExportsOfModule(module).map((symbol) => {
      const node = this.#declarationOf(symbol);
      return node ? ([[symbol.name, node]] as const) : [];
    });
    return new Map(found.flat());
  }

  /** The declaration that a name in a type or an expression leads to. */
  declarationAt(name: Node): Node | undefined {
    const symbol = this.#project.checker.getSymbolAtLocation(name);
    return symbol && this.#declarationOf(symbol);
  }

  /** A type as the compiler writes it, names of unions resolved. */
  resolved(type: Node): string {
    const { checker } = this.#project;
    const found = checker.getTypeAtLocation(type);
    // NoTruncation and InTypeAlias: the members and not the name.
    return found ? checker.typeToString(found, undefined, 1 | 8_388_608) : sourceOf(type);
  }

  /** Where a declaration is, from the root. */
  pathOf(node: Node): string {
    return node.getSourceFile().fileName.slice(this.#root.replace(/\/$/, '').length + 1);
  }

  #declarationOf(symbol: TsSymbol): Node | undefined {
    const real = symbol.flags & ALIAS ? this.#project.checker.getAliasedSymbol(symbol) : symbol;
    return real.declarations[0]?.resolve(this.#project);
  }
}

/** `SymbolFlags.Alias`: an import, or an export of another module. */
const ALIAS = 2_097_152;
