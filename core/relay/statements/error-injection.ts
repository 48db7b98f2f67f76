/**
 * Refuses a message in order: the server gets a message in its place that it must refuse. So the server itself keeps the order of
 * answers, aborts the transaction, skips to the Sync and reports the right status; only the text of its error is replaced.
 */
import { randomBytes } from 'node:crypto';
import {
  encodeBind,
  encodeExecute,
  encodeFunctionCall,
  encodeParse,
  encodeQuery,
} from '../../wire/to-server.ts';
import { HEADER_BYTES } from '../../wire/frames.ts';
import { Op } from '../requests/request-queue.ts';

/** A syntax error under all settings. The text appears in the server's log and explains the error there. */
const TEXT = 'postern refused this statement, the client got the reason';

/** Random: a client could prepare a statement under a name that it can guess. */
const unknownName = (): string => `postern_${randomBytes(16).toString('hex')}`;

/** The message to send instead of the refused one in `frame` with operation `op`; its beginning is enough. */
export function injectError(op: number, frame: Buffer): Buffer {
  switch (op) {
    case Op.query:
      return encodeQuery(TEXT);
    case Op.parse:
      // A failed Parse without a name drops the unnamed statement, a failed Parse with a name does not.
      return encodeParse(frame[HEADER_BYTES] === 0 ? '' : unknownName(), TEXT);
    case Op.execute:
      return encodeExecute(unknownName());
    case Op.functionCall:
      return encodeFunctionCall(0);
    default:
      return encodeBind('', unknownName());
  }
}
