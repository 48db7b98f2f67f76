/** The options of the programs of this folder. */

/** @throws Error if it is given and is not one */
export function wholeNumber(given: string | undefined, otherwise: number): number {
  const number = Number(given ?? otherwise);
  if (!Number.isInteger(number) || number < 1) throw new Error('options are whole numbers from 1 on');
  return number;
}

/** `--seed`, or any; says which, so that the choices of a run can be made again. */
export function seedOf(given: string | undefined): number {
  const seed = wholeNumber(given, 1 + (Date.now() % 1_000_000));
  console.log(`seed ${seed}`);
  return seed;
}

/** Aborted by Ctrl-C or SIGTERM: the program ends with the result so far. */
export function untilInterrupted(): AbortSignal {
  const over = new AbortController();
  process.once('SIGINT', () => over.abort()).once('SIGTERM', () => over.abort());
  return over.signal;
}
