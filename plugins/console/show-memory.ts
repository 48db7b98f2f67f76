/** `SHOW MEM`: the memory of the gateway's processes together, where PgBouncer shows its caches of objects. */
import type { MemoryReading, OverviewParts } from '../../core/index.ts';
import { table } from './table.ts';
import type { Columns, Row, Table } from './table.ts';

/**
 * PgBouncer's columns. Everything is in bytes, so that an object (`size`) is one byte; beyond 2 GiB what is an int4 there
 * has to be more.
 */
export const MEMORY_COLUMNS = {
  name: 'text',
  size: 'int4',
  used: 'int8',
  free: 'int8',
  memtotal: 'int8',
} as const satisfies Columns;

function row({ name, used, total }: MemoryReading): Row<typeof MEMORY_COLUMNS> {
  return { name, size: 1, used, free: Math.max(0, total - used), memtotal: total };
}

/** The spaces of the heap, then what lies outside of it; `resident` is all of it. */
export function showMemory({ memory }: Pick<OverviewParts, 'memory'>): Table {
  return table(MEMORY_COLUMNS, memory.map(row));
}
