/** What the console sends for a command that is done. */
import { commandComplete, noticeResponse } from '../../wire/to-client.ts';
import type { Answer } from './commands.ts';
import { describeColumns, encodeRow } from './table.ts';

/** Its notice, if it has one. */
export function encodeNotice({ notice: message }: Answer): readonly Buffer[] {
  return message === undefined ? [] : [noticeResponse({ severity: 'NOTICE', code: '00000', message })];
}

/** All of it, without ReadyForQuery. `described`: the client has the columns already. */
export function encodeAnswer(answer: Answer, { described = false } = {}): Buffer {
  const { tag, table } = answer;
  const columns = table && !described ? [describeColumns(table.columns)] : [];
  const rows = table?.rows.map(encodeRow) ?? [];
  return Buffer.concat([...encodeNotice(answer), ...columns, ...rows, commandComplete(tag)]);
}
