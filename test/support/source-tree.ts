/** The sources as text, for tests about what must stay true of all of them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** One source file. */
export interface Source {
  /** From the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
  /** The text without comments. */
  readonly code: string;
  /** The code with nothing in its strings. */
  readonly bare: string;
  /** What it imports, types included: paths from the root for files, names for everything else. */
  readonly imports: readonly string[];
}

/** `import … from 'x'`, `export … from 'x'`, `import 'x'`, `import('x')`, `typeof import('x')`. */
const IMPORT =
  /(?:(?:^|;)\s*(?:import|export)\b[^'"`;]*?\bfrom\s*|(?:^|;)\s*import\s*|\bimport\s*\(\s*)(['"])([^'"\n]+)\1/gm;
/** Strings come first, so that a comment's beginning inside of one is none. */
const STRING_OR_COMMENT =
  /('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;

/** Removes comments; the lines keep their numbers. */
function withoutComments(text: string): string {
  return text.replace(
    STRING_OR_COMMENT,
    (all, string: string | undefined) => string ?? all.replace(/[^\n]/g, ''),
  );
}

function withoutStrings(code: string): string {
  return code.replace(STRING_OR_COMMENT, (string) => `''${string.replace(/[^\n]/g, '')}`);
}

function importsOf(path: string, code: string): readonly string[] {
  const specifiers = [...code.matchAll(IMPORT)].map(([, , specifier = '']) => specifier);
  return specifiers.map((one) => (one.startsWith('.') ? normalize(join(dirname(path), one)) : one));
}

/** Makes a source of a text; `path` decides what its relative imports mean. */
export function source(path: string, text: string): Source {
  const code = withoutComments(text);
  return { path, text, code, bare: withoutStrings(code), imports: importsOf(path, code) };
}

/** Every TypeScript file in a folder of the repository, or none if there is no such folder. */
export function sourcesIn(folder: string): readonly Source[] {
  if (!existsSync(join(root, folder))) return [];
  const entries = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  const paths = entries.map((entry) => join(folder, entry)).filter((path) => /\.m?ts$/.test(path));
  return paths
    .filter((path) => !/^(?:node_modules|dist)/.test(path) && !path.includes('/node_modules/'))
    .sort()
    .map((path) => source(path, readFileSync(join(root, path), 'utf8')));
}

/** The names of the packages that are installed with Postern, and of those that a part of it needs beside it. */
export function dependencies(): readonly string[] {
  const manifest: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const { dependencies: own = {}, peerDependencies: peers = {} } = manifest as {
    readonly dependencies?: object;
    readonly peerDependencies?: object;
  };
  return [...Object.keys(own), ...Object.keys(peers)];
}
