/** Reads audit files and says where they are not what was written. */
import { NOTHING_BEFORE, hashOf, unseal } from './chain.ts';
import type { Link, SealedLine } from './chain.ts';
import { linesOf, markOf } from './lines.ts';
import type { Mark } from './lines.ts';
import { nameOf, writerOf } from './writer.ts';

/** A place where the chain does not hold. */
export interface Finding {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly problem: string;
}

/** What files were found to be. */
export interface Verdict {
  readonly findings: readonly Finding[];
  readonly lines: number;
  /** The first line that was given; undefined where there is none. */
  readonly first: number | undefined;
  /** Where the chain ends. */
  readonly last: Link | undefined;
  /** The gateway said goodbye. Without that it runs, was killed, or the end was cut off. */
  readonly closed: boolean;
  /** Lines before the first one are not in the files. */
  readonly beginsLater: boolean;
  /** Events the gateway could not write, as it says itself. */
  readonly dropped: number;
  /** How many workers the gateway had, as it said last; each has a trail of its own. */
  readonly workers: number;
  /** A hash that was looked for is among them. */
  readonly contains: boolean;
}

/** How to look. */
export interface VerifyOptions {
  /** The secret of a chain that has one. Default: it has none. */
  readonly key?: string | undefined;
  /** A hash noted elsewhere: what came before it has to be there. Default: none. */
  readonly contains?: string | undefined;
}

/** The problem of a chain with a key, looked at without one. */
export const NEEDS_KEY = 'the chain has a key, which is needed to verify it';

/** One look at files that follow one another. */
class Look {
  readonly #options: VerifyOptions;
  readonly findings: Finding[] = [];
  /** Of the file that was read last. */
  line = 0;
  lines = 0;
  dropped = 0;
  workers = 1;
  first: number | undefined;
  last: Link | undefined;
  /** Of the last line. */
  writer = '';
  /** What the last line says of its end. */
  end: unknown;
  beginsLater = false;
  contains = false;

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  /** Up to the first line of it that is wrong: what is behind that means nothing. */
  async file(file: string): Promise<void> {
    this.line = 0;
    for await (const { text, whole } of linesOf(file)) {
      this.line += 1;
      const { line } = this;
      const problem = whole
        ? this.#line(text, line === 1)
        : 'the line is incomplete: a crash, or the end is missing';
      if (problem === undefined) continue;
      this.findings.push({ file, line, problem });
      return;
    }
    if (this.line === 0) this.findings.push({ file, line: 1, problem: 'the file is empty' });
  }

  #line(text: string, begins: boolean): string | undefined {
    const sealed = unseal(text);
    if (!sealed) return 'this is not a line of an audit trail, or it was changed';
    const mark = markOf(sealed);
    if (!mark) return 'this is not JSON, or it was changed';
    const problem = this.#place(sealed, mark, begins) ?? this.#hash(sealed, mark);
    if (problem !== undefined) return problem;
    this.lines += 1;
    this.first ??= sealed.n;
    this.last = { n: sealed.n, hash: sealed.hash };
    this.writer = nameOf(writerOf(mark)) || 'no instance and worker';
    this.end = mark.type === 'closed' ? mark.why : undefined;
    if (typeof mark.workers === 'number') this.workers = mark.workers;
    if (mark.type === 'dropped') this.dropped += Number(mark.count);
    this.contains ||= sealed.hash === this.#options.contains;
    return undefined;
  }

  #place({ n }: SealedLine, mark: Mark, begins: boolean): string | undefined {
    if (begins && mark.type !== 'opened') return 'the beginning of the file is missing';
    if (!this.last) {
      if (typeof mark.previous !== 'string') return 'the beginning of the file is missing';
      this.beginsLater = mark.previous !== NOTHING_BEFORE;
      return this.beginsLater === n > 1 ? undefined : 'the beginning of the trail is missing';
    }
    const { n: before, hash } = this.last;
    const writer = nameOf(writerOf(mark)) || 'no instance and worker';
    if (mark.previous === NOTHING_BEFORE && n === 1)
      return `another trail of ${writer} begins here: verify each one apart`;
    // The next start may have another name; it says so first.
    if (writer !== this.writer && mark.type !== 'opened')
      return `this is a line of ${writer} in a trail of ${this.writer}: trails were put together`;
    if (n !== before + 1) {
      return `number ${n} stands behind ${before}: lines are missing, were added, or are in another order`;
    }
    if (mark.type === 'opened' && mark.previous !== hash) return 'it does not follow the line before';
    return this.end !== undefined && mark.type !== 'opened' ? 'something stands behind an end' : undefined;
  }

  #hash({ content, hash }: SealedLine, mark: Mark): string | undefined {
    const before = this.last?.hash ?? String(mark.previous);
    const { key } = this.#options;
    if (hashOf(before, content, key) === hash) return undefined;
    if (this.last) return 'the line, or the one before it, was changed';
    if (mark.keyed === true && key === undefined) return NEEDS_KEY;
    return mark.keyed === true ? 'the line was changed, or the key is another one' : 'the line was changed';
  }
}

/** The number of the first line; unreadable files come last, and say so themselves. */
async function firstNumber(file: string): Promise<number> {
  for await (const { text } of linesOf(file)) return unseal(text)?.n ?? Infinity;
  return Infinity;
}

/**
 * Looks at the files of one trail, whatever order they are named in.
 * @throws Error for a file that cannot be read
 */
export async function verifyFiles(files: readonly string[], options: VerifyOptions = {}): Promise<Verdict> {
  const numbered = await Promise.all(files.map(async (file) => ({ file, n: await firstNumber(file) })));
  const look = new Look(options);
  let newest = { file: '', line: 0 };
  for (const { file } of numbered.toSorted((one, other) => (one.n < other.n ? -1 : 1))) {
    await look.file(file);
    if (look.findings.length > 0) break;
    newest = { file, line: look.line };
  }
  const { findings } = look;
  if (findings.length === 0 && look.end === 'rotation') {
    findings.push({ ...newest, problem: 'the file that follows this one is missing' });
  }
  const { lines, first, last, dropped, workers, contains, beginsLater, end } = look;
  return { findings, lines, first, last, dropped, workers, contains, beginsLater, closed: end !== undefined };
}
