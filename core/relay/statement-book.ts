/** Makes statements of messages, remembers the text behind each name, and reports statements to observers. */
import type { GatewayError } from '../errors.ts';
import type { Statement } from '../statement.ts';
import { Frontend } from '../wire/frames.ts';
import { bindNames, readClose } from '../wire/frontend.ts';
import type { Note } from './entries.ts';
import { isCutOff } from './named-messages.ts';
import { Prepared } from './prepared.ts';
import type { StatementLog } from './statement-log.ts';
import {
  ParseStatement,
  QueryStatement,
  bindStatement,
  bodyOf,
  executeStatement,
  functionCallStatement,
  textStart,
} from './statements.ts';

/** The part of a statement that plugins read. */
export type Reads = 'none' | 'kind' | 'sql' | 'parameters';

/** True when a plugin decides by the SQL text of Query and Parse, and so needs the whole message. */
export const needsText = (reads: Reads): boolean => reads === 'sql' || reads === 'parameters';

/** One per session, used only where statements are inspected. */
export class StatementBook {
  readonly #reads: Reads;
  readonly #log: StatementLog | undefined;
  readonly #prepared = new Prepared();
  #count = 0;

  constructor(reads: Reads, log: StatementLog | undefined) {
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
        return executeStatement(this.#nextId(), frame, (portal) => this.#prepared.ofPortal(portal).sql);
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
    return this.#prepared.unnamed;
  }

  /** No transaction is open: all portals are closed. */
  transactionEnded(): void {
    this.#prepared.transactionEnded();
  }

  /** The note for a message that is sent. @throws GatewayError `program_limit_exceeded` for too many names */
  sent(type: number, frame: Buffer, statement: Statement | undefined): Note | undefined {
    if (type === Frontend.sync) return this.#log?.followSync(frame.length);
    const undo = this.#remember(type, frame, statement);
    if (!statement || !this.#log) return undo && { dropped: undo };
    const truncated = this.#isCut(frame, statement);
    return this.#log.follow({ statement, truncated, bytesIn: frame.readUInt32BE(1) + 1, undo });
  }

  /** The note for a statement that is refused. */
  refused(frame: Buffer, statement: Statement | undefined, error: GatewayError): Note | undefined {
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
    const sqlOf = (name: string): string => this.#prepared.ofStatement(name).sql;
    if (this.#reads === 'parameters' && !isCutOff(frame)) return bindStatement(this.#nextId(), frame, sqlOf);
    if (!this.#log) return undefined;
    const { portal, name } = bindNames(bodyOf(frame));
    return { kind: 'bind', id: this.#nextId(), sql: sqlOf(name), name, portal, parameters: [] };
  }

  /** The text is the beginning of a longer one. */
  #isCut(frame: Buffer, statement: Statement): boolean {
    if (statement.kind === 'execute') return this.#prepared.ofPortal(statement.portal).cut;
    if (statement.kind === 'bind') return this.#prepared.ofStatement(statement.name).cut;
    return isCutOff(frame);
  }

  #nextId(): number {
    this.#count += 1;
    return this.#count;
  }

  #remember(type: number, frame: Buffer, statement: Statement | undefined): (() => void) | undefined {
    if (type === Frontend.query) return this.#prepared.unnamed ? this.#prepared.close('S', '') : undefined;
    if (statement?.kind === 'parse') {
      const cut = isCutOff(frame);
      return this.#prepared.parse(statement.name, { sql: statement.sql, cut });
    }
    if (type === Frontend.bind) {
      const { portal, name } = statement?.kind === 'bind' ? statement : bindNames(bodyOf(frame));
      return this.#prepared.bind(portal, name);
    }
    if (type !== Frontend.close) return undefined;
    const target = readClose(bodyOf(frame));
    return this.#prepared.close(target.kind, target.name);
  }
}
