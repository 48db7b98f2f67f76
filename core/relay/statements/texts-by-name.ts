/** The text behind each prepared statement and portal of a session, with the changes that the server may still discard. */
import { GatewayError } from '../../contract/errors.ts';
import type { Change, Text } from './statement-observer.ts';

/** The gateway did not see the text: PREPARE in SQL, or a cursor. */
const UNSEEN: Text = { sql: '', cut: false };

/** Names in use at once, by one session. */
const MOST_NAMES = 10_000;

/** The number of batches that were sent to their end: an error drops the rest of one batch, and nothing of the next. */
interface Batches {
  readonly syncs: number;
}

/** The newest version that the server has not discarded: this one, or one before it. */
function kept(version: Version | undefined): Version | undefined {
  let one = version;
  while (one?.discarded) one = one.before;
  return one;
}

/**
 * A name's text after a message. Read as a {@link Text} it says which text the name stood for there, as far as the answers show
 * it: once all messages in front are answered, that is certain.
 */
class Version implements Text, Change {
  readonly name: string;
  /** The batch of the message. */
  readonly batch: number;
  before: Version | undefined;
  discarded = false;
  /** The server has not answered the message. */
  pending = true;
  readonly #names: Names;
  /** That of a portal is the version of its statement until the Bind is answered. */
  #text: Text | undefined;

  constructor(
    names: Names,
    name: string,
    text: Text | undefined,
    before: Version | undefined,
    batch: number,
  ) {
    this.#names = names;
    this.name = name;
    this.#text = text;
    this.before = before;
    this.batch = batch;
  }

  /** Undefined where the name has none. */
  get text(): Text | undefined {
    const version = kept(this);
    const text = version && version.#text;
    return text instanceof Version ? (text.text ?? UNSEEN) : text;
  }
  get sql(): string {
    return this.text?.sql ?? '';
  }
  get cut(): boolean {
    return this.text?.cut === true;
  }

  closed(): void {
    if (!this.pending) return;
    this.pending = false;
    this.before = undefined;
    this.#text = this.text;
    if (this.#text === undefined) this.#names.settle(this);
  }

  dropped(): void {
    if (!this.pending) return;
    this.pending = false;
    this.discarded = true;
    this.#names.settle(this);
  }
}

/** Versions by name. Most portals, and the statements of many drivers, have the empty name, which needs no map. */
class Names {
  readonly #newest = new Map<string, Version>();
  #unnamed: Version | undefined;
  /** Names in the map that have a text. */
  #used = 0;

  /** No name has a text, or had one that an outstanding message takes away. */
  get none(): boolean {
    return this.#unnamed === undefined && this.#newest.size === 0;
  }

  get(name: string): Version | undefined {
    return name === '' ? this.#unnamed : this.#newest.get(name);
  }

  change(name: string, text: Text | undefined, batch: number): Version {
    const before = this.get(name);
    if (name !== '' && text !== undefined && before?.text === undefined && this.#used >= MOST_NAMES) {
      throw new GatewayError(
        'program_limit_exceeded',
        `more than ${MOST_NAMES} prepared statements or portals`,
      );
    }
    const version = new Version(this, name, text, before, batch);
    if (before || text !== undefined) this.#put(name, before, version);
    return version;
  }

  /** A version was discarded, or confirmed without a text: the name's newest one is found anew. */
  settle({ name }: Version): void {
    const newest = this.get(name);
    const now = kept(newest);
    const isGone = now && !now.pending && now.text === undefined;
    this.#put(name, newest, isGone ? undefined : now);
  }

  clear(): void {
    this.#unnamed = undefined;
    if (this.#newest.size > 0) this.#newest.clear();
    this.#used = 0;
  }

  #put(name: string, before: Version | undefined, now: Version | undefined): void {
    if (name === '') {
      this.#unnamed = now;
      return;
    }
    if (now) this.#newest.set(name, now);
    else this.#newest.delete(name);
    this.#used += Number(now?.text !== undefined) - Number(before?.text !== undefined);
  }
}

/** Updated by Parse, Bind and Close when they are sent; the entry of a message that the server discards undoes its change. */
export class TextsByName {
  readonly #batches: Batches;
  readonly #statements = new Names();
  readonly #portals = new Names();

  /** Default: all messages are of one batch. */
  constructor(batches: Batches = { syncs: 0 }) {
    this.#batches = batches;
  }

  /** Empty when the gateway did not see it: PREPARE in SQL, or a cursor. */
  ofStatement(name: string): Text {
    return this.#statements.get(name)?.text ?? UNSEEN;
  }
  ofPortal(name: string): Text {
    return this.#portals.get(name)?.text ?? UNSEEN;
  }

  /** The same for a message that is sent now: when it is answered, this says the text that it was about. */
  sentStatement(name: string): Text {
    return this.#statements.get(name) ?? UNSEEN;
  }
  sentPortal(name: string): Text {
    return this.#portals.get(name) ?? UNSEEN;
  }

  /** True while an error in an earlier batch may still undo the newest change of the name: the server may run another text. */
  isUncertain(kind: 'S' | 'P', name: string): boolean {
    const newest = (kind === 'S' ? this.#statements : this.#portals).get(name);
    return newest !== undefined && newest.pending && newest.batch < this.#batches.syncs;
  }

  /** True when the server may still have an unnamed statement, which any Query and any unnamed Parse would drop. */
  get unnamed(): boolean {
    return this.#statements.get('')?.text !== undefined;
  }

  /** Portals may be open. */
  get anyPortal(): boolean {
    return !this.#portals.none;
  }

  parse(name: string, text: Text): Change {
    return this.#statements.change(name, text, this.#batches.syncs);
  }
  bind(portal: string, statement: string): Change {
    return this.#portals.change(portal, this.sentStatement(statement), this.#batches.syncs);
  }
  close(kind: 'S' | 'P', name: string): Change {
    return (kind === 'S' ? this.#statements : this.#portals).change(name, undefined, this.#batches.syncs);
  }

  /** Portals die with their transaction. */
  transactionEnded(): void {
    this.#portals.clear();
  }
}
