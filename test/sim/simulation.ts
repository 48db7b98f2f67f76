/** Many instances of a fleet in one process, on a Redis server of their own: logins, revocations, cuts and deaths by a seed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisStore } from '../../core/fleet/redis/redis-store.ts';
import { sealingOf } from '../../core/fleet/sealing.ts';
import { machineTimers } from '../../core/workers/timers.ts';
import { TestInstance } from '../support/fleet-instance.ts';
import type { Random } from '../leaks/random.ts';
import type { RedisServer } from '../support/redis.ts';
import { CuttableStore } from './cuttable-store.ts';

const TIMEOUT_MS = 1_000;
const LIMIT = 20;
const KEYS = 50;

/** What is simulated. */
export interface SimulationOptions {
  readonly redis: RedisServer;
  readonly instances: number;
  readonly seconds: number;
  readonly random: Random;
  /** Logins a second, over all. */
  readonly logins: number;
  /** Revocations a second, over all. */
  readonly revocations: number;
}

/** What was seen, in milliseconds where it is a time. */
export interface Seen {
  /** Until each instance that reached the store had a revocation. */
  readonly revocation: readonly number[];
  /** Until those that were cut off meanwhile had it, counted from their return. */
  readonly afterCut: readonly number[];
  /** Until what a dead instance held was free. */
  readonly free: readonly number[];
  readonly logins: number;
  readonly refused: number;
  /** The most sessions above a limit, while all reached the store and while some did not. */
  readonly above: { readonly reached: number; readonly cut: number };
  readonly deaths: number;
  readonly cuts: number;
  /** Whether all had the same board at the end. */
  readonly same: boolean;
}

type Instance = TestInstance<CuttableStore>;

interface Revocation {
  readonly at: number;
  /** Those that do not have it yet. */
  readonly waits: Set<Instance>;
}

/** One run. */
export class Simulation {
  readonly #options: SimulationOptions;
  readonly #live: Instance[] = [];
  readonly #revocations = new Map<string, Revocation>();
  readonly #returned = new Map<Instance, number>();
  readonly #revocation: number[] = [];
  readonly #afterCut: number[] = [];
  readonly #free: number[] = [];
  readonly #healing: Promise<void>[] = [];
  readonly #above = { reached: 0, cut: 0 };
  /** Of which cut instances may have let in more than the limit. */
  #disturbedUntil = 0;
  #logins = 0;
  #refused = 0;
  #deaths = 0;
  #cuts = 0;
  #made = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
  }

  async begin(): Promise<void> {
    const { instances } = this.#options;
    while (this.#live.length < instances)
      await Promise.all(
        Array.from({ length: Math.min(20, instances - this.#live.length) }, () => this.#join()),
      );
    await sleep(2_000);
  }

  async run(): Promise<Seen> {
    const { seconds, logins, revocations } = this.#options;
    const end = performance.now() + seconds * 1_000;
    const every = async (perSecond: number, run: () => void): Promise<void> => {
      for (let next = performance.now(); next < end; next += 1_000 / perSecond) {
        await sleep(Math.max(0, next - performance.now()));
        run();
      }
    };
    await Promise.all([
      every(logins, () => void this.#session()),
      every(revocations, () => this.#revoke()),
      every(0.5, () => this.#healing.push(this.#cut())),
      every(0.2, () => this.#kill()),
    ]);
    await Promise.all(this.#healing);
    await sleep(5_000);
    return this.#seen();
  }

  async end(): Promise<void> {
    await Promise.all(this.#live.map(({ member }) => member.close()));
  }

  #seen(): Seen {
    const boards = new Set(this.#live.map(({ values }) => JSON.stringify(values)));
    return {
      revocation: this.#revocation,
      afterCut: this.#afterCut,
      free: this.#free,
      logins: this.#logins,
      refused: this.#refused,
      above: this.#above,
      deaths: this.#deaths,
      cuts: this.#cuts,
      same: boards.size === 1,
    };
  }

  async #join(): Promise<void> {
    this.#made += 1;
    const redis = new RedisStore({
      name: 'fleet',
      url: this.#options.redis.url,
      password: undefined,
      ca: undefined,
      sentinels: [],
      sentinelPassword: undefined,
      timeoutMs: TIMEOUT_MS,
    });
    const one = new TestInstance(`i${this.#made}`, {
      store: new CuttableStore(redis, TIMEOUT_MS),
      timers: machineTimers,
      clock: Date.now,
      options: { timeoutMs: TIMEOUT_MS },
    });
    one.hears = (id) => this.#heard(one, id);
    await one.start();
    this.#live.push(one);
  }

  #below(n: number): number {
    return this.#options.random.below(n);
  }

  #one(): Instance {
    const one = this.#live[this.#below(this.#live.length)];
    if (!one) throw new Error('nobody lives');
    return one;
  }

  async #session(): Promise<void> {
    const one = this.#one();
    const key = `k${this.#below(KEYS)}`;
    const heldHere = one.sessions.get(key) ?? 0;
    if (heldHere > 0 && this.#below(2) === 0) return one.ends(key);
    this.#logins += 1;
    if (!(await one.logsIn(key, LIMIT))) this.#refused += 1;
    const above = this.#live.reduce((sum, { sessions }) => sum + (sessions.get(key) ?? 0), 0) - LIMIT;
    const when = performance.now() < this.#disturbedUntil ? 'cut' : 'reached';
    this.#above[when] = Math.max(this.#above[when], above);
    return undefined;
  }

  #revoke(): void {
    const by = this.#one();
    if (by.store.cut) return;
    const id = `r${this.#revocations.size}`;
    this.#revocations.set(id, { at: performance.now(), waits: new Set(this.#live) });
    void by.put(id, 1);
  }

  #heard(one: Instance, id: string): void {
    const revocation = this.#revocations.get(id);
    if (!revocation?.waits.delete(one)) return;
    const returned = this.#returned.get(one) ?? 0;
    const now = performance.now();
    if (returned > revocation.at) this.#afterCut.push(now - returned);
    else if (!one.store.cut) this.#revocation.push(now - revocation.at);
  }

  /** For 1 to 9 s: some are taken for dead, and some are not. */
  async #cut(): Promise<void> {
    const one = this.#one();
    if (one.store.cut) return;
    this.#cuts += 1;
    const ms = 1_000 + this.#below(8_000);
    one.store.cut = true;
    // What it has let in above the limit stays until those sessions end.
    this.#disturbedUntil = Infinity;
    await sleep(ms);
    one.store.cut = false;
    this.#returned.set(one, performance.now());
  }

  #kill(): void {
    const one = this.#one();
    if (one.store.cut || this.#live.length < 3) return;
    this.#deaths += 1;
    this.#live.splice(this.#live.indexOf(one), 1);
    one.member.count([[`only ${one.name}`, 1]]);
    this.#healing.push(this.#freed(one), this.#join());
  }

  /** Of a key that only it had. */
  async #freed(one: Instance): Promise<void> {
    const { redis } = this.#options;
    const place = sealingOf('the secret of this fleet', 'fleet').hash(`only ${one.name}`, 'place');
    const held = async (): Promise<boolean> =>
      !(await redis.ask(`hget postern:{fleet}:p ${place}`)).includes('$-1');
    await sleep(20);
    one.store.cut = true;
    const died = performance.now();
    void one.member.close();
    while (await held()) await sleep(50);
    this.#free.push(performance.now() - died);
  }
}
