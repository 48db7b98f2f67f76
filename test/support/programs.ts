/** Programs of the system that some tests drive; where one is missing, its tests are skipped and say so. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe } from 'vitest';

/** Where Debian puts programs that are not on an ordinary user's PATH. */
const MORE = [
  '/usr/sbin',
  '/usr/local/sbin',
  ...['18', '17', '16', '15'].map((v) => `/usr/lib/postgresql/${v}/bin`),
];

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The path of a program, or undefined where it is not installed. @example program('psql') */
export function program(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...MORE];
  return folders.map((folder) => join(folder, name)).find(executable);
}

/** `describe` for tests that need a program: runs them with its path, or shows them skipped with the reason. */
export function describeWith(name: string, tests: (path: string) => void): void {
  const path = program(name);
  if (path === undefined)
    describe.skip(`with ${name}: skipped, ${name} is not installed here`, () => tests(name));
  else describe(`with ${name}`, () => tests(path));
}
