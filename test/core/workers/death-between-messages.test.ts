/** A worker that dies between any two messages: the others settle all that they wait for, what it held is free, and its successor finds everything. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { SharedRequest, SharedTold } from '../../../core/workers/messages.ts';
import { Hub } from '../../../core/workers/parent/hub.ts';
import { ParentLink } from '../../../core/workers/worker/parent-link.ts';
import { Random } from '../../leaks/random.ts';

const WORKERS = 3;
/** Of the places and slots: less than there are workers. */
const LIMIT = 2;
const POOL = 'pool';
const LIMITS = {
  size: LIMIT,
  perRole: Infinity,
  reserve: 0,
  reserveAfterMs: 0,
  connecting: Infinity,
  connectRate: Infinity,
};
const SERVER = { host: '127.0.0.1', address: { host: '127.0.0.1', port: 5432 }, pid: 1, secret: '00' };

interface Life {
  readonly link: ParentLink;
  alive: boolean;
  leads: boolean;
  /** How far it has got, by the names of its steps. */
  readonly waiting: Map<string, Promise<unknown>>;
  readonly settled: Set<string>;
  places: number;
  slots: number;
}

/** Channels whose messages are delivered one at a time, in order within each. */
class World {
  readonly hub: Hub;
  readonly lives = new Map<number, Life>();
  /** The most places, or slots, that living workers have had at once. */
  most = 0;
  readonly #channels = new Map<string, (() => void)[]>();
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = new Random(seed);
    const log = { info() {}, error() {} };
    this.hub = new Hub({ reload: () => this.hub.reload(), shutDown() {} }, log);
  }

  begin(worker: number): Life {
    const toHub: (() => void)[] = [];
    const toWorker: (() => void)[] = [];
    this.#channels.set(`${worker} up`, toHub).set(`${worker} down`, toWorker);
    const link = new ParentLink({
      worker,
      workers: WORKERS,
      port: { send: (message) => toHub.push(() => this.hub.hear(worker, copy(message as SharedRequest))) },
    });
    this.hub.workers.joined(worker, {
      send: (message) => toWorker.push(() => link.hear(copy(message as SharedTold))),
    });
    const life: Life = {
      link,
      alive: true,
      leads: false,
      waiting: new Map(),
      settled: new Set(),
      places: 0,
      slots: 0,
    };
    this.lives.set(worker, life);
    this.#script(worker, life);
    return life;
  }

  /** Its messages under way are lost, in both directions. */
  kill(worker: number): void {
    const life = this.#life(worker);
    life.alive = false;
    this.#channels.delete(`${worker} up`);
    this.#channels.delete(`${worker} down`);
    this.hub.workers.left(worker);
  }

  /** Delivers one message; false where none is under way. */
  step(): boolean {
    const busy = [...this.#channels.values()].filter((channel) => channel.length > 0);
    if (busy.length === 0) return false;
    this.#random.pick(busy).shift()?.();
    const alive = [...this.lives.values()].filter((life) => life.alive);
    this.most = Math.max(this.most, sum(alive, 'places'), sum(alive, 'slots'));
    return true;
  }

  /** Delivers all messages, and those that follow; `at`: calls before so many. */
  async run(at = Infinity, then: () => void = () => {}): Promise<number> {
    for (let steps = 0; ; steps += 1) {
      await vi.advanceTimersByTimeAsync(0);
      if (steps === at) then();
      if (!this.step()) return steps;
    }
  }

  #life(worker: number): Life {
    const life = this.lives.get(worker);
    if (!life) throw new Error('there is no such worker');
    return life;
  }

  /** Everything at once, as in a gateway. */
  #script(worker: number, life: Life): void {
    const { link } = life;
    const wait = (name: string, done: Promise<unknown>): void => {
      life.waiting.set(name, done);
      const settle = (): void => void life.settled.add(name);
      done.then(settle, settle);
    };
    link.whenLead(() => (life.leads = true));
    link.post.answer('who', () => worker);
    link.slots.cancelsBy(() => Promise.resolve(true));
    const prepared = { digest: 'new', changes: {}, commit() {}, abort: () => Promise.resolve() };
    const reloadable = { prepare: () => Promise.resolve(prepared), failed() {} };
    wait(
      'serves',
      link.loaded('old', reloadable).then(() => this.hub.workers.ready(worker)),
    );
    wait('board', this.#useBoard(worker, link));
    wait('all', link.post.ask('all', 'who'));
    wait('others', link.post.ask('others', 'who'));
    wait('lead', link.post.ask('lead', 'who'));
    wait('places', this.#usePlaces(life));
    wait('slot', useSlot(life));
    wait('reload', link.parent.reload());
  }

  async #useBoard(worker: number, link: ParentLink): Promise<void> {
    const board = await link.board('b');
    await board.put(`of ${worker}`, worker);
    await board.put('first', worker, { expected: undefined });
    await board.put('gone', worker);
    await board.drop('gone');
  }

  async #usePlaces(life: Life): Promise<void> {
    const { places } = life.link;
    const full = await places.take([{ key: 'k', limit: LIMIT }]);
    if (full !== undefined || !life.alive) return;
    life.places += 1;
    await life.link.post.ask('all', 'who');
    life.places -= 1;
    places.give(['k']);
  }
}

