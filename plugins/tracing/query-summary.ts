/** What a statement is about in few words: `db.query.summary` of OpenTelemetry's conventions for databases. */

const LONGEST = 255;
const NAME = String.raw`(?:"(?:[^"]|"")*"|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)`;
const NAMES = new RegExp(NAME, 'g');
const TOKEN = new RegExp(String.raw`${NAME}(?:\s*\.\s*${NAME})*|[(),;]`, 'g');

const OPERATIONS = new Set(['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE', 'VALUES']);
const SCHEMA_CHANGES = new Set([
  'CREATE',
  'ALTER',
  'DROP',
  'TRUNCATE',
  'COMMENT',
  'REINDEX',
  'REFRESH',
  'COPY',
  'LOCK',
]);
const SKIPPED = new Set(
  'OR REPLACE TEMP TEMPORARY GLOBAL LOCAL UNLOGGED UNIQUE IF NOT EXISTS ONLY LATERAL CONCURRENTLY ON RECURSIVE'.split(
    ' ',
  ),
);
const OBJECTS = new Set(
  'TABLE INDEX VIEW MATERIALIZED SEQUENCE SCHEMA DATABASE ROLE USER FUNCTION PROCEDURE TRIGGER TYPE EXTENSION POLICY DOMAIN COLUMN'.split(
    ' ',
  ),
);
/** What stands in front of an UPDATE that is none: FOR UPDATE, FOR NO KEY UPDATE, DO UPDATE, ON UPDATE. */
const NO_UPDATE = new Set(['FOR', 'KEY', 'DO', 'ON']);
/** Functions whose arguments have a FROM of their own. */
const OWN_FROM = new Set(['EXTRACT', 'SUBSTRING', 'TRIM', 'OVERLAY', 'POSITION']);
const END_OF_LIST = new Set(
  'WHERE GROUP ORDER SET VALUES HAVING LIMIT UNION RETURNING ON JOIN USING WINDOW'.split(' '),
);

function schemaChange(first: string, rest: readonly string[]): string {
  const words = [first];
  for (const token of rest) {
    const word = token.toUpperCase();
    if (SKIPPED.has(word)) continue;
    if (OBJECTS.has(word) && words.length < 3) words.push(word);
    else {
      if (/^\w|^"/.test(token)) words.push(token);
      break;
    }
  }
  return words.join(' ');
}

/** Walks over the tokens of a query, and notes operations and what they are on. */
class Query {
  readonly words: string[] = [];
  readonly #within: string[] = [];
  readonly #defined = new Set<string>();
  #before = ['', ''];
  #expecting = false;
  #list: number | undefined;

  take(token: string): void {
    const word = token.toUpperCase();
    const [last = '', butLast = ''] = this.#before;
    if (token === '(') this.#open(last, butLast);
    else if (token === ')') this.#close();
    else if (token === ',') this.#expecting = this.#list === this.#within.length;
    else if (this.#expecting && !OPERATIONS.has(word)) {
      if (!SKIPPED.has(word)) this.#target(token);
    } else this.#keyword(word, last);
    this.#before = [token, last];
  }

  #open(last: string, butLast: string): void {
    // `name AS (`: what is defined here is no table.
    if (/^(?:AS|MATERIALIZED)$/i.test(last)) this.#defined.add(butLast);
    this.#expecting = false;
    this.#within.push(last.toUpperCase());
  }

  #close(): void {
    this.#within.pop();
    this.#expecting = false;
    if (this.#list !== undefined && this.#list > this.#within.length) this.#list = undefined;
  }

  #target(token: string): void {
    this.#expecting = false;
    if (!this.#defined.has(token)) this.words.push((token.match(NAMES) ?? []).join('.'));
  }

  #keyword(word: string, last: string): void {
    const depth = this.#within.length;
    const before = last.toUpperCase();
    if (END_OF_LIST.has(word)) this.#list = undefined;
    if (word === 'FROM' && (before === 'DISTINCT' || OWN_FROM.has(this.#within[depth - 1] ?? ''))) return;
    if (word === 'UPDATE' && NO_UPDATE.has(before)) return;
    if (OPERATIONS.has(word) && (word !== 'VALUES' || this.words.length === 0)) this.words.push(word);
    if (word === 'FROM') this.#list = depth;
    this.#expecting =
      /^(?:FROM|JOIN|INTO|UPDATE)$/.test(word) || (word === 'USING' && this.words[0] === 'MERGE');
  }
}

function shortened(words: readonly string[]): string {
  let summary = '';
  for (const word of words) {
    const longer = summary === '' ? word : `${summary} ${word}`;
    if (longer.length > LONGEST) break;
    summary = longer;
  }
  return summary;
}

/**
 * Operations and the tables they are on, in order, at most 255 characters; of other statements the first word. Give it a
 * text without literals. @example summaryOf('select * from a join b using (id)') === 'SELECT a b'
 */
export function summaryOf(sql: string): string {
  const tokens = sql.match(TOKEN) ?? [];
  const first = tokens.find((token) => /^\w/.test(token))?.toUpperCase() ?? '';
  if (SCHEMA_CHANGES.has(first)) return shortened([schemaChange(first, tokens.slice(1, 12))]);
  if (!OPERATIONS.has(first) && !/^(?:WITH|EXPLAIN|TABLE)$/.test(first)) return first;
  const query = new Query();
  for (const token of tokens) query.take(token);
  return shortened(query.words) || first;
}
