/** `postern audit verify FILE…`: exits with 1 where something is wrong, and names the line. */
import { parseArgs } from 'node:util';
import { verifyFiles } from './verify.ts';
import type { Verdict } from './verify.ts';

const USAGE = 'usage: postern audit verify [--contains HASH] FILE…';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

function argumentsOf(
  args: readonly string[],
): { files: readonly string[]; contains: string | undefined } | undefined {
  try {
    const options = { contains: { type: 'string' } } as const;
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    return positionals.length === 0 ? undefined : { files: positionals, contains: values.contains };
  } catch {
    return undefined;
  }
}

/** What is no mistake, and still worth a word. */
function* remarks({ closed, beginsLater, first, dropped, last }: Verdict): Generator<string> {
  if (beginsLater)
    yield `Lines 1 to ${(first ?? 1) - 1} of the trail are in other files, which were not given.`;
  if (dropped > 0) yield `The gateway says itself that it could not write ${dropped} events.`;
  if (!closed) {
    yield `The trail has no end: the gateway runs, was killed, or everything behind line ${last?.n ?? 0} was cut off.`;
  }
}

/** The exit code: 0 if every line is what was written, 1 if not, 2 for arguments that are none. */
export async function verifyCommand(
  args: readonly string[],
  key: (() => string) | undefined,
): Promise<number> {
  const asked = argumentsOf(args);
  if (!asked) {
    complain(USAGE);
    return 2;
  }
  const { files, contains } = asked;
  let verdict: Verdict;
  try {
    verdict = await verifyFiles(files, { key: key?.(), contains });
  } catch (error) {
    complain(error instanceof Error ? error.message : 'a file cannot be read');
    return 1;
  }
  for (const { file, line, problem } of verdict.findings) complain(`${file}:${line}: ${problem}`);
  if (verdict.findings.length > 0) return 1;
  if (contains !== undefined && !verdict.contains) {
    complain(`No line has the hash ${contains}: lines are missing at the end, or it is another trail.`);
    return 1;
  }
  say(
    `${verdict.lines} lines are as they were written; the last has number ${verdict.last?.n ?? 0} and hash ${verdict.last?.hash ?? ''}`,
  );
  for (const remark of remarks(verdict)) say(remark);
  return 0;
}
