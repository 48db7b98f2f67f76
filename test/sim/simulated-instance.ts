/** One instance of a simulated fleet, and what it has heard when. */
import { RedisStore } from '../../core/fleet/redis/redis-store.ts';
import { machineTimers } from '../../core/workers/timers.ts';
import { TestInstance } from '../support/fleet-instance.ts';
import { CuttableStore } from './cuttable-store.ts';

const TIMEOUT_MS = 1_000;

/** Milliseconds of a clock that all threads have. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** A revocation that came into force, and whether it came after a cut: then `ms` is counted from the end of that. */
interface Heard {
  readonly ms: number;
  readonly afterCut: boolean;
}

/** The value of a revocation on the board is when it was made. */
export class SimulatedInstance extends TestInstance<CuttableStore> {
  isDead = false;
  readonly #heard = new Set<string>();
  #since = Infinity;
  #returned = 0;

  constructor(name: string, url: string, heard: (heard: Heard) => void) {
    const plain = { password: undefined, ca: undefined, sentinels: [], sentinelPassword: undefined };
    const redis = new RedisStore({ name: 'fleet', url, ...plain, timeoutMs: TIMEOUT_MS });
    super(name, {
      store: new CuttableStore(redis, TIMEOUT_MS),
      timers: machineTimers,
      clock: Date.now,
      options: { timeoutMs: TIMEOUT_MS },
    });
    this.hears = (id) => {
      const at = this.board.get(id)?.value as number;
      // What was made before it began it reads with all else; what it reads anew it had heard.
      if (at < this.#since || this.#heard.has(id) || this.store.cut) return;
      this.#heard.add(id);
      const afterCut = this.#returned > at;
      heard({ ms: now() - (afterCut ? this.#returned : at), afterCut });
    };
  }

  override async start(): Promise<this> {
    await super.start();
    this.#since = now();
    return this;
  }

  /** It reaches the store again. */
  returns(): void {
    this.store.cut = false;
    this.#returned = now();
  }

  /** Without a word to the others. */
  dies(): void {
    this.isDead = true;
    this.store.cut = true;
    void this.member.close();
  }
}
