/**
 * Messages that need no decision: those about prepared statements for which an earlier one still holds, and a Query whose text has no word of a
 * command that sets something, makes an object or drops prepared statements. Most messages of a busy session are such ones.
 */
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import { Op, ResponseAction, combined } from '../requests/request-queue.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import { hasNoCommandWord } from '../session-state-detection.ts';
import { stringEnd } from './statement-names.ts';
import type { ParseHandler, ParseHandlerParts, PreparedStatementsHost } from './parse.ts';
import { UNSHARED } from './prepared-statement.ts';

/** Kind byte of Describe and Close. */
const PORTAL = 0x50;
/** The message is sent as it is. */
export const UNCHANGED = '';

/** Follows messages for observers. */
export interface ObservedTexts {
  /** The observer of a whole message in `data`; `'read'`: the message has to be read as one of its own. */
  sentInChunk(type: number, data: Buffer, at: number, end: number): RequestObserver | undefined | 'read';
}

/** One per session. */
export class PlainMessages {
  readonly #host: PreparedStatementsHost;
  readonly #parts: ParseHandlerParts;
  readonly #parseHandler: ParseHandler;

  constructor(host: PreparedStatementsHost, parts: ParseHandlerParts, parseHandler: ParseHandler) {
    this.#host = host;
    this.#parts = parts;
    this.#parseHandler = parseHandler;
  }

  /** True for a message about a portal: portals keep the client's names. Where statements are observed, a Close has to be read. */
  isAboutPortal(type: number, data: Buffer, at: number, observed: boolean): boolean {
    const mayBe = type === Frontend.describe || (type === Frontend.close && !observed);
    return mayBe && data[at + HEADER_BYTES] === PORTAL;
  }

  /**
   * For a whole message in `data` from `at` to `end`: the name under which a Bind is sent, or {@link UNCHANGED}; the request queue
   * has its entry then, with the observer of `texts`. Undefined: it needs a decision.
   */
  nameFor(type: number, data: Buffer, at: number, end: number, texts?: ObservedTexts): string | undefined {
    if (type !== Frontend.bind && type !== Frontend.parse) return undefined;
    if (!this.#isSure()) return undefined;
    return type === Frontend.bind ? this.#bind(data, at, end, texts) : this.#parse(data, at, end, texts);
  }

  /**
   * True for a whole Query in `data` from `at` to `end` that is sent as it is; the request queue has its entry then. The session is linked, and
   * no plugin or observer reads its statements.
   */
  query(data: Buffer, at: number, end: number): boolean {
    const { outstanding } = this.#host;
    const drops = this.#parts.unnamed.parse !== undefined;
    if (drops || !outstanding.answered || !this.#isSure()) return false;
    const text = data.toString('latin1', at + HEADER_BYTES, end - 1);
    if (!hasNoCommandWord(text)) return false;
    this.#parseHandler.context.readQuery(text, 'plain');
    outstanding.sent(Op.query);
    return true;
  }

  /** No outstanding answer may change what a message means. */
  #isSure(): boolean {
    const { outstanding } = this.#host;
    return !this.#parts.onServer.mayFail && !outstanding.skipping && !outstanding.stuck;
  }

  /** A Bind of a statement that is prepared on the connection. */
  #bind(data: Buffer, at: number, end: number, texts?: ObservedTexts): string | undefined {
    const { names, onServer, pending } = this.#parts;
    const start = stringEnd(data, at + HEADER_BYTES, end) + 1;
    const stop = stringEnd(data, start, end);
    if (stop === start) return this.#bindUnnamed(data, at, end, texts);
    const found = stop < end ? names.find(data, start, stop) : undefined;
    if (!found || found.statement === UNSHARED || found.statement.discards) return undefined;
    const { name, statement } = found;
    const key = this.#parseHandler.context.hidesSchemas ? statement.alone : statement.key;
    const isPending = pending.has(name) || onServer.pending.has(key) || onServer.pending.has(statement.alone);
    const serverName = isPending ? undefined : onServer.find(key, statement.since);
    if (serverName === undefined) return undefined;
    const observer = texts?.sentInChunk(Frontend.bind, data, at, end);
    if (observer === 'read') return undefined;
    this.#parseHandler.executed(statement);
    const use = onServer.use(serverName, statement.parsed);
    this.#host.outstanding.sent(Op.bind, ResponseAction.forward, combined(use, observer));
    return serverName;
  }

  #bindUnnamed(data: Buffer, at: number, end: number, texts?: ObservedTexts): string | undefined {
    const { unnamed, pending } = this.#parts;
    const { parse, preparedAt } = unnamed;
    if (!parse || parse.discards || preparedAt !== this.#host.link.checkOuts || pending.has(''))
      return undefined;
    const observer = texts?.sentInChunk(Frontend.bind, data, at, end);
    if (observer === 'read') return undefined;
    this.#parseHandler.executed(parse);
    this.#host.outstanding.sent(Op.bind, ResponseAction.forward, observer);
    return UNCHANGED;
  }

  /** The same Parse of the unnamed statement as the last one. */
  #parse(data: Buffer, at: number, end: number, texts?: ObservedTexts): string | undefined {
    const { unnamed } = this.#parts;
    const { parse } = unnamed;
    // Its name is empty.
    if (!parse?.frame || !parse.plain || data[at + HEADER_BYTES] !== 0) return undefined;
    const { frame } = parse;
    if (frame.length !== end - at || frame.compare(data, at, end) !== 0) return undefined;
    // The server may describe it in another way now.
    const anew = parse.description === undefined ? parse : { ...parse, description: undefined };
    const observer = texts?.sentInChunk(Frontend.parse, data, at, end);
    if (observer === 'read') return undefined;
    const version = unnamed.prepare(anew, this.#host.link.checkOuts);
    this.#host.outstanding.sent(Op.parse, ResponseAction.forward, combined(version, observer));
    return UNCHANGED;
  }
}
