/** The kinds of values a config is made of, each with the sentence for what does not fit. */
import { z } from 'zod';
import type { Secret } from '../contract/database.ts';
import type { Duration } from '../contract/durations.ts';
import { milliseconds } from '../contract/durations.ts';
import type { ConfigError } from '../contract/errors.ts';
import { parseNetwork } from '../options/networks.ts';
import { didYouMean } from './nearest-name.ts';
import { alternatives, expected, unknownKey } from './sentences.ts';

/** The longest timer of Node: 2^31 - 1 milliseconds, a little under 25 days. */
const LONGEST_TIMER_MS = 2_147_483_647;

/** A value on which `wrong` has nothing to say. */
export const value = <T>(wrong: (input: unknown) => string | undefined): z.ZodType<T> =>
  z.custom<T>((input) => wrong(input) === undefined, { error: ({ input }) => wrong(input) ?? '' });

/** A schema chosen by looking at the input, so that a mistake is told for the form that was meant. */
export const choose = <T>(pick: (input: unknown) => z.ZodType<T>): z.ZodType<T> =>
  z.unknown().transform((input, context) => {
    const result = pick(input).safeParse(input);
    if (result.success) return result.data;
    for (const issue of result.error.issues) context.issues.push({ ...issue, input } as z.core.$ZodRawIssue);
    return z.NEVER;
  });

type Shape<T> = { readonly [K in keyof T]-?: z.ZodType<T[K] | undefined> };

/** An object without unknown keys. */
export function object<T extends object>(shape: Shape<T>): z.ZodType<T> {
  const known = Object.keys(shape);
  const strict = z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue['keys'].map((key) => unknownKey(key, known)).join('\n')
        : expected('an object', issue.input),
  });
  // An option that is undefined counts as absent, as in `tls: production ? { … } : undefined`.
  return strict.transform(
    (options) => Object.fromEntries(Object.entries(options).filter(([, is]) => is !== undefined)) as T,
  );
}

/** An object with any keys; `hidden` keeps a wrong value out of the sentence. */
export const record = <T>(of: z.ZodType<T>, hidden = false): z.ZodType<Record<string, T>> =>
  z.record(z.string(), of, { error: ({ input }) => expected('an object', input, hidden) });

/** Text that is not empty; `what` says which, for instance `a host name`. */
export const text = (what: string): z.ZodType<string> =>
  value((input) => (typeof input === 'string' && input !== '' ? undefined : expected(what, input)));

/** A boolean. */
export const flag: z.ZodType<boolean> = value((input) =>
  typeof input === 'boolean' ? undefined : expected('true or false', input),
);

/** A whole number, both ends included. */
export const whole = (least: number, most: number): z.ZodType<number> =>
  value((input) => {
    if (Number.isInteger(input) && Number(input) >= least && Number(input) <= most) return undefined;
    const hint =
      typeof input === 'string' && /^\d+$/.test(input) ? '; text becomes a number by Number(…)' : '';
    return `${expected(`a whole number from ${least} to ${most}`, input)}${hint}`;
  });

const MOST_PERMISSIONS = 0o777;
/** Permissions of a socket for one class of users: none, to read, to connect. */
const FIT = [0, 4, 6, 7];

/** Whether the owner may connect and nobody else may do more: a decimal number that was meant as an octal one mostly says something else. */
function fitsSocket(mode: number): boolean {
  const [owner, group, others] = [mode >> 6, (mode >> 3) & 7, mode & 7];
  const narrows = (group & ~owner) === 0 && (others & ~group) === 0;
  return owner >= 6 && narrows && [group, others].every((one) => FIT.includes(one));
}

/** Permissions of a socket. Text is refused as well: `'0777'` would be 777 for Number and 511 for chmod. */
export const permissions: z.ZodType<number> = value((input) => {
  if (!Number.isInteger(input) || Number(input) < 0 || Number(input) > MOST_PERMISSIONS)
    return `${expected(`a whole number from 0 to ${MOST_PERMISSIONS}`, input)}; write an octal number such as 0o777`;
  const mode = Number(input);
  if (fitsSocket(mode)) return undefined;
  return `${mode} is 0o${mode.toString(8)}, which are no permissions of a socket: write an octal number such as 0o660`;
});

/** One of some words. */
export const oneOf = <const T extends string>(known: readonly T[]): z.ZodType<T> =>
  value((input) => {
    if ((known as readonly unknown[]).includes(input)) return undefined;
    return `${expected(alternatives(known), input)}${typeof input === 'string' ? didYouMean(input, known) : ''}`;
  });

/** A duration such as `10s`, as text, of at least so many milliseconds and at most what a timer can wait. */
export const duration = (leastMs: number): z.ZodType<Duration> =>
  value((input) => {
    if (typeof input !== 'string') return expected(`a duration with its unit such as '10s'`, input);
    try {
      const ms = milliseconds(input);
      return ms >= leastMs && ms <= LONGEST_TIMER_MS
        ? undefined
        : `expected a duration from ${leastMs} ms to 24 days, got '${input}'`;
    } catch (error) {
      return (error as ConfigError).message;
    }
  });

/** A network in CIDR notation, or one address. */
export const network: z.ZodType<string> = value((input) => {
  if (typeof input !== 'string') return expected("a network such as '10.0.0.0/8'", input);
  try {
    parseNetwork(input);
    return undefined;
  } catch (error) {
    return (error as ConfigError).message;
  }
});

/** A function, unchecked otherwise. */
export const func = <T>(): z.ZodType<T> =>
  value((input) => (typeof input === 'function' ? undefined : expected('a function', input, true)));

/** A secret: text or what gives it. Never shown. */
export const secret: z.ZodType<Secret> = value((input) =>
  typeof input === 'string' || typeof input === 'function'
    ? undefined
    : expected('text or a function', input, true),
);
