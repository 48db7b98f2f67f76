/** Which version of Postern runs. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

let known: string | undefined;

/** The version in the nearest package.json above this module, be it source or compiled; read once. */
export function ownVersion(): string {
  known ??= read(dirname(fileURLToPath(import.meta.url)));
  return known;
}

function read(folder: string): string {
  const path = join(folder, 'package.json');
  if (existsSync(path))
    return (JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string }).version;
  return dirname(folder) === folder ? 'unknown' : read(dirname(folder));
}
