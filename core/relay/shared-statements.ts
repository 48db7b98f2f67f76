/**
 * Prepared statements of a session whose server connections change: the client's names are its own, on a server
 * connection a statement has a name of ours, and is prepared there when it is first used.
 */
import { randomBytes } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import type { Plan } from './decision.ts';
import { errorFields } from '../wire/backend.ts';
import { Backend, Frontend } from '../wire/frames.ts';
import { bindNames, readClose, readDescribe, readParse } from '../wire/frontend.ts';
import { CLOSE_COMPLETE, PARSE_COMPLETE } from '../wire/to-client.ts';
import { encodeClose, encodeDescribe, encodeParse } from '../wire/to-server.ts';
import { planOfQuery, planOfUnnamed } from './deallocate.ts';
import type { NamePlaces } from './deallocate.ts';
import { Kind, Op } from './entries.ts';
import type { Note } from './entries.ts';
import type { Ledger } from './ledger.ts';
import { Status } from './ledger.ts';
import type { Lender, Seat } from './seat.ts';
import { statementKey } from './statement-key.ts';
import type { Statement } from './statement-key.ts';
import { bodyOf, renameBind } from './statements.ts';
import { UnnamedStatement } from './unnamed-statement.ts';

/** A statement that is about to be prepared: its name, what goes up first, and what the ledger keeps. */
interface Kept {
  readonly own: string;
  readonly before: Buffer;
  readonly note: Required<Pick<Note, 'closed' | 'dropped'>>;
}

/** Statements kept on one server connection; the one not used for longest goes first. */
const MOST_KEPT = 200;
/** SQLSTATEs after which a statement must be prepared anew: it is gone (26000), or its result changed (0A000). */
const STALE = new Set(['26000', '0A000']);

type Remembers = Pick<Lender, 'parameters' | 'known'>;

/** One per session. */
export class SharedStatements {
  readonly #seat: Seat;
  readonly #ledger: Ledger;
  readonly #lender: Remembers;
  readonly #pin: (why: string) => void;
  readonly #names = new Map<string, Statement>();
  /** Keys of statements whose ParseComplete is still owed: they may yet fail. */
  readonly #unconfirmed = new Set<string>();
  readonly #unnamed = new UnnamedStatement();

  /** `pin` is told why a connection has to stay. */
  constructor(seat: Seat, ledger: Ledger, lender: Remembers, pin: (why: string) => void) {
    this.#pin = pin;
    this.#seat = seat;
    this.#ledger = ledger;
    this.#lender = lender;
  }

  /** DEALLOCATE ALL or DISCARD ALL: all statements are gone, the client's and the connection's. */
  forgetAll(): void {
    this.#names.clear();
    this.#seat.server?.prepared.clear();
    this.#unnamed.forget();
  }

  /** True for a whole Parse that can be answered without a server: it names a statement that others have prepared. */
  knows(frame: Buffer): boolean {
    try {
      const { name, sql, types } = readParse(bodyOf(frame));
      const tail = frame.subarray(frame.length - 2 - 4 * types.length);
      return (
        name !== '' &&
        !this.#names.has(name) &&
        this.#lender.known.has(statementKey(sql, tail, this.#lender.parameters))
      );
    } catch {
      // Malformed: the server says what it thinks of it.
      return false;
    }
  }

  /** What to do with a Query, Parse, Bind, Describe or Close. */
  plan(type: number, frame: Buffer): Plan {
    switch (type) {
      case Frontend.query:
        return planOfQuery(frame, this.#unnamed.drop(), this.#places);
      case Frontend.parse:
        return this.#parse(frame);
      case Frontend.bind:
        return this.#bind(bindNames(bodyOf(frame)).name, frame);
      case Frontend.describe: {
        const { kind, name } = readDescribe(bodyOf(frame));
        return kind === 'P' ? { kind: 'send', bytes: frame } : this.#describe(name, frame);
      }
      case Frontend.close: {
        const { kind, name } = readClose(bodyOf(frame));
        return kind === 'P' ? { kind: 'send', bytes: frame } : this.#close(name, frame);
      }
      default:
        return { kind: 'send', bytes: frame };
    }
  }

  get #places(): NamePlaces {
    return { names: this.#names, ledger: this.#ledger, prepared: this.#seat.server?.prepared };
  }

  // ---- the unnamed statement ----

  #useUnnamed(frame: Buffer): Plan {
    const { frame: parse } = this.#unnamed;
    if (!parse) {
      const error = new GatewayError(
        'invalid_sql_statement_name',
        'unnamed prepared statement does not exist',
      );
      return { kind: 'refuse', error };
    }
    if (this.#unnamed.at === this.#seat.server) return { kind: 'send', bytes: frame };
    const { server } = this.#seat;
    this.#unnamed.at = server;
    this.#ledger.sent(Op.parse, Kind.swallow, {
      showsError: true,
      dropped: () => (this.#unnamed.at = undefined),
    });
    return { kind: 'send', bytes: Buffer.concat([parse, frame]) };
  }

  // ---- named statements ----

