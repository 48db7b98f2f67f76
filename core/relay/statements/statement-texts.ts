/**
 * Makes statements of messages, remembers the text behind each prepared statement and portal, and reports them to
 * observers.
 */
import { isAscii } from 'node:buffer';
import { GatewayError } from '../../contract/errors.ts';
import type { Statement } from '../../contract/statement.ts';
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import { bindNames, readClose, readExecute } from '../../wire/frontend.ts';
import { ShortTexts } from '../../wire/short-texts.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import { isCutOff, stringEnd } from '../prepared/statement-names.ts';
import type { OutstandingRequests } from '../requests/outstanding-requests.ts';
import type { Change, StatementObserver, Text } from './statement-observer.ts';
import {
  ParseStatement,
  QueryStatement,
  bindStatement,
  bodyOf,
  executeStatement,
  functionCallStatement,
  textStart,
} from './statement.ts';
import { TextsByName } from './texts-by-name.ts';

/** An Execute of the unnamed portal: the empty name, and the most rows. */
const UNNAMED_EXECUTE_BYTES = HEADER_BYTES + 5;

/** True for a whole Execute of the unnamed portal in `data` from `at` to `end`. */
export const isUnnamedExecute = (data: Buffer, at: number, end: number): boolean =>
  data[at] === Frontend.execute && end - at === UNNAMED_EXECUTE_BYTES && data[at + HEADER_BYTES] === 0;

/** Names of prepared statements; undefined for those that have to be checked. */
const NAMES = new ShortTexts<string | undefined>((bytes) =>
  isAscii(bytes) ? bytes.toString('latin1') : undefined,
);

/** The statement that a Bind of the unnamed portal names; undefined where the message has to be read. */
function nameInBind(data: Buffer, at: number, end: number): string | undefined {
  const from = at + HEADER_BYTES + 1;
  const to = stringEnd(data, from, end);
  return to < end ? NAMES.of(data, from, to) : undefined;
}

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
  readonly #outstanding: Pick<OutstandingRequests, 'answered' | 'batch'> | undefined;
  readonly #byName: TextsByName;
  /** The text of the newest Bind. */
  #bound = '';
  #count = 0;

  /** `outstanding` requests, where a plugin decides by the text. Default: no message waits for them. */
  constructor(
    reads: Reads,
    log: StatementObserver | undefined,
    outstanding?: Pick<OutstandingRequests, 'answered' | 'batch'>,
  ) {
    this.#reads = reads;
    this.#log = log;
    this.#outstanding = outstanding;
    this.#byName = new TextsByName(outstanding?.batch);
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

  /** The same message once more. */
  openAgain({ frame, sql }: ParseStatement): ParseStatement {
    return new ParseStatement(this.#nextId(), frame, sql);
  }

  /** An Execute of the unnamed portal. */
  openExecute(sql: string): Statement {
    return { kind: 'execute', id: this.#nextId(), sql, portal: '' };
  }

  /** The text behind a portal. */
  portalText(portal: string): string {
    return this.#byName.ofPortal(portal).sql;
  }

  /**
   * The text that a whole Bind of the unnamed portal in `data` from `at` to `end` gives it; `unnamed` is that of the unnamed
   * statement where a Parse in front of it will change it. Undefined: the message has to be read.
   */
  textInBind(data: Buffer, at: number, end: number, unnamed: string | undefined): string | undefined {
    if (data[at + HEADER_BYTES] !== 0) return undefined;
    const name = nameInBind(data, at, end);
    if (name === '' && unnamed !== undefined) return unnamed;
    return name === undefined ? undefined : this.#byName.ofStatement(name).sql;
  }

  /** True for a Bind or Execute whose text outstanding answers decide: a name was changed in an earlier batch, and an error there undoes that. */
  isUncertain(type: number, frame: Buffer): boolean {
    if ((type !== Frontend.bind && type !== Frontend.execute) || this.#outstanding?.answered !== false)
      return false;
    try {
      const body = bodyOf(frame);
      if (type === Frontend.execute) return this.#byName.isUncertain('P', readExecute(body).portal);
      return this.#byName.isUncertain('S', bindNames(body).name);
    } catch {
      // It is refused later.
      return false;
    }
  }

  /** No wait would end. @throws GatewayError `feature_not_supported` for a message that {@link isUncertain} */
  check(type: number, frame: Buffer): void {
    if (!this.isUncertain(type, frame)) return;
    throw new GatewayError(
      'feature_not_supported',
      'a name cannot be checked before its last change is answered',
    );
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
    if (!statement || !this.#log) return change;
    const truncated = this.#isCut(frame, statement);
    const bytesIn = frame.readUInt32BE(1) + 1;
    return this.#log.follow({ statement, truncated, text: this.#named(statement), bytesIn, change });
  }

  /** The change by a message that will be sent later: it has to be undone until then. @throws as {@link sent} */
  foreseen(type: number, frame: Buffer, statement: Statement | undefined): Change | undefined {
    return this.#remember(type, frame, statement);
  }

  /**
   * The same for the whole message in `data` from `at` to `end`, if it is a Sync, a Parse of the unnamed statement, or a Bind or
   * Execute with the unnamed portal, as nearly all are: nothing of it is copied. `'read'`: it has to be read by {@link open}.
   * `shown`: a plugin has approved this statement.
   */
  sentInChunk(
    type: number,
    data: Buffer,
    at: number,
    end: number,
    shown?: Statement,
  ): RequestObserver | undefined | 'read' {
    if (type === Frontend.sync) return this.#log?.followSync(end - at);
    if (type === Frontend.execute) {
      if (!isUnnamedExecute(data, at, end)) return 'read';
      return this.#log?.followInChunk(
        'execute',
        shown?.id ?? this.#nextId(),
        this.#byName.sentPortal(''),
        end - at,
      );
    }
    if (data[at + HEADER_BYTES] !== 0) return 'read';
    if (type === Frontend.parse) {
      const from = at + HEADER_BYTES + 1;
      const sql =
        shown?.kind === 'parse' ? shown.sql : data.toString('utf8', from, stringEnd(data, from, end));
      const text = { sql, cut: false };
      const change = this.#byName.parse('', text);
      return this.#log?.followInChunk('parse', shown?.id ?? this.#nextId(), text, end - at, change) ?? change;
    }
    const name = nameInBind(data, at, end);
    if (name === undefined || this.#byName.isUncertain('S', name)) return 'read';
    const text = this.#byName.sentStatement(name);
    if (this.#outstanding) this.#bound = text.sql;
    const change = this.#byName.bind('', name);
    return this.#log?.followInChunk('bind', this.#nextId(), text, end - at, change) ?? change;
  }

  /** True while outstanding answers decide about the text behind the unnamed portal. */
  get isPortalUncertain(): boolean {
    return this.#byName.isUncertain('P', '');
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

  /** For a message about a name: the text that it has when the message is answered. */
  #named(statement: Statement): Text | undefined {
    if (statement.kind === 'execute') return this.#byName.sentPortal(statement.portal);
    return statement.kind === 'bind' ? this.#byName.sentStatement(statement.name) : undefined;
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
