/** The memory of this process, in plain numbers. */
import { getHeapSpaceStatistics } from 'node:v8';
import type { MemoryReading } from '../contract/overview.ts';

/** The spaces of the heap, then what lies outside of it, then all of the process. */
export function memoryReadings(): readonly MemoryReading[] {
  const { external, arrayBuffers, rss } = process.memoryUsage();
  const spaces = getHeapSpaceStatistics().map((space) => ({
    name: `heap_${space.space_name}`,
    used: space.space_used_size,
    total: space.space_size,
  }));
  return [
    ...spaces,
    { name: 'external', used: external, total: external },
    { name: 'array_buffers', used: arrayBuffers, total: arrayBuffers },
    { name: 'resident', used: rss, total: rss },
  ];
}
