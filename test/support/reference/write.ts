/** `npm run docs:reference`: writes the generated parts of the documents. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './declarations.ts';
import { references } from './documents.ts';

for (const { path, is, wanted } of await references()) {
  if (is === wanted) continue;
  writeFileSync(join(ROOT, path), wanted);
  console.log(path);
}
