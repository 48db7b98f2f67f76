/** What plugins may use, as Markdown: members of the contract's types, and what `postern` exports, each with its example. */
import * as ast from 'typescript/unstable/ast';
import type { Node } from 'typescript/unstable/ast';
import { docOf, sourceOf } from './declarations.ts';
import type { Declarations, Doc } from './declarations.ts';

/** One member or export. */
export interface Entry {
  readonly name: string;
  /** The name with its parameters: `keep(key, create)`. */
  readonly signature: string;
  readonly doc: Doc;
}

interface Callable {
  readonly parameters: readonly ast.ParameterDeclaration[];
}

/** `(path, value, what?)`; those that only the gateway gives (`env`) as well. */
function parametersOf({ parameters }: Callable): string {
  const names = parameters.map(({ name, questionToken, initializer, dotDotDotToken }) => {
    const optional = questionToken || initializer ? '?' : '';
    const text = ast.isIdentifier(name) ? name.text : 'options';
    return `${dotDotDotToken ? '…' : ''}${text}${optional}`;
  });
  return `(${names.join(', ')})`;
}

/** The members of an interface in their order, those of what it extends behind them. */
export function membersOf(declarations: Declarations, type: Node): readonly Entry[] {
  if (!ast.isInterfaceDeclaration(type)) return [];
  const own = type.members.flatMap((member) => {
    if (ast.isPropertySignatureDeclaration(member)) {
      const name = sourceOf(member.name);
      return [{ name, signature: name, doc: docOf(member) }];
    }
    if (!ast.isMethodSignatureDeclaration(member)) return [];
    const name = sourceOf(member.name);
    return [{ name, signature: `${name}${parametersOf(member)}`, doc: docOf(member) }];
  });
  const bases = (type.heritageClauses ?? []).flatMap(({ types }) => [...types]);
  const inherited = bases.flatMap(({ expression }) => {
    const base = declarations.declarationAt(expression);
    return base ? membersOf(declarations, base) : [];
  });
  return [...own, ...inherited];
}

/** Public methods and fields of a class that have a comment. */
function partsOf(type: ast.ClassDeclaration): readonly Entry[] {
  return type.members.flatMap((member) => {
    if (!ast.isMethodDeclaration(member) || !ast.isIdentifier(member.name)) return [];
    const { text } = member.name;
    return [{ name: text, signature: `${text}${parametersOf(member)}`, doc: docOf(member) }];
  });
}

/** The comment of a constant stands in front of its statement. */
function docOfValue(node: Node): Doc {
  return docOf(ast.isVariableDeclaration(node) ? node.parent.parent : node);
}

function withParts(node: ast.ClassDeclaration): Entry {
  const made = node.members.find((member) => ast.isConstructorDeclaration(member));
  const doc = docOf(node);
  const name = node.name?.text ?? '';
  const parts = partsOf(node).map(
    (part) => `- \`${part.signature}\`: ${part.doc.summary.replaceAll('\n', ' ')}`,
  );
  const summary = [doc.summary, parts.join('\n')].filter((part) => part !== '').join('\n\n');
  return { name, signature: `new ${name}${made ? parametersOf(made) : '()'}`, doc: { ...doc, summary } };
}

/** What a module exports that is there at run time. */
export function valuesIn(exported: ReadonlyMap<string, Node>): readonly Entry[] {
  return [...exported].flatMap(([name, node]) => {
    if (ast.isFunctionDeclaration(node))
      return [{ name, signature: `${name}${parametersOf(node)}`, doc: docOf(node) }];
    if (ast.isClassDeclaration(node)) return [withParts(node)];
    if (!ast.isVariableDeclaration(node)) return [];
    const { initializer } = node;
    const parameters = initializer && ast.isArrowFunction(initializer) ? parametersOf(initializer) : '';
    return [{ name, signature: `${name}${parameters}`, doc: docOfValue(node) }];
  });
}

/** What it exports besides, for the compiler alone. */
export function typesIn(exported: ReadonlyMap<string, Node>): readonly Entry[] {
  return [...exported].flatMap(([name, node]) =>
    ast.isInterfaceDeclaration(node) || ast.isTypeAliasDeclaration(node)
      ? [{ name, signature: name, doc: docOf(node) }]
      : [],
  );
}

/** One heading each. */
export function entrySections(entries: readonly Entry[], prefix: string): string {
  return entries
    .map(({ signature, doc: { summary, tags } }) => {
      const { example, throws, remarks } = tags;
      const parts = [
        `### \`${prefix}${signature}\``,
        summary,
        throws === undefined ? '' : `Throws ${throws.replace(/^\w+Error/, '`$&`')}.`.replace('..', '.'),
        example === undefined ? '' : `\`\`\`ts\n${example}\n\`\`\``,
        remarks ?? '',
      ];
      return parts.filter((part) => part !== '').join('\n\n');
    })
    .join('\n\n');
}

/** One line each. */
export function entryList(entries: readonly Entry[], prefix: string): string {
  return entries
    .map(({ signature, doc }) => `- \`${prefix}${signature}\`: ${doc.summary.replaceAll('\n', ' ')}`)
    .join('\n');
}
