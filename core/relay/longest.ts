/** The longest statement that is assembled, because a plugin or the gateway has to read it. */
import { GatewayError } from '../errors.ts';
import { Frontend, HEADER_BYTES } from '../wire/frames.ts';
import type { HookCallOptions } from './hook-call.ts';
import { isForUs } from './own-statements.ts';
import { needsText } from './statement-book.ts';

/** Behind a text in a Parse: its zero byte, a number of types, and types of four bytes each. */
const [TAIL_BYTES, MOST_TYPES_BYTES] = [3, 4 * 65_535];
/** A command for the gateway may hold a token of 64 KiB, whatever the limit for statements is. */
const OWN_BYTES = 131_072;

/**
 * Whether the text in a message, or the body of a Bind, has more than `limit` bytes. `frame` has the first 64 KiB of the
 * message at least, which is `bytes` long: for a Parse whose text does not end there, the answer is final once all of it has arrived.
 */
export function isTooLong(type: number, frame: Buffer, bytes: number, configured: number): boolean {
  const limit = isForUs(type, frame) ? Math.max(configured, OWN_BYTES) : configured;
  if (bytes - HEADER_BYTES - 1 <= limit) return false;
  if (type !== Frontend.parse) return type === Frontend.query || bytes - HEADER_BYTES > limit;
  const from = frame.indexOf(0, HEADER_BYTES) + 1;
  const end = from === 0 ? -1 : frame.indexOf(0, from);
  if (end >= 0) return end - from > limit;
  return frame.length >= bytes || bytes - from - TAIL_BYTES - MOST_TYPES_BYTES > limit;
}

/** What decides how much of a message is assembled. */
export interface LongestOptions extends HookCallOptions {
  readonly maxStatementBytes: number;
}

/** True for a message of `bytes` bytes that has to be assembled; `moves`: its Parse may have to be sent again elsewhere. */
export function needsWhole(type: number, bytes: number, moves: boolean, options: LongestOptions): boolean {
  const { query, reads, maxStatementBytes } = options;
  if (type === Frontend.query || type === Frontend.parse) {
    if (query !== undefined && needsText(reads)) return true;
    // A longer Parse is not remembered.
    return type === Frontend.parse && moves && bytes <= maxStatementBytes;
  }
  return type === Frontend.bind ? reads === 'parameters' : type !== Frontend.functionCall;
}

/** The refusal of what {@link isTooLong}. */
export function tooLong(limit: number): GatewayError {
  return new GatewayError('program_limit_exceeded', `statement is longer than ${limit} bytes`, {
    hint: 'A plugin of the gateway reads statements: maxStatementBytes of its configuration says how long they may be.',
  });
}
