/** Detects in session mode that a setting may have been returned to its default: RESET, DISCARD ALL, and what has the tag of a SET or SELECT. */
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import { setsByText, takesOffSettings } from '../command-tags.ts';
import { settingsIn } from './setting-names.ts';

/** Parts of all texts that return a setting without RESET: `TO DEFAULT`, `TIME ZONE LOCAL`, `SET NAMES`, a value that is NULL. */
const DEFAULT_WORDS = /default|set_config|\blocal\b|\bnames\b|u&"/i;
/** After so many texts without a SET no more are read: most sessions set something at their start, or in every transaction. */
const READ_TEXTS = 20;
/** Longer texts are not read, in bytes. */
const LONGEST = 4_096;

/** True for a text after which a setting may have its default. */
function mayReset(text: string): boolean {
  const named = DEFAULT_WORDS.test(text) ? settingsIn(text) : undefined;
  return named !== undefined && (named.unknown || named.reset.length + named.maybeReset.length > 0);
}

/**
 * For one session. A session that sets nothing pays for {@link READ_TEXTS} texts. Not seen: a call of `set_config` with NULL in a text
 * that is not read, in a named statement that is executed again, and in a function.
 */
export class ResetDetection {
  /** Texts since the last SET. */
  #texts = 0;
  /** One that may have been a SET was not read. */
  #unread = false;
  /** A named statement may do it each time it is executed. */
  #prepared = false;

  /** A message goes to the server; `frame` is its beginning. True if a setting may have its default afterwards. */
  sends(type: number, frame: Buffer): boolean {
    if (type !== Frontend.query && type !== Frontend.parse) return false;
    const isNamed = type === Frontend.parse && frame[HEADER_BYTES] !== 0;
    if (!isNamed && this.#texts >= READ_TEXTS) {
      this.#unread = true;
      return false;
    }
    this.#texts += 1;
    if (frame.length > LONGEST) {
      this.#unread = true;
      this.#prepared ||= isNamed;
      return false;
    }
    const from = type === Frontend.parse ? frame.indexOf(0, HEADER_BYTES) + 1 : HEADER_BYTES;
    const end = frame.indexOf(0, from);
    const resets = mayReset(frame.toString('latin1', from, end < 0 ? frame.length : end));
    this.#prepared ||= isNamed && resets;
    return resets;
  }

  /** A command has ended: true if a setting may have its default. */
  completed(tag: string): boolean {
    if (takesOffSettings(tag)) return true;
    if (!setsByText(tag)) return false;
    const isUnseen = this.#unread || this.#prepared;
    this.#unread = false;
    this.#texts = 0;
    return isUnseen;
  }
}
