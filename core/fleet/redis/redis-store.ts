/** The store of a fleet in Redis or Valkey: one connection for commands, one that waits for changes and post. */
import type { Redis } from 'ioredis';
import { randomBytes } from 'node:crypto';
import { ConfigError } from '../../contract/errors.ts';
import { INSTANCE_NUMBERS } from '../../contract/instance-numbers.ts';
import type {
  Beat,
  FleetStore,
  Read,
  Snapshot,
  StoredChange,
  StoredEntry,
  StoredInstance,
  StoredPlace,
  Taken,
} from '../store.ts';
import { connection, open } from './connection.ts';
import type { Connection, RedisAddress } from './connection.ts';
import { LiveInstances } from './live-instances.ts';
import { argumentsOf, readOf, storedIn } from './read.ts';
import { load, Script } from './script.ts';
import * as lua from './scripts.ts';
import { watchPrimary } from './sentinels.ts';
import { areOne, tooOld } from './server.ts';

const SCRIPTS = {
  beat: new Script(lua.BEAT),
  freeMore: new Script(lua.FREE_MORE),
  leave: new Script(lua.LEAVE),
  take: new Script(lua.TAKE),
  count: new Script(lua.COUNT),
  change: new Script(lua.CHANGE),
  expired: new Script(lua.EXPIRED),
  post: new Script(lua.POST),
  lock: new Script(lua.LOCK),
  unlock: new Script(lua.UNLOCK),
};
/** One wait is no longer than this, in milliseconds, so that a connection that is dead is known soon; then the next begins. */
const LONGEST_WAIT_MS = 1_000;
/** How many places are told in one step. */
const PLACES_AT_ONCE = 1_000;

/** Which fleet, and where. */
export interface RedisStoreOptions extends RedisAddress {
  /** `fleet.name` of the config. */
  readonly name: string;
  /** How many changes of each board stay readable, about. Default 10 000. */
  readonly logLength?: number;
}

