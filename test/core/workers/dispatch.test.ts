/** Which workers accept: the decisions alone, without processes. */
import { describe, expect, test } from 'vitest';
import { Dispatch } from '../../../core/workers/decisions/dispatch.ts';
import type { Beat, Lent } from '../../../core/workers/decisions/dispatch.ts';
import { random } from '../../support/sequences.ts';

/** A worker as the parent sees it: what it was lent, and what it says. */
interface Stage {
  readonly dispatch: Dispatch;
  /** Sockets that a worker has now. */
  readonly lent: Map<number, Map<number, Lent>>;
  readonly reclaimed: string[];
  readonly asked: string[];
  readonly warned: string[];
  now: number;
  lead: number | undefined;
  /** The one worker that has the socket of the listener. */
  holder(listener?: string): number | undefined;
  /** A client comes, and the worker that has the socket accepts. Returns the worker. */
  client(address?: string): number | undefined;
  beat(worker: number, more?: Partial<Beat>): void;
  die(worker: number): void;
}

function stage({ listeners = ['default'], admin = false } = {}): Stage {
  const connections = new Map<number, number>();
  const counted = new Map<number, number>();
  const one: Stage = {
    lent: new Map(),
    reclaimed: [],
    asked: [],
    warned: [],
    now: 0,
    lead: undefined,
    dispatch: new Dispatch({
      listeners,
      admin,
      lend(worker, lent) {
        const of = one.lent.get(worker) ?? new Map<number, Lent>();
        one.lent.set(worker, of.set(lent.n, lent));
      },
      reclaim: (worker, n) => void one.reclaimed.push(`${worker}:${n}`),
      ask: (worker, n) => void one.asked.push(`${worker}:${n}`),
      lead: () => one.lead,
      now: () => one.now,
      warn: (fields, text) => void one.warned.push(`${JSON.stringify(fields)} ${text}`),
    }),
    holder: (listener = 'default') =>
      [...one.lent].find(([, of]) => [...of.values()].some((lent) => lent.listener === listener))?.[0],
    client(address = '10.0.0.1') {
      const worker = one.holder();
      const of = worker === undefined ? undefined : one.lent.get(worker);
      const lent = [...(of?.values() ?? [])].find(({ listener }) => listener === 'default');
      if (worker === undefined || !lent) return undefined;
      of?.delete(lent.n);
      connections.set(worker, (connections.get(worker) ?? 0) + 1);
      counted.set(worker, (counted.get(worker) ?? 0) + 1);
      one.dispatch.accepted(worker, { n: lent.n, count: 1, address });
      return worker;
    },
    beat(worker, more = {}) {
      const beat = { connections: connections.get(worker) ?? 0, accepted: counted.get(worker) ?? 0 };
      if (more.connections !== undefined) connections.set(worker, more.connections);
      if (more.accepted !== undefined) counted.set(worker, more.accepted);
      one.dispatch.beat(worker, { ...beat, lagMs: 0, ...more });
    },
    die(worker) {
      one.lent.delete(worker);
      connections.delete(worker);
      counted.delete(worker);
      one.dispatch.gone(worker, true);
    },
  };
  return one;
}

/** Sessions begin and end so fast that a worker is told of many between two beats. */
function churn(one: Stage, workers: readonly number[], each: number, beats = 6): void {
  for (let i = 1; i <= beats; i += 1) {
    one.now += 250;
    for (const worker of workers) one.beat(worker, { connections: 4, accepted: i * each });
  }
}

