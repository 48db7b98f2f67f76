/** SQL as a list of tokens (manual, 4.1), without blanks and comments. */
import { TOKEN, pieceOf } from './sql-text.ts';

/** One token of a text. */
export interface SqlToken {
  /**
   * `word`: a keyword or a name without quotes, in lower case. `name`: a name in quotes. `text`: a string whose value is known.
   * `literal`: any other string or number. `sign`: one character.
   */
  readonly kind: 'word' | 'name' | 'text' | 'literal' | 'sign';
  /** Without its quotes; empty for a `literal`. */
  readonly value: string;
}

const WORD = /^[a-z_\u0080-\uffff]/i;
const LITERAL: SqlToken = { kind: 'literal', value: '' };

/**
 * The tokens of a text; undefined where it does not end, or where only the server's settings say how it is read. Takes time in
 * proportion to the length.
 */
export function tokensOf(sql: string): readonly SqlToken[] | undefined {
  const tokens: SqlToken[] = [];
  const between = (from: number, to: number): void => {
    for (let at = from; at < to; at += 1) {
      const value = sql[at] ?? '';
      if (value.trim() !== '') tokens.push({ kind: 'sign', value });
    }
  };
  let at = 0;
  // Another reader of the text may use the expression meanwhile: it is told each time where it is.
  for (;;) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(sql);
    if (!found) break;
    between(at, found.index);
    const [token] = found;
    const from = found.index + token.length;
    if (WORD.test(token) && !token.endsWith("'")) {
      tokens.push({ kind: 'word', value: token.toLowerCase() });
      at = from;
      continue;
    }
    const { text, end } = pieceOf(sql, token, from);
    if (end < 0 || isUnclear(sql, token, from, end)) return undefined;
    if (text !== ' ') tokens.push(tokenOf(sql, token, from, end));
    at = end;
  }
  between(at, sql.length);
  return tokens;
}

/** In some encodings the second byte of a character is that of a backslash: the string may end elsewhere. */
const isUnclear = (sql: string, token: string, from: number, end: number): boolean =>
  token.toLowerCase() === "e'" && /[^\0-\x7f]/.test(sql.slice(from, end));

/** A token with quotes, or a number. */
function tokenOf(sql: string, token: string, from: number, end: number): SqlToken {
  if (token === '"') return { kind: 'name', value: sql.slice(from, end - 1).replaceAll('""', '"') };
  if (token === "'") return textOf(sql.slice(from, end - 1).replaceAll("''", "'"));
  if (token.length > 1 && token.startsWith('$') && token.endsWith('$'))
    return textOf(sql.slice(from, end - token.length));
  return LITERAL;
}

/** A backslash is one only with standard_conforming_strings. */
const textOf = (value: string): SqlToken => (value.includes('\\') ? LITERAL : { kind: 'text', value });
