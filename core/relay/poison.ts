/**
 * Refuses a message in its place: the server gets one it must refuse there. It keeps the order, aborts the
 * transaction, skips to Sync and answers the right status; only the text of its error is replaced.
 */
import { randomBytes } from 'node:crypto';
import {
  encodeBind,
  encodeExecute,
  encodeFunctionCall,
  encodeParse,
  encodeQuery,
} from '../wire/to-server.ts';
import { HEADER_BYTES } from '../wire/frames.ts';
import { Op } from './entries.ts';

/** A syntax error whatever the settings; it appears in the server's log and says there what happened. */
const TEXT = 'postern refused this statement, the client got the reason';

/** A guessable name was executed when the client owned it. */
const unknownName = (): string => `postern_${randomBytes(16).toString('hex')}`;

/** The message to send instead of the refused one in `frame` with operation `op`; its beginning is enough. */
export function poison(op: number, frame: Buffer): Buffer {
  switch (op) {
    case Op.query:
      return encodeQuery(TEXT);
    case Op.parse:
      // One without a name drops the unnamed statement even if it fails, one with a name does not.
      return encodeParse(frame[HEADER_BYTES] === 0 ? '' : unknownName(), TEXT);
    case Op.execute:
      return encodeExecute(unknownName());
    case Op.functionCall:
      return encodeFunctionCall(0);
    default:
      return encodeBind('', unknownName());
  }
}
