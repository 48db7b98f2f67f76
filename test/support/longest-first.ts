/** The order of test files: those that take longest come first, so that no core is without work while the last of them runs. */
import { fileURLToPath } from 'node:url';
import { BaseSequencer } from 'vitest/node';
import type { TestSpecification } from 'vitest/node';
import { LONGEST_FILES } from './longest-files.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const places = new Map<string, number>(LONGEST_FILES.map((file, place) => [`${root}${file}`, place]));

/** Those that share processes are short, and come last. */
function placeOf({ moduleId, project }: TestSpecification): number {
  const others = LONGEST_FILES.length;
  return places.get(moduleId) ?? (project.config.isolate ? others : others + 1);
}

/** For vitest's `sequence.sequencer`; among equals its own order stays. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => placeOf(a) - placeOf(b));
  }
}