test('nobody has the socket until a worker is ready, and the first to listen is asked to say so', async () => {
  const one = stage({ listeners: ['default', 'other'] });
  expect(one.holder()).toBeUndefined();
  one.dispatch.ready(2);
  const lent = [...one.lent.get(2)!.values()];
  expect(lent.map(({ listener, accepts, confirm }) => [listener, accepts, confirm])).toEqual([
    ['default', 1, true],
    ['other', 1, true],
  ]);
  let listens = false;
  void one.dispatch.listening.then(() => (listens = true));
  one.dispatch.listens(2, lent[0]!.n);
  await Promise.resolve();
  expect(listens).toBe(false);
  one.dispatch.listens(2, lent[1]!.n);
  await one.dispatch.listening;
  one.client();
  expect(one.lent.get(2)!.size).toBe(2);
  expect([...one.lent.get(2)!.values()].at(-1)).toMatchObject({ listener: 'default', confirm: false });
});

test('the worker with the fewest connections accepts the next, and equals take turns', () => {
  const one = stage();
  for (const worker of [1, 2, 3]) one.dispatch.ready(worker);
  const got = Array.from({ length: 9 }, () => one.client());
  for (const worker of [1, 2, 3]) expect(got.filter((each) => each === worker)).toHaveLength(3);
  one.beat(2, { connections: 0 });
  // The one that has the socket keeps it: a connection more is accepted where it is no longer the emptiest.
  one.client();
  expect([one.client(), one.client(), one.client()]).toEqual([2, 2, 2]);
});

test('each listener is with a worker of its own as long as there are enough', () => {
  const one = stage({ listeners: ['default', 'other'] });
  one.dispatch.ready(1);
  one.dispatch.ready(2);
  one.client();
  expect(new Set([one.holder('default'), one.holder('other')]).size).toBe(2);
});

test('a worker that is late, or silent, is passed over while there is another', () => {
  const one = stage();
  one.dispatch.ready(1);
  one.dispatch.ready(2);
  expect(one.holder()).toBe(1);
  one.now = 300;
  one.beat(2);
  one.beat(1, { lagMs: 300 });
  expect(one.lent.get(2)?.size).toBe(1);
  one.now = 1_200;
  one.beat(1);
  one.client();
  // The second has been silent for more than two beats.
  expect(one.lent.get(1)?.size).toBe(1);
});

test('where all are late, clients are served nevertheless', () => {
  const one = stage();
  one.dispatch.ready(1);
  one.now = 5_000;
  expect(one.client()).toBe(1);
  expect(one.client()).toBe(1);
});

test('what a worker has when it dies is with another at once', () => {
  const one = stage();
  one.dispatch.ready(1);
  one.dispatch.ready(2);
  one.die(one.holder()!);
  expect(one.holder()).toBeDefined();
  one.dispatch.close();
  const before = one.holder();
  one.die(before!);
  expect(one.holder()).toBeUndefined();
});

test('the socket of admin is with the lead, without limit, and with its successor', () => {
  const one = stage({ listeners: [], admin: true });
  one.lead = 2;
  one.dispatch.ready(1);
  expect(one.lent.size).toBe(0);
  one.dispatch.ready(2);
  expect([...one.lent.get(2)!.values()]).toMatchObject([{ listener: undefined, accepts: undefined }]);
  one.beat(2);
  expect(one.lent.get(2)!.size).toBe(1);
  one.lead = 1;
  one.die(2);
  expect(one.lent.get(1)!.size).toBe(1);
});

test('where the lead lets no operator in any more, the next lead answers before it is one', () => {
  const one = stage({ listeners: [], admin: true });
  one.lead = 1;
  for (const worker of [1, 2, 3]) one.dispatch.ready(worker);
  for (const n of one.lent.get(1)!.keys()) one.dispatch.accepted(1, { n, count: 0, closed: true });
  expect([...one.lent.keys()]).toEqual([1, 2]);
  one.lead = 2;
  one.die(1);
  expect([...one.lent.keys()]).toEqual([2]);
  expect(one.lent.get(2)!.size).toBe(1);
});

