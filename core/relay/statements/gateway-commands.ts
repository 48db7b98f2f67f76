/**
 * Statements for the gateway itself, over both protocols: `SET postern.x = '…'` is answered here and never reaches the
 * server.
 */
import { GatewayError } from '../../contract/errors.ts';
import { Frontend } from '../../wire/frames.ts';
import {
  bindNames,
  readClose,
  readDescribe,
  readExecute,
  readParse,
  readQuery,
} from '../../wire/frontend.ts';
import {
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  NO_DATA,
  PARSE_COMPLETE,
  commandComplete,
  parameterDescription,
  readyForQuery,
} from '../../wire/to-client.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import { bodyOf, textStart } from './statement.ts';

/** What a statement of the gateway's own name space says. */
interface InBandSetting {
  /** Lower case, with the `postern.` in front. */
  readonly name: `postern.${string}`;
  readonly value: string;
}

const isSpace = (byte = 0): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
const SET = [0x73, 0x65, 0x74];
/** Longest way to write what precedes the name; a longer run of white space is not looked through. */
const PREFIX_BYTES = 512;
const BEGINNING = /^\s*set\s+(?:session\s+|local\s+)?"?postern"?\s*\./i;
const WHOLE =
  /^\s*set\s+(?:session\s+|local\s+)?(?:"postern"|postern)\s*\.\s*(?:"([a-z_.]{1,60})"|([a-z_.]{1,60}))(?:\s*=\s*|\s+to\s+)'((?:[^'\\]|'')*)'\s*(?:;\s*)?$/i;

/** Cheap: looks at a few bytes of nearly every statement. `from` is where the SQL text starts. */
export function looksInBand(text: Buffer, from: number): boolean {
  let at = from;
  while (isSpace(text[at])) at += 1;
  // "set" and white space: most texts are told apart here, and a "select" too.
  for (const letter of SET) if (((text[at++] ?? 0) | 0x20) !== letter) return false;
  if (!isSpace(text[at])) return false;
  return BEGINNING.test(text.toString('latin1', from, Math.min(text.length, from + PREFIX_BYTES)));
}

/** Reads the setting. @throws GatewayError if the statement is anything but one well-formed SET. */
export function parseInBand(sql: string): InBandSetting {
  const match = WHOLE.exec(sql);
  const name = (match?.[1] ?? match?.[2])?.toLowerCase();
  const value = match?.[3];
  if (name === undefined || value === undefined) {
    throw new GatewayError(
      'invalid_parameter_value',
      'settings of the gateway are set alone and by a literal',
      {
        hint: "SET postern.name = 'value' as the whole statement.",
      },
    );
  }
  return { name: `postern.${name}`, value: value.replaceAll("''", "'") };
}

const COMPLETE = commandComplete('SET');
const DESCRIBED = Buffer.concat([parameterDescription([]), NO_DATA]);

/** The status byte as a letter: what ReadyForQuery says. */
const letter = (status: number): 'I' | 'T' | 'E' => String.fromCharCode(status) as 'I' | 'T' | 'E';

/** True for a Query or Parse in the gateway's name space; a look at the first bytes is enough. */
export function isGatewayCommand(type: number, frame: Buffer): boolean {
  if (type !== Frontend.query && type !== Frontend.parse) return false;
  const from = textStart(type, frame);
  return from > 0 && looksInBand(frame, from);
}

const answer = (bytes: Buffer, more: Partial<RequestObserver> = {}): RequestObserver => ({
  ...more,
  answer: () => bytes,
});

/** Carries the statements out. */
interface OwnStatementsHost {
  /** Rejects to refuse. */
  inBand(name: string, value: string): Promise<void>;
}

/**
 * Statements for the gateway itself, over both protocols: `SET postern.x = '…'` as a Query is answered like any SET; as
 * a Parse it becomes a prepared statement that lives here, and its Bind, Describe, Execute, Close end here too. One per
 * session.
 */
export class GatewayCommands {
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

  /** Carries out a Query or Parse that {@link isGatewayCommand}; resolves with its answer, rejects to refuse it. */
  async begin(type: number, frame: Buffer): Promise<RequestObserver> {
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
  about(type: number, frame: Buffer): RequestObserver | undefined {
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

  #bind({ portal, name }: { portal: string; name: string }): RequestObserver | undefined {
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
