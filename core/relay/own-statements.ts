/**
 * Statements for the gateway itself, over both protocols: `SET postern.x = '…'` as a Query is answered like any SET;
 * as a Parse it becomes a prepared statement that lives here, and its Bind, Describe, Execute, Close end here too.
 */
import { Frontend } from '../wire/frames.ts';
import { bindNames, readClose, readDescribe, readExecute, readParse, readQuery } from '../wire/frontend.ts';
import {
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  NO_DATA,
  PARSE_COMPLETE,
  commandComplete,
  parameterDescription,
  readyForQuery,
} from '../wire/to-client.ts';
import type { Note } from './entries.ts';
import { looksInBand, parseInBand } from './in-band.ts';
import { bodyOf, textStart } from './statements.ts';

const COMPLETE = commandComplete('SET');
const DESCRIBED = Buffer.concat([parameterDescription([]), NO_DATA]);

/** The status byte as a letter: what ReadyForQuery says. */
const letter = (status: number): 'I' | 'T' | 'E' => String.fromCharCode(status) as 'I' | 'T' | 'E';

/** True for a Query or Parse in the gateway's name space; a look at the first bytes is enough. */
export function isForUs(type: number, frame: Buffer): boolean {
  if (type !== Frontend.query && type !== Frontend.parse) return false;
  const from = textStart(type, frame);
  return from > 0 && looksInBand(frame, from);
}

const answer = (bytes: Buffer, more: Partial<Note> = {}): Note => ({ ...more, answer: () => bytes });

/** Carries the statements out. */
export interface OwnStatementsHost {
  /** Rejects to refuse. */
  inBand(name: string, value: string): Promise<void>;
}

/** One per session. */
export class OwnStatements {
  readonly #host: OwnStatementsHost;
  readonly #statements = new Set<string>();
  readonly #portals = new Set<string>();

  constructor(host: OwnStatementsHost) {
    this.#host = host;
  }

  /** Bind, Describe, Execute and Close may be about a statement of the gateway. */
  get any(): boolean {
    return this.#statements.size + this.#portals.size > 0;
  }

  /** Carries out a Query or Parse that {@link isForUs}; resolves with its answer, rejects to refuse it. */
  async begin(type: number, frame: Buffer): Promise<Note> {
    if (type === Frontend.query) {
      const { name, value } = parseInBand(readQuery(bodyOf(frame)));
      await this.#host.inBand(name, value);
      return { answer: (status) => Buffer.concat([COMPLETE, readyForQuery(letter(status))]) };
    }
    const parsed = readParse(bodyOf(frame));
    const { name, value } = parseInBand(parsed.sql);
    await this.#host.inBand(name, value);
    this.#statements.add(parsed.name);
    return answer(PARSE_COMPLETE, { dropped: () => this.#statements.delete(parsed.name) });
  }

  /** The answer to a message about a statement or portal that lives here; undefined if it is about another one. */
  about(type: number, frame: Buffer): Note | undefined {
    const body = bodyOf(frame);
    switch (type) {
      case Frontend.parse:
        this.#statements.delete(readParse(body).name);
        return undefined;
      case Frontend.bind:
        return this.#bind(bindNames(body));
      case Frontend.describe: {
        const { kind, name } = readDescribe(body);
        if (!this.#has(kind, name)) return undefined;
        return answer(kind === 'S' ? DESCRIBED : NO_DATA);
      }
      case Frontend.execute:
        return this.#portals.has(readExecute(body).portal) ? answer(COMPLETE) : undefined;
      case Frontend.close: {
        const { kind, name } = readClose(body);
        if (!this.#has(kind, name)) return undefined;
        (kind === 'S' ? this.#statements : this.#portals).delete(name);
        return answer(CLOSE_COMPLETE);
      }
      default:
        return undefined;
    }
  }

  #bind({ portal, name }: { portal: string; name: string }): Note | undefined {
    if (!this.#statements.has(name)) {
      this.#portals.delete(portal);
      return undefined;
    }
    this.#portals.add(portal);
    return answer(BIND_COMPLETE, { dropped: () => this.#portals.delete(portal) });
  }

  #has(kind: 'S' | 'P', name: string): boolean {
    return (kind === 'S' ? this.#statements : this.#portals).has(name);
  }
}
