/** `limits.maxConnections` over two gateways, one of which is killed: the short form of `npm run test:limits`. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../leaks/random.ts';
import { crowd } from '../support/crowd.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { LIMITS, LimitedFleet } from '../support/limited-fleet.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RedisServer } from '../support/redis.ts';
import { until } from '../support/until.ts';

const LOGINS = 500;
const KILLED_AFTER = 150;

describeWith('redis-server', (redisServer) =>
  describe.each([1, 2])('instances with workers: %i', (workers) => {
    let redis: RedisServer;
    let fleet: LimitedFleet;
    beforeAll(async () => {
      prepareCheckout();
      redis = await RedisServer.start(redisServer);
      fleet = await LimitedFleet.start(sharedPostgres(), redis, workers);
    });
    afterAll(async () => {
      await fleet.stop();
      await redis.stop();
    });

    test('is never passed while one is killed and comes back, and in the end no place is left', async () => {
      const over = new AbortController();
      const clients = 2 * LIMITS.database;
      const crowded = crowd(fleet, { clients, logins: LOGINS, random: new Random(15), over: over.signal });
      try {
        await until('some are there', () => fleet.counts.admitted >= KILLED_AFTER);
        await fleet.kill(1);
      } finally {
        over.abort();
        await crowded;
      }
      expect(fleet.sessions.above).toEqual([]);
      expect(fleet.surprises).toEqual([]);
      expect(await fleet.recovers(30_000)).toBeUndefined();
      expect(fleet.sessions.most).toEqual(LIMITS);
    });
  }),
);
