/** Decides about messages that carry statements. */
import { GatewayError } from '../../contract/errors.ts';
import type { Statement } from '../../contract/statement.ts';
import { Frontend } from '../../wire/frames.ts';
import { readyForQuery, refusal } from '../../wire/to-client.ts';
import { FLUSH } from '../../wire/to-server.ts';
import type { OutstandingRequests } from '../requests/outstanding-requests.ts';
import type { PreparedStatements } from '../prepared/prepared-statements.ts';
import type { DescriptionCheck } from '../prepared/description-check.ts';
import { UNCHANGED } from '../prepared/plain-messages.ts';
import { Streamed, preceded } from '../message-action.ts';
import type { MessageAction, Plan } from '../message-action.ts';
import { OP_OF, Op, ResponseAction, combined } from '../requests/request-queue.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import { isCutOff } from '../prepared/statement-names.ts';
import type { HookCallOptions } from './hook-call.ts';
import type { StatementObserver } from './statement-observer.ts';
import { MessageMask, isTooLong, needsWhole, tooLong } from './message-mask.ts';
import { ResponseBarrier } from './response-barrier.ts';
import type { ResponseBarrierHost } from './response-barrier.ts';
import { ChunkDecisions } from './chunk-decisions.ts';
import type { ChunkDecisionsHost } from './chunk-decisions.ts';
import { ClientEncoding } from './client-encoding.ts';
import type { ClientEncodingHost } from './client-encoding.ts';
import { HookCall } from './hook-call.ts';
import { GatewayCommands, isGatewayCommand } from './gateway-commands.ts';
import { injectError } from './error-injection.ts';
import { StatementTexts, needsText } from './statement-texts.ts';

/** What the query hook needs of the relay. */
export interface QueryHookHost extends ChunkDecisionsHost, ClientEncodingHost, ResponseBarrierHost {
  readonly outstanding: OutstandingRequests;
  /** Present where server connections change between transactions. */
  readonly prepared?: PreparedStatements | undefined;
  /** Absent where no plugin observes statements. */
  readonly statements?: StatementObserver | undefined;
  /** Where the session's server connection is requested, if it has none. */
  readonly unlinkedMessages: {
    /** The session has a server connection. */
    readonly isLinked: boolean;
    /** True for a message that may be sent now, or is answered without a server. If it is not, await `connection`. */
    isReady(type: number, frame: Buffer): boolean;
    connection(): Promise<void>;
  };
  /** See {@link RelayOptions.watches}. */
  readonly watched: boolean;
  /** A message with a statement is about to be sent to the server. */
  sends(type: number, frame: Buffer): void;
  /** Sends bytes of the gateway's to the server. */
  toServer(bytes: Buffer): void;
  /** The refusal cannot be placed in the order of answers: the session ends with it. */
  unplaceable(error: GatewayError): void;
}

/** At once, unless a hook or an answer of the server has to be awaited. */
type Later = MessageAction | Promise<MessageAction>;

/** What the query hook's decisions depend on. */
interface QueryHookOptions extends HookCallOptions {
  inBand(name: string, value: string): Promise<void>;
  /** Longest message that is assembled, in bytes. */
  readonly maxStatementBytes: number;
  /** Statements are observed from the first text on that contains this one. Default: from the start. */
  readonly statementsFrom?: string | undefined;
  /** Makes an error that the client may read of any value that a hook threw. */
  fault(thrown: unknown): GatewayError;
}

/**
 * Decides about messages that carry statements: shows them to `onQuery`, rewrites, refuses, answers commands for the
 * gateway. One per session.
 */
export class QueryHook {
  readonly #host: QueryHookHost;
  readonly #options: QueryHookOptions;
  readonly #hooks: HookCall;
  /** Made for the first statement for the gateway, and for the first that is inspected: most sessions need neither. */
  #commands: GatewayCommands | undefined;
  #texts: StatementTexts | undefined;
  /** Made with `#texts` where a plugin decides. */
  #decisions: ChunkDecisions | undefined;
  readonly messageMask: MessageMask;
  /** Present where a plugin reads statements. */
  readonly #encoding: ClientEncoding | undefined;
  /** Holds a message back until answers have arrived. */
  readonly barrier: ResponseBarrier;
  #discarding = false;