test('a worker that retires returns the sockets of clients, which others have at once, and answers operators', () => {
  const one = stage({ admin: true });
  one.lead = 1;
  for (const worker of [1, 2]) one.dispatch.ready(worker);
  const of = (worker: number): (string | undefined)[] =>
    [...(one.lent.get(worker)?.values() ?? [])].map(({ listener }) => listener);
  expect(one.client()).toBe(1);
  expect([of(1), of(2)]).toEqual([[undefined], ['default']]);
  const [n] = [...one.lent.get(2)!.keys()];
  one.dispatch.retire(2);
  expect(one.reclaimed).toEqual([`2:${n}`]);
  expect(of(1)).toEqual([undefined, 'default']);
  one.dispatch.accepted(2, { n: n!, count: 0 });
  one.lent.delete(2);
  // However many connections the other one has, and however late it is.
  for (let i = 0; i < 5; i += 1) expect(one.client()).toBe(1);
  one.beat(1, { lagMs: 1_000 });
  expect(one.client()).toBe(1);
  one.dispatch.retire(1);
  expect(one.reclaimed).toHaveLength(2);
  expect(of(1)).toContain(undefined);
});

describe('a socket that a worker does not get', () => {
  test('is asked for once, after a second, and is with another once the worker says that it has missed it', () => {
    const one = stage();
    one.dispatch.ready(1);
    one.dispatch.ready(2);
    const [n] = [...one.lent.get(1)!.keys()];
    one.now = 900;
    one.beat(1);
    one.beat(2);
    expect(one.asked).toEqual([]);
    one.now = 1_100;
    one.beat(1);
    one.beat(1);
    expect(one.asked).toEqual([`1:${n}`]);
    one.lent.get(1)!.clear();
    one.dispatch.missed(1, n!);
    expect(one.holder()).toBe(2);
    expect(one.warned).toHaveLength(1);
    // For five seconds the others go first, although it has fewer.
    expect([one.client(), one.client()]).toEqual([2, 2]);
  });

  test('is asked for although it got a later one', () => {
    const one = stage({ listeners: ['default', 'other'] });
    one.dispatch.ready(1);
    const [lost, had] = [...one.lent.get(1)!.keys()];
    one.now = 1_100;
    one.beat(1);
    expect(one.asked).toEqual([`1:${lost}`, `1:${had}`]);
    one.lent.get(1)!.delete(lost!);
    one.dispatch.missed(1, lost!);
    one.beat(1);
    expect(one.holder('default')).toBe(1);
  });

  test('or for which it has no descriptor left is with another; one that lets none in is not asked again and again', () => {
    for (const more of [{ full: true as const }, { closed: true as const }]) {
      const one = stage();
      one.dispatch.ready(1);
      one.dispatch.ready(2);
      const [n] = [...one.lent.get(1)!.keys()];
      one.lent.get(1)!.clear();
      one.dispatch.accepted(1, { n: n!, count: 0, ...more });
      expect(one.holder()).toBe(2);
      expect(one.lent.get(1)!.size).toBe(0);
    }
  });
});

test('where no worker has a descriptor left, each is asked again at its beat only, and that is said once', () => {
  const one = stage();
  one.dispatch.ready(1);
  one.dispatch.ready(2);
  let asked = 0;
  const refuse = (): void => {
    for (let holder = one.holder(); holder !== undefined; holder = one.holder()) {
      asked += 1;
      const [n] = [...one.lent.get(holder)!.keys()];
      one.lent.get(holder)!.clear();
      one.dispatch.accepted(holder, { n: n!, count: 0, full: true });
      if (asked > 1_000) return;
    }
  };
  refuse();
  expect(asked).toBe(2);
  for (let i = 0; i < 8; i += 1) {
    one.now += 250;
    one.beat(1);
    refuse();
  }
  expect(asked).toBe(10);
  expect(one.warned).toHaveLength(2);
  one.beat(2);
  expect(one.holder()).toBeDefined();
});

