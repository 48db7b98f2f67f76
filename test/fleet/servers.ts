/** The servers of the programs of this folder: a PostgreSQL and a Redis of their own. */
import { executable } from '../support/executable.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { RedisServer } from '../support/redis.ts';

/** Both, and the program that Redis is. */
export interface Servers {
  readonly postgres: OwnPostgres;
  readonly redis: RedisServer;
  readonly redisServer: string;
}

/** Runs it with both, and stops them whatever comes of it. @throws Error where Redis is not installed */
export async function withServers(run: (servers: Servers) => Promise<void>): Promise<void> {
  const redisServer = executable('redis-server');
  if (redisServer === undefined) throw new Error('redis-server is not installed here');
  const postgres = await startPostgres();
  try {
    const redis = await RedisServer.start(redisServer);
    try {
      await run({ postgres, redis, redisServer });
    } finally {
      await redis.stop();
    }
  } finally {
    await postgres.stop();
  }
}
