/** Every regular expression of the sources: the literals, and those that modules build when they are loaded. */
import { parseAst } from 'vitest/node';
import { importFresh } from './import-fresh.ts';
import type { Source } from './source-tree.ts';

/** One regular expression, and where it stands. */
export interface SourcePattern {
  /** `path:line`. */
  readonly place: string;
  readonly expression: RegExp;
}

interface Found {
  readonly literals: readonly SourcePattern[];
  /** Lines with `RegExp(…)`, with or without `new`. */
  readonly built: readonly number[];
}

interface SyntaxNode {
  readonly type?: string;
  readonly start?: number;
  readonly regex?: { readonly pattern: string; readonly flags: string };
  readonly callee?: { readonly name?: string };
}

/** All nodes of a syntax tree. */
function* nodesOf(value: unknown): Generator<SyntaxNode> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value;
  for (const inner of Object.values(value)) yield* nodesOf(inner);
}

function foundIn({ path, text }: Source): Found {
  const lineAt = (start = 0): number => text.slice(0, start).split('\n').length;
  const literals: SourcePattern[] = [];
  const built: number[] = [];
  for (const { type, start, regex, callee } of nodesOf(
    parseAst(text, { lang: path.endsWith('ts') ? 'ts' : 'js' }).body,
  )) {
    if (type === 'Literal' && regex)
      literals.push({
        place: `${path}:${lineAt(start)}`,
        expression: new RegExp(regex.pattern, regex.flags),
      });
    if (/^(?:New|Call)Expression$/.test(type ?? '') && callee?.name === 'RegExp') built.push(lineAt(start));
  }
  return { literals, built };
}

/** What a module builds when it is loaded. */
async function builtBy(path: string): Promise<readonly RegExp[]> {
  const { RegExp: original } = globalThis;
  const made: RegExp[] = [];
  const record = (expression: RegExp): RegExp => {
    if (new Error().stack?.includes(`/${path}`)) made.push(expression);
    return expression;
  };
  globalThis.RegExp = new Proxy(original, {
    construct: (target, [pattern, flags]: [string, string?]) => record(new target(pattern, flags)),
    apply: (target, _, [pattern, flags]: [string, string?]) => record(new target(pattern, flags)),
  });
  try {
    await importFresh(path);
  } finally {
    globalThis.RegExp = original;
  }
  return made;
}

/** @throws Error for an expression that is built later than its module is loaded: nobody could try it */
export async function patternsIn(sources: readonly Source[]): Promise<readonly SourcePattern[]> {
  const patterns: SourcePattern[] = [];
  for (const source of sources) {
    const { literals, built } = foundIn(source);
    patterns.push(...literals);
    if (built.length === 0) continue;
    const made = await builtBy(source.path);
    if (made.length !== built.length)
      throw new Error(
        `${source.path}: build every RegExp in a constant of the module, so that it can be tried`,
      );
    patterns.push(
      ...made.map((expression, index) => ({ place: `${source.path}:${built[index]}`, expression })),
    );
  }
  return patterns;
}