  constructor(host: QueryHookHost, options: QueryHookOptions) {
    this.#host = host;
    this.#options = options;
    this.#hooks = new HookCall(options);
    const { query, reads, statementsFrom } = options;
    this.#encoding = query && needsText(reads) ? new ClientEncoding(host, reads) : undefined;
    this.barrier = new ResponseBarrier(host, host.prepared, this.#encoding && this);
    const made = { observed: host.statements !== undefined, prepared: host.prepared !== undefined };
    this.messageMask = new MessageMask({
      asked: query && reads,
      ...made,
      statementsFrom,
      watched: host.watched,
    });
  }

  /** A message of the extended protocol was refused here: messages up to the Sync are dropped, as PostgreSQL does. */
  get discarding(): boolean {
    return this.#discarding;
  }

  /**
   * Decides about the whole message in `data` from `at` to `end` where it stands: the name under which a Bind is sent,
   * {@link UNCHANGED} for a message that is sent as it is; it has its entry in the queue then. Undefined: it needs {@link message}.
   */
  inChunk(type: number, data: Buffer, at: number, end: number): string | undefined {
    const { outstanding, prepared } = this.#host;
    const texts = this.#texts;
    if (outstanding.skipping || !texts || !this.#host.unlinkedMessages.isLinked) return undefined;
    const isNamed = prepared !== undefined && (type === Frontend.bind || type === Frontend.parse);
    if (!isNamed && type !== Frontend.bind && type !== Frontend.execute && type !== Frontend.sync)
      return undefined;
    if (texts.anyPortal && this.#host.betweenTransactions()) texts.transactionEnded();
    const follows = this.#decisions ?? texts;
    if (isNamed) return prepared.plain.nameFor(type, data, at, end, follows);
    const observer = follows.sentInChunk(type, data, at, end);
    if (observer === 'read') return undefined;
    this.#host.sends(type, data);
    outstanding.sent(OP_OF[type] ?? 0, ResponseAction.forward, observer);
    return UNCHANGED;
  }

  /** See {@link ChunkDecisions.approves}: the session has no server connection, and may request one. */
  approves(data: Buffer, at: number): boolean {
    return this.messageMask.decides && this.#decisions?.approves(data, at) === true;
  }

  /** True for a message, `bytes` long, that is longer than may be assembled. */
  exceeds(type: number, frame: Buffer, bytes: number): boolean {
    return isTooLong(type, frame, bytes, this.#options.maxStatementBytes);
  }

  /** True when {@link message} must decide about it; `frame` has its first 64 KiB at least. */
  concerns(type: number, frame: Buffer): boolean {
    if (this.messageMask.startsObserving(type, frame)) this.#update();
    if (this.messageMask.observesStatements || this.#commands?.any) return true;
    return this.#host.prepared !== undefined || isGatewayCommand(type, frame);
  }

  /** True when {@link message} must see all of it, `bytes` long. */
  needsWhole(type: number, frame: Buffer, bytes: number): boolean {
    return (
      needsWhole(type, bytes, this.#host.prepared !== undefined, this.#options) ||
      isGatewayCommand(type, frame)
    );
  }

  /** Decides about one message. Synchronous when every hook is, and no answer has to be awaited first. */
  message(type: number, frame: Buffer): Later {
    if (!this.barrier.isNeeded(type, frame)) return this.#decide(type, frame);
    return this.barrier.wait(type, frame).then(() => this.#decide(type, frame));
  }

  /** Where a plugin reads statements: true for a message that cannot be read yet as the server will. */
  mustWait(type: number, frame: Buffer): boolean {
    const { outstanding } = this.#host;
    if (this.#encoding?.mustWait(type, frame) === true) return true;
    return !outstanding.skipping && !outstanding.stuck && this.#texts?.isUncertain(type, frame) === true;
  }

  #decide(type: number, frame: Buffer): Later {
    const op = OP_OF[type] ?? 0;
    const isCommand = isGatewayCommand(type, frame);
    // The server discards the message.
    if (this.#host.outstanding.skipping && op !== Op.sync) {
      this.#decisions?.ahead.clear();
      return isCommand ? undefined : frame;
    }
    if (isCommand) return this.#answerCommand(type, op, frame);
    let statement: Statement | undefined;
    try {
      const own = this.#commands?.any ? this.#commands.about(type, frame) : undefined;
      if (own) return this.#answerHere(op, own);
      const ahead = this.messageMask.asks(type) ? this.#decisions?.ahead.take(frame) : undefined;
      statement = ahead ? ahead.statement : this.#open(type, frame);
      this.#encoding?.check(type, frame, statement);
      this.#texts?.check(type, frame);
      if (!this.#hooks.wants(statement)) return this.#send(type, frame, statement);
      if (ahead?.refusal) throw ahead.refusal.thrown;
      return this.#ask(type, frame, statement, ahead?.answer);
    } catch (thrown) {
      return this.#refuse(op, frame, thrown, statement);
    }
  }

  /** Refuses a message that is longer than may be assembled; `frame` is its beginning. */
  tooLong(type: number, frame: Buffer): MessageAction {
    const statement = this.#open(type, frame);
    return this.#refuse(OP_OF[type] ?? 0, frame, tooLong(this.#options.maxStatementBytes), statement);
  }

  /** The client's Sync behind messages that were dropped. */
  endDiscard(): void {
    this.#discarding = false;
    this.#update();
    this.#answerHere(Op.sync, { answer: () => readyForQuery('I') });
  }

  /** The order of answers is lost: an answer of the gateway cannot be placed any more. */
  failOrderLost(): void {
    this.#host.unplaceable(new GatewayError('protocol_violation', 'the order of answers was lost'));
  }

  /** See {@link HookCall.cancel}. */
  cancel(): boolean {
    return this.#hooks.cancel();
  }

  // ---- commands for the gateway ----

  async #answerCommand(type: number, op: number, frame: Buffer): Promise<MessageAction> {
    this.#commands ??= new GatewayCommands(this.#options);
    try {
      const observer = await this.#hooks.race(this.#commands.begin(type, frame));
      // A Query makes PostgreSQL send its buffered answers; without the Flush they would stay in front of this one.
      const flush = op === Op.query && !this.#host.outstanding.answered ? FLUSH : undefined;
      this.#answerHere(op, observer);
      return flush;
    } catch (thrown) {
      return this.#refuse(op, frame, thrown);
    }
  }

  #answerHere(op: number, observer: RequestObserver): undefined {
    if (this.#host.outstanding.outOfSync || this.#host.outstanding.recovery) {
      this.failOrderLost();
      return;
    }
    this.#host.outstanding.sent(op, ResponseAction.synthesize, observer);
    this.#update();
  }

  #update(): void {
    this.messageMask.update(this.#discarding, this.#commands?.any === true);
  }

  // ---- statements for the server ----

  /** `known`: the answer of the hooks, if they have been asked. */
  #ask(type: number, frame: Buffer, shown: Statement, known?: Statement | Promise<Statement>): Later {
    const send = (approved: Statement): Later => {
      const rewritten = this.#hooks.frameOf(frame, shown, approved);
      if (rewritten === frame) return this.#send(type, frame, approved);
      const sent = (): Later => {
        this.#encoding?.checkRewrite(type, frame, rewritten);
        return this.#send(type, rewritten, approved);
      };
      return this.barrier.isNeeded(type, rewritten) ? this.barrier.wait(type, rewritten).then(sent) : sent();
    };
    const answer = known ?? this.#hooks.ask(shown);
    const action = answer instanceof Promise ? answer.then(send) : send(answer);
    const refused = (thrown: unknown): MessageAction => this.#refuse(OP_OF[type] ?? 0, frame, thrown, shown);
    return action instanceof Promise ? action.catch(refused) : action;
  }

  /** Requests a server connection where the session has none: not before hooks have answered, which may take long. */
  #send(type: number, frame: Buffer, statement?: Statement): Later {
    const reads = !this.#host.unlinkedMessages.isLinked && !this.#commands?.any;
    const ahead = reads && !this.answersWithoutServer(type, frame) ? this.#decisions?.ahead : undefined;
    const asked = ahead?.read(type, frame, statement);
    if (asked) return asked.then(() => this.#sendLinked(type, frame, statement));
    return this.#sendLinked(type, frame, statement);
  }

  #sendLinked(type: number, frame: Buffer, statement?: Statement): Later {
    const { unlinkedMessages } = this.#host;
    if (unlinkedMessages.isReady(type, frame)) return this.#sendNow(type, frame, statement);
    const sent = unlinkedMessages.connection().then(() => this.#sendNow(type, frame, statement));
    return sent.catch((thrown: unknown) => this.#refuse(OP_OF[type] ?? 0, frame, thrown, statement));
  }

  #sendNow(type: number, frame: Buffer, statement?: Statement): Later {
    const op = OP_OF[type] ?? 0;
    const probe = this.#encoding?.probe(type, frame);
    const check = this.#host.prepared?.check;
    if (check?.isNeeded(type, frame) === true) {
      const sent = this.#sendBehind(check, probe, type, op, frame, statement);
      return sent.catch((thrown: unknown) => this.#refuse(op, frame, thrown, statement));
    }
    if (!probe) return this.#pass(type, op, frame, statement);
    try {
      return preceded(probe, this.#pass(type, op, frame, statement), frame);
    } catch (thrown) {
      return preceded(probe, this.#refuse(op, frame, thrown, statement), frame);
    }
  }

  /** The message waits until the server has described its statement. */
  async #sendBehind(
    check: DescriptionCheck,
    probe: Buffer | undefined,
    type: number,
    op: number,
    frame: Buffer,
    statement: Statement | undefined,
  ): Promise<MessageAction> {
    // After the bytes that the current chunk still forwards.
    await Promise.resolve();
    const begun = check.begin(type, frame);
    this.#host.toServer(probe ? Buffer.concat([probe, begun]) : begun);
    await this.barrier.wait(type, frame);
    // The server discards the message.
    if (this.#host.outstanding.skipping) return frame;
    return this.#pass(type, op, frame, statement);
  }

  #pass(type: number, op: number, frame: Buffer, statement: Statement | undefined): MessageAction {
    if (this.#texts?.anyPortal && this.#host.betweenTransactions()) this.#texts.transactionEnded();
    const observer = this.#texts?.sent(type, frame, statement);
    this.#encoding?.sent(type, this.#texts?.textOf(type, statement) ?? '');
    this.#host.sends(type, frame);
    let plan: Plan | undefined;
    try {
      plan = this.#host.prepared?.plan(type, frame);
    } catch (thrown) {
      observer?.dropped?.();
      throw thrown;
    }
    if (plan) return this.#carryOut(plan, op, frame, observer);
    this.#host.outstanding.sent(op, ResponseAction.forward, observer);
    return frame;
  }

  #carryOut(plan: Plan, op: number, frame: Buffer, observer: RequestObserver | undefined): MessageAction {
    if (plan.kind === 'refuse') {
      observer?.dropped?.();
      return this.#refuse(op, frame, plan.error);
    }
    if (plan.kind === 'answer') return this.#answerHere(op, combined(plan.observer, observer));
    this.#host.outstanding.sent(op, ResponseAction.forward, combined(plan.observer, observer));
    if (plan.described) this.#host.outstanding.sent(Op.describe, ResponseAction.skip, plan.described);
    return plan.bytes === frame || !isCutOff(frame) ? plan.bytes : new Streamed(plan.bytes);
  }

  /** True for a message that needs no server connection, while the session has none. */
  answersWithoutServer(type: number, frame: Buffer): boolean {
    return this.#host.prepared?.answersWithoutServer(type, frame) === true || isGatewayCommand(type, frame);
  }

  /** Refuses a message for which there is no server connection; `frame` has its first 64 KiB at least. */
  refuseUnlinked(type: number, frame: Buffer, error: GatewayError): void {
    if (this.messageMask.startsObserving(type, frame)) this.#update();
    const statement = this.#open(type, frame);
    this.#refuseHere(OP_OF[type] ?? 0, error, this.#texts?.refused(frame, statement, error));
  }

  /** The statement in a message; undefined where statements are not inspected. */
  #open(type: number, frame: Buffer): Statement | undefined {
    if (!this.messageMask.observesStatements) return undefined;
    return (this.#texts ?? this.#makeTexts()).open(type, frame);
  }

  #makeTexts(): StatementTexts {
    const { reads, query, maxStatementBytes } = this.#options;
    const outstanding = this.#encoding && this.#host.outstanding;
    const texts = new StatementTexts(reads, this.#host.statements, outstanding);
    const parts = { texts, mask: this.messageMask, encoding: this.#encoding, longest: maxStatementBytes };
    if (query) this.#decisions = new ChunkDecisions(this.#host, this.#hooks, parts);
    return (this.#texts = texts);
  }

  // ---- refusals ----

  #refuse(op: number, frame: Buffer, thrown: unknown, statement?: Statement): MessageAction {
    const { outstanding, prepared } = this.#host;
    const error = this.#options.fault(thrown);
    const followed = this.#texts?.refused(frame, statement, error);
    if (outstanding.outOfSync) {
      this.#host.unplaceable(error);
      return undefined;
    }
    const alone = prepared !== undefined || !this.#texts?.leavesUnnamed;
    if (alone && (!this.#host.unlinkedMessages.isLinked || this.#host.betweenTransactions())) {
      prepared?.forgetUnnamed(op, frame);
      return this.#refuseHere(op, error, followed);
    }
    const observer = combined(combined({ error }, followed), prepared?.refused(op, frame));
    outstanding.sent(op, ResponseAction.replaceError, observer);
    return injectError(op, frame);
  }

  /** The server is idle and never sees the message: the gateway answers, and drops the rest of its batch. */
  #refuseHere(op: number, error: GatewayError, observer: RequestObserver | undefined): undefined {
    const text = refusal('ERROR', error);
    this.#decisions?.ahead.clear();
    this.#discarding = op !== Op.query && op !== Op.functionCall;
    const bytes = this.#discarding ? text : Buffer.concat([text, readyForQuery('I')]);
    this.#answerHere(op, combined({ answer: () => bytes }, observer));
    // PostgreSQL does not keep an error in its buffer.
    this.#host.outstanding.flush();
  }
}