/** Opens one connection, and closes it after a while. */
function useSlot(life: Life): Promise<void> {
  const slots = life.link.slots.of(POOL, LIMITS);
  return new Promise((resolve) => {
    slots.changed(() => {
      const slot = slots.take('r');
      if (!slot) return;
      life.slots += 1;
      slots.want(new Map());
      slot.opened(SERVER);
      void life.link.post.ask('all', 'who').then(() => {
        life.slots -= 1;
        slot.gone();
        resolve();
      });
    });
    slots.want(new Map([['r', { n: 1, since: performance.now() }]]));
  });
}

const copy = <M>(message: M): M => JSON.parse(JSON.stringify(message)) as M;
const sum = (lives: readonly Life[], what: 'places' | 'slots'): number =>
  lives.reduce((all, life) => all + life[what], 0);

function begun(seed: number): World {
  const world = new World(seed);
  for (let worker = 1; worker <= WORKERS; worker += 1) world.begin(worker);
  return world;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Time passes, and what it brings about is delivered. */
async function wait(world: World, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 250) {
    await vi.advanceTimersByTimeAsync(250);
    await world.run();
  }
}

async function proveSound(world: World): Promise<void> {
  const lives = [...world.lives.values()];
  for (const { waiting, settled } of lives)
    expect([...waiting.keys()].filter((name) => !settled.has(name))).toEqual([]);
  expect(lives.filter(({ leads }) => leads)).toHaveLength(1);
  expect(world.most).toBeLessThanOrEqual(LIMIT);
  expect(world.hub.countedKeys).toBe(0);
  expect(world.hub.slots.lent()).toBe(0);
  const boards = await Promise.all(lives.map(({ link }) => link.board('b')));
  const values = boards.map((board) => Object.fromEntries(board.all()));
  for (const one of values) expect(one).toEqual(values[0]);
  for (const [worker] of world.lives) expect(values[0]).toHaveProperty(`of ${worker}`);
  expect(values[0]).toHaveProperty('first');
  expect(new Set(lives.map(({ link }) => link.generation)).size).toBe(1);
}

test('without a death all is settled', async () => {
  const world = begun(1);
  await world.run();
  await wait(world, 1_000);
  await proveSound(world);
});

test('with a death at any moment the others and a successor settle all', { timeout: 120_000 }, async () => {
  const steps = await begun(1).run();
  expect(steps).toBeGreaterThan(100);
  for (let at = 0; at <= steps; at += 1) {
    const world = begun(at);
    const victim = 1 + (at % WORKERS);
    await world.run(at, () => {
      world.kill(victim);
      world.begin(victim);
    });
    await wait(world, 12_000);
    await proveSound(world);
  }
});

test(
  'with a death at any moment and a successor that comes late the others settle all without it',
  { timeout: 120_000 },
  async () => {
    const steps = await begun(1).run();
    for (let at = 0; at <= steps; at += 3) {
      const world = begun(at);
      const victim = 1 + ((at / 3) % WORKERS);
      await world.run(at, () => world.kill(victim));
      world.lives.delete(victim);
      await wait(world, 12_000);
      for (const { waiting, settled } of world.lives.values())
        expect([...waiting.keys()].filter((name) => !settled.has(name))).toEqual([]);
      world.begin(victim);
      await wait(world, 12_000);
      await proveSound(world);
    }
  },
);
