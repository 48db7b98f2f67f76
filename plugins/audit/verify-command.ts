/** `postern audit verify FILE…`: exits with 1 where something is wrong, and names the line. */
import { readFileSync } from 'node:fs';
import { ConfigError } from '../../core/index.ts';
import type { Command, CommandLine, StandaloneCommand } from '../../core/index.ts';
import { NEEDS_KEY, verifyFiles } from './verify.ts';
import type { Verdict } from './verify.ts';

const OUTLINE = {
  summary: 'says whether audit files are as the gateway wrote them, or where not',
  options: {
    'key-file': {
      value: 'FILE',
      help: 'has the key of the trail in it. Default: the key in the config, or none',
    },
    contains: { value: 'HASH', help: 'a hash that was noted: the trail has to have it' },
  },
  operands: ['FILE…'],
  notes:
    'All files of a trail belong together, in any order: audit verify audit/*.jsonl. A trail without a key needs no config.',
} as const;

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

/** What is no mistake, and still worth a word. */
function* remarks({ closed, beginsLater, first, dropped, last }: Verdict): Generator<string> {
  if (beginsLater)
    yield `Lines 1 to ${(first ?? 1) - 1} of the trail are in other files, which were not given.`;
  if (dropped > 0) yield `The gateway says itself that it could not write ${dropped} events.`;
  if (!closed) {
    yield `The trail has no end: the gateway runs, was killed, or everything behind line ${last?.n ?? 0} was cut off.`;
  }
}

function report(verdict: Verdict, contains: string | undefined): number {
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

/** @param keyless why there is no key. Default: the chain needs none */
async function verify(
  { options, operands }: CommandLine,
  key: string | undefined,
  keyless?: string,
): Promise<number> {
  const [contains] = options['contains'] ?? [];
  let verdict: Verdict;
  try {
    verdict = await verifyFiles(operands, { key, contains });
  } catch (error) {
    complain(`postern: ${error instanceof Error ? error.message : 'a file cannot be read'}`);
    return 1;
  }
  const exitCode = report(verdict, contains);
  if (keyless !== undefined && verdict.findings.some(({ problem }) => problem === NEEDS_KEY))
    complain(`postern: give it by --key-file, or by a config: ${keyless}`);
  return exitCode;
}

/** As `file()` in a config reads it. @throws ConfigError */
function keyIn(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(`--key-file ${path} cannot be read: ${code ?? 'no reason'}`);
  }
}

/** The command of a config whose plugin has this key. */
export function verifyCommand(key: (() => string) | undefined): Command {
  return {
    ...OUTLINE,
    run(line) {
      const [path] = line.options['key-file'] ?? [];
      return verify(line, path === undefined ? key?.() : keyIn(path));
    },
  };
}

/** The command without a config: one that is named has to be good, one that is found need not be. */
export const standaloneVerifyCommand: StandaloneCommand = {
  ...OUTLINE,
  options: {
    config: {
      value: 'FILE',
      help: 'the config with the key. Default: gateway.config.ts in the current folder',
    },
    ...OUTLINE.options,
  },
  async run(line, configured) {
    const [path] = line.options['key-file'] ?? [];
    if (path !== undefined) return verify(line, keyIn(path));
    let own: Command;
    try {
      own = await configured();
    } catch (error) {
      if (!(error instanceof ConfigError) || line.options['config']) throw error;
      return verify(line, undefined, error.message);
    }
    return own.run(line);
  },
};
