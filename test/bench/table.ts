/** The one table that a benchmark prints: our figure, the peer's, and the ratio. */

/** Figures by the key of their column; undefined where something does not have one. */
export type Figures = Readonly<Record<string, number | undefined>>;

/** What one peer gave under one load. */
export interface Row {
  readonly load: string;
  readonly peer: string;
  readonly figures: Figures;
}

/** One kind of figure. */
export interface Column {
  /** Its key in {@link Row.figures}. */
  readonly key: string;
  /** With the unit. */
  readonly title: string;
  /** Behind the decimal point. Default 0. */
  readonly digits?: number;
  /** Peers to whose figure under the same load it is put into proportion, each in a column of its own. Default none. */
  readonly against?: readonly string[];
}

/** Everything that is printed. */
export interface Table {
  /** What has to be known to read it, in one line. */
  readonly note: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

const NONE = '–';

function cell(value: number | undefined, digits = 0): string {
  return value === undefined || Number.isNaN(value) ? NONE : value.toFixed(digits);
}

function ratio({ rows }: Table, row: Row, key: string, peer: string): number | undefined {
  const theirs = rows.find((other) => other.load === row.load && other.peer === peer)?.figures[key];
  const ours = row.figures[key];
  return ours === undefined || theirs === undefined || theirs === 0 ? undefined : ours / theirs;
}

/** As Markdown. */
export function markdown(table: Table): string {
  const { note, columns, rows } = table;
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const titles = columns.flatMap(({ title, against = [] }) => [title, ...against.map((peer) => `× ${peer}`)]);
  const head = ['load', 'peer', ...titles];
  const body = rows.map((row) =>
    line([
      row.load,
      row.peer,
      ...columns.flatMap(({ key, digits, against = [] }) => [
        cell(row.figures[key], digits),
        ...against.map((peer) => cell(ratio(table, row, key, peer), 2)),
      ]),
    ]),
  );
  return [note, '', line(head), line(head.map(() => '---')), ...body].join('\n');
}

/** As JSON, for programs: figures as they were measured, without the ratios. */
export function json({ note, columns, rows }: Table): string {
  const titles = Object.fromEntries(columns.map(({ key, title }) => [key, title]));
  return JSON.stringify({ node: process.version, note, columns: titles, rows }, undefined, 2);
}
