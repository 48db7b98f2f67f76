/** What an operator says, as words: one pass over the text, whatever it is. Comments are blanks (manual, 4.1). */
import { GatewayError } from '../../core/index.ts';

/** A piece of a statement. `name` stood between double quotes and `text` between single ones; both without them. */
export interface Word {
  readonly kind: 'word' | 'name' | 'text' | 'sign';
  readonly text: string;
}

/** One statement, read from the left to the right. */
export class Words {
  readonly #words: readonly Word[];
  #at = 0;

  constructor(words: readonly Word[]) {
    this.#words = words;
  }

  get over(): boolean {
    return this.#at >= this.#words.length;
  }

  /** The next piece, which stays; undefined at the end. */
  get next(): Word | undefined {
    return this.#words[this.#at];
  }

  /** Takes the next piece; undefined at the end. */
  take(): Word | undefined {
    const { next } = this;
    this.#at += 1;
    return next;
  }

  /** Takes the next piece if it is this keyword or sign. */
  takes(keyword: string): boolean {
    if (keywordOf(this.next) !== keyword) return false;
    this.#at += 1;
    return true;
  }

  /** Takes several if they follow one another; else none. */
  takesAll(...keywords: readonly string[]): boolean {
    const all = keywords.every((keyword, place) => keywordOf(this.#words[this.#at + place]) === keyword);
    if (all) this.#at += keywords.length;
    return all;
  }

  /** Takes a name, quoted or not; undefined where there is none. */
  name(): string | undefined {
    const { next } = this;
    if (next?.kind !== 'word' && next?.kind !== 'name') return undefined;
    this.#at += 1;
    return next.text;
  }

  /** The same from where it is: for one who may not find what it looks for. */
  copy(): Words {
    return new Words(this.#words.slice(this.#at));
  }

  /** Takes everything that is left. */
  rest(): readonly Word[] {
    const rest = this.#words.slice(this.#at);
    this.#at = this.#words.length;
    return rest;
  }
}

/** A word in capitals, or a sign; undefined for what stood between quotes, and at the end. */
export function keywordOf(word: Word | undefined): string | undefined {
  if (word?.kind === 'sign') return word.text;
  return word?.kind === 'word' ? word.text.toUpperCase() : undefined;
}

const BLANK = /[ \t\n\r\f\v]+/y;
/** What no word ends with; a comment may begin with the rest. */
const PLAIN = /[^ \t\n\r\f\v=,();'"/-]+/y;
const LINE = /[^\n\r]*/y;
const SIGNS = new Set('=,()');
const QUOTES = new Set(`'"`);

/** Behind what a pattern finds at `from`; `from` where that is nothing. */
function behind(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex : from;
}

/** Behind a comment that begins at `from`; they nest. @throws GatewayError `syntax_error` for one without an end */
function endOfComment(text: string, from: number): number {
  const border = /\/\*|\*\//g;
  border.lastIndex = from;
  let depth = 0;
  for (let found = border.exec(text); found; found = border.exec(text)) {
    depth += found[0] === '/*' ? 1 : -1;
    if (depth === 0) return border.lastIndex;
  }
  throw new GatewayError('syntax_error', 'unterminated /* comment');
}

interface Piece {
  readonly word?: Word;
  /** Behind it. */
  readonly end: number;
}

/** What stands between quotes, doubled ones being one. @throws GatewayError `syntax_error` for one without an end */
function quoted(text: string, from: number, quote: string): Piece {
  const parts: string[] = [];
  for (let at = from + 1; ;) {
    const end = text.indexOf(quote, at);
    if (end < 0) throw new GatewayError('syntax_error', 'unterminated quoted text');
    parts.push(text.slice(at, end));
    if (text[end + 1] !== quote) {
      return { word: { kind: quote === '"' ? 'name' : 'text', text: parts.join(quote) }, end: end + 1 };
    }
    at = end + 2;
  }
}

function beginsComment(text: string, at: number): boolean {
  return text.startsWith('--', at) || text.startsWith('/*', at);
}

/** Up to what cannot be part of a word. */
function plain(text: string, from: number): Piece {
  let at = behind(PLAIN, text, from);
  while ((text[at] === '-' || text[at] === '/') && !beginsComment(text, at)) at = behind(PLAIN, text, at + 1);
  return { word: { kind: 'word', text: text.slice(from, at) }, end: at };
}

function pieceAt(text: string, at: number): Piece {
  const first = text[at] ?? '';
  const blanks = behind(BLANK, text, at);
  if (blanks > at) return { end: blanks };
  if (text.startsWith('--', at)) return { end: behind(LINE, text, at) };
  if (text.startsWith('/*', at)) return { end: endOfComment(text, at) };
  if (QUOTES.has(first)) return quoted(text, at, first);
  if (SIGNS.has(first)) return { word: { kind: 'sign', text: first }, end: at + 1 };
  return plain(text, at);
}

/**
 * The statements of a text, those without a word left out. Takes time in proportion to the length.
 * @throws GatewayError `syntax_error` for a quote or a comment without an end
 */
export function statementsOf(text: string): readonly Words[] {
  const statements: Word[][] = [];
  let open = false;
  for (let at = 0; at < text.length;) {
    if (text[at] === ';') {
      open = false;
      at += 1;
      continue;
    }
    const { word, end } = pieceAt(text, at);
    if (word && open) statements.at(-1)?.push(word);
    else if (word) statements.push([word]);
    open ||= word !== undefined;
    at = end;
  }
  return statements.map((words) => new Words(words));
}
