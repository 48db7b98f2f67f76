/** Test files that share processes: they call functions, start no server or program, and change nothing that a process has once. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LONGEST_FILES } from './longest-files.ts';

/** What needs a process of its own, in a test or in what it imports of the tests: PostgreSQL, programs, the process itself, what vitest puts in the place of something else; and what says so. */
const OWN = [
  /needs a process of its own/i,
  /\binject\(|\bimportFresh\b/,
  /\b(?:spawn|spawnSync|fork|execFile|execFileSync)\(|node:worker_threads/,
  /\bprocess\.(?:env|on|once|emit|chdir|umask|exit)\b/,
  /\bvi\.|\bglobalThis\b|\b[gG]lobalDispatcher\b/,
];
const IMPORTED = /^(?:import|export|\}).* from '(\.[^']+)';$/gm;
const FOLDERS = ['test/core', 'test/plugins'];

/** Their paths from the root of the project. */
export function filesOfSharedProcesses(root: string): readonly string[] {
  const known = new Map<string, boolean>();
  const needsOwn = (file: string): boolean => {
    const before = known.get(file);
    if (before !== undefined) return before;
    // Also for one that imports itself by others.
    known.set(file, false);
    const text = readFileSync(join(root, file), 'utf8');
    const imported = [...text.matchAll(IMPORTED)].map(([, path = '']) => join(dirname(file), path));
    const ofTests = imported.filter((path) => path.startsWith('test/'));
    const needs = OWN.some((pattern) => pattern.test(text)) || ofTests.some(needsOwn);
    known.set(file, needs);
    return needs;
  };
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  );
  const longest: readonly string[] = LONGEST_FILES;
  return files.filter((file) => file.endsWith('.test.ts') && !longest.includes(file) && !needsOwn(file));
}
