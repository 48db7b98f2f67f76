/** The table of drivers in the README, as runs of their programs say it. */
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
export function rowOf(name: string, runs: Runs, note: string): readonly string[] {
  const transaction = differing(runs, 'transaction');
  const columns = COLUMNS.map((features) => column(runs, transaction, features));
  return [name, runs.direct.version, inAll(differing(runs, 'session')), inAll(transaction), ...columns, note];
}

/** A document with the row of this name replaced. @throws Error where it has none */
export function withRow(document: string, cells: readonly string[]): string {
  const [name = ''] = cells;
  const lines = document.split('\n');
  const place = lines.findIndex((line) => line.split('|')[1]?.trim() === name);
  if (place < 0) throw new Error(`no row for ${name}`);
  lines[place] = `| ${cells.join(' | ')} |`;
  return lines.join('\n');
}
