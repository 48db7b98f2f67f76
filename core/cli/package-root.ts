/** Where the package lies, whether this module runs from `core/` (tests) or compiled from `dist/core/`. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function nearestPackage(folder: string): string {
  if (existsSync(join(folder, 'package.json')) || dirname(folder) === folder) return folder;
  return nearestPackage(dirname(folder));
}

/** The folder of Postern's own package.json. */
export const packageRoot: string = nearestPackage(dirname(fileURLToPath(import.meta.url)));
