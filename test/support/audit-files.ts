/** The audit trail of a gateway of a test's own: a file, or one for each worker beside it. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** The lines that all workers have written, where the config names this file, one worker after the other. */
export function auditLines(file: string): Record<string, unknown>[] {
  const { dir, name, ext } = path.parse(file);
  const isOne = (base: string): boolean =>
    base === name || (base.startsWith(`${name}.w`) && Number(base.slice(name.length + 2)) > 0);
  return readdirSync(dir)
    .filter((entry) => entry.endsWith(ext) && isOne(path.basename(entry, ext)))
    .sort()
    .flatMap((entry) => readFileSync(path.join(dir, entry), 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
