/**
 * Makes statements of messages, remembers the text behind each prepared statement and portal, and reports them to
 * observers.
 */
import { isAscii } from 'node:buffer';
import { GatewayError } from '../../errors.ts';
import type { Statement } from '../../statement.ts';
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import { bindNames, readClose } from '../../wire/frontend.ts';
import { ShortTexts } from '../../wire/short-texts.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import { isCutOff, stringEnd } from '../prepared/statement-names.ts';
import type { Change, StatementObserver } from './statement-observer.ts';
import {
  ParseStatement,
  QueryStatement,
  bindStatement,
  bodyOf,
  executeStatement,
  functionCallStatement,
  textStart,
} from './statement.ts';

/** The SQL of a statement, as far as the gateway has it. */
export interface Text {
  readonly sql: string;
  /** It is the beginning of a longer one. */
  readonly cut: boolean;
}

/** The gateway did not see the text: PREPARE in SQL, or a cursor. */
const UNSEEN: Text = { sql: '', cut: false };

/** Names in use at once, by one session. */
const MOST_NAMES = 10_000;

/** A name has another text. */
class TextChange implements Change {
  readonly #names: Names;
  readonly #name: string;
  readonly #text: Text | undefined;
  readonly #before: Text | undefined;

  constructor(names: Names, name: string, text: Text | undefined, before: Text | undefined) {
    this.#names = names;
    this.#name = name;
    this.#text = text;
    this.#before = before;
  }

  /** Because the server discarded the message that made it. */
  undo(): void {
    // Not if it has been changed again since, behind the Sync that ended the error.
    if (this.#names.get(this.#name) === this.#text) this.#names.put(this.#name, this.#before);
  }
}

/** Texts by name. Most portals, and the statements of many drivers, have the empty name, which needs no map. */
class Names {
  readonly #texts = new Map<string, Text>();
  #unnamed: Text | undefined;

  /** No name has a text. */
  get none(): boolean {
    return this.#unnamed === undefined && this.#texts.size === 0;
  }

  get(name: string): Text | undefined {
    return name === '' ? this.#unnamed : this.#texts.get(name);
  }

  change(name: string, text: Text | undefined): Change {
    const before = this.get(name);
    if (name !== '' && text !== undefined && before === undefined && this.#texts.size >= MOST_NAMES) {
      throw new GatewayError(
        'program_limit_exceeded',
        `more than ${MOST_NAMES} prepared statements or portals`,
      );
    }
    this.put(name, text);
    return new TextChange(this, name, text, before);
  }

  put(name: string, text: Text | undefined): void {
    if (name === '') this.#unnamed = text;
    else if (text === undefined) this.#texts.delete(name);
    else this.#texts.set(name, text);
  }

  clear(): void {
    this.#unnamed = undefined;
    if (this.#texts.size > 0) this.#texts.clear();
  }
}

/** Updated by Parse, Bind and Close when they are sent; the entry of a message that the server discards undoes its change. */
export class TextsByName {
  readonly #statements = new Names();
  readonly #portals = new Names();

  /** Empty when the gateway did not see it: PREPARE in SQL, or a cursor. */
  ofStatement(name: string): Text {
    return this.#statements.get(name) ?? UNSEEN;
  }
  ofPortal(name: string): Text {
    return this.#portals.get(name) ?? UNSEEN;
  }

  /** True when the server may still have an unnamed statement, which any Query and any unnamed Parse would drop. */
  get unnamed(): boolean {
    return this.#statements.get('') !== undefined;
  }

  /** Portals may be open. */
  get anyPortal(): boolean {
    return !this.#portals.none;
  }

  parse(name: string, text: Text): Change {
    return this.#statements.change(name, text);
  }
  bind(portal: string, statement: string): Change {
    return this.#portals.change(portal, this.ofStatement(statement));
  }
  close(kind: 'S' | 'P', name: string): Change {
    return (kind === 'S' ? this.#statements : this.#portals).change(name, undefined);
  }

  /** Portals die with their transaction. */
  transactionEnded(): void {
    this.#portals.clear();
  }
}

/** An Execute of the unnamed portal: the empty name, and the most rows. */
const UNNAMED_EXECUTE_BYTES = HEADER_BYTES + 5;

/** Names of prepared statements; undefined for those that have to be checked. */
const NAMES = new ShortTexts<string | undefined>((bytes) =>
  isAscii(bytes) ? bytes.toString('latin1') : undefined,
);

/** The part of a statement that plugins read. */
export type Reads = 'none' | 'kind' | 'sql' | 'parameters';

/** True when a plugin decides by the SQL text of Query and Parse, and so needs the whole message. */
export const needsText = (reads: Reads): boolean => reads === 'sql' || reads === 'parameters';

/**
 * Makes statements of messages, remembers the text behind each name, and reports statements to observers. One per
 * session, used only where statements are inspected.
 */
export class StatementTexts {
  readonly #reads: Reads;
  readonly #log: StatementObserver | undefined;
  readonly #byName = new TextsByName();
  /** The text of the newest Bind. */
  #bound = '';
  #count = 0;

  constructor(reads: Reads, log: StatementObserver | undefined) {
    this.#reads = reads;
    this.#log = log;
  }

