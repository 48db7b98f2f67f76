/** Reports each statement once to `on.statement` observers, when its last answer has passed. */
import type { Events } from '../../contract/events.ts';
import type { GatewayError } from '../../contract/errors.ts';
import type { Statement } from '../../contract/statement.ts';
import { errorFields } from '../../wire/backend.ts';
import { Backend } from '../../wire/frames.ts';
import { readTag } from '../command-tags.ts';
import type { RequestObserver } from '../requests/request-queue.ts';

/**
 * A finished statement; the connection adds its session and its server. Statements without an error share one object, which is
 * filled again.
 */
export type StatementEnd = Omit<Events['statement'], 'session'>;

/** The SQL of a statement, as far as the gateway has it. */
export interface Text {
  readonly sql: string;
  /** It is the beginning of a longer one. */
  readonly cut: boolean;
}

/** The facts of a statement when it is sent. */
export interface StatementBegin {
  /** Its id and kind, its text if it has one, its function if it is a call of one. */
  readonly statement: Statement;
  /** The text is the beginning of a longer one. */
  readonly truncated: boolean;
  /** For a message about a name: read when it is answered. Default: the text of the statement. */
  readonly text?: Text | undefined;
  readonly bytesIn: number;
  /** The change that the message has made, should the server discard it. Default: it has changed nothing. */
  readonly change?: Change | undefined;
  /** The gateway's refusal, if one was sent in its place. */
  readonly error?: GatewayError | undefined;
}

/** A change that a message has made before it was answered, as an observer of its request: it is confirmed, or undone. */
export type Change = Required<Pick<RequestObserver, 'closed' | 'dropped'>>;

/** Longest text that is reported, in UTF-16 code units. */
const LONGEST_TEXT = 65_536;
/** Most tags that are reported: a Query of megabytes has millions of statements in it. */
const MOST_TAGS = 1_000;

type Kind = StatementEnd['kind'];

/** A successful Parse, Bind or Sync is not reported. */
const isSilent = (kind: Kind): boolean => kind === 'parse' || kind === 'bind' || kind === 'sync';

const NO_TAGS: readonly string[] = [];

/** When a statement was sent. */
interface Time {
  /** Unix time in milliseconds. */
  readonly at: number;
  /** The same of the clock that never goes back. */
  readonly since: number;
}

const now = (): Time => ({ at: Date.now(), since: performance.now() });

/** The observer of a statement: one small object, and no function of its own. */
class RunningStatement implements RequestObserver {
  readonly log: StatementObserver;
  readonly id: number;
  readonly kind: Kind;
  readonly text: Text;
  readonly time: Time;
  /** Of a call of a function: its object id. */
  function: number | undefined = undefined;
  change: Change | undefined = undefined;
  refusal: GatewayError | undefined = undefined;
  /** For a Sync: the last Execute in front of it. */
  executed: RunningStatement | undefined = undefined;
  tags: readonly string[] = NO_TAGS;
  rows = 0;
  /** DataRows since the last CommandComplete: a portal may be suspended, a statement may fail after some. */
  rowsSeen = 0;
  bytesIn: number;
  bytesOut = 0;
  sqlstate: string | undefined = undefined;
  /** Its neighbours among those that run. */
  before: RunningStatement | undefined = undefined;
  next: RunningStatement | undefined = undefined;
  isRunning = true;
  /** The server has discarded it, or refused it. */
  isDropped = false;

  constructor(log: StatementObserver, kind: Kind, id: number, text: Text, bytesIn: number, time: Time) {
    this.log = log;
    this.id = id;
    this.kind = kind;
    this.text = text;
    this.bytesIn = bytesIn;
    this.time = time;
  }

  received(bytes: number): void {
    this.bytesIn += bytes;
  }

  answered(type: number, bytes: number, body: Buffer | undefined): void {
    this.bytesOut += bytes;
    if (type === Backend.dataRow) this.rowsSeen += 1;
    else if (type === Backend.commandComplete && body) this.#completed(body);
    else if (type === Backend.errorResponse && body) this.sqlstate ??= errorFields(body).code;
  }

