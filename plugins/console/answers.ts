/** What the console sends for a command that is done. */
import { commandComplete, noticeResponse, parameterStatus } from '../../core/wire/index.ts';
import type { Answer } from './command.ts';
import { describeColumns, encodeRow } from './table.ts';
import type { Formats } from './table.ts';

/** Its notice, if it has one. */
export function encodeNotice({ notice }: Answer): readonly Uint8Array[] {
  return notice ? [noticeResponse(notice)] : [];
}

/** What ends it. */
export function encodeEnd({ tag, reports = [] }: Answer): Uint8Array {
  // Behind CommandComplete is where PostgreSQL tells of a parameter as well.
  return Buffer.concat([commandComplete(tag), ...reports.map((report) => parameterStatus(...report))]);
}

/** All of it, without ReadyForQuery. `formats`: the client has the columns already, and has asked for these. */
export function encodeAnswer(answer: Answer, formats?: Formats): Uint8Array {
  const { table } = answer;
  const columns = table && !formats ? [describeColumns(table.columns)] : [];
  const rows = table?.rows.map((row) => encodeRow(table, row, formats)) ?? [];
  return Buffer.concat([...encodeNotice(answer), ...columns, ...rows, encodeEnd(answer)]);
}
