/** Decides about messages that carry statements: shows them to `onQuery`, rewrites, refuses, answers commands for the gateway. */
import { GatewayError } from '../errors.ts';
import type { Statement } from '../statement.ts';
import { Attention } from './attention.ts';
import { HEADER_BYTES } from '../wire/frames.ts';
import { readyForQuery, refusal } from '../wire/to-client.ts';
import { FLUSH } from '../wire/to-server.ts';
import { Calm } from './calm.ts';
import { ClientEncoding } from './client-encoding.ts';
import { Streamed, preceded } from './decision.ts';
import type { Decision, Plan } from './decision.ts';
import { Kind, OP_OF, Op } from './entries.ts';
import type { Note } from './entries.ts';
import type { GateHost, GateOptions } from './gate-options.ts';
import { HookCall } from './hook-call.ts';
import { joined } from './joined-note.ts';
import { isTooLong, needsWhole, tooLong } from './longest.ts';
import { isCutOff } from './named-messages.ts';
import { OwnStatements, isForUs } from './own-statements.ts';
import { poison } from './poison.ts';
import { StatementBook, needsText } from './statement-book.ts';

/** One per session. */
export class Gate {
  readonly #host: GateHost;
  readonly #options: GateOptions;
  readonly #hooks: HookCall;
  /** Made for the first statement for the gateway, and for the first that is inspected: most sessions need neither. */
  #own: OwnStatements | undefined;
  #book: StatementBook | undefined;
  readonly attention: Attention;
  /** Present where a plugin reads statements. */
  readonly #encoding: ClientEncoding | undefined;
  /** Holds a message back until answers have arrived. */
  readonly calm: Calm;
  #discarding = false;

