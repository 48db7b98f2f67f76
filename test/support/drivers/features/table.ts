/** The table of drivers in core/client/README.md, as runs of their programs say it. */
import { FEATURES } from './index.ts';
import type { Feature, Run } from './index.ts';

/** The same program directly, and through the gateway in each mode. */
export interface Runs {
  readonly direct: Run;
  readonly session: Run;
  readonly transaction: Run;
}

/** Features of a column in transaction mode; it says yes where all of them that the driver has are as directly. */
const COLUMNS: readonly (readonly Feature[])[] = [
  ['startup', 'settings'],
  ['prepared', 'changed_table', 'batch'],
  ['cancel'],
  ['copy'],
  ['listen'],
];

const text = (run: Run, feature: Feature): string => JSON.stringify(run.results.get(feature) ?? null);

function differing(runs: Runs, mode: 'session' | 'transaction'): readonly Feature[] {
  return FEATURES.filter((feature) => text(runs[mode], feature) !== text(runs.direct, feature));
}

function inAll(different: readonly Feature[]): string {
  return different.length === 0 ? 'as directly' : `other: ${different.join(', ').replaceAll('_', ' ')}`;
}

function column({ direct }: Runs, different: readonly Feature[], features: readonly Feature[]): string {
  if (!features.some((feature) => direct.results.has(feature))) return '–';
  return features.some((feature) => different.includes(feature)) ? 'no' : 'yes';
}

/** The cells of a row. */
export function rowOf(name: string, runs: Runs): readonly string[] {
  const transaction = differing(runs, 'transaction');
  const columns = COLUMNS.map((features) => column(runs, transaction, features));
  return [name, inAll(differing(runs, 'session')), inAll(transaction), ...columns];
}

/** The line under the table that says which version was tried, and what to know. */
export function lineOf(name: string, version: string, note: string): string {
  return `- **${name}**, ${version}: ${note}.`;
}

/** A document with the row and the line of a name replaced, in the section of a heading. @throws Error where it has none */
export function withRow(document: string, heading: string, cells: readonly string[], line: string): string {
  const [name = ''] = cells;
  const lines = document.split('\n');
  const section = lines.indexOf(`## ${heading}`);
  const replace = (is: (text: string) => boolean, by: string): void => {
    const place = lines.findIndex((text, index) => index > section && is(text));
    if (section < 0 || place < 0) throw new Error(`nothing about ${name}`);
    lines[place] = by;
  };
  replace((text) => text.split('|')[1]?.trim() === name, `| ${cells.join(' | ')} |`);
  replace((text) => text.startsWith(`- **${name}**, `), line);
  return lines.join('\n');
}

/** Whether a document has the line of a name, whichever version it was written with: another one may be installed here. */
export function hasLine(document: string, line: string, version: string): boolean {
  const [begin = '', end = ''] = line.split(version);
  return document.split('\n').some((one) => one.startsWith(begin) && one.endsWith(end));
}
