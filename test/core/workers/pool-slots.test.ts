/** The slots of one pool over all workers: no order of messages, no death and no wait passes a limit, and all that is wanted comes in the end. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SlotLimits } from '../../../core/upstream/pool/connection-slots.ts';
import type { Recall } from '../../../core/workers/messages.ts';
import { PoolSlots } from '../../../core/workers/decisions/pool-slots.ts';

/** A worker whose messages from the parent wait until the test delivers them. */
class ModelWorker {
  readonly number: number;
  readonly inbox: (() => void)[] = [];
  readonly granted: { readonly id: number; readonly role: string }[] = [];
  readonly open: { readonly id: number; readonly role: string }[] = [];
  readonly needs = new Map<string, number>();
  readonly since = new Map<string, number>();
  readonly seen = new Map<string, number>();
  recall: { readonly kind: Recall; readonly role: string | undefined } | undefined;

  constructor(number: number) {
    this.number = number;
  }
}

/** A pool with its workers, with all that must stay true looked after at each grant. */
class World {
  readonly ledger: PoolSlots;
  readonly limits: SlotLimits;
  readonly workers = new Map<number, ModelWorker>();
  readonly dead: number[] = [];
  readonly slots = new Map<number, { readonly role: string; readonly worker: number; opening: boolean }>();
  readonly grantedAt: number[] = [];
  unused = new Set<number>();
  now = 0;
  recalls = 0;

  constructor(limits: SlotLimits, workers: number) {
    this.limits = limits;
    for (let number = 1; number <= workers; number += 1) this.workers.set(number, new ModelWorker(number));
    this.ledger = new PoolSlots(limits, {
      granted: (worker, role, id) => this.#granted(worker, role, id),
      full: () => {},
      recalled: (worker, kind, role) => {
        this.recalls += 1;
        const one = this.workers.get(worker);
        one?.inbox.push(() => (one.recall = kind === 'none' ? undefined : { kind, role }));
      },
    });
  }

  /** The worker says what it wants, as it sees it now. */
  tell(worker: ModelWorker): void {
    const wants = [...worker.needs]
      .filter(([, n]) => n > 0)
      .map(([role, n]) => ({
        role,
        n,
        waitedMs: this.now - (worker.since.get(role) ?? this.now),
        seen: worker.seen.get(role) ?? 0,
      }));
    this.ledger.want(worker.number, this.limits, wants, this.now);
  }

  need(worker: ModelWorker, role: string, n: number): void {
    if ((worker.needs.get(role) ?? 0) === 0) worker.since.set(role, this.now);
    worker.needs.set(role, n);
    this.tell(worker);
  }

  deliver(worker: ModelWorker): void {
    worker.inbox.shift()?.();
    for (const slot of worker.granted.splice(0)) {
      const needs = worker.needs.get(slot.role) ?? 0;
      if (needs > 0) {
        worker.needs.set(slot.role, needs - 1);
        worker.open.push(slot);
      } else this.give(worker, slot.id, 'unused');
    }
  }

  opened(worker: ModelWorker, id: number): void {
    const slot = this.slots.get(id);
    if (slot) slot.opening = false;
    this.ledger.opened(worker.number, id, undefined, this.now);
  }

  close(worker: ModelWorker, index: number, how?: 'down'): void {
    const [slot] = worker.open.splice(index % Math.max(1, worker.open.length), 1);
    if (slot) this.give(worker, slot.id, how);
  }

  give(worker: ModelWorker, id: number, how?: 'unused' | 'down'): void {
    this.slots.delete(id);
    if (how === 'unused') this.unused.add(id);
    this.ledger.returned(worker.number, id, how, this.now);
  }

  answerRecall(worker: ModelWorker): void {
    const { recall } = worker;
    worker.recall = undefined;
    if (!recall) return;
    const index = worker.open.findIndex(({ role }) => recall.role === undefined || recall.role === role);
    if (index >= 0) this.close(worker, index);
    else if (recall.kind === 'spare') this.ledger.noneSpare(worker.number, this.now);
  }

