/** Decisions of hooks that answer at once, about whole messages where they stand in the chunk: nothing of most messages is copied. */
import type { Statement } from '../../contract/statement.ts';
import { Frontend } from '../../wire/frames.ts';
import type { ObservedTexts } from '../prepared/plain-messages.ts';
import { parseParts } from '../prepared/statement-names.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import { BatchAhead, firstExecute } from './batch-ahead.ts';
import type { BatchAheadHost, BatchAheadParts, Decided } from './batch-ahead.ts';
import type { ClientEncoding } from './client-encoding.ts';
import type { HookCall } from './hook-call.ts';
import { isGatewayCommand } from './gateway-commands.ts';
import { ParseStatement } from './statement.ts';
import { isUnnamedExecute } from './statement-texts.ts';

/** The session whose messages are decided about. */
export interface ChunkDecisionsHost extends BatchAheadHost {
  readonly outstanding: { readonly answered: boolean };
}

/** What the decisions depend on. */
interface Parts extends BatchAheadParts {
  /** Absent where no plugin reads texts. */
  readonly encoding: ClientEncoding | undefined;
}

/** Longer messages are not kept to be compared, in bytes. */
const LONGEST_KEPT = 4_096;

/** The hook sends the statement as it is. */
const isApproved = ({ statement, answer }: Decided): boolean => answer === statement;

/** One per session in which a plugin decides; where it reads no parameters, also about messages in the chunk. */
export class ChunkDecisions implements ObservedTexts {
  readonly #host: ChunkDecisionsHost;
  readonly #parts: Parts;
  /** Decisions whose messages have not been processed: those in advance, and those that are carried out elsewhere, as a hook is asked once. */
  readonly ahead: BatchAhead;
  /** All messages up to the first Execute are approved. */
  #isApproved = false;
  /** The last Parse of the unnamed statement: many sessions send the same again. */
  #last: ParseStatement | undefined;

  constructor(host: ChunkDecisionsHost, hooks: HookCall, parts: Parts) {
    this.#host = host;
    this.#parts = parts;
    this.ahead = new BatchAhead(host, hooks, parts);
  }

  /**
   * Before a connection is requested: true if hooks approve at once of the Query at `at`, or of all messages of the batch up to its
   * first Execute. False: they are decided about one by one, with the decisions that have been made here.
   */
  approves(data: Buffer, at: number): boolean {
    const { texts, encoding } = this.#parts;
    if (this.ahead.next) return this.#isApproved;
    this.#isApproved = false;
    if (!this.#host.outstanding.answered || encoding?.isCertain(Frontend.parse) === false) return false;
    if (texts.anyPortal && this.#host.betweenTransactions()) texts.transactionEnded();
    if (data[at] === Frontend.query) return (this.#isApproved = this.#approvedAt(data, at) !== undefined);
    const last = firstExecute(data, at);
    return last >= 0 && (this.#isApproved = this.#approvesBatch(data, at, last));
  }

  /** The batch from `at` on; its first Execute begins at `last`. */
  #approvesBatch(data: Buffer, at: number, last: number): boolean {
    const { texts } = this.#parts;
    let unnamed: string | undefined;
    let portal: string | undefined;
    for (let from = at; from < last;) {
      const end = endOf(data, from);
      if (data[from] === Frontend.bind) {
        portal = texts.textInBind(data, from, end, unnamed);
        if (portal === undefined) return false;
      } else if (data[from] === Frontend.parse) {
        const statement = this.#approvedAt(data, from);
        if (statement?.kind !== 'parse') return false;
        unnamed = statement.sql;
      } else if (data[from] !== Frontend.describe) return false;
      from = end;
    }
    if (portal === undefined || !isUnnamedExecute(data, last, endOf(data, last))) return false;
    return isApproved(this.ahead.decide(texts.openExecute(portal), undefined));
  }

  /** The statement in a Query, or in a Parse of the unnamed statement, if it is approved of. */
  #approvedAt(data: Buffer, at: number): Statement | undefined {
    const { texts, longest } = this.#parts;
    const [type, end] = [data[at] ?? 0, endOf(data, at)];
    if (end > data.length || end - at > longest) return undefined;
    const repeated = this.#repeated(data, at, end);
    if (repeated) return isApproved(this.ahead.decide(repeated, repeated.frame)) ? repeated : undefined;
    const frame = Buffer.from(data.subarray(at, end));
    if (isGatewayCommand(type, frame)) return undefined;
    if (type === Frontend.parse && parseParts(frame)?.name !== '') return undefined;
    const statement = texts.open(type, frame);
    if (statement instanceof ParseStatement && frame.length <= LONGEST_KEPT) this.#last = statement;
    return statement && isApproved(this.ahead.decide(statement, frame)) ? statement : undefined;
  }

  /** The Parse of the unnamed statement in `data` from `at` to `end` where it is the same as the last one: read and decoded once. */
  #repeated(data: Buffer, at: number, end: number): ParseStatement | undefined {
    const frame = this.#last?.frame;
    if (!this.#last || frame?.length !== end - at || frame.compare(data, at, end) !== 0) return undefined;
    return this.#parts.texts.openAgain(this.#last);
  }

  /** The observer of a whole message in `data` that is sent as it is; `'read'`: a decision about it has to be made, or carried out, elsewhere. */
  sentInChunk(type: number, data: Buffer, at: number, end: number): RequestObserver | undefined | 'read' {
    const { texts, encoding } = this.#parts;
    if (type === Frontend.sync) return texts.sentInChunk(type, data, at, end);
    if (encoding?.isCertain(type) === false) return 'read';
    const statement = type === Frontend.bind ? undefined : this.#approved(type, data, at, end);
    if (!statement && type !== Frontend.bind) return 'read';
    const observer = texts.sentInChunk(type, data, at, end, statement);
    if (observer !== 'read') encoding?.sent(type, texts.textOf(type, statement));
    return observer;
  }

  /** The statement in a Parse of the unnamed statement or an Execute of the unnamed portal, if hooks send it as it is. */
  #approved(type: number, data: Buffer, at: number, end: number): Statement | undefined {
    const { texts } = this.#parts;
    if (type === Frontend.execute && (!isUnnamedExecute(data, at, end) || texts.isPortalUncertain))
      return undefined;
    const { next = this.#ask(type, data, at, end) } = this.ahead;
    if (!next || !isApproved(next) || !this.ahead.isNext(data, at, end)) return undefined;
    this.ahead.shift();
    return next.statement;
  }

  #ask(type: number, data: Buffer, at: number, end: number): Decided | undefined {
    const { texts } = this.#parts;
    if (type === Frontend.execute)
      return this.ahead.decide(texts.openExecute(texts.portalText('')), undefined);
    const repeated = this.#repeated(data, at, end);
    if (repeated) return this.ahead.decide(repeated, repeated.frame);
    const frame = Buffer.from(data.subarray(at, end));
    const statement = texts.open(type, frame);
    return statement && this.ahead.decide(statement, frame);
  }
}

const endOf = (data: Buffer, at: number): number => at + 1 + data.readUInt32BE(at + 1);
