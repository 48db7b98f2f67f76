/** Where the package lies, whether this module is source, in `core/`, or compiled, in `dist/core/`. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function nearestPackage(folder: string): string {
  if (existsSync(join(folder, 'package.json')) || dirname(folder) === folder) return folder;
  return nearestPackage(dirname(folder));
}

/** The folder of Postern's own package.json. */
export const packageRoot: string = nearestPackage(dirname(fileURLToPath(import.meta.url)));
