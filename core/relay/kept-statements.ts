/** Statements on the server connection that sits here: under names of ours, as many as are kept, the oldest closed first. */
import { randomBytes } from 'node:crypto';
import { encodeClose } from '../wire/to-server.ts';
import { Kind, Op } from './entries.ts';
import type { Ledger } from './ledger.ts';
import { OwedChanges } from './owed-changes.ts';
import type { Change } from './owed-changes.ts';
import type { ServerLink } from './server-link.ts';
import type { ServerSource } from './server-source.ts';
import { isAlone } from './statement-key.ts';

/** Statements kept on one server connection; the one not used for longest goes first. */
const MOST_KEPT = 200;
/** Under this key is the name under which a Parse is tried of which nothing shall be kept. */
const TRIAL = 'trial';

/** A statement that is about to be prepared: its name, what goes up first, and what the ledger keeps. */
export interface Addition {
  readonly own: string;
  readonly before: Buffer;
  readonly note: Change;
}

/** A name of ours. Random: a client that could guess it could prepare another statement under it by SQL. */
export const newName = (): string => `postern_${randomBytes(12).toString('hex')}`;

/** One per session; what it knows of a connection is kept with the connection. */
export class KeptStatements {
  readonly #link: Pick<ServerLink, 'server'>;
  readonly #ledger: Ledger;
  readonly #known: ServerSource['known'];
  /** Keys of statements whose ParseComplete is still owed: they may yet fail. */
  readonly owed: OwedChanges;

  /** `known` is told what has been prepared without an error. */
  constructor(link: Pick<ServerLink, 'server'>, ledger: Ledger, known: ServerSource['known']) {
    this.#link = link;
    this.#ledger = ledger;
    this.#known = known;
    this.owed = new OwedChanges(ledger);
  }

  /** The name under which it is prepared, or will be when the server gets there. */
  find(key: string): string | undefined {
    const { prepared } = this;
    const own = prepared.get(key);
    if (own === undefined) return undefined;
    prepared.delete(key);
    prepared.set(key, own);
    return own;
  }

  /** Gives it a name, under which it has to be prepared now. It must not be kept yet. */
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

  /** A name that is free when the server gets there: `before` makes it so. What is tried under it is in nobody's way. */
  trial(): { readonly own: string; readonly before: Buffer } {
    const before = this.prepared.has(TRIAL) ? undefined : this.#room(this.prepared);
    const own = this.find(TRIAL) ?? newName();
    this.prepared.set(TRIAL, own);
    this.#ledger.sent(Op.close, Kind.swallow);
    const close = encodeClose('S', own);
    return { own, before: before ? Buffer.concat([before, close]) : close };
  }

  /** It is gone, or cannot be used any more; should the server still have it, its name is closed in time. */
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

  /** Names on the connection, by what stands behind them, the one not used for longest first. */
  get prepared(): Map<string, string> {
    return this.#link.server?.prepared ?? new Map<string, string>();
  }

  #room(prepared: Map<string, string>): Buffer {
    const [oldest] = prepared;
    if (!oldest || prepared.size < MOST_KEPT) return Buffer.alloc(0);
    const [key, own] = oldest;
    prepared.delete(key);
    // If the server skips the Close, the name is there still.
    const dropped = (): void => void (prepared.has(own) || prepared.set(own, own));
    this.#ledger.sent(Op.close, Kind.swallow, { dropped });
    return encodeClose('S', own);
  }
}
