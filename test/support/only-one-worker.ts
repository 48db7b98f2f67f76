/** How many workers a test's gateways have: `POSTERN_TEST_WORKERS`, or 1; and the tests that are about one process, with their reasons. */
import { appendFileSync } from 'node:fs';
import { expect } from 'vitest';

const WORKERS = Number(process.env['POSTERN_TEST_WORKERS'] ?? 1);
/** The reasons go here, and are listed at the end of the run. */
const REASONS = process.env['POSTERN_TEST_ONLY_ONE'];
let all: string | undefined;

/** The gateways that this file starts from here on have one worker, because of `reason`. */
export function onlyOneWorker(reason: string): void {
  all = reason;
}

/** `onlyOne`: why this gateway has one worker. */
export function workersOf(onlyOne = all): number {
  if (WORKERS === 1 || onlyOne === undefined) return WORKERS;
  const { testPath = '' } = expect.getState();
  if (REASONS !== undefined) appendFileSync(REASONS, `${testPath}: ${onlyOne}\n`);
  return 1;
}

/** For `test.skipIf`: whether the gateways of this run have several workers, where a test is about one, because of `reason`. */
export function severalWorkers(reason: string): boolean {
  if (all === undefined) workersOf(reason);
  return all === undefined && WORKERS > 1;
}
