/** Looks for the texts on which a function takes longest, and whether that is more than proportional time. */
import { growthOf } from './growth.ts';
import type { Growth } from './growth.ts';
import { written } from './worst-inputs.ts';
import type { WorstInput } from './worst-inputs.ts';

/** A text, and how the time for it grows with its length. */
export interface Tried {
  readonly input: WorstInput;
  readonly growth: Growth;
}

type Run = (text: string) => unknown;

const doubled = (from: number, to: number): readonly number[] =>
  from > to ? [] : [from, ...doubled(2 * from, to)];
/** Characters at which every input is tried, until it takes long; then it is measured at all of these. */
const TRIED = [64, 256, 1_024, 4_096, 16_384];
const MEASURED = doubled(64, 32_768);
const SUSPICIOUS_MS = 1;
/** Characters at which the worst inputs are measured, and how many of them are the worst. */
const LONG = doubled(262_144, 1_048_576);
const MOST_LONG = 3;

/** Milliseconds for the longest text, or for the first that takes too long. */
function firstTime(run: Run, input: WorstInput): number {
  let ms = 0;
  for (const length of TRIED) {
    const text = written(input, length);
    const since = performance.now();
    run(text);
    ms = performance.now() - since;
    if (ms > SUSPICIOUS_MS) break;
  }
  return ms;
}

/**
 * The inputs that took longest, worst first; one that takes more than proportional time stands for all. `most`: the function
 * is never given more characters.
 */
export function slowest(run: Run, inputs: readonly WorstInput[], most = Infinity): readonly Tried[] {
  const at = (input: WorstInput, lengths: readonly number[]): Tried => ({
    input,
    growth: growthOf(
      { run, text: (length) => written(input, length), most },
      lengths.filter((length) => length <= most),
    ),
  });
  const timed: { readonly input: WorstInput; readonly ms: number }[] = [];
  for (const input of inputs) {
    const ms = firstTime(run, input);
    const one = ms > SUSPICIOUS_MS ? at(input, MEASURED) : undefined;
    if (one?.growth.tooMuchAt !== undefined) return [one];
    timed.push({ input, ms });
  }
  timed.sort((one, other) => other.ms - one.ms);
  const worst = timed.slice(0, MOST_LONG).map(({ input }) => at(input, LONG));
  return worst.sort((one, other) => longest(other) - longest(one));
}

const longest = ({ growth }: Tried): number => Math.max(...growth.times.values());

/** True where some text took more than proportional time. */
export const grewTooMuch = (tried: readonly Tried[]): boolean =>
  tried.some(({ growth }) => growth.tooMuchAt !== undefined);

/** One line for the worst text, with its times up to the length that took too much. */
export function describe(tried: readonly Tried[]): string {
  const worst = tried.find(({ growth }) => growth.tooMuchAt !== undefined) ?? tried[0];
  if (!worst) return 'nothing was tried';
  const { before, repeated, after } = worst.input;
  const times = [...worst.growth.times]
    .slice(-3)
    .map(([length, ms]) => `${length / 1_024} Ki: ${ms.toFixed(1)} ms`);
  return `${times.join(', ')} for ${JSON.stringify(before)} + ${JSON.stringify(repeated)}… + ${JSON.stringify(after)}`;
}
