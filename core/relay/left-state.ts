/**
 * Decides whether a session in session mode may have left state on its server connection. A reset is skipped only for what is
 * known to leave nothing: short texts in the simple protocol, with commands whose tags say so.
 */
import { Frontend, HEADER_BYTES } from '../wire/frames.ts';
import { isTelling } from './telling-words.ts';

/** A session that sends more statements is not watched any further, and costs nothing more: its connection is reset. */
export const WATCHED_STATEMENTS = 20;
/** Longer texts are not read. */
const LONGEST_TEXT = 1_024;

/** Commands that leave nothing. */
const NOTHING = new Set(
  'SELECT UPDATE DELETE BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE SHOW LOCK'.split(' '),
);
/** Words of texts that may take a value of a sequence, which `lastval` shows afterwards; a WITH has the tag of its SELECT. */
const SEQUENCE = /nextval|setval|insert|merge|copy/i;

/**
 * Whether a message may leave state that no tag shows. A Parse leaves a statement, the unnamed one included; a FunctionCall may
 * call any function. `frame` is the whole message or its beginning.
 */
export function messageLeavesState(type: number, frame: Buffer): boolean {
  if (type !== Frontend.query || frame.length > LONGEST_TEXT) return true;
  const text = frame.toString('latin1', HEADER_BYTES);
  return isTelling(text) || SEQUENCE.test(text);
}

/** Whether a completed command may have left state, by its tag. */
export function commandLeavesState(tag: string): boolean {
  const end = tag.indexOf(' ');
  return !NOTHING.has(end < 0 ? tag : tag.slice(0, end));
}
