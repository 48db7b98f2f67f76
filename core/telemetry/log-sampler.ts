/** Bounds what others can make the log say: the first lines of a kind are written, the rest of a time span is counted. */

/** What the lines of one kind have come to. */
interface Kind {
  readonly level: string;
  readonly line: string;
  written: number;
  suppressed: number;
}

/** Says how many lines of a kind were left out. */
export type TellSuppressed = (kind: Pick<Kind, 'level' | 'line' | 'suppressed'>) => void;

/** Lines of a kind that are written whole in each time span. */
const WHOLE = 100;
/** The time span, in milliseconds. */
export const SPAN_MS = 10_000;
/** Kinds that are told apart; a plugin may make up its texts from what a client says. The others are one kind together. */
const MOST_KINDS = 100;

/** One per log. A time span begins with the first line behind the one before. */
export class LogSampler {
  readonly #tell: TellSuppressed;
  readonly #kinds = new Map<string, Kind>();
  #since = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: TellSuppressed) {
    this.#tell = tell;
  }

  /** Whether this line is written; otherwise it is counted, and told when the time span is over. */
  passes(level: string, line: string): boolean {
    if (performance.now() - this.#since >= SPAN_MS) {
      this.flush();
      this.#since = performance.now();
    }
    const kind = this.#kindOf(level, line);
    kind.written += 1;
    if (kind.written <= WHOLE) return true;
    kind.suppressed += 1;
    const left = Math.max(0, this.#since + SPAN_MS - performance.now());
    this.#timer ??= setTimeout(() => this.flush(), left).unref();
    return false;
  }

  /** Tells what was left out so far, and begins anew. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#since = -Infinity;
    const kinds = [...this.#kinds.values()];
    this.#kinds.clear();
    for (const kind of kinds) if (kind.suppressed > 0) this.#tell(kind);
  }

  #kindOf(level: string, line: string): Kind {
    const key = `${level} ${line}`;
    const known = this.#kinds.get(key);
    if (known) return known;
    if (this.#kinds.size >= MOST_KINDS && line !== '') return this.#kindOf(level, '');
    const kind = { level, line, written: 0, suppressed: 0 };
    this.#kinds.set(key, kind);
    return kind;
  }
}