/** One per instance. */
export class RedisStore implements FleetStore {
  readonly #options: RedisStoreOptions;
  readonly #key: string;
  readonly #live = new LiveInstances();
  #commands: Connection | undefined;
  #reader: Connection | undefined;
  #stopWatching = (): void => undefined;
  #closed = false;
  #freeing: Promise<void> | undefined;
  /** Whether the dead have more, as far as is known. */
  #hasMore = false;

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    this.#key = `postern:{${options.name}}:`;
  }

  async connect(): Promise<void> {
    const commands = await connection(this.#options, 0);
    const reader = await connection(this.#options, LONGEST_WAIT_MS);
    commands.redis.on('ready', () => {
      load(commands.redis, Object.values(SCRIPTS));
      this.#live.forget();
    });
    for (const { redis } of [commands, reader]) redis.on('ready', () => void this.#compare());
    [this.#commands, this.#reader] = [commands, reader];
    if (this.#options.sentinels.length > 0)
      this.#stopWatching = await watchPrimary(this.#options, commands, () =>
        this.#connectAnew('the Sentinels have another primary'),
      );
    if (this.#closed) return this.close();
    // They say why they cannot be asked when they are.
    await Promise.all([commands, reader].map(open));
    const problem = tooOld(await commands.server());
    if (problem !== undefined) throw new ConfigError(problem);
  }

  close(): void {
    this.#closed = true;
    this.#stopWatching();
    this.#commands?.redis.disconnect();
    this.#reader?.redis.disconnect();
  }

  async beat(own: StoredInstance, boards: readonly string[], livesMs: number): Promise<Beat> {
    const { first, last } = INSTANCE_NUMBERS;
    const start = Math.floor(Math.random() * (last - first + 1));
    const random = randomBytes(12).toString('base64url');
    const { id, text } = own;
    const { runId = '' } = (await this.#commands?.server()) ?? {};
    const asked = [id, text, livesMs, this.#live.number ?? 0, start, random, ...this.#live.known, runId];
    const args = [...asked, ...boards];
    const beat = (await this.#run('beat', args)) as Told;
    const [lived, number, epoch, more, seqs, change, all, texts, gone] = beat;
    this.#live.hear({ epoch, change, isAll: all === 1, texts, gone });
    this.#live.number = number === 0 ? undefined : number;
    if (more > 0) void this.#freeMore();
    return {
      lived: lived === 1,
      number: this.#live.number,
      epoch,
      live: this.#live.all,
      latest: Object.fromEntries(boards.map((board, i) => [board, seqs[i] ?? 0])),
    };
  }

  async leave(id: string): Promise<void> {
    const more = (await this.#run('leave', [id])) as number;
    if (more > 0) await this.#freeMore();
  }

  async take(id: string, places: readonly StoredPlace[]): Promise<Taken> {
    const args = places.flatMap(({ key, mine, limit }) => [key, mine, limit ?? '']);
    const full = (await this.#run('take', [id, ...args])) as number;
    return { full: full > 0 ? full - 1 : undefined, lived: full !== -1 };
  }

  async count(id: string, counts: readonly (readonly [key: string, mine: number])[]): Promise<boolean> {
    // Of one place that is told twice, the last counts.
    const all = [...new Map(counts)];
    const steps: Promise<unknown>[] = [];
    for (let i = 0; i === 0 || i < all.length; i += PLACES_AT_ONCE)
      steps.push(this.#run('count', [id, ...all.slice(i, i + PLACES_AT_ONCE).flat()]));
    return (await Promise.all(steps)).every((lived) => lived === 0);
  }

  async change(
    board: string,
    change: StoredChange,
    expected: string | null | undefined,
  ): Promise<number | undefined> {
    const { field, tag, until } = change;
    const told = JSON.stringify(change);
    const wanted = expected === undefined ? 'any' : expected === null ? 'none' : `=${expected}`;
    const entry = tag === undefined ? ['', ''] : [told, until ?? ''];
    const { logLength = 10_000 } = this.#options;
    const seq = await this.#run('change', [board, field, ...entry, told, logLength, wanted]);
    return (seq as number) || undefined;
  }

  async snapshot(board: string): Promise<Snapshot> {
    await this.#run('expired', [board]);
    // Not by a script: it would take Redis several times as long to give all of a large board.
    const [values, place] = await this.#asked(this.#commands, 0, async (redis) => {
      const both = redis.multi().hvals(`${this.#key}b:${board}`).get(`${this.#key}seq:${board}`);
      return repliesOf(await both.exec());
    });
    const entries = (values as string[]).map((entry) => storedIn(entry) as StoredEntry);
    return { seq: Number(place ?? 0), entries };
  }

  async read(id: string, after: Parameters<FleetStore['read']>[1], withinMs: number): Promise<Read> {
    const end = performance.now() + withinMs;
    for (;;) {
      const waitMs = Math.max(0, Math.min(Math.ceil(end - performance.now()), LONGEST_WAIT_MS));
      const args = argumentsOf(this.#key, id, after, waitMs);
      const reply = await this.#asked(this.#reader, waitMs, (redis) => redis.call('XREAD', ...args));
      // Its logs are others than those that changes go to.
      if (!(await this.#isOne())) throw new Error('it is read from another server than it is told to');
      const read = readOf(this.#key, id, after, reply);
      if (read || performance.now() >= end)
        return read ?? { changes: {}, post: [], postPosition: after.post };
    }
  }

  async post(to: string, text: string): Promise<void> {
    await this.#run('post', [to, text]);
  }

  async lock(task: string, id: string, livesMs: number): Promise<boolean> {
    return (await this.#run('lock', [task, id, livesMs])) === 1;
  }

  async unlock(task: string, id: string): Promise<void> {
    await this.#run('unlock', [task, id]);
  }

  /** What the dead had is taken off some places at a time, and others are answered in between. However often it is asked for, one step is under way. */
  #freeMore(): Promise<void> {
    this.#hasMore = true;
    this.#freeing ??= this.#freeAll().finally(() => {
      this.#freeing = undefined;
    });
    return this.#freeing;
  }

  /** The next beat does what fails here. */
  async #freeAll(): Promise<void> {
    try {
      while (this.#hasMore) {
        this.#hasMore = false;
        if ((await this.#run('freeMore', [])) !== 0) this.#hasMore = true;
      }
    } catch {
      // Away.
    }
  }

  /** A failover may leave one connection with the server that was the primary before, and that answers still. */
  async #compare(): Promise<void> {
    const open = [this.#commands, this.#reader].every((one) => one?.redis.status === 'ready');
    if (open && !(await this.#isOne())) this.#connectAnew('its two connections lead to different servers');
  }

  /** Whether it is read from the server that answers commands. */
  async #isOne(): Promise<boolean> {
    const [commands, reader] = [this.#commands, this.#reader];
    if (!commands || !reader) return false;
    const [told, read] = await Promise.all([commands.server(), reader.server()]);
    return commands.redis.status === 'ready' && areOne(told, read);
  }

  #connectAnew(reason: string): void {
    if (this.#closed) return;
    for (const one of [this.#commands, this.#reader]) one?.renew(reason);
  }

  #run(script: keyof typeof SCRIPTS, args: readonly (string | number)[]): Promise<unknown> {
    return this.#asked(this.#commands, 0, (redis) => SCRIPTS[script].run(redis, this.#key, args));
  }

  async #asked<T>(
    { redis, problem }: Partial<Connection> = {},
    waitMs: number,
    ask: (redis: Redis) => Promise<T>,
  ): Promise<T> {
    if (!redis || this.#closed) throw new Error('the store is closed');
    // It would say only that it cannot be written to.
    const reason = problem?.();
    if (redis.status !== 'ready' || reason !== undefined) throw new Error(reason ?? 'no connection');
    return within(this.#options.timeoutMs, waitMs, ask(redis));
  }
}

/** Whether it lived, its number, the epoch, how many of the dead have more, places of boards, the last change of those that live, whether all follow, their texts and numbers, and who is gone. */
type Told = [number, number, string, number, number[], number, number, string[], string[]];

/** Of a transaction. @throws what one of them was answered with */
function repliesOf(results: readonly [error: Error | null, reply: unknown][] | null): unknown[] {
  const failed = results?.find(([error]) => error);
  if (!results || failed) throw failed?.[0] ?? new Error('the transaction was not run');
  return results.map(([, reply]) => reply);
}

/** Rejects where no answer comes in time. */
function within<T>(timeoutMs: number, waitMs: number, answer: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const late = (): void => reject(new Error(`no answer within ${timeoutMs} ms`));
    // What came while this process was busy is read first.
    const timer = setTimeout(() => setImmediate(late), waitMs + timeoutMs).unref();
    const settled = (): void => clearTimeout(timer);
    answer.then(resolve, reject).finally(settled);
  });
}
