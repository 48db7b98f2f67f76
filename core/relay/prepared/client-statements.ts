/** A client's prepared statements by its own names, the unnamed one included. */
import { GatewayError } from '../../contract/errors.ts';
import { Backend } from '../../wire/frames.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import type { OutstandingRequests } from '../requests/outstanding-requests.ts';
import type { Description } from './description.ts';
import type { Effects, PreparedStatement } from './prepared-statement.ts';

/** One change, as an observer of its request. */
export type Change = Required<Pick<RequestObserver, 'closed' | 'dropped'>>;

/** The number of unconfirmed changes of one name, and the batch that made the newest. */
interface Pending {
  count: number;
  batch: number;
}

/** Unconfirmed changes by a name that the owner chooses. */
export class PendingChanges {
  readonly #outstanding: OutstandingRequests;
  /** Made for the first change: most sessions prepare nothing. */
  #byName: Map<string, Pending> | undefined;

  constructor(outstanding: OutstandingRequests) {
    this.#outstanding = outstanding;
  }

  /** Every change is confirmed or undone. */
  get none(): boolean {
    return this.#byName === undefined || this.#byName.size === 0;
  }

  /** True while an error in an earlier batch may still undo the newest change of the name. */
  has(name: string): boolean {
    return (this.#byName?.get(name)?.batch ?? Infinity) < this.#outstanding.batch.syncs;
  }

  /** A change is made; {@link end} must be called when it is confirmed or undone. */
  begin(name: string): Pending {
    const byName = (this.#byName ??= new Map());
    let pending = byName.get(name);
    if (!pending) byName.set(name, (pending = { count: 0, batch: 0 }));
    pending.count += 1;
    pending.batch = this.#outstanding.batch.syncs;
    return pending;
  }

  /** A change of the name is confirmed or undone. */
  end(name: string, pending: Pending): void {
    pending.count -= 1;
    if (pending.count === 0) this.#byName?.delete(name);
  }

  /** A change is made; `dropped` undoes it. */
  add(name: string, closed: () => void, dropped: () => void): Change {
    const pending = this.begin(name);
    const settle = (then: () => void) => (): void => {
      this.end(name, pending);
      then();
    };
    return { closed: settle(closed), dropped: settle(dropped) };
  }
}

/** Most names at once, and bytes of all their texts: the gateway's memory is shared by all sessions. */
const MOST_NAMES = 10_000;
const MOST_BYTES = 33_554_432;

/** Shared by the sessions that have prepared nothing: never written to. */
const NONE = new Map<string, PreparedStatement>();

/** A name, and the statement that it stands for. */
interface Found {
  readonly name: string;
  readonly statement: PreparedStatement;
}

/** Compares without making another text. */
function isText(text: string, data: Buffer, from: number, to: number): boolean {
  if (text.length !== to - from) return false;
  for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) !== data[from + i]) return false;
  return true;
}

/**
 * The prepared statements of one session by the client's names, within bounds. One per session. Names are bytes, each as
 * the character with its number.
 */
export class ClientStatements {
  #byName = NONE;
  #bytes = 0;
  /** Only while the name stands for it. */
  #last: Found | undefined;

  get(name: string): PreparedStatement | undefined {
    return this.#byName.get(name);
  }
  /** The statement whose name is in `data` from `from` to `to`; mostly that of the last time. */
  find(data: Buffer, from: number, to: number): Found | undefined {
    const last = this.#last;
    if (last && isText(last.name, data, from, to)) return last;
    const name = data.toString('latin1', from, to);
    const statement = this.#byName.get(name);
    this.#last = statement && { name, statement };
    return this.#last;
  }
  has(name: string): boolean {
    return this.#byName.has(name);
  }
  get none(): boolean {
    return this.#byName.size === 0;
  }

  /** Takes a name that is free. @throws GatewayError `program_limit_exceeded` */
  add(name: string, statement: PreparedStatement): void {
    if (this.#byName.size >= MOST_NAMES || this.#bytes + statement.body.length > MOST_BYTES) {
      throw new GatewayError('program_limit_exceeded', 'too many prepared statements in one session', {
        hint: `A session may have ${MOST_NAMES}, with ${MOST_BYTES} bytes of text in all.`,
      });
    }
    this.restore(name, statement);
  }

