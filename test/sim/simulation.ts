/** A part of the instances of a fleet, all in this thread: they join one after the other, and have logins, revocations, cuts and deaths by a seed. */
import { createHash } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { sealingOf } from '../../core/fleet/sealing.ts';
import { Random } from '../leaks/random.ts';
import { percentile } from '../bench/percentile.ts';
import { askRedis } from '../support/redis.ts';
import { KEYS, SharedCounts } from './shared-counts.ts';
import { now, SimulatedInstance } from './simulated-instance.ts';

const LIMIT = 20;
/** So many join at once, of each thread. */
const JOIN_AT_ONCE = 20;
/** What is not over so long after the end, in milliseconds, is not waited for. */
const PATIENCE_MS = 20_000;
/** Milliseconds between two looks at how late the event loop is. */
const RESOLUTION_MS = 5;

/** Of one thread. */
export interface SimulationOptions {
  /** Begins the names of its instances. */
  readonly name: string;
  readonly redis: { readonly port: number; readonly url: string };
  readonly instances: number;
  readonly seconds: number;
  readonly seed: number;
  /** Each second, of this thread. */
  readonly perSecond: {
    readonly joins: number;
    readonly logins: number;
    readonly revocations: number;
    readonly cuts: number;
    readonly deaths: number;
  };
  readonly counts: SharedArrayBuffer;
}

/** What was seen in one thread, in milliseconds where it is a time. */
export interface Seen {
  /** Until an instance that reached the store had a revocation. */
  readonly revocation: readonly number[];
  /** Until one that was cut off meanwhile had it, counted from its return. */
  readonly afterCut: readonly number[];
  /** Until what a dead instance held was free. */
  readonly free: readonly number[];
  /** Digests of the boards of all instances. */
  readonly boards: readonly string[];
  readonly loop: {
    /** From 0 to 1. */
    readonly busy: number;
    /** How late it was. */
    readonly p99: number;
    readonly max: number;
  };
}

/** One run. */
export class Simulation {
  readonly #options: SimulationOptions;
  readonly #random: Random;
  readonly #counts: SharedCounts;
  readonly #live: SimulatedInstance[] = [];
  readonly #revocation: number[] = [];
  readonly #afterCut: number[] = [];
  readonly #free: number[] = [];
  readonly #healing: Promise<void>[] = [];
  #made = 0;
  #revoked = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#counts = new SharedCounts(options.counts);
  }

  /** As in life they do not begin in one moment. */
  async begin(): Promise<void> {
    const { instances, perSecond } = this.#options;
    for (let next = now(); this.#live.length < instances; next += (JOIN_AT_ONCE / perSecond.joins) * 1_000) {
      await sleep(Math.max(0, next - now()));
      const some = Math.min(JOIN_AT_ONCE, instances - this.#live.length);
      await Promise.all(Array.from({ length: some }, () => this.#join()));
    }
  }

  async run(): Promise<Seen> {
    const { seconds, perSecond } = this.#options;
    const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    delays.enable();
    const before = performance.eventLoopUtilization();
    const end = now() + seconds * 1_000;
    const every = async (rate: number, run: () => void): Promise<void> => {
      for (let next = now(); Math.max(next, now()) < end; next += 1_000 / rate) {
        await sleep(Math.max(0, next - now()));
        run();
      }
    };
    await Promise.all([
      every(perSecond.logins, () => void this.#session()),
      every(perSecond.revocations, () => this.#revoke()),
      every(perSecond.cuts, () => this.#healing.push(this.#cut())),
      every(perSecond.deaths, () => this.#kill()),
    ]);
    const busy = performance.eventLoopUtilization(before).utilization;
    delays.disable();
    const late = (ns: number): number => Math.max(0, ns / 1e6 - RESOLUTION_MS);
    await Promise.race([Promise.all(this.#healing), sleep(PATIENCE_MS)]);
    await sleep(5_000);
    return {
      revocation: this.#revocation,
      afterCut: this.#afterCut,
      free: this.#free,
      boards: [...new Set(this.#live.map(digestOf))],
      loop: { busy, p99: late(delays.percentile(99)), max: late(delays.max) },
    };
  }

  async #join(): Promise<void> {
    this.#made += 1;
    const { name, redis } = this.#options;
    const one = new SimulatedInstance(`${name}${this.#made}`, redis.url, ({ ms, afterCut }) => {
      this.#counts.add('revocations');
      (afterCut ? this.#afterCut : this.#revocation).push(ms);
    });
    await one.start();
    this.#live.push(one);
    this.#counts.add('joined');
  }

  #below(n: number): number {
    return this.#random.below(n);
  }

  #one(): SimulatedInstance {
    return this.#random.pick(this.#live);
  }

  async #session(): Promise<void> {
    const one = this.#one();
    const number = this.#below(KEYS);
    const key = `k${number}`;
    if ((one.sessions.get(key) ?? 0) > 0 && this.#below(2) === 0) {
      this.#counts.sessions(number, -1);
      return one.ends(key);
    }
    this.#counts.add('logins');
    if (!(await one.logsIn(key, LIMIT))) return this.#counts.add('refused');
    if (one.isDead) return undefined;
    const above = this.#counts.sessions(number, 1) - LIMIT;
    // What a cut instance has let in above the limit stays until those sessions end.
    return this.#counts.raise(this.#counts.get('cuts') > 0 ? 'aboveCut' : 'aboveReached', above);
  }

  #revoke(): void {
    const by = this.#one();
    if (by.store.cut) return;
    this.#revoked += 1;
    void by.put(`${this.#options.name}r${this.#revoked}`, now());
  }

  /** For 1 to 9 s: some are taken for dead, and some are not. */
  async #cut(): Promise<void> {
    const one = this.#one();
    if (one.store.cut) return;
    this.#counts.add('cuts');
    one.store.cut = true;
    await sleep(1_000 + this.#below(8_000));
    if (!one.isDead) one.returns();
  }

  #kill(): void {
    const one = this.#one();
    if (one.store.cut || this.#live.length < 3) return;
    this.#counts.add('deaths');
    this.#live.splice(this.#live.indexOf(one), 1);
    this.#counts.add('joined', -1);
    one.member.count([[`only ${one.name}`, 1]]);
    this.#healing.push(this.#freed(one), this.#join());
  }

  /** Of a key that only it had. */
  async #freed(one: SimulatedInstance): Promise<void> {
    const place = sealingOf('the secret of this fleet', 'fleet').hash(`only ${one.name}`, 'place');
    const held = async (): Promise<boolean> =>
      !(await askRedis(this.#options.redis.port, `hget postern:{fleet}:p ${place}`)).includes('$-1');
    while (!(await held())) await sleep(20);
    one.dies();
    for (const [key, count] of one.sessions) this.#counts.sessions(Number(key.slice(1)), -count);
    const died = now();
    while (await held()) await sleep(50);
    this.#free.push(now() - died);
  }
}

const digestOf = ({ values }: SimulatedInstance): string =>
  createHash('sha256').update(JSON.stringify(values)).digest('base64url');

/** How late the slowest loop was, and how busy the busiest. */
export function slowest(loops: readonly Seen['loop'][]): Seen['loop'] {
  const most = (of: (loop: Seen['loop']) => number): number => percentile(loops.map(of), 100);
  return { busy: most(({ busy }) => busy), p99: most(({ p99 }) => p99), max: most(({ max }) => max) };
}