  closed(): void {
    this.change?.closed();
    if (this.executed) this.log.synced(this.executed);
    this.log.over(this, !isSilent(this.kind) || this.#failed());
  }

  /** Dropped without an error of its own: it stood behind one and never ran. */
  dropped(): void {
    this.isDropped = true;
    this.change?.dropped();
    this.log.over(this, this.#failed());
  }

  /** Rather report one too many than none that ran: transaction_resolution_unknown (manual, Appendix A). */
  lost(): void {
    this.change?.dropped();
    this.sqlstate ??= '08007';
    this.log.over(this, !isSilent(this.kind));
  }

  #failed(): boolean {
    return this.sqlstate !== undefined || this.refusal !== undefined;
  }

  /** The tag's own number counts rows that were not seen. */
  #completed(body: Buffer): void {
    const tag = readTag(body);
    const { text } = tag;
    if (this.tags === NO_TAGS) this.tags = tag.alone;
    else if (this.tags.length === 1) this.tags = [...this.tags, text];
    else if (this.tags.length < MOST_TAGS) (this.tags as string[]).push(text);
    this.rows += this.rowsSeen > 0 ? this.rowsSeen : tag.rows;
    this.rowsSeen = 0;
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A new record: the members that not every statement has come last. */
function endOf(running: RunningStatement): Mutable<StatementEnd> {
  const { id, kind, text, tags, rows, rowsSeen, bytesIn, bytesOut, time } = running;
  const { sql, cut } = text;
  return {
    id,
    kind,
    sql: sql.slice(0, LONGEST_TEXT),
    truncated: cut || sql.length > LONGEST_TEXT,
    tags,
    rows: rows + rowsSeen,
    bytesIn,
    bytesOut,
    startedAt: time.at,
    durationMs: performance.now() - time.since,
  };
}

/** The same in an existing record. */
function fill(record: Mutable<StatementEnd>, running: RunningStatement): void {
  const { sql, cut } = running.text;
  record.id = running.id;
  record.kind = running.kind;
  record.sql = sql.length > LONGEST_TEXT ? sql.slice(0, LONGEST_TEXT) : sql;
  record.truncated = cut || sql.length > LONGEST_TEXT;
  record.tags = running.tags;
  record.rows = running.rows + running.rowsSeen;
  record.bytesIn = running.bytesIn;
  record.bytesOut = running.bytesOut;
  record.startedAt = running.time.at;
  record.durationMs = performance.now() - running.time.since;
}

/** One per session, only where a plugin observes statements. */
export class StatementObserver {
  readonly #tell: (ended: StatementEnd) => void;
  /** The statements that run, in the order in which they were sent. */
  #first: RunningStatement | undefined;
  #last: RunningStatement | undefined;
  /** The last Execute since the last Sync that was answered: inside of a COPY a Sync is nothing. */
  #executed: RunningStatement | undefined;
  /** The record of a statement without an error. */
  #record: Mutable<StatementEnd> | undefined;
  /** When the chunk came that is read: its messages are sent at once. */
  #chunkTime: Time | undefined;

  constructor(tell: (ended: StatementEnd) => void) {
    this.#tell = tell;
  }

  /** The observer that follows a statement which was sent, or refused. */
  follow({ statement, truncated, text, bytesIn, change, error }: StatementBegin): RequestObserver {
    const { id, kind } = statement;
    const sql = 'sql' in statement ? statement.sql : '';
    const running = new RunningStatement(this, kind, id, text ?? { sql, cut: truncated }, bytesIn, now());
    running.change = change;
    running.refusal = error;
    if (statement.kind === 'function-call') running.function = statement.function;
    this.#add(running);
    if (kind === 'execute' && !error) this.#executed = running;
    return running;
  }

  /** The same for a Parse, Bind or Execute of the chunk that is read, which is sent in any case. */
  followInChunk(
    kind: 'parse' | 'bind' | 'execute',
    id: number,
    text: Text,
    bytesIn: number,
    change?: Change,
  ): RequestObserver {
    const running = new RunningStatement(this, kind, id, text, bytesIn, (this.#chunkTime ??= now()));
    running.change = change;
    this.#add(running);
    if (kind === 'execute') this.#executed = running;
    return running;
  }

  /**
   * The same for a Sync: it commits the statements in front of it, and that may fail (a deferred constraint, a
   * serialization failure). Undefined where there are none.
   */
  followSync(bytesIn: number): RequestObserver | undefined {
    const executed = this.#executed;
    if (!executed) return undefined;
    const { id, text } = executed;
    const at = (this.#chunkTime ??= now());
    const running = new RunningStatement(this, 'sync', id, text, bytesIn, at);
    running.executed = executed;
    this.#add(running);
    return running;
  }

  /** The chunk has been read. */
  chunkRead(): void {
    this.#chunkTime = undefined;
  }

  /** For the observers: a Sync behind this Execute was answered. */
  synced(executed: RunningStatement): void {
    if (this.#executed === executed) this.#executed = undefined;
  }

  /** For the observers: it has got its last answer. */
  over(running: RunningStatement, told: boolean): void {
    if (this.#remove(running) && told) this.#end(running);
  }

  /** The connection is closed: whether unfinished statements took effect is not known (08006, manual Appendix A). */
  abandon(): void {
    let told = false;
    for (let running = this.#first; running; running = this.#first) {
      this.#remove(running);
      // A Sync alone: the statements in front of it may not be committed, although they were reported without an error; behind an error none was.
      const commits = running.kind === 'sync' && !told && running.executed?.isDropped !== true;
      const silent = isSilent(running.kind) && !commits;
      if (silent && running.sqlstate === undefined && !running.refusal) continue;
      told = true;
      running.sqlstate ??= '08006';
      this.#end(running);
    }
  }

  #add(running: RunningStatement): void {
    running.before = this.#last;
    if (this.#last) this.#last.next = running;
    else this.#first = running;
    this.#last = running;
  }

  /** False where it has been removed before. */
  #remove(running: RunningStatement): boolean {
    if (!running.isRunning) return false;
    const { before, next } = running;
    if (before) before.next = next;
    else this.#first = next;
    if (next) next.before = before;
    else this.#last = before;
    running.before = running.next = undefined;
    running.isRunning = false;
    return true;
  }

  #end(running: RunningStatement): void {
    const { refusal, function: oid } = running;
    const sqlstate = refusal?.sqlstate ?? running.sqlstate;
    if (sqlstate === undefined && oid === undefined) {
      if (this.#record) fill(this.#record, running);
      else this.#record = endOf(running);
      this.#tell(this.#record);
      return;
    }
    // These are rare, and may be new objects each time.
    const more = { ...(sqlstate !== undefined && { sqlstate }), ...(refusal && { error: refusal }) };
    this.#tell({ ...endOf(running), ...(oid !== undefined && { function: oid }), ...more });
  }
}
