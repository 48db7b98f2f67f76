/** Text from the network: what may be taken for a name, and what may be shown of it. */
import { GatewayError } from '../contract/errors.ts';

// Without ignoreBOM a leading U+FEFF would vanish, and two different names would compare equal.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Longest part of a foreign name that is repeated in a message, in characters. */
const SHOWN = 63;

/**
 * Decodes UTF-8.
 * @param what named in the error, for instance `'startup parameter "user"'`
 * @throws GatewayError `protocol_violation` if the bytes are not valid UTF-8
 */
export function strictUtf8(bytes: Uint8Array, what: string): string {
  try {
    return strict.decode(bytes);
  } catch {
    throw new GatewayError('protocol_violation', `${what} is not valid UTF-8`);
  }
}

/** Whether the text has control characters (Unicode category Cc), which no name needs and which forge log lines. */
export function hasControlCharacters(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

/** A name from outside for use in a message: in double quotes, at most 63 characters, unprintable ones as `?`. */
export function shown(name: string): string {
  const head = name.length > SHOWN ? `${name.slice(0, SHOWN)}…` : name;
  return `"${head.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?')}"`;
}

/** A character in a text of Latin-1, as PostgreSQL's `sanitize_char` shows it; behind the text is its zero byte. */
export function shownCharacter(text: string, at: number): string {
  const code = at < text.length ? text.charCodeAt(at) : 0;
  if (code >= 0x21 && code <= 0x7e) return `'${String.fromCharCode(code)}'`;
  return `0x${code.toString(16).padStart(2, '0')}`;
}