  #parse(frame: Buffer): Plan {
    if (frame.length <= frame.readUInt32BE(1)) {
      // Too long to be kept and prepared again elsewhere.
      this.#pin('a long statement was prepared');
      return { kind: 'send', bytes: frame };
    }
    const { name, sql, types } = readParse(bodyOf(frame));
    const tail = Buffer.from(frame.subarray(frame.length - 2 - 4 * types.length));
    if (name === '') {
      const noted = (parse: Buffer): Note => this.#unnamed.parse(parse, this.#seat.server);
      return planOfUnnamed(frame, tail, noted, this.#places);
    }
    const statement = {
      key: statementKey(sql, tail, this.#lender.parameters),
      sql,
      types: tail,
      failed: false,
    };
    const before = this.#names.get(name);
    const unsure = before && this.#unconfirmed.has(before.key);
    if (before && !unsure) {
      const error = new GatewayError(
        'duplicate_prepared_statement',
        `prepared statement "${name}" already exists`,
      );
      return { kind: 'refuse', error };
    }
    this.#names.set(name, statement);
    const dropped = (): void => this.#undo(name, statement, before);
    const prepared = this.#seat.server?.prepared;
    const local = { kind: 'local', note: { answer: () => PARSE_COMPLETE, dropped } } as const;
    if (!this.#seat.server) return local;
    const isKept = prepared?.has(statement.key) && !this.#unconfirmed.has(statement.key);
    if (isKept && !unsure && this.#ledger.status !== Status.failed) {
      return local;
    }
    // Under the name of one that may yet fail: the server decides which of the two there is.
    const kept = this.#keep(statement, unsure ? prepared?.get(before.key) : undefined);
    const note = { ...kept.note, dropped: () => (dropped(), kept.note.dropped()) };
    return { kind: 'send', bytes: Buffer.concat([kept.before, encodeParse(kept.own, sql, tail)]), note };
  }

  #undo(name: string, statement: Statement, before: Statement | undefined): void {
    statement.failed = true;
    if (this.#names.get(name) !== statement) return;
    if (before && !before.failed) this.#names.set(name, before);
    else this.#names.delete(name);
  }

  #bind(name: string, frame: Buffer): Plan {
    if (name === '') return this.#useUnnamed(frame);
    const statement = this.#names.get(name);
    if (!statement) return { kind: 'send', bytes: frame };
    const { own, before } = this.#prepare(statement);
    const note: Note = {
      answered: (type, _bytes, body) => {
        const stale = type === Backend.errorResponse && body && STALE.has(errorFields(body).code);
        if (stale) this.#seat.server?.prepared.delete(statement.key);
      },
    };
    return { kind: 'send', bytes: Buffer.concat([before, renameBind(frame, own)]), note };
  }

  #describe(name: string, frame: Buffer): Plan {
    if (name === '') return this.#useUnnamed(frame);
    const statement = this.#names.get(name);
    if (!statement) return { kind: 'send', bytes: frame };
    const { own, before } = this.#prepare(statement);
    return { kind: 'send', bytes: Buffer.concat([before, encodeDescribe('S', own)]) };
  }

  #close(name: string, frame: Buffer): Plan {
    if (name === '') return { kind: 'send', bytes: frame, note: this.#unnamed.drop() };
    const statement = this.#names.get(name);
    if (!statement) return { kind: 'send', bytes: frame };
    this.#names.delete(name);
    const dropped = (): void => void this.#names.set(name, statement);
    return { kind: 'local', note: { answer: () => CLOSE_COMPLETE, dropped } };
  }

  /** Has the statement prepared on the connection that sits here; `before` goes up in front of the message that uses it. */
  #prepare(statement: Statement): { readonly own: string; readonly before: Buffer } {
    const prepared = this.#seat.server?.prepared ?? new Map<string, string>();
    const own = prepared.get(statement.key);
    if (own !== undefined) {
      prepared.delete(statement.key);
      prepared.set(statement.key, own);
      return { own, before: Buffer.alloc(0) };
    }
    const kept = this.#keep(statement);
    this.#ledger.sent(Op.parse, Kind.swallow, { showsError: true, ...kept.note });
    const parse = encodeParse(kept.own, statement.sql, statement.types);
    return { own: kept.own, before: Buffer.concat([kept.before, parse]) };
  }

  /** A name of ours for a statement, and the Close of another where there are too many. */
  #keep(statement: Statement, name?: string): Kept {
    const prepared = this.#seat.server?.prepared ?? new Map<string, string>();
    let before: Buffer = Buffer.alloc(0);
    const [oldest] = prepared;
    if (oldest && prepared.size >= MOST_KEPT) {
      prepared.delete(oldest[0]);
      this.#ledger.sent(Op.close, Kind.swallow);
      before = encodeClose('S', oldest[1]);
    }
    // Random: a client that could guess it could prepare another statement under it by SQL.
    const own = name ?? `postern_${randomBytes(12).toString('hex')}`;
    const { key } = statement;
    prepared.set(key, own);
    this.#unconfirmed.add(key);
    const closed = (): void => {
      this.#unconfirmed.delete(key);
      this.#lender.known.add(key);
    };
    const dropped = (): void => {
      this.#unconfirmed.delete(key);
      if (prepared.get(key) === own) prepared.delete(key);
    };
    return { own, before, note: { closed, dropped } };
  }
}
