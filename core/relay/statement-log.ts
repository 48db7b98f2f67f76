/** Reports each statement once to `on.statement` observers, when its last answer has passed. */
import type { Events } from '../events.ts';
import type { GatewayError } from '../errors.ts';
import { errorFields, readCommandComplete } from '../wire/backend.ts';
import { Backend } from '../wire/frames.ts';
import type { Note } from './entries.ts';

/** A finished statement; the connection adds its session. */
export type StatementEnd = Omit<Events['statement'], 'session'>;

/** The facts of a statement when it is sent. */
export interface StatementBegin {
  readonly id: number;
  readonly kind: StatementEnd['kind'];
  readonly sql: string;
  readonly function?: number | undefined;
  /** `sql` is the beginning of a longer text. */
  readonly truncated: boolean;
  readonly bytesIn: number;
}

/** Longest text that is reported, in UTF-16 code units. */
const LONGEST_TEXT = 65_536;
/** Most tags that are reported: a Query of megabytes has millions of statements in it. */
const MOST_TAGS = 1_000;

class Running {
  /** A successful Parse, Bind or Sync is not reported. */
  readonly silent: boolean;
  readonly #begin: StatementBegin;
  readonly #wall = Date.now();
  readonly #since = performance.now();
  readonly #tags: string[] = [];
  #rows = 0;
  /** DataRows since the last CommandComplete: a portal may be suspended, a statement may fail after some. */
  #rowsSeen = 0;
  #bytesIn: number;
  #bytesOut = 0;
  sqlstate: string | undefined;
  error: GatewayError | undefined;

  constructor(begin: StatementBegin) {
    this.#begin = begin;
    this.silent = begin.kind === 'parse' || begin.kind === 'bind' || begin.kind === 'sync';
    this.#bytesIn = begin.bytesIn;
  }

  get kind(): StatementBegin['kind'] {
    return this.#begin.kind;
  }

  received(bytes: number): void {
    this.#bytesIn += bytes;
  }

  answered(type: number, bytes: number, body: Buffer | undefined): void {
    this.#bytesOut += bytes;
    if (type === Backend.dataRow) this.#rowsSeen += 1;
    if (!body) return;
    if (type === Backend.errorResponse) this.sqlstate ??= errorFields(body).code;
    if (type === Backend.commandComplete) this.#completed(readCommandComplete(body));
  }

  end(): StatementEnd {
    const { id, kind, sql, truncated, function: oid } = this.#begin;
    return {
      id,
      kind,
      ...(oid === undefined ? {} : { function: oid }),
      sql: sql.slice(0, LONGEST_TEXT),
      truncated: truncated || sql.length > LONGEST_TEXT,
      tags: this.#tags,
      rows: this.#rows + this.#rowsSeen,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      startedAt: this.#wall,
      durationMs: performance.now() - this.#since,
      ...(this.sqlstate === undefined ? {} : { sqlstate: this.sqlstate }),
      ...(this.error === undefined ? {} : { error: this.error }),
    };
  }

  /** `INSERT 0 5`, `COPY 5`: the last number counts rows that were not seen (manual, 55.7 CommandComplete). */
  #completed(tag: string): void {
    if (this.#tags.length < MOST_TAGS) this.#tags.push(tag);
    this.#rows += this.#rowsSeen > 0 ? this.#rowsSeen : Number(/ (\d+)$/.exec(tag)?.[1] ?? 0);
    this.#rowsSeen = 0;
  }
}

/** One per session, only where a plugin observes statements. */
export class StatementLog {
  readonly #tell: (ended: StatementEnd) => void;
  readonly #running = new Set<Running>();

  constructor(tell: (ended: StatementEnd) => void) {
    this.#tell = tell;
  }

  /** The note for a statement that was sent; `error` if it was refused and another message sent in its place. */
  follow(
    begin: StatementBegin,
    error?: GatewayError,
  ): Required<Pick<Note, 'closed' | 'dropped' | 'lost' | 'answered' | 'received'>> {
    const running = new Running(begin);
    running.error = error;
    this.#running.add(running);
    const end = (told: boolean): void => {
      if (!this.#running.delete(running) || !told) return;
      if (running.error) running.sqlstate = running.error.sqlstate;
      this.#tell(running.end());
    };
    return {
      answered: (type, bytes, body) => {
        running.answered(type, bytes, body);
      },
      received: (bytes) => {
        running.received(bytes);
      },
      closed: () => {
        end(!running.silent || running.error !== undefined || running.sqlstate !== undefined);
      },
      // Dropped without an error of its own: it stood behind one and never ran.
      dropped: () => {
        end(running.sqlstate !== undefined || running.error !== undefined);
      },
      // Rather report one too many than none that ran: transaction_resolution_unknown (manual, Appendix A).
      lost: () => {
        running.sqlstate ??= '08007';
        end(!running.silent);
      },
    };
  }

  /** The connection is closed: whether unfinished statements took effect is not known (08006, manual Appendix A). */
  abandon(): void {
    let told = false;
    for (const running of this.#running) {
      if (running.error) running.sqlstate = running.error.sqlstate;
      // A Sync alone: what was executed in front of it may not be committed, and was told to be well.
      const silent = running.silent && (running.kind !== 'sync' || told);
      if (silent && running.sqlstate === undefined) continue;
      told = true;
      running.sqlstate ??= '08006';
      this.#tell(running.end());
    }
    this.#running.clear();
  }
}
