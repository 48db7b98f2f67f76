/** Instances of one fleet over a store in memory, in virtual time. */
import { TestInstance } from './fleet-instance.ts';
import type { InstanceSetup } from './fleet-instance.ts';
import { MemoryClient } from './memory-client.ts';
import { MemoryStore } from './memory-store.ts';
import { VirtualTime } from './virtual-time.ts';

type Instance = TestInstance<MemoryClient>;

/** One per test; call {@link end}. */
export class VirtualFleet {
  readonly time = new VirtualTime();
  readonly store: MemoryStore;
  readonly #begun: Instance[] = [];

  /** `logLength`: as that of {@link MemoryStore}. */
  constructor(options: { readonly logLength?: number } = {}) {
    this.store = new MemoryStore({ timers: this.time, ...options });
  }

  /** One that has not started. */
  instance(name: string, options: InstanceSetup<MemoryClient>['options'] = {}): Instance {
    const { time } = this;
    const setup = { store: new MemoryClient(this.store), timers: time, clock: time.now, options };
    const one = new TestInstance(name, setup);
    this.#begun.push(one);
    return one;
  }

  /** They have started, and know of each other. */
  async instances(...names: readonly string[]): Promise<readonly Instance[]> {
    const all: Instance[] = [];
    for (const name of names) all.push(await this.time.settle(this.instance(name).start()));
    await this.time.pass(1_100);
    return all;
  }

  async two(): Promise<[Instance, Instance]> {
    const [a, b] = await this.instances('a', 'b');
    if (!a || !b) throw new Error('they did not start');
    return [a, b];
  }

  async end(): Promise<void> {
    await Promise.all(this.#begun.map(({ member }) => this.time.settle(member.close())));
  }
}
