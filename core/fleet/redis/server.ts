/** Which server a connection leads to, and whether it can be the store of a fleet. */
import type { Redis } from 'ioredis';

/** Streams (XADD, XREAD) came with it, and scripts that write after they have asked for the time. */
const OLDEST = 5;
const RUN_ID = /^run_id:(\S+)/m;
const VERSION = /^redis_version:(\S+)/m;

/** What a server says of itself; empty texts where it may not be asked. */
export interface Server {
  /** Random of each start. */
  readonly runId: string;
  /** Of Redis; Valkey says which one it is like. */
  readonly version: string;
}

/** Nothing has been said yet. */
export const UNKNOWN: Server = { runId: '', version: '' };

/** Never rejects. */
export async function serverOf(redis: Redis): Promise<Server> {
  const info = await redis.info('server').catch(() => '');
  return { runId: RUN_ID.exec(info)?.[1] ?? '', version: VERSION.exec(info)?.[1] ?? '' };
}

/** Undefined: it will do, or does not say its version. */
export function tooOld({ version }: Server): string | undefined {
  if (version === '' || Number.parseInt(version, 10) >= OLDEST) return undefined;
  return `fleet.store: Redis ${version} is too old: it has to be ${OLDEST}.0 or newer, which has streams (XADD)`;
}

/** Where one of them does not say which server it is, they are taken for the same. */
export const areOne = (one: Server, other: Server): boolean =>
  one.runId === '' || other.runId === '' || one.runId === other.runId;
