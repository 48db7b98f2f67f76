/**
 * Prepared statements of a session whose server connections change: the client uses its own names; on a server connection
 * a statement has a name of the gateway, and is prepared there when it is first used.
 */
import { GatewayError } from '../../contract/errors.ts';
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import { CLOSE_COMPLETE } from '../../wire/to-client.ts';
import { encodeClose, encodeDescribe } from '../../wire/to-server.ts';
import { deallocated } from './deallocate.ts';
import { Deallocations } from './deallocations.ts';
import type { Plan } from '../message-action.ts';
import { Op, ResponseAction } from '../requests/request-queue.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import { ServerStatements, newName } from './server-statements.ts';
import {
  isCutOff,
  nameFor,
  nameIn,
  parseParts,
  portalIn,
  renamedBind,
  renamedParse,
  statementIn,
} from './statement-names.ts';
import { ClientStatements, PendingChanges, UnnamedStatement } from './client-statements.ts';
import { hasNoCommandWord } from '../session-state-detection.ts';
import { NO_EFFECTS, UNSHARED, mayDiscard } from './prepared-statement.ts';
import type { PreparedStatement } from './prepared-statement.ts';
import { DescribeObserver } from './description.ts';
import { DescriptionCheck, resultChanged } from './description-check.ts';
import { ParseHandler, orderLost } from './parse.ts';
import type { PreparedStatementsHost } from './parse.ts';
import { ANY_SETTING } from '../settings/setting-names.ts';
import { PlainMessages } from './plain-messages.ts';

const NOTHING = Buffer.alloc(0);

/** One per session. */
export class PreparedStatements {
  readonly #host: PreparedStatementsHost;
  readonly #names = new ClientStatements();
  readonly #onServer: ServerStatements;
  /** Unconfirmed changes by the client's names. */
  readonly #pending: PendingChanges;
  readonly #unnamed: UnnamedStatement;
  readonly #parseHandler: ParseHandler;
  readonly #deallocations: Deallocations;
  /** See {@link DescriptionCheck}. */
  readonly check: DescriptionCheck;
  /** See {@link PlainMessages}. */
  readonly plain: PlainMessages;

