/** Pools that are small for the number of workers: these pass connections to and fro. */
import type { ResolvedConfig } from './resolved.ts';

/** Server connections that each worker should have of a pool, at least. */
const EACH = 2;

/** One of them. */
export interface SmallPool {
  /** `databases.orders.pool.size` */
  readonly path: string;
  readonly text: string;
}

/** Those of entries that the config names. */
export async function smallPools({
  workers,
  databaseNames,
  database,
}: ResolvedConfig): Promise<readonly SmallPool[]> {
  if (workers === 1) return [];
  const found = databaseNames.map(async (name) => {
    const size = (await database(name))?.pool.size ?? Infinity;
    const text = `${size} is small for ${workers} workers, which pass connections to and fro below ${EACH} each: take fewer workers, or a larger pool`;
    return size < EACH * workers ? [{ path: `databases.${name}.pool.size`, text }] : [];
  });
  return (await Promise.all(found)).flat();
}