test('a worker that lets none in any more gets no socket again, be it the only one and the lead', () => {
  const one = stage({ admin: true });
  one.lead = 1;
  one.dispatch.ready(1);
  for (const n of one.lent.get(1)!.keys()) one.dispatch.accepted(1, { n, count: 0, closed: true });
  one.lent.clear();
  one.now += 10_000;
  one.beat(1);
  expect(one.lent.size).toBe(0);
  one.dispatch.ready(2);
  expect(one.holder()).toBe(2);
});

describe('where sessions end as fast as they come', () => {
  test('several workers accept at once, many connections each, and nobody is told of each', () => {
    const one = stage();
    for (const worker of [1, 2]) one.dispatch.ready(worker);
    churn(one, [1, 2], 100);
    one.client();
    const accepts = [...one.lent.values()].flatMap((of) => [...of.values()].map((lent) => lent.accepts));
    expect(accepts).toHaveLength(2);
    for (const each of accepts) expect(each).toBeGreaterThan(10);
  });

  test('each has a socket for as many as come within two beats, and no more than 256', () => {
    const acceptsAt = (each: number): readonly (number | undefined)[] => {
      const one = stage();
      for (const worker of [1, 2]) one.dispatch.ready(worker);
      churn(one, [1, 2], each);
      const before = [...one.lent].flatMap(([worker, of]) =>
        [...of.values()].map((lent) => ({ worker, lent })),
      );
      for (const { worker, lent } of before) {
        one.lent.get(worker)?.delete(lent.n);
        one.dispatch.accepted(worker, { n: lent.n, count: lent.accepts ?? 0 });
      }
      return [...one.lent.values()].flatMap((of) => [...of.values()].map(({ accepts }) => accepts));
    };
    expect(acceptsAt(40)).toEqual([79, 79]);
    expect(acceptsAt(600)).toEqual([256, 256]);
  });

  test('no more than four of many workers are woken for a connection', () => {
    const one = stage();
    const all = Array.from({ length: 16 }, (_, i) => i + 1);
    for (const worker of all) one.dispatch.ready(worker);
    churn(one, all, 100);
    expect([...one.lent.values()].filter((of) => of.size > 0).length).toBe(4);
  });

  test('and do not any more, one alone accepts again, and the rest is reclaimed', () => {
    const one = stage();
    for (const worker of [1, 2]) one.dispatch.ready(worker);
    churn(one, [1, 2], 100);
    one.client();
    const many = [...one.lent].flatMap(([worker, of]) => [...of.keys()].map((n) => `${worker}:${n}`));
    expect(many).toHaveLength(2);
    for (let i = 0; i < 12; i += 1) for (const worker of [1, 2]) one.beat(worker);
    expect(one.reclaimed.toSorted()).toEqual(many.toSorted());
    const single = [...one.lent.values()]
      .flatMap((of) => [...of.values()])
      .filter((lent) => lent.accepts === 1);
    expect(single).toHaveLength(1);
  });

  test('but a worker has died within a minute, each connection is told of', () => {
    const one = stage();
    for (const worker of [1, 2, 3]) one.dispatch.ready(worker);
    one.die(3);
    churn(one, [1, 2], 100);
    const lent = [...one.lent.values()].flatMap((of) => [...of.values()]);
    expect(lent.some(({ accepts }) => accepts !== 1)).toBe(false);
  });
});

