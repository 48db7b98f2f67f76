/** SQL without its literals: what may be written down where the data of users must not be. */

const LETTER = String.raw`A-Za-z_\u0080-\uffff`;

/** Where something begins that is not copied as it is, and what must be read in one piece for that (manual, 4.1). */
export const TOKEN = new RegExp(
  [
    String.raw`--[^\n\r]*|/\*`,
    `(?:[eEbBxXnN]|[uU]&)?'`,
    `"`,
    `\\$(?:[${LETTER}][0-9${LETTER}]*)?\\$`,
    String.raw`\$\d+`,
    `[${LETTER}][0-9$${LETTER}]*`,
    String.raw`\.?\d[\w.]*(?:(?<=[eE])[+-]\d+)?`,
  ].join('|'),
  'g',
);

/** Names, keywords and parameters. */
const COPIED = new RegExp(`^(?:[${LETTER}][0-9$${LETTER}]*|\\$\\d+)$`);

/** Where a text between quotes ends, behind the last of them; -1 if it does not, or if nobody knows. */
function endOfQuoted(sql: string, from: number, quote: string): number {
  for (let at = sql.indexOf(quote, from); at >= 0; at = sql.indexOf(quote, at + 2)) {
    // With standard_conforming_strings off the text goes on here, with it on it may end: better nothing than a part of it.
    if (quote === "'" && backslashesBefore(sql, at, from) % 2 === 1) return -1;
    if (sql[at + 1] !== quote) return at + 1;
  }
  return -1;
}

function backslashesBefore(sql: string, at: number, from: number): number {
  let count = 0;
  while (at - count > from && sql[at - count - 1] === '\\') count += 1;
  return count;
}

/** E'…': a backslash hides what follows it (manual, 4.1.2.2). */
function endOfEscaped(sql: string, from: number): number {
  for (let at = from; at < sql.length; at += 1) {
    if (sql[at] === '\\') at += 1;
    else if (sql[at] === "'") {
      if (sql[at + 1] !== "'") return at + 1;
      at += 1;
    }
  }
  return -1;
}

/** Comments nest (manual, 4.1.5). */
function endOfComment(sql: string, from: number): number {
  const border = /\/\*|\*\//g;
  border.lastIndex = from;
  for (let depth = 1, found = border.exec(sql); found; found = border.exec(sql)) {
    depth += found[0] === '/*' ? 1 : -1;
    if (depth === 0) return border.lastIndex;
  }
  return -1;
}

/** What stands in place of a token. */
interface Piece {
  readonly text: string;
  /** Behind it; -1: everything to the end of the text belongs to it. */
  readonly end: number;
}

/** What stands in place of a token that begins with `token`; `from` is behind that. */
export function pieceOf(sql: string, token: string, from: number): Piece {
  if (token === '/*') return { text: ' ', end: endOfComment(sql, from) };
  if (token.startsWith('--')) return { text: ' ', end: from };
  if (token === "e'" || token === "E'") return { text: '?', end: endOfEscaped(sql, from) };
  if (token.endsWith("'")) return { text: '?', end: endOfQuoted(sql, from, "'") };
  if (token === '"') {
    const end = endOfQuoted(sql, from, token);
    return { text: end < 0 ? '?' : sql.slice(from - 1, end), end };
  }
  if (token.startsWith('$') && token.endsWith('$')) {
    const at = sql.indexOf(token, from);
    return { text: '?', end: at < 0 ? -1 : at + token.length };
  }
  return { text: '?', end: from };
}

/** What a JWT may be in, or behind: `id_eyJ…`, and `eyJ…` after `%3D`. */
const DOTTED = /(?<![\w-])[\w-]+(?:\.[\w-]*)+/g;
/** Fewer characters are no part of a JWT. */
const SHORTEST_PART = 11;

/** A word with `?` for the JWT in it, with or without its signature (RFC 7515 §3.1): header and payload are JSON objects, which begin with `{"`. */
function withoutToken(word: string): string {
  let start = 0;
  let header = -1;
  for (const part of word.split('.')) {
    if (header >= 0 && part.startsWith('eyJ') && part.length >= SHORTEST_PART)
      return `${word.slice(0, header)}?`;
    const at = part.indexOf('eyJ');
    header = at >= 0 && part.length - at >= SHORTEST_PART ? start + at : -1;
    start += part.length + 1;
  }
  return word;
}

/**
 * The text with `?` for each JWT in it: somebody may have put one where it is no literal, or where literals may be told.
 * Takes time in proportion to the length.
 *
 * @example session.log.info({ sql: withoutTokens(word) }, 'statement');
 */
export function withoutTokens(text: string): string {
  return text.includes('eyJ') ? text.replace(DOTTED, withoutToken) : text;
}

/**
 * SQL with `?` for each literal (strings of every kind, numbers), and without comments, which may have some in them; names,
 * keywords and parameters (`$1`) stay. What cannot be told for sure is left out: from a text that does not end, or one with a backslash before its
 * quote, which only the server's settings explain, all the rest is one `?`. A JWT is a literal wherever it stands. Takes time in proportion to the length.
 *
 * @example const text = withoutLiterals("select * from t where a = 'x'"); // select * from t where a = ?
 */
export function withoutLiterals(whole: string): string {
  const sql = withoutTokens(whole);
  let shown = '';
  let at = 0;
  TOKEN.lastIndex = 0;
  for (let found = TOKEN.exec(sql); found; found = TOKEN.exec(sql)) {
    const [token] = found;
    if (COPIED.test(token)) continue;
    const { text, end } = pieceOf(sql, token, TOKEN.lastIndex);
    shown += sql.slice(at, found.index) + text;
    if (end < 0) return shown.trim();
    TOKEN.lastIndex = at = end;
  }
  return (shown + sql.slice(at)).trim();
}