  /** Restores a removed name, unless it has another statement by now. */
  restore(name: string, statement: PreparedStatement): void {
    if (this.#byName.has(name)) return;
    if (this.#byName === NONE) this.#byName = new Map();
    this.#byName.set(name, statement);
    this.#bytes += statement.body.length;
  }

  /** Frees a name; with `only` not if it stands for another statement by now. */
  remove(name: string, only?: PreparedStatement): void {
    const statement = this.#byName.get(name);
    if (!statement || (only && statement !== only)) return;
    this.#byName.delete(name);
    this.#last = undefined;
    this.#bytes -= statement.body.length;
  }

  clear(): void {
    this.#byName = NONE;
    this.#last = undefined;
    this.#bytes = 0;
  }
}

/** A Parse of it. */
export interface UnnamedParse extends Effects {
  /** The whole message; undefined if it was too long to be stored: the connection stays with the session then. */
  readonly frame: Buffer | undefined;
  /** Its text does nothing to the session that it would not do again by itself: the same bytes need not be read again. */
  readonly plain: boolean;
  /** The description that the client has received; undefined if it has not asked. */
  description?: Description | undefined;
}

/** The name by which its changes are unconfirmed. */
const UNNAMED = '';

/** The unnamed statement after a message, which has it as its observer; the one before is restored if the server discards the message. */
class Version implements RequestObserver {
  /** Undefined if there is no unnamed statement. */
  parse: UnnamedParse | undefined;
  /** The turn in which it was prepared last. */
  preparedAt: number | undefined;
  before: Version | undefined;
  discarded = false;
  readonly #changes: PendingChanges;
  readonly #pending: Pending | undefined;
  #refused = false;

  constructor(changes: PendingChanges, parse?: UnnamedParse, preparedAt?: number, before?: Version) {
    this.parse = parse;
    this.preparedAt = preparedAt;
    this.before = before;
    this.#changes = changes;
    this.#pending = before && changes.begin(UNNAMED);
  }

  answered(type: number): void {
    if (type === Backend.errorResponse) this.#refused = this.parse !== undefined;
  }

  closed(): void {
    this.#settled();
    this.before = undefined;
  }

  dropped(): void {
    this.#settled();
    if (this.#refused) this.parse = this.before = undefined;
    else this.discarded = true;
  }

  #settled(): void {
    if (this.#pending) this.#changes.end(UNNAMED, this.#pending);
  }
}

/**
 * The unnamed prepared statement: it belongs to the session, and is prepared again on each connection that uses it. One
 * per session whose server connections change.
 */
export class UnnamedStatement {
  readonly #pending: PendingChanges;
  #newest: Version;

  constructor(pending: PendingChanges) {
    this.#pending = pending;
    this.#newest = new Version(pending);
  }

  /** The turn in which it was prepared, or dropped after that: in any other the connection has another one, or none. */
  get preparedAt(): number | undefined {
    return this.#now().preparedAt;
  }

  /** Undefined if there is none. */
  get parse(): UnnamedParse | undefined {
    return this.#now().parse;
  }

  /** A Parse is sent in `preparedAt`. If it fails, there is no unnamed statement any more. */
  prepare(parse: UnnamedParse, preparedAt: number): RequestObserver {
    return (this.#newest = new Version(this.#pending, parse, preparedAt, this.#now()));
  }

  /** The same statement is prepared again in `preparedAt`. */
  again(preparedAt: number): RequestObserver {
    const now = this.#now();
    now.preparedAt = preparedAt;
    return this.#pending.add(
      UNNAMED,
      () => {},
      () => (now.preparedAt = undefined),
    );
  }

  /** The connection has another one by now. */
  outdate(): void {
    this.#now().preparedAt = undefined;
  }

  /** A Query is sent, which drops it even if it fails, or a Close of it. Undefined if there is nothing to drop. */
  drop(): RequestObserver | undefined {
    if (!this.#now().parse) return undefined;
    const { preparedAt } = this.#now();
    return (this.#newest = new Version(this.#pending, undefined, preparedAt, this.#now()));
  }

  /** The one that there is if the server skips the message that drops it. */
  get droppedParse(): UnnamedParse | undefined {
    return this.#now().before?.parse;
  }

  /** Drops it: DISCARD ALL, or a refusal by the gateway where PostgreSQL's would have dropped it. */
  forget(): void {
    this.#newest = new Version(this.#pending);
  }

  #now(): Version {
    while (this.#newest.discarded) this.#newest = this.#newest.before ?? new Version(this.#pending);
    return this.#newest;
  }
}
