/** `postern audit verify FILE…`: exits with 1 where something is wrong, and names the line. */
import { readFileSync } from 'node:fs';
import { ConfigError } from '../../core/index.ts';
import type { Command, CommandLine, StandaloneCommand } from '../../core/index.ts';
import { trailsOf } from './trails.ts';
import type { Trail } from './trails.ts';
import { NEEDS_KEY, verifyFiles } from './verify.ts';
import type { Verdict } from './verify.ts';
import { nameOf } from './writer.ts';

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
    'All files of a trail belong together, in any order: audit verify audit/*.jsonl. Each instance of a fleet, and each of several workers, has a trail of its own. A trail without a key needs no config.',
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

/** Of one trail: `whose` names its instance and worker. */
function reportTrail(verdict: Verdict, whose: string): void {
  if (verdict.findings.length > 0) return;
  say(
    `${whose}${verdict.lines} lines are as they were written; the last has number ${verdict.last?.n ?? 0} and hash ${verdict.last?.hash ?? ''}`,
  );
  for (const remark of remarks(verdict)) say(whose + remark);
}

/** A trail, and what it was found to be. */
interface Verified {
  readonly trail: Trail;
  readonly verdict: Verdict;
}

function report(all: readonly Verified[], contains: string | undefined): number {
  const found = all.flatMap(({ trail, verdict }) => verdict.findings.map((finding) => ({ trail, finding })));
  for (const { trail, finding } of found) {
    const whose = all.length > 1 ? nameOf(trail) : '';
    complain(`${finding.file}:${finding.line}: ${whose === '' ? '' : `${whose}: `}${finding.problem}`);
  }
  if (found.length === 0 && contains !== undefined && !all.some(({ verdict }) => verdict.contains)) {
    complain(`No line has the hash ${contains}: lines are missing at the end, or it is another trail.`);
    return 1;
  }
  if (found.length > 0 && all.length === 1) return 1;
  for (const { trail, verdict } of all) reportTrail(verdict, prefixOf(trail, all.length > 1));
  for (const remark of remarksOnAll(all)) say(remark);
  return found.length > 0 ? 1 : 0;
}

function prefixOf(trail: Trail, oneOfSeveral: boolean): string {
  const whose = nameOf(trail);
  if (whose !== '') return `${whose.charAt(0).toUpperCase()}${whose.slice(1)}: `;
  return oneOfSeveral ? 'Without workers: ' : '';
}

/** On the trails of several workers and instances together. */
function* remarksOnAll(all: readonly Verified[]): Generator<string> {
  for (const instance of new Set(all.map(({ trail }) => trail.instance))) {
    const own = all.filter(({ trail }) => trail.instance === instance);
    const workers = Math.max(...own.map(({ verdict }) => verdict.workers));
    const given = new Set(own.map(({ trail }) => trail.worker));
    const absent = Array.from({ length: workers }, (_, at) => at + 1).filter((n) => !given.has(n));
    const whose = instance === '' ? 'The gateway' : `The ${nameOf({ instance, worker: 0 })}`;
    if (workers > 1 && absent.length > 0)
      yield `${whose} had ${workers} workers: the trails of ${absent.join(', ')} were not given.`;
  }
  if (all.length < 2) return;
  const wrong = all.filter(({ verdict }) => verdict.findings.length > 0).length;
  const lines = all.reduce((sum, { verdict }) => sum + verdict.lines, 0);
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
  const verified: Verified[] = [];
  try {
    for (const trail of await trailsOf(operands))
      verified.push({ trail, verdict: await verifyFiles(trail.files, { key, contains }) });
  } catch (error) {
    complain(`postern: ${error instanceof Error ? error.message : 'a file cannot be read'}`);
    return 1;
  }
  const exitCode = report(verified, contains);
  const findings = verified.flatMap(({ verdict }) => verdict.findings);
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
