/** The encoding of a client's messages where plugins read statements: they have to read what the server reads. */
import { isAscii } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { GatewayError } from '../../contract/errors.ts';
import type { Statement } from '../../contract/statement.ts';
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import { encodeClose } from '../../wire/to-server.ts';
import { Op, ResponseAction } from '../requests/request-queue.ts';
import type { OutstandingRequests } from '../requests/outstanding-requests.ts';
import type { Reads } from './statement-texts.ts';
import { textStart } from './statement.ts';

/** Encodings in which a byte of a character can look like ASCII: a policy would read another text than the server. */
const UNSAFE = new Set(['SJIS', 'SHIFT_JIS_2004', 'BIG5', 'GBK', 'UHC', 'GB18030', 'JOHAB']);
/** The encodings of databases for which PostgreSQL converts from one of these (pg_conversion, as of version 18). */
const CONVERTED_TO = new Set(['UTF8', 'SQL_ASCII', 'EUC_JP', 'EUC_JIS_2004', 'EUC_TW']);
/** Texts that may change the encoding, and commands whose effect the text does not show. */
const MAY_CHANGE =
  /client_encoding|\bnames\b|set_config|u&"|\b(?:do|call|execute|reset|discard|rollback|abort)\b/i;
/** A single command that changes the encoding and nothing else. */
const ONLY_CHANGES =
  /^\s*(?:set\s+(?:session\s+|local\s+)?(?:client_encoding|names)|reset\s+client_encoding)\b[^;]*(?:;\s*)?$/i;
/** Messages that run something. */
const RUN: ReadonlySet<number> = new Set([
  Frontend.query,
  Frontend.bind,
  Frontend.execute,
  Frontend.functionCall,
]);
/** Messages that carry statements, or run what they carried. */
const CARRY: ReadonlySet<number> = new Set([
  Frontend.query,
  Frontend.parse,
  Frontend.bind,
  Frontend.execute,
  Frontend.functionCall,
]);
/**
 * Closes a name that no statement has. Its last character exists in every database for which an unsafe encoding can be chosen, and
 * its bytes are none in any of those encodings: there the message fails (22021, 22P05), and what follows is skipped.
 */
const PROBE = encodeClose('S', `postern_${randomBytes(16).toString('hex')}\u4e00 `);
const NO_CHARACTERS = ['22021', '22P05'];

/** What the encoding depends on. */
export interface ClientEncodingHost {
  readonly outstanding: OutstandingRequests;
  /** A run-time parameter as the server has reported it last. */
  parameter(name: string): string | undefined;
  /** Present where connections change, and an earlier Parse may have to be sent again. */
  readonly prepared?: { prepares(type: number, frame: Buffer): boolean } | undefined;
}

/** One per session, only where a plugin reads statements. */
export class ClientEncoding {
  readonly #host: ClientEncodingHost;
  readonly #reads: Reads;
  /** The text of an unfinished statement may change the encoding. */
  #said = false;
  /** No statement has been executed since the last probe. */
  #probed = false;
  /** The text that was sent last, and whether it may change the encoding: most sessions repeat themselves. */
  #text: string | undefined;
  #mayChange = false;
  /** The encoding that was in force last, and whether it is an unsafe one. */
  #checked: string | undefined;
  #isUnsafe = false;

  constructor(host: ClientEncodingHost, reads: Reads) {
    this.#host = host;
    this.#reads = reads;
  }

