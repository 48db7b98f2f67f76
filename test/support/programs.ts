/** Programs of the system that some tests drive; where one is missing, its tests are skipped and say so. */
import { describe } from 'vitest';
import { executable } from './executable.ts';

/** The path of a program, or undefined where it is not installed. @example program('psql') */
export const program = executable;

/** `describe` for tests that need a program: runs them with its path, or shows them skipped with the reason. */
export function describeWith(name: string, tests: (path: string) => void): void {
  const path = program(name);
  if (path === undefined)
    describe.skip(`with ${name}: skipped, ${name} is not installed here`, () => tests(name));
  else describe(`with ${name}`, () => tests(path));
}
