/** The unnamed prepared statement: it belongs to the session, and is prepared again on each connection that uses it. */
import { Backend } from '../wire/frames.ts';
import type { Note } from './entries.ts';
import type { Owed, OwedChanges } from './owed-changes.ts';

/** A Parse of it. */
export interface UnnamedParse {
  /** The whole message; undefined if it was too long to be stored: the connection stays with the session then. */
  readonly frame: Buffer | undefined;
  /** Executing it drops prepared statements. */
  readonly discards: boolean;
  /** Executing it may leave a setting that no tag shows. */
  readonly leavesSettings: boolean;
  /** Its text does nothing to the session that it would not do again by itself: the same bytes need not be read again. */
  readonly plain: boolean;
}

/** The name by which its changes are unconfirmed. */
const UNNAMED = '';

/** The unnamed statement after a message, which has it as its note; the one before is restored if the server discards the message. */
class Version implements Note {
  /** Undefined if there is no unnamed statement. */
  parse: UnnamedParse | undefined;
  /** The turn in which it was prepared last. */
  turn: number | undefined;
  before: Version | undefined;
  discarded = false;
  readonly #changes: OwedChanges;
  readonly #owed: Owed | undefined;
  #refused = false;

  constructor(changes: OwedChanges, parse?: UnnamedParse, turn?: number, before?: Version) {
    this.parse = parse;
    this.turn = turn;
    this.before = before;
    this.#changes = changes;
    this.#owed = before && changes.begin(UNNAMED);
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
    if (this.#owed) this.#changes.end(UNNAMED, this.#owed);
  }
}

/** One per session whose server connections change. */
export class UnnamedStatement {
  readonly #owed: OwedChanges;
  #newest: Version;

  constructor(owed: OwedChanges) {
    this.#owed = owed;
    this.#newest = new Version(owed);
  }

  /** The turn in which it was prepared: in any other the connection has another one, or none. */
  get turn(): number | undefined {
    return this.#now.turn;
  }

  /** Undefined if there is none. */
  get parse(): UnnamedParse | undefined {
    return this.#now.parse;
  }

  /** A Parse is sent in `turn`. If it fails, there is no unnamed statement any more. */
  prepare(parse: UnnamedParse, turn: number): Note {
    return (this.#newest = new Version(this.#owed, parse, turn, this.#now));
  }

  /** The same statement is prepared again in `turn`. */
  again(turn: number): Note {
    const now = this.#now;
    now.turn = turn;
    return this.#owed.add(
      UNNAMED,
      () => {},
      () => (now.turn = undefined),
    );
  }

  /** A Query is sent, which drops it even if it fails, or a Close of it. Undefined if there is nothing to drop. */
  drop(): Note | undefined {
    if (!this.#now.parse) return undefined;
    return (this.#newest = new Version(this.#owed, undefined, undefined, this.#now));
  }

  /** Drops it: DISCARD ALL, or a refusal by the gateway where PostgreSQL's would have dropped it. */
  forget(): void {
    this.#newest = new Version(this.#owed);
  }

  get #now(): Version {
    while (this.#newest.discarded) this.#newest = this.#newest.before ?? new Version(this.#owed);
    return this.#newest;
  }
}
