/** The files a config is made of: modules it imports by relative paths, and the certificates it names. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { ResolvedConfig } from './resolved.ts';

const RELATIVE = /\b(?:from|import|require)\s*(?:\(\s*)?(['"`])(\.{1,2}\/[^'"`\n]+)\1/g;
/** How a specifier becomes a path: as it stands, by a source's ending instead of a compiled one's, or by a missing one. */
const ENDINGS = ['', '.ts', '.mts', '.js', '.mjs', '.json', '/index.ts', '/index.js'];

/** Undefined where there is no such file, or none that can be read: loading it says so. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function find(specifier: string, from: string): string | undefined {
  const path = resolve(dirname(from), specifier);
  const source = path.replace(/\.([mc]?)js$/, '.$1ts');
  return [...ENDINGS.map((ending) => path + ending), source].find((one) => textOf(one) !== undefined);
}

/** The config file and the modules it imports by relative paths, these in their turn included. By text: it need not load. */
export function modulesOf(path: string): readonly string[] {
  const found = new Set([path]);
  // A set can grow while it is walked.
  for (const file of found) {
    for (const [, , specifier = ''] of (textOf(file) ?? '').matchAll(RELATIVE)) {
      const target = find(specifier, file);
      if (target !== undefined) found.add(target);
    }
  }
  return [...found];
}

/** The certificates and keys of its listeners, that of operators included. What it names beside them is read anew when it is used. */
export function certificatesOf({ listeners, admin }: ResolvedConfig): readonly string[] {
  return [...listeners, ...(admin ? [admin] : [])].flatMap(({ tls }) => {
    if (!tls) return [];
    const pairs = [tls, ...Object.values(tls.servernames ?? {})];
    const files = pairs.flatMap(({ cert, key }) => [cert, key]);
    return [...files, ...[tls.clientCa, tls.crl].filter((file) => file !== undefined)];
  });
}

/** Equal for equal files, in whatever order: SHA-256 of their paths and contents. A file that cannot be read counts as one that is not there. */
export function digestOf(files: readonly string[]): string {
  const digest = createHash('sha256');
  for (const file of [...new Set(files)].sort()) {
    const content = createHash('sha256').update(bytesOf(file)).digest('hex');
    digest.update(JSON.stringify([file, content]));
  }
  return digest.digest('hex');
}

function bytesOf(path: string): Buffer | string {
  try {
    return readFileSync(path);
  } catch {
    return '';
  }
}
