/** Which audit files belong together: each instance of a fleet, and each worker of it, has a trail of its own. */
import { open } from 'node:fs/promises';
import { NOTHING_BEFORE, unseal } from './chain.ts';
import { tailOf } from './file-tail.ts';
import { linesOf, markOf } from './lines.ts';
import { writerOf } from './writer.ts';
import type { Writer } from './writer.ts';

/** Files of one trail. */
export interface Trail extends Writer {
  readonly files: readonly string[];
}

/** How a file begins and ends; of one that cannot be read there is nothing. */
interface Ends extends Writer {
  readonly file: string;
  readonly n: number;
  readonly previous: unknown;
  readonly last: string | undefined;
}

/**
 * The trails of these files, by instance and worker. A file that follows another one by its hash belongs to that, whatever its instance was called then; one that does
 * not belongs to the trail of its writer, where it shows what is missing.
 */
export async function trailsOf(files: readonly string[]): Promise<readonly Trail[]> {
  const all = await Promise.all(files.map(endsOf));
  const trails: Ends[][] = [];
  for (const file of all.toSorted((one, other) => (one.n < other.n ? -1 : 1))) {
    const trail = trails.find((one) => follows(one, file)) ?? trails.find((one) => isOf(one, file));
    if (trail) trail.push(file);
    else trails.push([file]);
  }
  return trails
    .flatMap((trail) => {
      const last = trail.at(-1);
      return last ? [{ ...writerIn(last), files: trail.map(({ file }) => file) }] : [];
    })
    .toSorted((one, other) =>
      one.instance < other.instance ? -1 : one.instance > other.instance ? 1 : one.worker - other.worker,
    );
}

const writerIn = ({ instance, worker }: Writer): Writer => ({ instance, worker });
const follows = (trail: readonly Ends[], { previous }: Ends): boolean =>
  previous !== NOTHING_BEFORE && trail.some(({ last }) => last !== undefined && last === previous);
const isOf = (trail: readonly Ends[], { instance, worker }: Ends): boolean => {
  const last = trail.at(-1);
  return last?.instance === instance && last.worker === worker;
};

async function endsOf(file: string): Promise<Ends> {
  for await (const { text } of linesOf(file)) {
    const sealed = unseal(text);
    const mark = sealed && markOf(sealed);
    if (!mark) break;
    return { file, n: sealed.n, previous: mark.previous, ...writerOf(mark), last: await lastHashOf(file) };
  }
  // It comes last, and says itself what is wrong.
  return { file, n: Infinity, previous: undefined, instance: '', worker: 0, last: undefined };
}

async function lastHashOf(file: string): Promise<string | undefined> {
  const handle = await open(file);
  try {
    return (await tailOf(handle, file)).last?.hash;
  } catch {
    return undefined;
  } finally {
    await handle.close();
  }
}
