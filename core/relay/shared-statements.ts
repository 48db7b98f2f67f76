/**
 * Prepared statements of a session whose server connections change: the client uses its own names; on a server connection
 * a statement has a name of the gateway, and is prepared there when it is first used.
 */
import { GatewayError } from '../errors.ts';
import { Frontend, HEADER_BYTES } from '../wire/frames.ts';
import { CLOSE_COMPLETE } from '../wire/to-client.ts';
import { encodeClose, encodeDescribe } from '../wire/to-server.ts';
import { deallocated, planOfQuery } from './deallocate.ts';
import type { Plan } from './decision.ts';
import { Kind, Op } from './entries.ts';
import { joined } from './joined-note.ts';
import { KeptStatements, newName } from './kept-statements.ts';
import { isCutOff, nameIn, parseParts, renamedBind, renamedParse, statementIn } from './named-messages.ts';
import { OwedChanges } from './owed-changes.ts';
import { Parses, lost } from './parses.ts';
import type { SharedStatementsHost } from './parses.ts';
import { FOREIGN, SessionStatements } from './session-statements.ts';
import { mayDiscard, statementOf } from './statement-key.ts';
import { leavesNothing } from './telling-words.ts';
import { RepeatedMessages } from './repeated-messages.ts';
import { UnnamedStatement } from './unnamed-statement.ts';

const NOTHING = Buffer.alloc(0);

/** One per session. */
export class SharedStatements {
  readonly #host: SharedStatementsHost;
  readonly #names = new SessionStatements();
  readonly #kept: KeptStatements;
  /** Unconfirmed changes by the client's names. */
  readonly #owed: OwedChanges;
  readonly #unnamed: UnnamedStatement;
  readonly #parses: Parses;
  /** See {@link RepeatedMessages}. */
  readonly repeated: RepeatedMessages;