  kill(worker: ModelWorker): void {
    worker.inbox.length = 0;
    // The kernel has closed its sockets: an opening of a dead worker is none that the server works for.
    for (const slot of this.slots.values()) if (slot.worker === worker.number) slot.opening = false;
    this.workers.set(worker.number, new ModelWorker(worker.number));
    for (const { id } of this.ledger.left(worker.number, this.now)) this.dead.push(id);
  }

  bury(index: number): void {
    const [id] = this.dead.splice(index % Math.max(1, this.dead.length), 1);
    if (id === undefined) return;
    this.slots.delete(id);
    this.ledger.free(id, this.now);
  }

  pass(ms: number): void {
    this.now += ms;
    this.ledger.look(this.now);
  }

  #granted(worker: number, role: string, id: number): void {
    const { size, perRole, reserve, reserveAfterMs, connecting, connectRate } = this.limits;
    const all = [...this.slots.values()];
    const isLate = [...this.workers.values()].some((one) =>
      // A worker tells of a request that has left only with its next message.
      [...one.since.values()].some((since) => this.now - since >= reserveAfterMs),
    );
    expect(all.length).toBeLessThan(isLate ? size + reserve : size);
    expect(all.filter((one) => one.role === role).length).toBeLessThan(perRole);
    expect(all.filter(({ opening }) => opening).length).toBeLessThan(connecting);
    const lastSecond = this.grantedAt.filter((at) => this.now - at < 1_000).length - this.unused.size;
    expect(lastSecond).toBeLessThan(connectRate);
    this.slots.set(id, { role, worker, opening: true });
    this.grantedAt.push(this.now);
    const one = this.workers.get(worker);
    one?.inbox.push(() => {
      one.seen.set(role, (one.seen.get(role) ?? 0) + 1);
      one.granted.push({ id, role });
    });
  }
}

const ROLES = ['a', 'b'] as const;
const STEPS = [
  'need',
  'deliver',
  'open',
  'close',
  'down',
  'recall',
  'kill',
  'bury',
  'pass',
  'unpool',
] as const;

const orNone = (limit: fc.Arbitrary<number>): fc.Arbitrary<number> => fc.option(limit, { nil: Infinity });
const limits = fc.record({
  size: fc.integer({ min: 1, max: 5 }),
  perRole: orNone(fc.integer({ min: 1, max: 4 })),
  reserve: fc.integer({ min: 0, max: 2 }),
  reserveAfterMs: fc.constant(300),
  connecting: orNone(fc.integer({ min: 1, max: 3 })),
  connectRate: orNone(fc.integer({ min: 1, max: 6 })),
});
const step = fc.record({
  kind: fc.constantFrom(...STEPS),
  worker: fc.nat(3),
  role: fc.constantFrom(...ROLES),
  n: fc.nat(4),
  ms: fc.constantFrom(1, 10, 60, 120, 1_100),
});

function act(
  world: World,
  { kind, worker: index, role, n, ms }: typeof step extends fc.Arbitrary<infer S> ? S : never,
): void {
  const worker = world.workers.get((index % world.workers.size) + 1);
  if (!worker) return;
  const slot = worker.open[n % Math.max(1, worker.open.length)];
  if (kind === 'need') world.need(worker, role, n);
  else if (kind === 'deliver') world.deliver(worker);
  else if (kind === 'open' && slot) world.opened(worker, slot.id);
  else if (kind === 'close') world.close(worker, n);
  else if (kind === 'down') world.close(worker, n, 'down');
  else if (kind === 'recall') world.answerRecall(worker);
  else if (kind === 'kill') world.kill(worker);
  else if (kind === 'bury') world.bury(n);
  else if (kind === 'pass') world.pass(ms);
}

/** From now on every message arrives, every opening ends, every recall is answered, and each connection serves only for a while. */
function settle(world: World): void {
  for (let round = 0; round < 400; round += 1) {
    for (const worker of world.workers.values()) {
      while (worker.inbox.length > 0) world.deliver(worker);
      world.answerRecall(worker);
      for (const { id } of worker.open) world.opened(worker, id);
      world.tell(worker);
    }
    world.bury(0);
    world.pass(60);
    // The others have had theirs for long enough.
    if (round % 5 === 4)
      for (const worker of world.workers.values()) if (worker.open.length > 0) world.close(worker, 0);
    if ([...world.workers.values()].every(({ needs }) => [...needs.values()].every((n) => n === 0))) return;
  }
}

