/** Prepared statements on the present server connection, under random names of the gateway; the least recently used is closed first. */
import { randomBytes } from 'node:crypto';
import { errorFields } from '../wire/backend.ts';
import { Backend } from '../wire/frames.ts';
import { encodeClose } from '../wire/to-server.ts';
import { Kind, Op } from './entries.ts';
import type { Note } from './entries.ts';
import type { Ledger } from './ledger.ts';
import { OwedChanges } from './owed-changes.ts';
import type { Change } from './owed-changes.ts';
import type { ServerLink } from './server-link.ts';
import type { ServerSource } from './server-source.ts';
import { isAlone } from './statement-key.ts';

/** Most statements on one server connection. */
const MOST_KEPT = 200;
/** The key of the name under which a Parse is tried whose statement is not needed. */
const TRIAL = 'trial';

/** A statement that is about to be prepared: its name, the bytes to send first, and its note for the ledger. */
export interface Addition {
  readonly own: string;
  readonly before: Buffer;
  readonly note: Change;
}

/** SQLSTATEs after which a statement must be prepared anew: it is gone (26000), or its result changed (0A000). */
const STALE = new Set(['26000', '0A000']);

/** A use of a statement, which may show that the server cannot use it any more. */
class Use implements Note {
  readonly #kept: KeptStatements;
  readonly #key: string;

  constructor(kept: KeptStatements, key: string) {
    this.#kept = kept;
    this.#key = key;
  }

  answered(type: number, _bytes: number, body: Buffer | undefined): void {
    if (type !== Backend.errorResponse || !body) return;
    if (STALE.has(errorFields(body).code)) this.#kept.forget(this.#key);
  }
}

/** A name of the gateway. Random: a client that could guess it could prepare another statement under it by SQL. */
export const newName = (): string => `postern_${randomBytes(12).toString('hex')}`;

/** One per session; the names on a connection are stored with the connection. */
export class KeptStatements {
  readonly #link: Pick<ServerLink, 'server'>;
  readonly #ledger: Ledger;
  readonly #known: ServerSource['known'];
  /** Keys of statements whose ParseComplete is outstanding: they may yet fail. */
  readonly owed: OwedChanges;
  #endangered = false;

  /** `known` gets the keys of statements that were prepared without an error. */
  constructor(link: Pick<ServerLink, 'server'>, ledger: Ledger, known: ServerSource['known']) {
    this.#link = link;
    this.#ledger = ledger;
    this.#known = known;
    this.owed = new OwedChanges(ledger);
  }

  /** An unfinished statement may drop every prepared statement. */
  get endangered(): boolean {
    if (this.#endangered && this.#ledger.answered) this.#endangered = false;
    return this.#endangered;
  }
  set endangered(value: boolean) {
    this.#endangered = value;
  }

  /** The name under which the statement is prepared, or will be once the server has read the messages in front. */
  find(key: string): string | undefined {
    const { prepared } = this;
    const own = prepared.get(key);
    // The order of use matters only where there are many.
    if (own === undefined || prepared.size < MOST_KEPT / 2) return own;
    prepared.delete(key);
    prepared.set(key, own);
    return own;
  }

  /** Makes a name for a statement that is not on the connection; the caller prepares it. */
  add(key: string): Addition {
    const { prepared } = this;
    const before = this.#room(prepared);
    const own = newName();
    prepared.set(key, own);
    const closed = (): void => {
      if (!isAlone(key)) this.#known.add(key);
    };
    const dropped = (): void => {
      if (prepared.get(key) === own) prepared.delete(key);
    };
    return { own, before, note: this.owed.add(key, closed, dropped) };
  }

  /** A name for a trial. `before` closes the last trial, so that the name is free. */
  trial(): { readonly own: string; readonly before: Buffer } {
    const before = this.prepared.has(TRIAL) ? undefined : this.#room(this.prepared);
    const own = this.find(TRIAL) ?? newName();
    this.prepared.set(TRIAL, own);
    this.#ledger.sent(Op.close, Kind.swallow);
    const close = encodeClose('S', own);
    return { own, before: before ? Buffer.concat([before, close]) : close };
  }

  /** The note for the ledger of a message that uses the statement. */
  use(key: string): Note {
    return new Use(this, key);
  }

  /** The statement cannot be used any more; should the server still have it, its name is closed when it is the oldest. */
  forget(key: string): void {
    const { prepared } = this;
    const own = prepared.get(key);
    if (own === undefined) return;
    prepared.delete(key);
    prepared.set(own, own);
  }

  /** The server has dropped all of them. */
  clear(): void {
    this.prepared.clear();
  }

  /** Names on the connection by the key of their statement, the least recently used first. */
  get prepared(): Map<string, string> {
    return this.#link.server?.prepared ?? new Map<string, string>();
  }

  #room(prepared: Map<string, string>): Buffer {
    const [oldest] = prepared;
    if (!oldest || prepared.size < MOST_KEPT) return Buffer.alloc(0);
    const [key, own] = oldest;
    prepared.delete(key);
    // If the server skips the Close, the name still exists.
    const dropped = (): void => void (prepared.has(own) || prepared.set(own, own));
    this.#ledger.sent(Op.close, Kind.swallow, { dropped });
    return encodeClose('S', own);
  }
}
