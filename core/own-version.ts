/** Which version of Postern runs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from './package-root.ts';

let known: string | undefined;

/** The version in Postern's own package.json; read once. `unknown` where there is no such file. */
export function ownVersion(): string {
  known ??= read();
  return known;
}

/** The version that is on the disk now: another one where it was installed after this process had begun. */
export const installedVersion = (): string => read();

function read(): string {
  try {
    const text = readFileSync(join(packageRoot, 'package.json'), 'utf8');
    return (JSON.parse(text) as { readonly version: string }).version;
  } catch {
    return 'unknown';
  }
}
