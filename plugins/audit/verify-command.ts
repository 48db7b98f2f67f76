/** `postern audit verify FILE…`: exits with 1 where something is wrong, and names the line. */
import { readFileSync } from 'node:fs';
import { ConfigError } from '../../core/index.ts';
import type { Command, CommandLine, StandaloneCommand } from '../../core/index.ts';
import { NEEDS_KEY, trailsOf, verifyFiles } from './verify.ts';
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
    'All files of a trail belong together, in any order: audit verify audit/*.jsonl. Each of several workers has a trail of its own. A trail without a key needs no config.',
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

/** Of one trail: `whose` names its worker, where there are several. */
function reportTrail(verdict: Verdict, whose: string): void {
  if (verdict.findings.length > 0) return;
  say(
    `${whose}${verdict.lines} lines are as they were written; the last has number ${verdict.last?.n ?? 0} and hash ${verdict.last?.hash ?? ''}`,
  );
  for (const remark of remarks(verdict)) say(whose + remark);
}

function report(verdicts: ReadonlyMap<number, Verdict>, contains: string | undefined): number {
  const all = [...verdicts.values()];
  const findings = all.flatMap((verdict) => verdict.findings);
  for (const { file, line, problem } of findings) complain(`${file}:${line}: ${problem}`);
  if (findings.length === 0 && contains !== undefined && !all.some((verdict) => verdict.contains)) {
    complain(`No line has the hash ${contains}: lines are missing at the end, or it is another trail.`);
    return 1;
  }
  if (findings.length > 0 && verdicts.size === 1) return 1;
  for (const [worker, verdict] of verdicts)
    reportTrail(verdict, worker > 0 ? `Worker ${worker}: ` : verdicts.size > 1 ? 'Without workers: ' : '');
  for (const remark of remarksOnAll(verdicts)) say(remark);
  return findings.length > 0 ? 1 : 0;
}

/** On the trails of several workers together. */
function* remarksOnAll(verdicts: ReadonlyMap<number, Verdict>): Generator<string> {
  const all = [...verdicts.values()];
  const workers = Math.max(...all.map((verdict) => verdict.workers));
  const absent = Array.from({ length: workers }, (_, at) => at + 1).filter((n) => !verdicts.has(n));
  if (workers > 1 && absent.length > 0)
    yield `The gateway had ${workers} workers: the trails of ${absent.join(', ')} were not given.`;
  if (all.length < 2) return;
  const wrong = all.filter((verdict) => verdict.findings.length > 0).length;
  const lines = all.reduce((sum, verdict) => sum + verdict.lines, 0);
  yield wrong > 0
    ? `${wrong} of ${all.length} trails are not as they were written.`
    : `Together: ${lines} lines in ${all.length} trails are as they were written.`;
}

/** @param keyless why there is no key. Default: the chain needs none */
async function verify(
  { options, operands }: CommandLine,
  key: string | undefined,
  keyless?: string,
): Promise<number> {
  const [contains] = options['contains'] ?? [];
  const verdicts = new Map<number, Verdict>();
  try {
    for (const [worker, files] of await trailsOf(operands))
      verdicts.set(worker, await verifyFiles(files, { key, contains }));
  } catch (error) {
    complain(`postern: ${error instanceof Error ? error.message : 'a file cannot be read'}`);
    return 1;
  }
  const exitCode = report(verdicts, contains);
  const findings = [...verdicts.values()].flatMap((verdict) => verdict.findings);
  if (keyless !== undefined && findings.some(({ problem }) => problem === NEEDS_KEY))
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
