/** The unnamed prepared statement: it belongs to the session, and is prepared again on each connection that uses it. */
import { Backend } from '../wire/frames.ts';
import type { Note } from './entries.ts';
import type { OwedChanges } from './owed-changes.ts';

/** A Parse of it. */
export interface UnnamedParse {
  /** The whole message; undefined if it was too long to be stored: the connection stays with the session then. */
  readonly frame: Buffer | undefined;
  /** Executing it drops prepared statements. */
  readonly discards: boolean;
  /** Executing it may leave a setting that no tag shows. */
  readonly leavesSettings: boolean;
}

/** The unnamed statement after a message; the version before it is restored if the server discards the message. */
interface Version {
  /** Undefined if there is no unnamed statement. */
  parse: UnnamedParse | undefined;
  before: Version | undefined;
  discarded: boolean;
  /** The turn in which it was prepared last. */
  turn: number | undefined;
}

const none = (): Version => ({ parse: undefined, before: undefined, discarded: false, turn: undefined });

/** One per session whose server connections change. */
export class UnnamedStatement {
  readonly #owed: OwedChanges;
  #now: Version = none();

  constructor(owed: OwedChanges) {
    this.#owed = owed;
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
    const now = this.#replace(parse, turn);
    let refused = false;
    const note = this.#owed.add(
      '',
      () => (now.before = undefined),
      () => {
        if (refused) now.parse = now.before = undefined;
        else this.#takeBack(now);
      },
    );
    return { ...note, answered: (type) => (refused ||= type === Backend.errorResponse) };
  }

  /** The same statement is prepared again in `turn`. */
  again(turn: number): Note {
    const now = this.#now;
    now.turn = turn;
    return this.#owed.add(
      '',
      () => {},
      () => (now.turn = undefined),
    );
  }

  /** A Query is sent, which drops it even if it fails, or a Close of it. Undefined if there is nothing to drop. */
  drop(): Note | undefined {
    if (!this.#now.parse) return undefined;
    const now = this.#replace(undefined, undefined);
    return this.#owed.add(
      '',
      () => (now.before = undefined),
      () => this.#takeBack(now),
    );
  }

  /** Drops it: DISCARD ALL, or a refusal by the gateway where PostgreSQL's would have dropped it. */
  forget(): void {
    this.#now = none();
  }

  #replace(parse: UnnamedParse | undefined, turn: number | undefined): Version {
    this.#now = { parse, before: this.#now, discarded: false, turn };
    return this.#now;
  }

  #takeBack(version: Version): void {
    version.discarded = true;
    while (this.#now.discarded) this.#now = this.#now.before ?? none();
  }
}
