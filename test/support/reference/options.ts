/** The options of a config or a plugin by their paths, such as `databases.<name>.pool.size`, read from the types that declare them. */
import * as ast from 'typescript/unstable/ast';
import type { InterfaceDeclaration, Node, TypeElement, TypeNode } from 'typescript/unstable/ast';
import { docOf, sourceOf } from './declarations.ts';
import type { Declarations, Doc } from './declarations.ts';

/** One option. */
export interface Option {
  /** `issuers[].audience`; names that the operator chooses stand in angle brackets. */
  readonly path: string;
  readonly type: string;
  readonly required: boolean;
  readonly doc: Doc;
  /** What a reload does with a change. */
  readonly reload: string;
  /** The exported type that an example of it is checked against. */
  readonly owner: string;
  /** The file that declares the owner. */
  readonly file: string;
}

/** Members of an object type, and what stands between the option and their names: `''`, `[]` or `.<name>`. */
interface Level {
  readonly between: string;
  readonly owner: string;
  readonly file: string;
  readonly doc: Doc;
  readonly members: readonly TypeElement[];
}

/** Reads the options that a type holds. */
export class OptionReader {
  readonly #declarations: Declarations;
  /** Types are followed into the files of this folder only. */
  readonly #folder: string;

  constructor(declarations: Declarations, folder: string) {
    this.#declarations = declarations;
    this.#folder = folder;
  }

  /**
   * The options of a type, below a prefix; those that `closed` names are not followed.
   */
  read(type: Node, prefix: string, closed: readonly string[] = []): readonly Option[] {
    const levels = ast.isInterfaceDeclaration(type)
      ? [this.#interface(type)]
      : ast.isTypeAliasDeclaration(type)
        ? this.#levels(type.type, docOf(type))
        : [];
    return merged(levels.flatMap((level) => this.#below(level, prefix, '', closed)));
  }

  #below(level: Level, prefix: string, reloadAbove: string, closed: readonly string[]): readonly Option[] {
    const start = `${prefix}${level.between}`;
    return level.members.flatMap((member) => {
      if (!ast.isPropertySignatureDeclaration(member)) return [];
      const name = sourceOf(member.name);
      const path = start === '' ? name : `${start}.${name}`;
      const doc = docOf(member);
      const reload = doc.tags['reload'] ?? level.doc.tags['reload'] ?? reloadAbove;
      const option: Option = {
        path,
        type: this.#typeOf(member.type),
        required: member.postfixToken === undefined,
        doc,
        reload,
        owner: level.owner,
        file: level.file,
      };
      if (closed.includes(path)) return [option];
      const inner = this.#levels(member.type, level.doc).flatMap((one) =>
        this.#below(one, path, reload, closed),
      );
      return [option, ...inner];
    });
  }

  #levels(type: TypeNode, doc: Doc): readonly Level[] {
    if (ast.isParenthesizedTypeNode(type)) return this.#levels(type.type, doc);
    if (ast.isTypeOperatorNode(type)) return this.#levels(type.type, doc);
    if (ast.isArrayTypeNode(type)) return between('[]', this.#levels(type.elementType, doc));
    if (ast.isUnionTypeNode(type) || ast.isIntersectionTypeNode(type))
      return once(type.types.flatMap((one) => this.#levels(one, doc)));
    if (ast.isMappedTypeNode(type) && type.type) {
      const name = sourceOf(type.typeParameter)
        .replace(/^.* in /, '')
        .toLowerCase();
      return between(`.<${name}>`, this.#levels(type.type, doc));
    }
    return ast.isTypeReferenceNode(type) ? this.#reference(type, doc) : [];
  }

  #reference(type: ast.TypeReferenceNode, doc: Doc): readonly Level[] {
    const name = sourceOf(type.typeName);
    const [first, second] = type.typeArguments ?? [];
    if (name === 'Readonly' && first) return this.#levels(first, doc);
    if (name === 'Record' && second) return between('.<name>', this.#levels(second, doc));
    const declaration = this.#declarations.declarationAt(type.typeName);
    if (!declaration || !this.#declarations.pathOf(declaration).startsWith(this.#folder)) return [];
    if (ast.isTypeAliasDeclaration(declaration)) return this.#levels(declaration.type, docOf(declaration));
    if (!ast.isInterfaceDeclaration(declaration)) return [];
    const level = this.#interface(declaration);
    // An interface with methods is something that a program hands over, and no set of options.
    return level.members.every((member) => ast.isPropertySignatureDeclaration(member)) ? [level] : [];
  }

  #interface(declaration: InterfaceDeclaration): Level {
    const bases = (declaration.heritageClauses ?? []).flatMap(({ types }) => [...types]);
    const inherited = bases.flatMap(({ expression }) => {
      const base = this.#declarations.declarationAt(expression);
      return base && ast.isInterfaceDeclaration(base) ? this.#interface(base).members : [];
    });
    return {
      between: '',
      owner: declaration.name.text,
      file: this.#declarations.pathOf(declaration),
      doc: docOf(declaration),
      members: [...declaration.members, ...inherited],
    };
  }

  /** The type of an option for its reader: no modifiers, and the words of a choice instead of its name. */
  #typeOf(type: TypeNode): string {
    const text = sourceOf(type)
      .replace(/\breadonly /g, '')
      .replace(/^\| /, '')
      .replace(/\bReadonly<(.*)>/, '$1');
    if (!ast.isTypeReferenceNode(type)) return text;
    const declaration = this.#declarations.declarationAt(type.typeName);
    if (declaration && ast.isTypeParameterDeclaration(declaration) && declaration.constraint)
      return sourceOf(declaration.constraint);
    const written =
      declaration && ast.isTypeAliasDeclaration(declaration)
        ? sourceOf(declaration.type).replace(/^\| /, '')
        : '';
    const words = [written, this.#declarations.resolved(type).replaceAll('"', "'")];
    return words.find((one) => /^'[^']*'( \| '[^']*')*$/.test(one)) ?? text;
  }
}

function between(what: string, levels: readonly Level[]): readonly Level[] {
  return levels.map((level) => ({ ...level, between: `${what}${level.between}` }));
}

/** One, or a list of such: the members are shown for one. */
function once(levels: readonly Level[]): readonly Level[] {
  return levels.filter(
    ({ between, owner }) =>
      between !== '[]' || !levels.some((one) => one.between === '' && one.owner === owner),
  );
}

/** The same option of several kinds, such as `login.kind`, as one: what each kind means is a list. */
function merged(options: readonly Option[]): readonly Option[] {
  const paths = [...new Set(options.map(({ path }) => path))];
  return paths.flatMap((path) => {
    const all = options.filter((option) => option.path === path);
    const [first] = all;
    if (!first || all.length === 1) return first ?? [];
    const summary = all.map(({ type, doc }) => `- \`${type}\`: ${doc.summary}`).join('\n');
    return { ...first, type: all.map(({ type }) => type).join(' | '), doc: { ...first.doc, summary } };
  });
}