  constructor(host: PreparedStatementsHost) {
    this.#host = host;
    this.#onServer = new ServerStatements(host.link, host.outstanding, host.source.known);
    this.#pending = new PendingChanges(host.outstanding);
    this.#unnamed = new UnnamedStatement(this.#pending);
    const remembered = {
      names: this.#names,
      onServer: this.#onServer,
      unnamed: this.#unnamed,
      pending: this.#pending,
    };
    this.#parseHandler = new ParseHandler(host, remembered);
    this.#deallocations = new Deallocations(this.#names, host.outstanding);
    this.check = new DescriptionCheck(host, remembered, this.#parseHandler);
    this.plain = new PlainMessages(host, remembered, this.#parseHandler);
  }

  /** DEALLOCATE ALL or DISCARD ALL: the client and the connection have no named statements any more. */
  forgetAll(): void {
    this.#names.clear();
    this.#onServer.clear();
  }

  /** A DEALLOCATE of one name has completed. */
  deallocated(): void {
    this.#deallocations.completed();
  }

  /** True, once, where names of the client are left on the connection. Call it between two transactions. */
  takeLeftNames(): boolean {
    return this.#deallocations.takeLeft();
  }

  /** A Query or unnamed Parse that is refused without a server drops the unnamed statement. */
  forgetUnnamed(op: number, frame: Buffer): void {
    if (op === Op.query || isUnnamedParse(op, frame)) this.#unnamed.forget();
  }

  /** So does one that the server refuses, unless it skips the message. */
  refused(op: number, frame: Buffer): RequestObserver | undefined {
    if (op === Op.query) return this.#unnamed.drop();
    if (!isUnnamedParse(op, frame)) return undefined;
    const parse = { ...NO_EFFECTS, frame: undefined, plain: false };
    return this.#unnamed.prepare(parse, this.#host.link.checkOuts);
  }

  /** True for a message that the gateway answers without a server: a Parse of a statement that was prepared before, or its Close. */
  answersWithoutServer(type: number, frame: Buffer): boolean {
    if ((type !== Frontend.parse && type !== Frontend.close) || isCutOff(frame)) return false;
    if (type === Frontend.close) return this.#names.has(statementIn(frame) ?? '');
    const parts = parseParts(frame);
    if (!parts || parts.name === '' || this.#names.has(parts.name)) return false;
    return this.#parseHandler.knownFor(parts.body) !== undefined;
  }

  /** True where the action depends on an outstanding answer. */
  mustWait(type: number, frame: Buffer): boolean {
    if (this.check.waiting) return true;
    const { outstanding } = this.#host;
    const { mayFail } = this.#onServer;
    if (!outstanding.answered && type === Frontend.query) return !outstanding.stuck && this.#frees(frame);
    const { changing } = outstanding;
    const sure = !changing && !mayFail && this.#onServer.pending.none && this.#pending.none;
    if (outstanding.answered || sure || outstanding.skipping || outstanding.stuck) return false;
    const name = nameFor(type, frame);
    if (name === undefined || mayFail) return name !== undefined;
    if (changing && this.#addsGatewayMessage(type, name, frame)) return true;
    // An unnamed Parse or Close replaces the unnamed statement in any case.
    if (name === '' && (type === Frontend.parse || type === Frontend.close)) return false;
    const { key, alone } = this.#names.get(name) ?? UNSHARED;
    return this.#pending.has(name) || this.#onServer.pending.has(key) || this.#onServer.pending.has(alone);
  }

  /** True for a Query that deallocates names of the session. */
  #frees(frame: Buffer): boolean {
    return !this.#names.none && !isCutOff(frame) && this.#deallocations.concern(deallocated(textOf(frame)));
  }

  /** True for a Bind or Describe in front of which the gateway sends a Parse. */
  prepares(type: number, frame: Buffer): boolean {
    if (type !== Frontend.bind && type !== Frontend.describe) return false;
    const name = nameFor(type, frame);
    return name !== undefined && this.#addsGatewayMessage(type, name, frame);
  }

  /** True if the gateway sends a message in front, or answers in its place: either would be lost in a COPY that fails. */
  #addsGatewayMessage(type: number, name: string, frame: Buffer): boolean {
    if (type === Frontend.close) return false;
    // A long one is not described.
    if (type === Frontend.parse) return name !== '' && (this.#names.has(name) || !isCutOff(frame));
    if (name === '') {
      const { parse, preparedAt } = this.#unnamed;
      return parse !== undefined && (parse.discards || preparedAt !== this.#host.link.checkOuts);
    }
    const statement = this.#names.get(name) ?? UNSHARED;
    if (statement.discards) return true;
    return statement !== UNSHARED && this.#parseHandler.onConnection(statement).serverName === undefined;
  }

  /** The plan for a Query, Parse, Bind, Describe or Close. @throws GatewayError `program_limit_exceeded` */
  plan(type: number, frame: Buffer): Plan {
    switch (type) {
      case Frontend.query:
        return this.#query(frame);
      case Frontend.parse:
        return this.#parseHandler.plan(frame);
      case Frontend.bind:
        return this.#bind(frame);
      case Frontend.describe:
        return this.#use(frame, statementIn(frame), (serverName) => encodeDescribe('S', serverName));
      case Frontend.close:
        return this.#close(frame, statementIn(frame));
      case Frontend.execute:
        return { kind: 'send', bytes: frame, observer: this.#deallocations.executes(portalIn(frame)) };
      case Frontend.functionCall:
        this.#parseHandler.context.touches(ANY_SETTING);
        return { kind: 'send', bytes: frame };
      default:
        return { kind: 'send', bytes: frame };
    }
  }

  #query(frame: Buffer): Plan {
    const text = textOf(frame);
    const kind = isCutOff(frame) ? 'cut' : hasNoCommandWord(text) ? 'plain' : 'other';
    this.#parseHandler.context.readQuery(text, kind);
    const observer = this.#unnamed.drop();
    if (kind === 'plain' || !mayDiscard(text)) return { kind: 'send', bytes: frame, observer };
    this.#onServer.mayFail = true;
    const freed = kind === 'cut' ? [] : deallocated(text);
    const before = this.#deallocations.beforeQuery(freed);
    if (before.length === 0) return { kind: 'send', bytes: frame, observer };
    return { kind: 'send', bytes: Buffer.concat([before, frame]), observer };
  }

  // ---- Bind, Describe, Close ----

  #bind(frame: Buffer): Plan {
    const name = nameIn(frame, true);
    const { deallocates } = (name === '' ? this.#unnamed.parse : this.#names.get(name ?? '')) ?? NO_EFFECTS;
    const use = (): Plan => this.#use(frame, name, (serverName) => renamedBind(frame, serverName));
    const { readsExecutes } = this.#deallocations;
    if (deallocates.length === 0 && !readsExecutes) return use();
    if (deallocates.length > 0 && this.#host.outstanding.outOfSync) return orderLost();
    const before = this.#deallocations.beforeBind(portalIn(frame), deallocates);
    if (this.#deallocations.readsExecutes && !readsExecutes)
      this.#host.queryHook.messageMask.inspectPortals();
    const plan = use();
    return plan.kind === 'send' ? { ...plan, bytes: Buffer.concat([before, plan.bytes]) } : plan;
  }

  #use(frame: Buffer, name: string | undefined, renamed: (serverName: string) => Buffer): Plan {
    if (name === '') return this.#useUnnamed(frame);
    const statement = name === undefined ? undefined : this.#names.get(name);
    if (!statement || statement === UNSHARED) return { kind: 'send', bytes: frame };
    if (this.check.takeDifference(statement)) return { kind: 'refuse', error: resultChanged() };
    this.#parseHandler.executed(statement);
    const { key, serverName } = this.#parseHandler.onConnection(statement);
    if (serverName === undefined && this.#host.outstanding.outOfSync) return orderLost();
    const [prepared, before] =
      serverName === undefined ? this.#prepare(statement, key) : [serverName, NOTHING];
    return {
      kind: 'send',
      bytes: Buffer.concat([before, renamed(prepared)]),
      observer: this.#onServer.use(prepared, statement.parsed),
    };
  }

  /** Prepares the statement on the present connection, in front of the message that uses it. */
  #prepare(statement: PreparedStatement, key: string): [serverName: string, before: Buffer] {
    const { outstanding } = this.#host;
    const { serverName, at, before, observer } = this.#onServer.add(key);
    outstanding.sent(Op.parse, ResponseAction.skip, { showsError: true, ...observer });
    const parse = Buffer.concat([before, renamedParse(serverName, statement.again)]);
    if (statement.description !== undefined || outstanding.changing) return [serverName, parse];
    outstanding.sent(Op.describe, ResponseAction.skip, this.#parseHandler.learns(statement, at));
    return [serverName, Buffer.concat([parse, encodeDescribe('S', serverName)])];
  }

  #useUnnamed(frame: Buffer): Plan {
    const { link, outstanding } = this.#host;
    const { parse, preparedAt } = this.#unnamed;
    if (!parse) return preparedAt === link.checkOuts ? this.#useDropped(frame) : noUnnamed();
    if (this.check.takeDifference(parse)) return { kind: 'refuse', error: resultChanged() };
    this.#parseHandler.executed(parse);
    const isDescribe = frame[0] === Frontend.describe;
    const observer = isDescribe ? new DescribeObserver((said) => (parse.description = said)) : undefined;
    if (preparedAt === link.checkOuts) return { kind: 'send', bytes: frame, observer };
    if (!parse.frame) return noUnnamed();
    if (outstanding.outOfSync) return orderLost();
    outstanding.sent(Op.parse, ResponseAction.skip, {
      showsError: true,
      ...this.#unnamed.again(link.checkOuts),
    });
    return { kind: 'send', bytes: Buffer.concat([parse.frame, frame]), observer };
  }

  /** A COPY may hide whether the server has skipped the message that drops it: only the server knows whether there is one. */
  #useDropped(frame: Buffer): Plan {
    const { droppedParse } = this.#unnamed;
    if (droppedParse) this.#parseHandler.executed(droppedParse);
    return { kind: 'send', bytes: frame };
  }

  #close(frame: Buffer, name: string | undefined): Plan {
    if (name === '') return { kind: 'send', bytes: frame, observer: this.#unnamed.drop() };
    const statement = name === undefined ? undefined : this.#names.get(name);
    if (name === undefined || !statement) return { kind: 'send', bytes: frame };
    this.#names.remove(name);
    const change = this.#pending.add(
      name,
      () => {},
      () => this.#names.restore(name, statement),
    );
    if (statement === UNSHARED) return { kind: 'send', bytes: frame, observer: change };
    if (!this.#host.outstanding.changing)
      return { kind: 'answer', observer: { answer: () => CLOSE_COMPLETE, ...change } };
    // The Close of a name that no statement has: a COPY may be running, and only the server knows whether it answers.
    return { kind: 'send', bytes: encodeClose('S', newName()), observer: change };
  }
}

/** The text of a Query: bytes as characters. */
const textOf = (frame: Buffer): string => frame.toString('latin1', HEADER_BYTES, frame.length - 1);

const noUnnamed = (): Plan => ({
  kind: 'refuse',
  error: new GatewayError('invalid_sql_statement_name', 'unnamed prepared statement does not exist'),
});

const isUnnamedParse = (op: number, frame: Buffer): boolean => op === Op.parse && frame[HEADER_BYTES] === 0;
