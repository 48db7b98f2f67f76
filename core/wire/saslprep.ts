/** Prepares a password for SCRAM as PostgreSQL and libpq do (`pg_saslprep`; RFC 4013). */

/** RFC 3454, table C.1.2: becomes a space. */
const OTHER_SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu;
/** RFC 3454, table B.1: vanishes. */
const NOTHING = /\u00ad|\u034f|\u1806|[\u180b-\u180d]|\u200c|\u200d|\u2060|[\ufe00-\ufe0f]|\ufeff/gu;
/** RFC 3454, tables C.2 to C.9, by today's Unicode categories: control, private, unassigned, formatting, and marks. */
const PROHIBITED = /[\p{C}\p{Zl}\p{Zp}\u0340\u0341\u2ff0-\u2ffb\ufff9-\ufffd]/u;

/**
 * Maps and normalizes (NFKC). ASCII, and texts that SASLprep prohibits, stay as they are: both ends then use the raw
 * password. Two differences to the server remain, in passwords that NFKC changes: the rules for right-to-left text,
 * and characters that Unicode 3.2 did not have.
 */
export function saslprep(password: string): string {
  if (/^[\0-\x7f]*$/.test(password)) return password;
  const mapped = password.replace(OTHER_SPACES, ' ').replace(NOTHING, '');
  return mapped === '' || PROHIBITED.test(mapped) ? password : mapped.normalize('NFKC');
}
