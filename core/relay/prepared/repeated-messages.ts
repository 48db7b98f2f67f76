/** Messages about prepared statements for which an earlier decision still holds: most messages of a busy session. */
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import { Op, ResponseAction } from '../request-queue.ts';
import type { OutstandingRequests } from '../outstanding-requests.ts';
import { stringEnd } from './statement-names.ts';
import type { ParseHandler, ParseHandlerParts, PreparedStatementsHost } from './parse.ts';
import { UNSHARED } from './prepared-statement.ts';

/** Kind byte of Describe and Close. */
const PORTAL = 0x50;
/** The message is sent as it is. */
const UNCHANGED = '';

/** One per session. */
export class RepeatedMessages {
  readonly #host: PreparedStatementsHost;
  readonly #parts: ParseHandlerParts;
  readonly #parseHandler: ParseHandler;

  constructor(host: PreparedStatementsHost, parts: ParseHandlerParts, parseHandler: ParseHandler) {
    this.#host = host;
    this.#parts = parts;
    this.#parseHandler = parseHandler;
  }

  /** True for a message about a portal: portals keep the client's names. */
  isPlain(type: number, data: Buffer, at: number): boolean {
    return (type === Frontend.describe || type === Frontend.close) && data[at + HEADER_BYTES] === PORTAL;
  }

  /**
   * For a whole message in `data` from `at` to `end`: the name under which a Bind is sent, or an empty text for a message that is
   * sent as it is; the request queue has its entry then. Undefined: it needs a decision.
   */
  nameFor(type: number, data: Buffer, at: number, end: number): string | undefined {
    if (type !== Frontend.bind && type !== Frontend.parse) return undefined;
    const { outstanding } = this.#host;
    if (this.#parts.onServer.mayFail || outstanding.skipping || outstanding.stuck) return undefined;
    return type === Frontend.bind
      ? this.#bind(outstanding, data, at, end)
      : this.#parse(outstanding, data, at, end);
  }

  /** A Bind of a statement that is prepared on the connection. */
  #bind(outstanding: OutstandingRequests, data: Buffer, at: number, end: number): string | undefined {
    const { names, onServer, pending } = this.#parts;
    const start = stringEnd(data, at + HEADER_BYTES, end) + 1;
    const stop = stringEnd(data, start, end);
    if (stop === start) return this.#bindUnnamed(outstanding);
    const found = stop < end ? names.find(data, start, stop) : undefined;
    if (!found || found.statement === UNSHARED || found.statement.discards) return undefined;
    const { name, statement } = found;
    const key = this.#parseHandler.hidesSchemas ? statement.alone : statement.key;
    const isPending = pending.has(name) || onServer.pending.has(key);
    const serverName = isPending ? undefined : onServer.find(key, statement.since);
    if (serverName === undefined) return undefined;
    this.#parseHandler.executed(statement);
    outstanding.sent(Op.bind, ResponseAction.forward, onServer.use(serverName, statement.parsed));
    return serverName;
  }

  #bindUnnamed(outstanding: OutstandingRequests): string | undefined {
    const { unnamed, pending } = this.#parts;
    const { parse, preparedAt } = unnamed;
    if (!parse || parse.discards || preparedAt !== this.#host.link.checkOuts || pending.has(''))
      return undefined;
    this.#parseHandler.executed(parse);
    outstanding.sent(Op.bind);
    return UNCHANGED;
  }

  /** The same Parse of the unnamed statement as the last one. */
  #parse(outstanding: OutstandingRequests, data: Buffer, at: number, end: number): string | undefined {
    const { unnamed } = this.#parts;
    const { parse } = unnamed;
    // Its name is empty.
    if (!parse?.frame || !parse.plain || data[at + HEADER_BYTES] !== 0) return undefined;
    const { frame } = parse;
    if (frame.length !== end - at || frame.compare(data, at, end) !== 0) return undefined;
    // The server may describe it in another way now.
    const anew = parse.description === undefined ? parse : { ...parse, description: undefined };
    outstanding.sent(Op.parse, ResponseAction.forward, unnamed.prepare(anew, this.#host.link.checkOuts));
    return UNCHANGED;
  }
}