describe('an address among the last arrivals of two deaths', () => {
  const heldNow = (one: Stage): readonly string[] => {
    const n = Math.max(...[...one.lent.values()].flatMap((of) => [...of.keys()]));
    return [...one.lent.values()].map((of) => of.get(n)).find((lent) => lent !== undefined)?.held ?? [];
  };

  test('waits, for a minute, and others do not', () => {
    const one = stage();
    one.dispatch.ready(1);
    one.client('10.0.0.2');
    for (let death = 0; death < 2; death += 1) {
      expect(heldNow(one)).toEqual([]);
      for (let i = 0; i < 8; i += 1) one.client(death === 0 ? '10.0.0.3' : `10.0.1.${i}`);
      one.client('10.0.0.66');
      one.die(1);
      one.dispatch.ready(1);
    }
    expect(heldNow(one)).toEqual(['10.0.0.66']);
    expect(one.warned).toHaveLength(1);
    one.now += 61_000;
    one.client('10.0.0.2');
    expect(heldNow(one)).toEqual([]);
  });

  test('is not suspect where it came long before them', () => {
    const one = stage();
    for (let death = 0; death < 2; death += 1) {
      one.dispatch.ready(1);
      one.client('10.0.0.66');
      one.now += 29_000;
      one.client('10.0.0.2');
      one.now += 2_000;
      one.die(1);
    }
    one.dispatch.ready(1);
    expect(heldNow(one)).toEqual(['10.0.0.2']);
  });

  test('does not where all clients have it, as behind a proxy', () => {
    const one = stage();
    for (let death = 0; death < 3; death += 1) {
      one.dispatch.ready(1);
      one.client('10.0.0.66');
      one.die(1);
    }
    one.dispatch.ready(1);
    expect(heldNow(one)).toEqual([]);
  });
});

const sockets = (of: ReadonlyMap<number, Lent>, listener: string): number =>
  [...of.values()].filter((lent) => lent.listener === listener).length;

test('whatever happens, a socket is with a ready worker, and none is lost', () => {
  const runs = Number(process.env['POSTERN_RUNS'] ?? 300);
  const first = Number(process.env['POSTERN_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  for (let run = 0; run < runs; run += 1) {
    const seed = first + run;
    const dice = random(seed);
    const one = stage({ listeners: ['default', 'other'] });
    const alive = new Set<number>();
    const accepted = new Map<number, number>();
    for (let step = 0; step < 200; step += 1) {
      one.now += Math.floor(dice() * 200);
      const worker = 1 + Math.floor(dice() * 4);
      const what = dice();
      if (!alive.has(worker)) {
        one.dispatch.ready(worker);
        alive.add(worker);
        accepted.set(worker, 0);
      } else if (what < 0.05) {
        alive.delete(worker);
        one.die(worker);
      } else if (what < 0.4) {
        accepted.set(worker, (accepted.get(worker) ?? 0) + Math.floor(dice() * 80));
        const lagMs = dice() < 0.1 ? 400 : 0;
        one.beat(worker, { connections: Math.floor(dice() * 5), accepted: accepted.get(worker)!, lagMs });
      } else {
        const of = one.lent.get(worker);
        const [n] = [...(of?.keys() ?? [])];
        const lent = n === undefined ? undefined : of?.get(n);
        if (n !== undefined && lent) {
          of?.delete(n);
          const isUnused = dice() < 0.1;
          const how = dice();
          if (how < 0.1) one.dispatch.missed(worker, n);
          else if (how < 0.2) one.dispatch.accepted(worker, { n, count: 0, full: true });
          else one.dispatch.accepted(worker, { n, count: isUnused ? 0 : (lent.accepts ?? 0), address: 'a' });
        }
      }
      // What is reclaimed comes back.
      for (const each of one.reclaimed.splice(0)) {
        const [number = 0, n = 0] = each.split(':').map(Number);
        if (one.lent.get(number)?.delete(n)) one.dispatch.accepted(number, { n, count: 0 });
      }
      for (const listener of ['default', 'other']) {
        // Those that had no descriptor rest until their next beat.
        if (one.holder(listener) === undefined) for (const each of alive) one.beat(each);
        const counts = [...one.lent].map(([worker, of]) => [worker, sockets(of, listener)] as const);
        const holders = counts.filter(([, count]) => count > 0);
        const right = holders.every(([worker, count]) => alive.has(worker) && count === 1);
        // An expectation at each step would take most of the time.
        if (!right || (alive.size > 0 && holders.length === 0))
          expect.fail(`POSTERN_SEED=${seed}, step ${step}: ${JSON.stringify(counts)}`);
      }
    }
  }
});
