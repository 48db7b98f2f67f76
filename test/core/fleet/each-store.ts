/** The stores of a fleet that behave alike: in Redis, and in memory. */
import { afterAll, afterEach, beforeAll, beforeEach, describe } from 'vitest';
import { RedisStore } from '../../../core/fleet/redis/redis-store.ts';
import type { FleetStore } from '../../../core/fleet/store.ts';
import { machineTimers } from '../../../core/workers/timers.ts';
import { MemoryClient } from '../../support/memory-client.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { describeWith } from '../../support/programs.ts';
import { RedisServer } from '../../support/redis.ts';
import { PLAIN } from './redis-store.ts';

/** Long enough to be alive for a test, and for one that is to die. Milliseconds. */
export const [LIVES_MS, DIES_MS] = [60_000, 30];
/** How many changes a log keeps. */
export const LOG_LENGTH = 100;

interface Stores {
  client(): Promise<FleetStore>;
  flush(): Promise<void>;
}

/** The store of one test, which is empty at first. */
export interface StoreOfTest {
  /** Two connections to it, as two instances have them. */
  readonly a: FleetStore;
  readonly b: FleetStore;
  /** Another one; the end of the test closes it. */
  client(): Promise<FleetStore>;
  flush(): Promise<void>;
}

/** One beat, by default of an instance that lives long. */
export const live = (store: FleetStore, id: string, ms = LIVES_MS): ReturnType<FleetStore['beat']> =>
  store.beat({ id, text: `text of ${id}` }, [], ms);

/** Defines the tests for each kind of store. */
export function eachStore(tests: (store: StoreOfTest) => void): void {
  describe('in memory', () => {
    let store: MemoryStore;
    beforeAll(() => {
      store = new MemoryStore({ timers: machineTimers, wall: Date.now, logLength: LOG_LENGTH });
    });
    tests(
      ofTest({
        client: () => Promise.resolve(new MemoryClient(store)),
        flush: () => Promise.resolve(store.flush()),
      }),
    );
  });

  describeWith('redis-server', (program) => {
    let redis: RedisServer;
    beforeAll(async () => {
      redis = await RedisServer.start(program, { password: 'canary-of-redis' });
    });
    afterAll(() => redis.stop());
    tests(
      ofTest({
        async client() {
          const { url, password } = redis;
          const store = new RedisStore({ ...PLAIN, url, password, logLength: LOG_LENGTH });
          await store.connect();
          return store;
        },
        async flush() {
          await redis.ask('flushall');
        },
      }),
    );
  });
}

function ofTest(stores: Stores): StoreOfTest {
  const open: FleetStore[] = [];
  async function client(): Promise<FleetStore> {
    const made = await stores.client();
    open.push(made);
    return made;
  }
  beforeEach(async () => {
    await stores.flush();
    await client();
    await client();
  });
  afterEach(() => {
    for (const store of open.splice(0)) store.close();
  });
  const opened = (index: number): FleetStore => {
    const store = open[index];
    if (!store) throw new Error('only within a test');
    return store;
  };
  return {
    get a() {
      return opened(0);
    },
    get b() {
      return opened(1);
    },
    client,
    flush: () => stores.flush(),
  };
}
