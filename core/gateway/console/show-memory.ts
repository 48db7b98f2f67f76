/** `SHOW MEM`: the memory of the process, where PgBouncer shows its caches of objects. */
import { getHeapSpaceStatistics } from 'node:v8';
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

type MemoryRow = Row<typeof MEMORY_COLUMNS>;

function row(name: string, used: number, total: number): MemoryRow {
  return { name, size: 1, used, free: Math.max(0, total - used), memtotal: total };
}

/** The spaces of the heap, then what lies outside of it; `resident` is all of the process. */
export function showMemory(): Table {
  const { external, arrayBuffers, rss } = process.memoryUsage();
  const spaces = getHeapSpaceStatistics().map((space) =>
    row(`heap_${space.space_name}`, space.space_used_size, space.space_size),
  );
  return table(MEMORY_COLUMNS, [
    ...spaces,
    row('external', external, external),
    row('array_buffers', arrayBuffers, arrayBuffers),
    row('resident', rss, rss),
  ]);
}
