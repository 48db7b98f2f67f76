/** PgBouncer's `userlist.txt` (its manual, "Authentication file format"): names and passwords in double quotes. */
import { parseScramVerifier } from '../../core/index.ts';
import type { ScramVerifier } from '../../core/index.ts';

/** What a line says of its user. */
export type Listed =
  | { readonly kind: 'verifier'; readonly verifier: ScramVerifier }
  /** The password itself. */
  | { readonly kind: 'plain'; readonly password: string }
  /** A hash that SCRAM cannot use. */
  | { readonly kind: 'md5' }
  /** Nobody logs in with an empty password. */
  | { readonly kind: 'none' };

/** One user of a list. */
export type ListedUser = Listed & { readonly line: number };

/** MAX_USERNAME and MAX_PASSWORD of PgBouncer, in characters, without their zero byte. */
const LONGEST = { name: 127, password: 2047 };
/** As `get_password_type` of PgBouncer and PostgreSQL tell one. */
const MD5 = /^md5[0-9a-f]{32}$/;

/**
 * Reads a list. Of two lines for one user the later one counts, as with PgBouncer.
 * @throws Error that names the line, and nothing of what is in it
 */
export function parseUserlist(text: string): ReadonlyMap<string, ListedUser> {
  const users = new Map<string, ListedUser>();
  const cursor = new Cursor(text);
  while (cursor.toEntry()) {
    const { line } = cursor;
    const name = cursor.quoted('name', LONGEST.name);
    cursor.blanks();
    const listed = listedOf(cursor.quoted('password', LONGEST.password), line);
    if (name === '') throw new Error(`line ${line}: the name of the user is empty`);
    users.set(name, { ...listed, line });
    // PgBouncer ignores what else is there.
    cursor.toLineEnd();
  }
  return users;
}

function listedOf(password: string, line: number): Listed {
  if (password === '') return { kind: 'none' };
  if (MD5.test(password)) return { kind: 'md5' };
  if (!password.startsWith('SCRAM-SHA-256$')) return { kind: 'plain', password };
  const verifier = parseScramVerifier(password);
  if (verifier) return { kind: 'verifier', verifier };
  throw new Error(`line ${line}: begins as a SCRAM verifier and is none`);
}

/** Goes through a list once. */
class Cursor {
  readonly #text: string;
  #at = 0;
  line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  /** Moves behind white space, empty lines and comments; false at the end. */
  toEntry(): boolean {
    for (;;) {
      this.#over(/\s/);
      if (this.#text[this.#at] !== ';') return this.#at < this.#text.length;
      this.toLineEnd();
    }
  }

  /** Moves behind blanks within the line. */
  blanks(): void {
    this.#over(/[ \t]/);
  }

  toLineEnd(): void {
    this.#over(/[^\n]/);
  }

  /** The text in quotes that has to be here: two quotes in it are one. */
  quoted(what: string, most: number): string {
    const { line } = this;
    if (this.#text[this.#at] !== '"') throw new Error(`line ${line}: a ${what} in double quotes is missing`);
    let text = '';
    for (;;) {
      this.#at += 1;
      const end = this.#text.indexOf('"', this.#at);
      if (end < 0) throw new Error(`line ${line}: the quote of the ${what} is not closed`);
      text += this.#text.slice(this.#at, end);
      if (text.length > most) throw new Error(`line ${line}: the ${what} is longer than ${most} characters`);
      this.#at = end + 1;
      if (this.#text[this.#at] !== '"') break;
      text += '"';
    }
    if (text.includes('\n') || text.includes('\0'))
      throw new Error(`line ${line}: the ${what} has a line break or a zero byte`);
    return text;
  }

  #over(these: RegExp): void {
    for (
      let next = this.#text[this.#at];
      next !== undefined && these.test(next);
      next = this.#text[this.#at]
    ) {
      if (next === '\n') this.line += 1;
      this.#at += 1;
    }
  }
}
