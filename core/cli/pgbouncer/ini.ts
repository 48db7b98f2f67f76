/** PgBouncer's ini files, read as PgBouncer 1.18 reads them; names in double quotes as its manual has them. */
import { readFileSync } from 'node:fs';
import { ConfigError } from '../../contract/errors.ts';

/** Where something stands. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** A line of a file. A section goes on in files that are included, and behind them with the last one of those. */
export type IniLine =
  | { readonly kind: 'section'; readonly name: string; readonly line: number }
  | { readonly kind: 'entry'; readonly name: string; readonly value: string; readonly line: number }
  | { readonly kind: 'include'; readonly path: string; readonly line: number };

/** An entry with its section. */
export interface IniEntry {
  readonly section: string;
  readonly name: string;
  readonly value: string;
  readonly place: Place;
}

/** What is told of a file in the order in which it stands there. */
export interface IniVisitor {
  section(name: string, place: Place): void;
  entry(entry: IniEntry): void;
}

/** As deep as PgBouncer goes. */
const DEEPEST = 10;
/** `isspace` in the C locale. */
const BLANK = /[ \t\n\v\f\r]/;

/** A line that PgBouncer refuses. */
export class IniError extends Error {
  readonly line: number;

  constructor(line: number, why: string) {
    super(why);
    this.line = line;
  }
}

function firstNonBlank(text: string, from: number): number {
  let at = from;
  while (at < text.length && BLANK.test(text[at] ?? '')) at += 1;
  return at;
}

function trimmedEnd(text: string): string {
  let end = text.length;
  while (end > 0 && BLANK.test(text[end - 1] ?? '')) end -= 1;
  return text.slice(0, end);
}

interface Name {
  readonly name: string;
  /** Behind it. */
  readonly at: number;
}

/** A name in double quotes, in which two are one. */
function quotedName(text: string, from: number, line: number): Name {
  let name = '';
  for (let at = from + 1; at < text.length; at += 1) {
    if (text[at] !== '"') name += text[at];
    else if (text[at + 1] !== '"') return { name, at: at + 1 };
    else {
      name += '"';
      at += 1;
    }
  }
  throw new IniError(line, 'the quote of the name is not closed');
}

function nameAt(text: string, from: number, line: number): Name {
  if (text[from] === '"') return quotedName(text, from, line);
  let at = from;
  while (at < text.length && /[A-Za-z0-9_.*-]/.test(text[at] ?? '')) at += 1;
  return { name: text.slice(from, at), at };
}

/** Behind spaces and tabs. */
function behindSpaces(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t') at += 1;
  return at;
}

function entryAt(text: string, from: number, line: number): IniLine {
  const { name, at } = nameAt(text, from, line);
  const sign = behindSpaces(text, at);
  if (text[sign] !== '=')
    throw new IniError(line, 'a name, = and a value are needed, or a comment, which begins the line');
  return { kind: 'entry', name, value: trimmedEnd(text.slice(behindSpaces(text, sign + 1))), line };
}

/** What one line has: a section and what stands behind it, or one of the others. */
function linesIn(text: string, line: number): readonly IniLine[] {
  const found: IniLine[] = [];
  for (let at = firstNonBlank(text, 0); at < text.length; at = firstNonBlank(text, at)) {
    if (/^%include[ \t]/.test(text.slice(at, at + 9)))
      return [...found, { kind: 'include', path: trimmedEnd(text.slice(behindSpaces(text, at + 8))), line }];
    if (text[at] === '#' || text[at] === ';') return found;
    if (text[at] !== '[') return [...found, entryAt(text, at, line)];
    const end = text.indexOf(']', at);
    if (end < 0) throw new IniError(line, 'the bracket of the section is not closed');
    found.push({ kind: 'section', name: text.slice(at + 1, end), line });
    at = end + 1;
  }
  return found;
}

/** The lines of a file that say something. @throws IniError for one that PgBouncer refuses; its message has nothing of the line */
export function parseIni(text: string): readonly IniLine[] {
  return text.split('\n').flatMap((one, index) => linesIn(one, index + 1));
}

function textOf(path: string, from: Place | undefined): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const where = from ? `${from.file}:${from.line}: ` : '';
    throw new ConfigError(
      `${where}${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'no reason'}`,
    );
  }
}

class Walk {
  readonly #visitor: IniVisitor;
  #section: string | undefined;

  constructor(visitor: IniVisitor) {
    this.#visitor = visitor;
  }

  file(path: string, depth: number, from?: Place): void {
    if (depth > DEEPEST) throw new ConfigError(`${path}: files are included more than ${DEEPEST} deep`);
    try {
      for (const line of parseIni(textOf(path, from)))
        this.#take(line, { file: path, line: line.line }, depth);
    } catch (error) {
      if (error instanceof IniError) throw new ConfigError(`${path}:${error.line}: ${error.message}`);
      throw error;
    }
  }

  #take(line: IniLine, place: Place, depth: number): void {
    if (line.kind === 'include') return this.file(line.path, depth + 1, place);
    if (line.kind === 'section') {
      this.#section = line.name;
      return this.#visitor.section(line.name, place);
    }
    const { name, value } = line;
    if (this.#section === undefined)
      throw new ConfigError(`${place.file}:${place.line}: no section stands above`);
    this.#visitor.entry({ section: this.#section, name, value, place });
  }
}

/**
 * Reads a file and those that it includes, whose paths are relative to the working directory, as PgBouncer's are.
 * @throws ConfigError with the file and the line
 */
export function walkIni(path: string, visitor: IniVisitor): void {
  new Walk(visitor).file(path, 0);
}