  /** The statement in a message; undefined for messages without one, and where it is not inspected. */
  open(type: number, frame: Buffer): Statement | undefined {
    switch (type) {
      case Frontend.query:
        return new QueryStatement(this.#nextId(), frame, this.#textSoFar(type, frame));
      case Frontend.parse:
        return new ParseStatement(this.#nextId(), frame, this.#textSoFar(type, frame));
      case Frontend.execute:
        return executeStatement(this.#nextId(), frame, (portal) => this.#byName.ofPortal(portal).sql);
      case Frontend.functionCall:
        return functionCallStatement(this.#nextId(), frame);
      case Frontend.bind:
        return this.#bind(frame);
      default:
        return undefined;
    }
  }

  /** True when the server has an unnamed statement, which even a failing statement would drop. */
  get leavesUnnamed(): boolean {
    return this.#byName.unnamed;
  }

  /** Portals may be open. */
  get anyPortal(): boolean {
    return this.#byName.anyPortal;
  }

  /** No transaction is open: all portals are closed. */
  transactionEnded(): void {
    this.#byName.transactionEnded();
  }

  /** The text of a statement that is sent; of a Bind, which is not inspected everywhere, that of its prepared one. Call it behind {@link sent}. */
  textOf(type: number, statement: Statement | undefined): string {
    if (statement) return 'sql' in statement ? statement.sql : '';
    return type === Frontend.bind ? this.#bound : '';
  }

  /** The observer for a message that is sent. @throws GatewayError `program_limit_exceeded` for too many names */
  sent(type: number, frame: Buffer, statement: Statement | undefined): RequestObserver | undefined {
    if (type === Frontend.sync) return this.#log?.followSync(frame.length);
    const change = this.#remember(type, frame, statement);
    if (!statement || !this.#log) return change && { dropped: () => change.undo() };
    const truncated = this.#isCut(frame, statement);
    return this.#log.follow({ statement, truncated, bytesIn: frame.readUInt32BE(1) + 1, change });
  }

  /** The change by a message that will be sent later: it has to be undone until then. @throws as {@link sent} */
  foreseen(type: number, frame: Buffer, statement: Statement | undefined): Change | undefined {
    return this.#remember(type, frame, statement);
  }

  /**
   * The same for the whole message in `data` from `at` to `end`, if it is a Sync, a Parse of the unnamed statement, or a Bind or
   * Execute with the unnamed portal, as nearly all are: nothing of it is copied. `'read'`: it has to be read by {@link open}. Only
   * where statements are observed.
   */
  sentInChunk(type: number, data: Buffer, at: number, end: number): RequestObserver | undefined | 'read' {
    const log = this.#log;
    if (!log) return 'read';
    if (type === Frontend.sync) return log.followSync(end - at);
    if (data[at + HEADER_BYTES] !== 0) return 'read';
    if (type === Frontend.execute) {
      if (end - at !== UNNAMED_EXECUTE_BYTES) return 'read';
      return log.followInChunk('execute', this.#nextId(), this.#byName.ofPortal(''), end - at);
    }
    const from = at + HEADER_BYTES + 1;
    if (type === Frontend.parse) {
      const text = { sql: data.toString('utf8', from, stringEnd(data, from, end)), cut: false };
      const change = this.#byName.parse('', text);
      return log.followInChunk('parse', this.#nextId(), text, end - at, change);
    }
    const to = stringEnd(data, from, end);
    const name = to < end ? NAMES.of(data, from, to) : undefined;
    if (name === undefined) return 'read';
    const text = this.#byName.ofStatement(name);
    const change = this.#byName.bind('', name);
    return log.followInChunk('bind', this.#nextId(), text, end - at, change);
  }

  /** The observer for a statement that is refused. */
  refused(frame: Buffer, statement: Statement | undefined, error: GatewayError): RequestObserver | undefined {
    if (!statement || !this.#log) return undefined;
    return this.#log.follow({ statement, truncated: this.#isCut(frame, statement), bytesIn: 0, error });
  }

  /** Undefined where the text is complete, and decoded when it is read; else the beginning of it, for observers. */
  #textSoFar(type: number, frame: Buffer): string | undefined {
    if (frame.length > frame.readUInt32BE(1)) return undefined;
    const from = textStart(type, frame);
    return this.#log && from > 0 ? frame.toString('utf8', from) : '';
  }

  /** Without its parameters, of which there may be megabytes, where only its failure is reported. */
  #bind(frame: Buffer): Statement | undefined {
    const sqlOf = (name: string): string => this.#byName.ofStatement(name).sql;
    if (this.#reads === 'parameters' && !isCutOff(frame)) return bindStatement(this.#nextId(), frame, sqlOf);
    if (!this.#log) return undefined;
    const { portal, name } = bindNames(bodyOf(frame));
    return { kind: 'bind', id: this.#nextId(), sql: sqlOf(name), name, portal, parameters: [] };
  }

  /** The text is the beginning of a longer one. */
  #isCut(frame: Buffer, statement: Statement): boolean {
    if (statement.kind === 'execute') return this.#byName.ofPortal(statement.portal).cut;
    if (statement.kind === 'bind') return this.#byName.ofStatement(statement.name).cut;
    return isCutOff(frame);
  }

  #nextId(): number {
    this.#count += 1;
    return this.#count;
  }

  #remember(type: number, frame: Buffer, statement: Statement | undefined): Change | undefined {
    if (type === Frontend.query) return this.#byName.unnamed ? this.#byName.close('S', '') : undefined;
    if (statement?.kind === 'parse') {
      const cut = isCutOff(frame);
      return this.#byName.parse(statement.name, { sql: statement.sql, cut });
    }
    if (type === Frontend.bind) {
      const { portal, name } = statement?.kind === 'bind' ? statement : bindNames(bodyOf(frame));
      this.#bound = this.#byName.ofStatement(name).sql;
      return this.#byName.bind(portal, name);
    }
    if (type !== Frontend.close) return undefined;
    const target = readClose(bodyOf(frame));
    return this.#byName.close(target.kind, target.name);
  }
}