  constructor(host: GateHost, options: GateOptions) {
    this.#host = host;
    this.#options = options;
    this.#hooks = new HookCall(options);
    const { query, reads, statementsFrom } = options;
    this.#encoding = query && needsText(reads) ? new ClientEncoding(host, reads) : undefined;
    this.calm = new Calm(host, host.shared, this.#encoding);
    const made = { observed: host.statements !== undefined, shared: host.shared !== undefined };
    this.attention = new Attention({ asked: query && reads, ...made, statementsFrom, watched: host.watched });
  }

  /** A message of the extended protocol was refused here: messages up to the Sync are dropped, as PostgreSQL does. */
  get discarding(): boolean {
    return this.#discarding;
  }

  /** True for a message, `bytes` long, that is longer than may be assembled. */
  exceeds(type: number, frame: Buffer, bytes: number): boolean {
    return isTooLong(type, frame, bytes, this.#options.maxStatementBytes);
  }

  /** True when {@link message} must decide about it; `frame` has its first 64 KiB at least. */
  concerns(type: number, frame: Buffer): boolean {
    if (this.attention.wakes(type, frame)) this.#update();
    if (this.attention.looks || this.#own?.any) return true;
    return this.#host.shared !== undefined || isForUs(type, frame);
  }

  /** True when {@link message} must see all of it, `bytes` long. */
  needsWhole(type: number, frame: Buffer, bytes: number): boolean {
    return needsWhole(type, bytes, this.#host.shared !== undefined, this.#options) || isForUs(type, frame);
  }

  /** Decides about one message. Synchronous when every hook is, and no answer has to be awaited first. */
  message(type: number, frame: Buffer): Decision | Promise<Decision> {
    if (!this.calm.isNeeded(type, frame)) return this.#decide(type, frame);
    return this.calm.wait(type, frame).then(() => this.#decide(type, frame));
  }

  #decide(type: number, frame: Buffer): Decision | Promise<Decision> {
    const op = OP_OF[type] ?? 0;
    const forUs = isForUs(type, frame);
    // The server discards the message.
    if (this.#host.ledger.skipping && op !== Op.sync) return forUs ? undefined : frame;
    if (forUs) return this.#answerOwn(type, op, frame);
    let statement: Statement | undefined;
    try {
      const own = this.#own?.any ? this.#own.about(type, frame) : undefined;
      if (own) return this.#local(op, own);
      statement = this.#open(type, frame);
      this.#encoding?.check(type, frame, statement);
      if (!this.#hooks.wants(statement)) return this.#send(type, op, frame, statement);
      return this.#ask(type, op, frame, statement);
    } catch (thrown) {
      return this.#refuse(op, frame, thrown, statement);
    }
  }

  /** Refuses a message that is longer than may be assembled; `frame` is its beginning. */
  tooLong(type: number, frame: Buffer): Decision {
    const statement = this.#open(type, frame);
    return this.#refuse(OP_OF[type] ?? 0, frame, tooLong(this.#options.maxStatementBytes), statement);
  }

  /** The client's Sync behind messages that were dropped. */
  endDiscard(): void {
    this.#discarding = false;
    this.#update();
    this.#local(Op.sync, { answer: () => readyForQuery('I') });
  }

  /** The order of answers is lost: an answer of the gateway cannot be placed any more. */
  lost(): void {
    this.#host.unplaceable(new GatewayError('protocol_violation', 'the order of answers was lost'));
  }

  /** See {@link HookCall.cancel}. */
  cancel(): boolean {
    return this.#hooks.cancel();
  }

  // ---- commands for the gateway ----

  async #answerOwn(type: number, op: number, frame: Buffer): Promise<Decision> {
    this.#own ??= new OwnStatements(this.#options);
    try {
      const note = await this.#hooks.race(this.#own.begin(type, frame));
      // A Query makes PostgreSQL send its buffered answers; without the Flush they would stay in front of this one.
      const flush = op === Op.query && !this.#host.ledger.answered ? FLUSH : undefined;
      this.#local(op, note);
      return flush;
    } catch (thrown) {
      return this.#refuse(op, frame, thrown);
    }
  }

  #local(op: number, note: Note): undefined {
    if (this.#host.ledger.spoilt || this.#host.ledger.uncertain) {
      this.lost();
      return;
    }
    this.#host.ledger.sent(op, Kind.local, note);
    this.#update();
  }

  #update(): void {
    this.attention.update(this.#discarding, this.#own?.any === true);
  }

  // ---- statements for the server ----

  #ask(type: number, op: number, frame: Buffer, shown: Statement): Decision | Promise<Decision> {
    const send = (approved: Statement): Decision | Promise<Decision> => {
      const rewritten = this.#hooks.frameOf(frame, shown, approved);
      if (rewritten === frame) return this.#send(type, op, frame, approved);
      const sent = (): Decision | Promise<Decision> => {
        this.#encoding?.checkRewrite(type, frame, rewritten);
        return this.#send(type, op, rewritten, approved);
      };
      return this.calm.isNeeded(type, rewritten) ? this.calm.wait(type, rewritten).then(sent) : sent();
    };
    const answer = this.#hooks.ask(shown);
    const decision = answer instanceof Promise ? answer.then(send) : send(answer);
    const refused = (thrown: unknown): Decision => this.#refuse(op, frame, thrown, shown);
    return decision instanceof Promise ? decision.catch(refused) : decision;
  }

  /** Requests a server connection where the session has none: not before a hook has answered, which may take long. */
  #send(type: number, op: number, frame: Buffer, statement?: Statement): Decision | Promise<Decision> {
    const { unlinkedMessages } = this.#host;
    if (unlinkedMessages.isReady(type, frame)) return this.#sendNow(type, op, frame, statement);
    const sent = unlinkedMessages.connection().then(() => this.#sendNow(type, op, frame, statement));
    return sent.catch((thrown: unknown) => this.#refuse(op, frame, thrown, statement));
  }

  #sendNow(type: number, op: number, frame: Buffer, statement?: Statement): Decision {
    const probe = this.#encoding?.probe(type, frame);
    if (!probe) return this.#pass(type, op, frame, statement);
    try {
      return preceded(probe, this.#pass(type, op, frame, statement), frame);
    } catch (thrown) {
      return preceded(probe, this.#refuse(op, frame, thrown, statement), frame);
    }
  }

  #pass(type: number, op: number, frame: Buffer, statement: Statement | undefined): Decision {
    if (this.#book && this.#host.betweenTransactions()) this.#book.transactionEnded();
    const note = this.#book?.sent(type, frame, statement);
    this.#encoding?.sent(type, statement);
    this.#host.sends(type, frame);
    const plan = this.#host.shared?.plan(type, frame);
    if (plan) return this.#carryOut(plan, op, frame, note);
    this.#host.ledger.sent(op, Kind.forward, note);
    return frame;
  }

  #carryOut(plan: Plan, op: number, frame: Buffer, note: Note | undefined): Decision {
    if (plan.kind === 'refuse') {
      note?.dropped?.();
      return this.#refuse(op, frame, plan.error);
    }
    if (plan.kind === 'local') return this.#local(op, joined(plan.note, note));
    this.#host.ledger.sent(op, Kind.forward, joined(plan.note, note));
    return plan.bytes === frame || !isCutOff(frame) ? plan.bytes : new Streamed(plan.bytes);
  }

  /** True for a message that needs no server connection, while the session has none. */
  answersAlone(type: number, frame: Buffer): boolean {
    return this.#host.shared?.answersAlone(type, frame) === true || isForUs(type, frame);
  }

  /** Refuses a message for which there is no server connection; `frame` has its first 64 KiB at least. */
  refuseVacant(type: number, frame: Buffer, error: GatewayError): void {
    if (this.attention.wakes(type, frame)) this.#update();
    const statement = this.#open(type, frame);
    this.#refuseHere(OP_OF[type] ?? 0, error, this.#book?.refused(frame, statement, error));
  }

  /** The statement in a message; undefined where statements are not inspected. */
  #open(type: number, frame: Buffer): Statement | undefined {
    if (!this.attention.looks) return undefined;
    this.#book ??= new StatementBook(this.#options.reads, this.#host.statements);
    return this.#book.open(type, frame);
  }

  // ---- refusals ----

  #refuse(op: number, frame: Buffer, thrown: unknown, statement?: Statement): Decision {
    const { ledger, shared } = this.#host;
    const error = this.#options.fault(thrown);
    const followed = this.#book?.refused(frame, statement, error);
    if (ledger.spoilt) {
      this.#host.unplaceable(error);
      return undefined;
    }
    // Where connections change, the unnamed statement is the session's and drops without the server.
    if (op === Op.query || (op === Op.parse && frame[HEADER_BYTES] === 0)) shared?.forgetUnnamed();
    const alone = shared !== undefined || !this.#book?.leavesUnnamed;
    if (alone && this.#host.betweenTransactions()) return this.#refuseHere(op, error, followed);
    ledger.sent(op, Kind.mask, joined({ error }, followed));
    return poison(op, frame);
  }

  /** The server is idle and never sees the message: the gateway answers, and drops the rest of its batch. */
  #refuseHere(op: number, error: GatewayError, note: Note | undefined): undefined {
    const text = refusal('ERROR', error);
    this.#discarding = op !== Op.query && op !== Op.functionCall;
    const bytes = this.#discarding ? text : Buffer.concat([text, readyForQuery('I')]);
    this.#local(op, joined({ answer: () => bytes }, note));
    // PostgreSQL does not keep an error in its buffer.
    this.#host.ledger.flush();
  }
}
