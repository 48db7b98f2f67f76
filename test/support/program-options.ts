/** The options of a program among the tests: `--help` prints its usage, and so does an option that it does not know. */
import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;
type Given<T extends Options> = ReturnType<typeof parseArgs<{ readonly options: T }>>['values'];

/** What was given. Ends the process: with 0 after `--help`, with 2 where it cannot be read. */
export function givenOptions<const T extends Options>(usage: string, options: T): Given<T> {
  if (process.argv.includes('--help')) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exit(2);
  }
}
