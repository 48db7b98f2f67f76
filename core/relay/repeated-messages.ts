/** Messages about prepared statements for which an earlier decision still holds: most messages of a busy session. */
import { Frontend, HEADER_BYTES } from '../wire/frames.ts';
import { Kind, Op } from './entries.ts';
import type { Ledger } from './ledger.ts';
import { stringEnd } from './named-messages.ts';
import type { Parses, ParsesParts, SharedStatementsHost } from './parses.ts';
import { FOREIGN } from './session-statements.ts';

/** Kind byte of Describe and Close. */
const PORTAL = 0x50;
/** The message is sent as it is. */
const UNCHANGED = '';

/** One per session. */
export class RepeatedMessages {
  readonly #host: SharedStatementsHost;
  readonly #parts: ParsesParts;
  readonly #parses: Parses;

  constructor(host: SharedStatementsHost, parts: ParsesParts, parses: Parses) {
    this.#host = host;
    this.#parts = parts;
    this.#parses = parses;
  }

  /** True for a message about a portal: portals keep the client's names. */
  isPlain(type: number, data: Buffer, at: number): boolean {
    return (type === Frontend.describe || type === Frontend.close) && data[at + HEADER_BYTES] === PORTAL;
  }

  /**
   * For a whole message in `data` from `at` to `end`: the name under which a Bind is sent, or an empty text for a message that is
   * sent as it is; the ledger has its entry then. Undefined: it needs a decision.
   */
  nameFor(type: number, data: Buffer, at: number, end: number): string | undefined {
    if (type !== Frontend.bind && type !== Frontend.parse) return undefined;
    const { ledger } = this.#host;
    if (this.#parts.kept.endangered || ledger.skipping || ledger.stuck) return undefined;
    return type === Frontend.bind ? this.#bind(ledger, data, at, end) : this.#parse(ledger, data, at, end);
  }

  /** A Bind of a statement that is prepared on the connection. */
  #bind(ledger: Ledger, data: Buffer, at: number, end: number): string | undefined {
    const { names, kept, owed } = this.#parts;
    const start = stringEnd(data, at + HEADER_BYTES, end) + 1;
    const stop = stringEnd(data, start, end);
    if (stop === start) return this.#bindUnnamed(ledger);
    const found = stop < end ? names.find(data, start, stop) : undefined;
    if (!found || found.statement === FOREIGN) return undefined;
    const { name, statement } = found;
    const key = this.#parses.hidesSchemas ? statement.alone : statement.key;
    const own = owed.has(name) || kept.owed.has(key) ? undefined : kept.find(key);
    if (own === undefined) return undefined;
    this.#parses.executed(statement);
    ledger.sent(Op.bind, Kind.forward, kept.use(key));
    return own;
  }

  #bindUnnamed(ledger: Ledger): string | undefined {
    const { unnamed, owed } = this.#parts;
    const { parse, turn } = unnamed;
    if (!parse || turn !== this.#host.link.checkOuts || owed.has('')) return undefined;
    this.#parses.executed(parse);
    ledger.sent(Op.bind);
    return UNCHANGED;
  }

  /** The same Parse of the unnamed statement as the last one. */
  #parse(ledger: Ledger, data: Buffer, at: number, end: number): string | undefined {
    const { unnamed } = this.#parts;
    const { parse } = unnamed;
    // Its name is empty.
    if (!parse?.frame || !parse.plain || data[at + HEADER_BYTES] !== 0) return undefined;
    const { frame } = parse;
    if (frame.length !== end - at || frame.compare(data, at, end) !== 0) return undefined;
    ledger.sent(Op.parse, Kind.forward, unnamed.prepare(parse, this.#host.link.checkOuts));
    return UNCHANGED;
  }
}