  constructor(host: SharedStatementsHost) {
    this.#host = host;
    this.#kept = new KeptStatements(host.link, host.ledger, host.source.known);
    this.#owed = new OwedChanges(host.ledger);
    this.#unnamed = new UnnamedStatement(this.#owed);
    const remembered = { names: this.#names, kept: this.#kept, unnamed: this.#unnamed, owed: this.#owed };
    this.#parses = new Parses(host, remembered);
    this.repeated = new RepeatedMessages(host, remembered, this.#parses);
  }

  /** DEALLOCATE ALL or DISCARD ALL: the client and the connection have no named statements any more. */
  forgetAll(): void {
    this.#names.clear();
    this.#kept.clear();
  }

  /** A refused Query or unnamed Parse drops the unnamed statement, even if no server got it. */
  forgetUnnamed(): void {
    this.#unnamed.forget();
  }

  /** True for a message that the gateway answers without a server: a Parse of a statement that was prepared before, or its Close. */
  answersAlone(type: number, frame: Buffer): boolean {
    if (isCutOff(frame)) return false;
    if (type === Frontend.close) return this.#names.has(statementIn(frame) ?? '');
    const parts = type === Frontend.parse ? parseParts(frame) : undefined;
    if (!parts || parts.name === '' || this.#names.has(parts.name)) return false;
    const { source } = this.#host;
    return !this.#parses.hidesSchemas && source.known.has(statementOf(parts.body, source.parameters).key);
  }

  /** True where the action depends on an outstanding answer. */
  mustWait(type: number, frame: Buffer): boolean {
    const { ledger } = this.#host;
    const { endangered } = this.#kept;
    if (!ledger.answered && type === Frontend.query)
      return !ledger.stuck && this.#names.has(deallocated(frame, HEADER_BYTES) ?? '');
    const { changing } = ledger;
    const sure = !changing && !endangered && this.#kept.owed.none && this.#owed.none;
    if (ledger.answered || sure || ledger.skipping || ledger.stuck) return false;
    const name = nameFor(type, frame);
    if (name === undefined || endangered) return name !== undefined;
    if (changing && this.#addsOurs(type, name, frame)) return true;
    // An unnamed Parse or Close replaces the unnamed statement in any case.
    if (name === '' && (type === Frontend.parse || type === Frontend.close)) return false;
    const { key, alone } = this.#names.get(name) ?? FOREIGN;
    return this.#owed.has(name) || this.#kept.owed.has(key) || this.#kept.owed.has(alone);
  }

  /** True for a Bind or Describe in front of which the gateway sends a Parse. */
  prepares(type: number, frame: Buffer): boolean {
    if (type !== Frontend.bind && type !== Frontend.describe) return false;
    const name = nameFor(type, frame);
    return name !== undefined && this.#addsOurs(type, name, frame);
  }

  /** True if the gateway sends a message in front, or answers in its place: either would be lost in a COPY that fails. */
  #addsOurs(type: number, name: string, frame: Buffer): boolean {
    const { prepared } = this.#kept;
    if (type === Frontend.close) return false;
    if (type === Frontend.parse) return name !== '' && (this.#names.has(name) || this.#parses.isKept(frame));
    if (name === '')
      return this.#unnamed.parse !== undefined && this.#unnamed.turn !== this.#host.link.checkOuts;
    const statement = this.#names.get(name) ?? FOREIGN;
    const shared = !this.#parses.hidesSchemas && prepared.has(statement.key);
    return statement !== FOREIGN && !shared && !prepared.has(statement.alone);
  }

  /** What to do with a Query, Parse, Bind, Describe or Close. @throws GatewayError `program_limit_exceeded` */
  plan(type: number, frame: Buffer): Plan {
    switch (type) {
      case Frontend.query:
        return this.#query(frame);
      case Frontend.parse:
        return this.#parses.plan(frame);
      case Frontend.bind:
        return this.#use(frame, nameIn(frame, true), (own) => renamedBind(frame, own));
      case Frontend.describe:
        return this.#use(frame, statementIn(frame), (own) => encodeDescribe('S', own));
      case Frontend.close:
        return this.#close(frame, statementIn(frame));
      case Frontend.functionCall:
        this.#host.leavesState();
        return { kind: 'send', bytes: frame };
      default:
        return { kind: 'send', bytes: frame };
    }
  }

  #query(frame: Buffer): Plan {
    const text = frame.toString('latin1', HEADER_BYTES, frame.length - 1);
    this.#parses.readQuery(text, isCutOff(frame));
    if (mayDiscard(text)) this.#kept.endangered = true;
    const dropped = this.#unnamed.drop();
    return planOfQuery(
      frame,
      leavesNothing(text) ? joined({ harmless: true }, dropped) : dropped,
      this.#parses.places,
    );
  }

  // ---- Bind, Describe, Close ----

  #use(frame: Buffer, name: string | undefined, renamed: (own: string) => Buffer): Plan {
    if (name === '') return this.#useUnnamed(frame);
    const statement = name === undefined ? undefined : this.#names.get(name);
    if (!statement || statement === FOREIGN) return { kind: 'send', bytes: frame };
    this.#parses.executed(statement);
    let key = this.#parses.hidesSchemas ? statement.alone : statement.key;
    let own = this.#kept.find(key);
    let before: Buffer = NOTHING;
    if (own === undefined && this.#parses.isApart(statement)) {
      key = statement.alone;
      own = this.#kept.find(key);
    }
    if (own === undefined) {
      if (this.#host.ledger.spoilt) return lost();
      ({ own, before } = this.#prepare(key, statement.body));
    }
    return { kind: 'send', bytes: Buffer.concat([before, renamed(own)]), note: this.#kept.use(key) };
  }

  /** Prepares the statement on the present connection, in front of the message that uses it. */
  #prepare(key: string, body: Buffer): { readonly own: string; readonly before: Buffer } {
    const { own, before, note } = this.#kept.add(key);
    this.#host.ledger.sent(Op.parse, Kind.swallow, { showsError: true, ...note });
    return { own, before: Buffer.concat([before, renamedParse(own, body)]) };
  }

  #useUnnamed(frame: Buffer): Plan {
    const { link, ledger } = this.#host;
    const { parse, turn } = this.#unnamed;
    if (!parse) return { kind: 'refuse', error: noUnnamed() };
    this.#parses.executed(parse);
    if (turn === link.checkOuts) return { kind: 'send', bytes: frame };
    if (!parse.frame) return { kind: 'refuse', error: noUnnamed() };
    if (ledger.spoilt) return lost();
    ledger.sent(Op.parse, Kind.swallow, { showsError: true, ...this.#unnamed.again(link.checkOuts) });
    return { kind: 'send', bytes: Buffer.concat([parse.frame, frame]) };
  }

  #close(frame: Buffer, name: string | undefined): Plan {
    if (name === '') return { kind: 'send', bytes: frame, note: this.#unnamed.drop() };
    const statement = name === undefined ? undefined : this.#names.get(name);
    if (name === undefined || !statement) return { kind: 'send', bytes: frame };
    this.#names.remove(name);
    const change = this.#owed.add(
      name,
      () => {},
      () => this.#names.restore(name, statement),
    );
    if (statement === FOREIGN) return { kind: 'send', bytes: frame, note: change };
    if (!this.#host.ledger.changing)
      return { kind: 'local', note: { answer: () => CLOSE_COMPLETE, ...change } };
    // The Close of a name that no statement has: a COPY may be running, and only the server knows whether it answers.
    return { kind: 'send', bytes: encodeClose('S', newName()), note: change };
  }
}

const noUnnamed = (): GatewayError =>
  new GatewayError('invalid_sql_statement_name', 'unnamed prepared statement does not exist');

/** The statement that a message is about; undefined for a portal, or where it cannot be read. */
const nameFor = (type: number, frame: Buffer): string | undefined =>
  type === Frontend.parse || type === Frontend.bind
    ? nameIn(frame, type === Frontend.bind)
    : statementIn(frame);
