/** Random lives of a fleet, by seeds: cuts, answers that are lost, a store that is flushed or fails over, deaths. */
import { expect, test } from 'vitest';
import { sealingOf } from '../../../core/fleet/sealing.ts';
import { Random } from '../../leaks/random.ts';
import { TestInstance } from '../../support/fleet-instance.ts';
import { MemoryClient } from '../../support/memory-client.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { VirtualTime } from '../../support/virtual-time.ts';

type Instance = TestInstance<MemoryClient>;

const LIMIT = 12;
const KEYS = ['k0', 'k1', 'k2'];
const IDS = ['x', 'y', 'z'];

/** What happens to a fleet, and what must be true of it. */
class Life {
  readonly time = new VirtualTime();
  readonly store: MemoryStore;
  readonly live: Instance[] = [];
  /** What each instance has put last, by the id of its value; undefined: it has dropped it. */
  readonly last = new Map<string, unknown>();
  /** The most sessions of one key that there were at once. */
  most = 0;
  readonly #random: Random;
  #made = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.store = new MemoryStore({ timers: this.time, logLength: 20, random: () => this.#random.next() });
  }

  below(n: number): number {
    return this.#random.below(n);
  }

  one(): Instance {
    const found = this.live[this.below(this.live.length)];
    if (!found) throw new Error('nobody lives');
    return found;
  }

  async begin(): Promise<void> {
    this.#made += 1;
    const store = new MemoryClient(this.store);
    const one = new TestInstance(`i${this.#made}`, { store, timers: this.time, clock: this.time.now });
    await this.time.settle(one.start());
    this.live.push(one);
  }

  /** Without a word: its sessions are gone, and what it had put is the others'. */
  kill(): void {
    if (this.live.length < 3) return;
    const one = this.one();
    this.live.splice(this.live.indexOf(one), 1);
    one.store.losing = 'requests';
    void one.member.close();
    for (const id of this.last.keys()) if (id.startsWith(`${one.name} `)) this.last.delete(id);
  }

  change(): void {
    const one = this.one();
    const id = `${one.name} ${IDS[this.below(IDS.length)]}`;
    const value = this.below(3) === 0 ? undefined : this.below(1_000);
    this.last.set(id, value);
    void (value === undefined ? one.drop(id) : one.put(id, value));
  }

  session(): void {
    const one = this.one();
    const key = KEYS[this.below(KEYS.length)] ?? '';
    if (this.below(3) === 0) {
      if ((one.sessions.get(key) ?? 0) > 0) one.ends(key);
    } else void one.logsIn(key, LIMIT).then(() => (this.most = Math.max(this.most, this.sessions(key))));
  }

  sessions(key: string): number {
    return this.live.reduce((sum, one) => sum + (one.sessions.get(key) ?? 0), 0);
  }

  /** All reach the store again. */
  async heal(): Promise<void> {
    for (const { store } of this.live) {
      store.losing = undefined;
      store.latencyMs = 0;
    }
    await this.time.pass(20_000);
  }

  async end(): Promise<void> {
    for (const one of this.live)
      for (const key of KEYS) while ((one.sessions.get(key) ?? 0) > 0) one.ends(key);
    await this.time.pass(100);
    await Promise.all(this.live.map(({ member }) => this.time.settle(member.close())));
  }
}

const total = (life: Life, key: string): number =>
  life.store.total(sealingOf('the secret of this fleet', 'fleet').hash(key, 'place'));

const SEEDS = Array.from({ length: Number(process.env['FLEET_SEEDS'] ?? 4) }, (_, n) => n + 1);

test.each(SEEDS)(
  'with deaths and late answers no limit is ever passed, and nothing is left (seed %i)',
  async (seed) => {
    const life = new Life(seed);
    for (let n = 0; n < 4; n += 1) await life.begin();
    for (let n = 0; n < 400; n += 1) {
      const what = life.below(100);
      if (what < 80) life.session();
      else if (what < 82) life.kill();
      else if (what < 84) await life.begin();
      else if (what < 90) life.one().store.latencyMs = life.below(150);
      await life.time.pass(life.below(60));
    }
    expect(life.most).toBeLessThanOrEqual(LIMIT);
    expect(life.most).toBeGreaterThan(LIMIT / 2);
    await life.heal();
    for (const key of KEYS) expect(total(life, key)).toBe(life.sessions(key));
    await life.end();
    expect(life.store.places).toBe(0);
  },
);

test.each(SEEDS)('after any faults all have the same boards and true counts (seed %i)', async (seed) => {
  const life = new Life(1_000 + seed);
  for (let n = 0; n < 4; n += 1) await life.begin();
  let failOver = life.store.save();
  for (let n = 0; n < 400; n += 1) {
    const what = life.below(100);
    if (what < 40) life.session();
    else if (what < 75) life.change();
    else if (what < 80) life.one().store.losing = (['requests', 'answers'] as const)[life.below(2)];
    else if (what < 90) life.one().store.losing = undefined;
    else if (what < 94) life.one().store.latencyMs = life.below(150);
    else if (what < 95) life.kill();
    else if (what < 97) await life.begin();
    else if (what < 98) life.store.flush();
    else if (what < 99) failOver();
    // A replica is so far behind at most.
    if (n % 10 === 0) failOver = life.store.save();
    await life.time.pass(life.below(10) === 0 ? 3_000 : life.below(100));
  }
  // Without faults at the very end, each change has reached the store or is told again.
  await life.heal();
  const [first] = life.live;
  for (const one of life.live) expect(one.values).toEqual(first?.values);
  for (const [id, value] of life.last) expect([id, first?.values[id]]).toEqual([id, value]);
  for (const key of KEYS) expect(total(life, key)).toBe(life.sessions(key));
  await life.end();
  expect(life.store.places).toBe(0);
});