const runs = Number(process.env['SLOT_RUNS'] ?? 3_000);

test('no limit is ever passed, every want is met in the end, and all slots return', () => {
  fc.assert(
    fc.property(
      limits,
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { maxLength: 80 }),
      (limit, count, steps) => {
        const world = new World(limit, count);
        for (const one of steps) act(world, one);
        settle(world);
        for (const worker of world.workers.values())
          for (const [role, n] of worker.needs)
            expect([worker.number, role, n]).toEqual([worker.number, role, 0]);
        while (world.dead.length > 0) world.bury(0);
        for (const worker of world.workers.values()) {
          while (worker.inbox.length > 0) world.deliver(worker);
          while (worker.open.length > 0) world.close(worker, 0);
          while (worker.inbox.length > 0) world.deliver(worker);
          world.ledger.unpool(worker.number, world.now);
        }
        expect(world.ledger.slots).toEqual([]);
        expect(world.ledger.unused).toBe(true);
        expect(world.ledger.waits).toBe(false);
      },
    ),
    { numRuns: runs },
  );
});

test.each([1, 3])(
  'with %i workers that all want one, a server that is down is tried with pauses',
  (count) => {
    const size = { size: 20, perRole: Infinity, reserve: 0, reserveAfterMs: 0 };
    const all = { ...size, connecting: 4, connectRate: 100 };
    const granted: { readonly worker: number; readonly id: number }[] = [];
    const ledger = new PoolSlots(all, {
      granted: (worker, _, id) => granted.push({ worker, id }),
      full() {},
      recalled() {},
    });
    const seen = Array.from({ length: count }, () => 0);
    for (let now = 0; now < 60_000; now += 5) {
      for (const [worker, n] of seen.entries())
        ledger.want(worker, all, [{ role: 'a', n: 1, waitedMs: 0, seen: n }], now);
      for (const { worker, id } of granted.splice(0)) {
        seen[worker] = (seen[worker] ?? 0) + 1;
        ledger.returned(worker, id, 'down', now);
      }
    }
    // Of one process it is one in 250 to 750 ms, and some more before the pause is the longest.
    const attempts = seen.reduce((sum, n) => sum + n, 0);
    expect(attempts).toBeGreaterThan(60_000 / 750 - 1);
    expect(attempts).toBeLessThan(60_000 / 250 + 20);
  },
);

test('a worker whose connections are all kept by sessions has one more, of a worker with as few', () => {
  const all = { size: 3, perRole: Infinity, reserve: 0, reserveAfterMs: 0, connecting: 4, connectRate: 100 };
  const granted: { readonly worker: number; readonly id: number }[] = [];
  const recalled: unknown[] = [];
  const ledger = new PoolSlots(all, {
    granted: (worker, _, id) => granted.push({ worker, id }),
    full() {},
    recalled: (...how) => recalled.push(how),
  });
  const wants = (worker: number, n: number, seen: number, waitedMs: number, now: number, held = 0): void =>
    ledger.want(worker, all, [{ role: 'a', n, waitedMs, seen }], now, held);
  wants(1, 2, 0, 0, 0);
  wants(2, 1, 0, 0, 0);
  expect(granted.filter(({ worker }) => worker === 1)).toHaveLength(2);
  for (const { worker, id } of granted) ledger.opened(worker, id, undefined, 1);
  // Both have more requests than connections; those of the first are served all the time.
  wants(1, 1, 2, 4, 1_000);
  wants(2, 1, 1, 60, 1_000, 1);
  expect(recalled.at(-1)).toEqual([1, 'next', undefined]);
  ledger.returned(1, granted.find(({ worker }) => worker === 1)?.id ?? 0, undefined, 1_010);
  expect(granted.at(-1)?.worker).toBe(2);
});