  /**
   * True where the server has not reported the encoding in force yet: it does with ReadyForQuery. A statement in ASCII
   * is the same text in every encoding, and waits only behind one that speaks of encodings.
   */
  mustWait(type: number, frame: Buffer): boolean {
    const { outstanding } = this.#host;
    if (this.#known() || outstanding.skipping || outstanding.stuck || outstanding.batch.begun) return false;
    return this.#mayBeMisread(type, frame);
  }

  /** The probe to send in front of a message in a batch, where the server reports nothing before the Sync; it is among the outstanding requests then. */
  probe(type: number, frame: Buffer): Buffer | undefined {
    const { outstanding, prepared } = this.#host;
    if (!outstanding.batch.begun || this.#known() || this.#probed || outstanding.skipping) return undefined;
    if (!CONVERTED_TO.has(this.#host.parameter('server_encoding') ?? '')) return undefined;
    if (!this.#mayBeMisread(type, frame) && prepared?.prepares(type, frame) !== true) return undefined;
    this.#probed = true;
    const error = cannotBeChecked('another encoding');
    outstanding.sent(Op.close, ResponseAction.skip, { showsError: true, replaces: NO_CHARACTERS, error });
    return PROBE;
  }

  /** True where no message of this type needs a wait, a probe or a {@link check}, whatever its text. */
  isCertain(type: number): boolean {
    if (!this.#known() && (this.#said || type === Frontend.parse || type === Frontend.query)) return false;
    const inForce = this.#inForce();
    if (inForce !== this.#checked) {
      this.#checked = inForce;
      this.#isUnsafe = UNSAFE.has(inForce.toUpperCase());
    }
    return !this.#isUnsafe;
  }

  /** A message has been sent that carries or runs `text`; empty where that is not known, as of a cursor, or of a statement that SQL has prepared. */
  sent(type: number, text: string): void {
    if (!RUN.has(type)) return;
    this.#probed = false;
    if (text !== this.#text) {
      this.#text = text;
      this.#mayChange = text === '' || MAY_CHANGE.test(text);
    }
    this.#said ||= this.#mayChange;
  }

  /** @throws GatewayError `feature_not_supported` for what cannot be read as the server reads it */
  check(type: number, frame: Buffer, statement: Statement | undefined): void {
    // Where the order of answers is lost, the gateway may send no probe, and no wait would end.
    const { outOfSync, recovery } = this.#host.outstanding;
    if ((outOfSync || recovery) && !this.#known() && this.#mayBeMisread(type, frame))
      throw cannotBeChecked('another encoding');
    const encoding = this.#inForce().toUpperCase();
    if (!UNSAFE.has(encoding) || !CARRY.has(type)) return;
    const sql = statement?.kind === 'query' && isAscii(textOf(type, frame)) ? statement.sql : '';
    if (!ONLY_CHANGES.test(sql)) throw cannotBeChecked(encoding);
  }

  /** A plugin's text is sent in place of the client's. @throws GatewayError `feature_not_supported` where it would be read as another */
  checkRewrite(type: number, before: Buffer, after: Buffer): void {
    const text = textOf(type, after);
    if (isAscii(text)) return;
    const encoding = this.#inForce();
    if (encoding !== 'UTF8') throw cannotBeRewritten(`in ${encoding}`);
    // The client's own text need not be checked.
    if (!this.#known() && foreign(text) !== foreign(textOf(type, before)))
      throw cannotBeRewritten('behind one that may have changed the encoding, before a Sync');
  }

  /** The encoding cannot have changed since the server has reported it. */
  #known(): boolean {
    const { settingsKnown, recovery } = this.#host.outstanding;
    const known = settingsKnown && !recovery;
    if (known) this.#said = this.#probed = false;
    return known;
  }

  #mayBeMisread(type: number, frame: Buffer): boolean {
    if (!CARRY.has(type)) return false;
    if (this.#said) return true;
    const parameters = type === Frontend.bind && this.#reads === 'parameters';
    return !isAscii(parameters ? frame.subarray(HEADER_BYTES) : textOf(type, frame));
  }

  #inForce(): string {
    return this.#host.parameter('client_encoding') ?? 'UTF8';
  }
}

/** The text of a Query or Parse; nothing of other messages. */
function textOf(type: number, frame: Buffer): Buffer {
  if (type !== Frontend.query && type !== Frontend.parse) return frame.subarray(0, 0);
  const start = textStart(type, frame);
  const end = frame.indexOf(0, start);
  return frame.subarray(start, end < 0 ? undefined : end);
}

/** Its characters beyond ASCII. */
const foreign = (text: Buffer): string => text.toString().replace(/[\0-\x7f]+/g, '');

const cannotBeChecked = (encoding: string): GatewayError =>
  new GatewayError('feature_not_supported', `statements in ${encoding} cannot be checked`, {
    hint: "SET client_encoding = 'UTF8'",
  });

const cannotBeRewritten = (where: string): GatewayError =>
  new GatewayError('feature_not_supported', `statements ${where} cannot be rewritten`);
