/** What a login with limits asks the store of its fleet: it waits for one answer, however many limits there are. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BEAT, COUNT, LOCK, TAKE } from '../../core/fleet/redis/scripts.ts';
import { removeAll, startFleet } from '../support/fleet-gateways.ts';
import type { FleetGateway } from '../support/fleet-gateways.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RedisMonitor } from '../support/redis-monitor.ts';
import type { RedisCommand } from '../support/redis-monitor.ts';
import { RedisServer } from '../support/redis.ts';
import { until } from '../support/until.ts';

const LOGINS = 10;

const hashOf = (script: string): string => createHash('sha1').update(script).digest('hex');

/** The arguments of each time that a script ran: behind its hash, the number of keys, the key and the instance. */
function argumentsOf(script: string, commands: readonly RedisCommand[]): readonly RedisCommand[] {
  return commands.filter(([, hash]) => hash === hashOf(script)).map((command) => command.slice(5));
}

/** Counts that say none: those that are told again from time to time say how many there are. */
function releasesIn(commands: readonly RedisCommand[]): readonly RedisCommand[] {
  const numbers = (args: RedisCommand): RedisCommand => args.filter((_, i) => i % 2 === 1);
  return argumentsOf(COUNT, commands).filter((args) => numbers(args).every((number) => number === '0'));
}

/** What is neither about places, nor what an instance asks all the time, nor the test's own. */
function othersIn(commands: readonly RedisCommand[]): readonly RedisCommand[] {
  const scripts = new Set([TAKE, COUNT, BEAT, LOCK].map(hashOf));
  return commands.filter(
    ([name = '', hash = '']) => !['XREAD', 'echo', 'quit'].includes(name) && !scripts.has(hash),
  );
}

describeWith('redis-server', (redisServer) => {
  let redis: RedisServer;
  beforeAll(async () => {
    prepareCheckout();
    redis = await RedisServer.start(redisServer);
  });
  afterAll(() => redis.stop());

  async function oneSession(gateway: FleetGateway, monitor: RedisMonitor, number: number): Promise<void> {
    const client = await gateway.login();
    const commands = await monitor.commands();
    expect(argumentsOf(TAKE, commands)).toHaveLength(number);
    expect(releasesIn(commands)).toHaveLength(number - 1);
    await client.end();
    await until('it is given back', async () => releasesIn(await monitor.commands()).length >= number);
  }

  test.each([{ subject: 2 }, { subject: 2, role: 20, database: 20 }])(
    'with %o a login asks once and its end tells once',
    async (limits) => {
      const options = { instances: 1, limits: `maxConnections: ${JSON.stringify(limits)}` };
      const gateways = await startFleet(sharedPostgres(), redis, options);
      const monitor = await RedisMonitor.start(redis.port);
      try {
        for (const gateway of gateways)
          for (let number = 1; number <= LOGINS; number += 1) await oneSession(gateway, monitor, number);
        const commands = await monitor.commands();
        const asked = argumentsOf(TAKE, commands)[0]?.filter((_, i) => i % 3 === 2);
        expect(asked?.filter((limit) => limit !== '')).toEqual(Object.values(limits).map(String));
        expect(releasesIn(commands)).toHaveLength(LOGINS);
        expect(othersIn(commands)).toEqual([]);
      } finally {
        monitor.close();
        await removeAll(gateways);
      }
    },
  );
});
