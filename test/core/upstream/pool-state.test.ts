import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseDatabase, parseRole } from '../../../core/contract/names.ts';
import { total } from '../../../core/upstream/pool/pooled-servers.ts';
import type { PooledServer } from '../../../core/upstream/pool/pooled-servers.ts';
import type { Condition, PoolEnvironment, Reset } from '../../../core/upstream/pool/idle-connections.ts';
import { PoolState } from '../../../core/upstream/pool/pool-state.ts';
import { Isolation } from '../../../core/upstream/pool/isolation.ts';
import type { Share } from '../../../core/upstream/pool/isolation.ts';
import type { Waiter } from '../../../core/upstream/pool/checkout-request.ts';

/** A session: it holds a connection, waits for one, or neither. */
interface Session {
  readonly waiter: Waiter;
  held: PooledServer | undefined;
}

/** What a run is made with. */
interface Setting {
  readonly size: number;
  readonly perRole: number;
  /** Default: any number. */
  readonly mostSessions?: number;
  /** Default: none. */
  readonly reserve?: number;
  readonly reserveAfterMs?: number;
  readonly reset: 'auto' | 'always';
  readonly share: Share;
}

/** At the end of an identity: its sessions keep their connection until they end. */
const IN_SESSION_MODE = ' in session mode';

const database = parseDatabase('db');
const roles = [parseRole('r0'), parseRole('r1')] as const;
const KEYS = roles.map((role) => ({ text: role, role, database, pooled: true, target: 'any' }) as const);

function session(identity: string, key: (typeof KEYS)[number], inSessionMode = false): Session {
  const owner = {
    fingerprint: identity,
    scopes: { session: '', subject: identity, tenant: 'all' },
    holder: {},
    inSessionMode,
  };
  owner.scopes.session = `${identity} ${key.text} ${Math.random()}`;
  const waiter = { key, owner, since: 0, queued: false } as unknown as Waiter;
  return { waiter, held: undefined };
}

/** A pool whose openings, resets and closes end when a test says so, with all that must stay true looked after. */
class World implements PoolEnvironment {
  readonly state: PoolState;
  readonly setting: Setting;
  readonly sessions: readonly Session[];
  readonly opening: { readonly server: PooledServer; readonly waiter: Waiter; readonly startedAt: number }[] =
    [];
  readonly resetting: PooledServer[] = [];
  readonly #resets = new Map<PooledServer, Reset>();
  /** Which sessions have left something on a connection that another must not meet, since its last reset. */
  readonly #left = new Map<PooledServer, Map<unknown, 'sequences' | 'suspect'>>();
  readonly closing: PooledServer[] = [];
  readonly watched = new Set<PooledServer>();
  readonly #byWaiter = new Map<Waiter, Session>();
  readonly #held = new Set<PooledServer>();
  /** By identity that waits: how often each other one was served while it did and nothing was under way. */
  readonly #passed = new Map<string, Map<string, number>>();
  /** How many of each identity wait, and all. */
  readonly #waiting = new Map<string, number>();
  #queued = 0;
  #now = 0;
  /** What a granted session does at once, in the stack of whoever checked in. */
  atOnce: ((session: Session) => void) | undefined;

  constructor(setting: Setting, sessions: readonly Session[]) {
    this.setting = setting;
    this.sessions = sessions;
    for (const one of sessions) this.#byWaiter.set(one.waiter, one);
    const clock = { now: () => this.#now, every: () => () => {} };
    const isolation = new Isolation({ entry: 'main', limits: setting, clock });
    this.state = new PoolState({
      limits: { mostSessions: Infinity, reserve: 0, reserveAfterMs: 0, ...setting },
      isolation,
      environment: this,
    });
  }

  // ---- the world ----

  now(): number {
    return (this.#now += 1);
  }
  pass(ms: number): void {
    this.#now += ms;
    this.state.serve();
  }
  readonly connecting = false;
  refusal(): undefined {}
  open(waiter: Waiter): undefined {
    const startedAt = this.now();
    this.opening.push({ server: this.state.servers.add(waiter.key, Infinity), waiter, startedAt });
  }
  fits(): boolean {
    return true;
  }
  watch(server: PooledServer): void {
    if (this.watched.has(server)) throw new Error('watched twice');
    this.watched.add(server);
  }
  unwatch(server: PooledServer): boolean {
    return this.watched.delete(server);
  }
  reset(server: PooledServer, what: Reset): void {
    if (this.#held.has(server)) throw new Error('a connection that is in use is reset');
    this.#resets.set(server, what);
    this.resetting.push(server);
  }
  close(server: PooledServer): void {
    if (this.#held.has(server)) throw new Error('a connection that is in use is closed');
    this.watched.delete(server);
    this.closing.push(server);
  }
  served(): void {}
  granted(waiter: Waiter, server: PooledServer): void {
    const one = this.#byWaiter.get(waiter);
    if (!one?.waiter.queued) throw new Error('granted to a session that does not wait');
    waiter.queued = false;
    this.#count(waiter, -1);
    this.#note(waiter);
    this.hold(one, server);
    this.atOnce?.(one);
  }
  refused(waiter: Waiter): void {
    if (!waiter.queued) throw new Error('refused to a session that does not wait');
    waiter.queued = false;
    this.#count(waiter, -1);
  }

  /** Identities take turns, but for those that wait for others in session mode: while one waits and nothing is under way, no other gets more than two. */
  #note({ owner: { fingerprint } }: Waiter): void {
    this.#passed.delete(fingerprint);
    const pendingCapacity = this.opening.length + this.resetting.length + this.closing.length > 0;
    if (pendingCapacity || this.setting.perRole < Infinity) return;
    for (const identity of this.#waiting.keys()) {
      if (identity === fingerprint || identity.endsWith(IN_SESSION_MODE)) continue;
      const passed = this.#passed.get(identity) ?? new Map<string, number>();
      this.#passed.set(identity, passed);
      const times = (passed.get(fingerprint) ?? 0) + 1;
      passed.set(fingerprint, times);
      if (times > 2) throw new Error(`${fingerprint} was served ${times} times while ${identity} waited`);
    }
  }
  #count({ owner: { fingerprint } }: Waiter, by: 1 | -1): void {
    const count = (this.#waiting.get(fingerprint) ?? 0) + by;
    this.#queued += by;
    if (count > 0) return void this.#waiting.set(fingerprint, count);
    this.#waiting.delete(fingerprint);
    this.#passed.delete(fingerprint);
  }

  // ---- sessions ----

  hold(one: Session, server: PooledServer): void {
    const { owner } = one.waiter;
    if (this.#held.has(server)) throw new Error('two have the same connection');
    if (server.state !== 'lent') throw new Error(`${server.state} is held`);
    const foreign = server.owner !== undefined && server.owner.fingerprint !== owner.fingerprint;
    if (foreign) throw new Error("a connection with another identity's state");
    const own = server.owner?.holder === owner.holder;
    if (this.setting.reset === 'always' && server.owner && !own)
      throw new Error('not reset between sessions');
    for (const [holder, what] of this.#left.get(server) ?? [])
      if (holder !== owner.holder) throw new Error(`another session meets what is ${what}`);
    server.owner = owner;
    this.#held.add(server);
    one.held = server;
  }
  checkOut(one: Session): void {
    const { waiter } = one;
    if (one.held || waiter.queued) return;
    const server = this.state.pick(waiter.key, waiter.owner);
    if (server) return this.hold(one, server);
    waiter.since = this.now();
    waiter.queued = true;
    this.#count(waiter, 1);
    this.state.queue(waiter);
  }
  checkIn(one: Session, how: Condition): void {
    const { held } = one;
    if (!held) return;
    one.held = undefined;
    this.#held.delete(held);
    if (how === 'sequences' || how === 'suspect') this.#leave(one, held, how);
    this.state.checkIn(held, how);
  }
  #leave({ waiter }: Session, server: PooledServer, what: 'sequences' | 'suspect'): void {
    const left = this.#left.get(server) ?? new Map<unknown, 'sequences' | 'suspect'>();
    const { holder } = waiter.owner;
    if (left.get(holder) !== 'suspect') left.set(holder, what);
    this.#left.set(server, left);
  }
  cancel({ waiter }: Session): void {
    if (!waiter.queued) return;
    waiter.queued = false;
    this.#count(waiter, -1);
    this.state.leave(waiter);
  }

  // ---- what ends ----

  opened(well: boolean): void {
    const attempt = this.opening.shift();
    if (!attempt) return;
    const { server, waiter, startedAt } = attempt;
    server.connection = { channel: { closed: false, kept: 0 } } as PooledServer['connection'];
    if (well) return void this.state.opened(server);
    this.state.servers.remove(server);
    this.state.failed({ checkout: waiter, startedAt }, new Error('no'));
  }
  wasReset(well: boolean): void {
    const server = this.resetting.shift();
    if (!server) return;
    const what = this.#resets.get(server);
    const left = [...(this.#left.get(server) ?? [])];
    this.#left.set(server, new Map(what === 'all' ? [] : left.filter(([, one]) => one === 'suspect')));
    this.state.idle.wasReset(server, well, what);
  }
  closed(): void {
    const server = this.closing.shift();
    if (server) this.state.closed(server);
  }

  check(): void {
    const { servers, waiting } = this.state;
    const { counts } = servers;
    if (servers.size > this.setting.size) throw new Error('more than size');
    for (const { role } of KEYS)
      if (total(servers.ofRole(role)) > this.setting.perRole) throw new Error('more than perRole');
    if (counts.lent !== this.#held.size) throw new Error(`${counts.lent} lent, ${this.#held.size} held`);
    const kept = this.sessions.filter(({ held, waiter }) => held && waiter.owner.inSessionMode).length;
    if (servers.inSessionMode !== kept)
      throw new Error(`${servers.inSessionMode} counted, ${kept} in session mode`);
    if (kept > (this.setting.mostSessions ?? Infinity)) throw new Error('more than mostSessions');
    for (const { role } of KEYS)
      if (servers.inSessionModeOf(role) > Math.max(1, this.setting.perRole - 1))
        throw new Error('nothing is left of a role for transaction mode');
    if (counts.idle !== this.watched.size) throw new Error('an idle connection is not watched');
    const queued = this.#queued;
    if (waiting.size !== queued) throw new Error(`${queued} wait, ${waiting.size} are in the queue`);
  }
}

const STEPS = [
  'out',
  'out',
  'out',
  'in',
  'suspect',
  'sequences',
  'dirty',
  'close',
  'cancel',
  'opened',
  'opened',
  'reset',
  'reset',
  'closed',
  'fails',
  'spoilt',
];

function step(world: World, byte: number): void {
  const one = world.sessions[byte >> 4];
  const name = STEPS[byte & 15];
  if (!one) return;
  if (name === 'out') world.checkOut(one);
  else if (name === 'in') world.checkIn(one, 'clean');
  else if (name === 'dirty' || name === 'close' || name === 'suspect' || name === 'sequences')
    world.checkIn(one, name);
  else if (name === 'cancel') world.cancel(one);
  else if (name === 'opened') world.opened(true);
  else if (name === 'reset') world.wasReset(true);
  else if (name === 'closed') world.closed();
  else if (name === 'fails' && byte > 128) world.wasReset(false);
  else if (name === 'fails') world.opened(false);
  else for (const server of world.watched) return world.state.idle.unusable(server);
}

/** Everything that is under way ends, everything that is held comes back: nothing may wait then. */
function finish(world: World): void {
  world.atOnce = undefined;
  for (let round = 0; round < 100; round += 1) {
    for (const one of world.sessions) world.checkIn(one, 'clean');
    while (world.opening.length > 0) world.opened(true);
    while (world.resetting.length > 0) world.wasReset(true);
    while (world.closing.length > 0) world.closed();
    world.check();
    if (world.state.waiting.size === 0 && world.state.servers.counts.lent === 0) return;
  }
  throw new Error('somebody waits for ever');
}

function sessions(): readonly Session[] {
  return Array.from({ length: 12 }, (_, i) => session('abc'.charAt(i % 3), KEYS[i < 9 ? 0 : 1]!));
}

/** As {@link sessions}, and half as many in session mode. */
function mixedSessions(): readonly Session[] {
  const inSessionMode = Array.from({ length: 4 }, (_, i) =>
    session(`${'ab'.charAt(i % 2)}${IN_SESSION_MODE}`, KEYS[i < 3 ? 0 : 1]!, true),
  );
  return [...sessions(), ...inSessionMode];
}

function run(bytes: Uint8Array): void {
  const [first = 0] = bytes;
  const world = new World(
    {
      size: 1 + (first & 3),
      perRole: first & 4 ? 1 + (bytes.length & 1) : Infinity,
      reset: first & 8 ? 'always' : 'auto',
      share: (['role', 'subject', 'tenant', 'session'] as const)[(first >> 4) & 3]!,
      mostSessions: first & 128 ? 1 : Infinity,
    },
    mixedSessions(),
  );
  // Some are done in the stack of the one that gave them the connection.
  if (first & 64) world.atOnce = (one) => one.waiter.since % 3 === 0 && world.checkIn(one, 'clean');
  for (const byte of bytes.subarray(1)) {
    step(world, byte);
    world.check();
  }
  finish(world);
}

test(
  'no two have one connection, there are never more than size, none is forgotten, identities take turns',
  { timeout: 300_000 },
  () => {
    // Ten runs in each: making up what happens costs more than to run it.
    const ten = fc.uint8Array({ minLength: 100, maxLength: 320 });
    const runs = (bytes: Uint8Array): void => {
      const length = Math.ceil(bytes.length / 10);
      for (let at = 0; at < bytes.length; at += length) run(bytes.subarray(at, at + length));
    };
    fc.assert(fc.property(ten, runs), { numRuns: 10_000 });
  },
);

test('a connection that comes back goes to the next in turn in the stack of the check-in', () => {
  const world = new World({ size: 1, perRole: Infinity, reset: 'auto', share: 'role' }, sessions());
  const [a1, b1, , a2, , , a3] = world.sessions as [
    Session,
    Session,
    Session,
    Session,
    Session,
    Session,
    Session,
  ];
  const order: Session[] = [];
  world.checkOut(a1);
  world.opened(true);
  for (const one of [a2, a3, b1]) world.checkOut(one);
  world.atOnce = (one) => order.push(one);
  world.checkIn(a1, 'clean');
  expect(order).toEqual([a2]);
  world.checkIn(a2, 'clean');
  // Another identity: after a reset.
  expect([order, world.resetting.length]).toEqual([[a2], 1]);
  world.wasReset(true);
  world.checkIn(b1, 'clean');
  world.wasReset(true);
  expect(order).toEqual([a2, b1, a3]);
});

test('those in session mode wait for each other, and hold up no other, not even of their own person', () => {
  const setting = { size: 3, perRole: Infinity, reset: 'auto', share: 'role', mostSessions: 1 } as const;
  const kept = Array.from({ length: 3 }, () => session(`a${IN_SESSION_MODE}`, KEYS[0]!, true));
  const others = Array.from({ length: 3 }, () => session('a', KEYS[0]!));
  const world = new World(setting, [...kept, ...others]);
  const state = (): string => world.sessions.map(({ held }) => (held ? 'x' : '-')).join('');
  for (const one of world.sessions) world.checkOut(one);
  for (let i = 0; i < 3; i += 1) world.opened(true);
  expect(state()).toBe('x--xx-');
  world.checkIn(others[0]!, 'clean');
  expect(state()).toBe('x---xx');
  world.checkIn(others[1]!, 'clean');
  expect(state()).toBe('x----x');
  world.checkIn(kept[0]!, 'clean');
  expect(state()).toBe('-x---x');
  world.checkIn(kept[1]!, 'dirty');
  while (world.resetting.length > 0) world.wasReset(true);
  expect(state()).toBe('--x--x');
  world.checkIn(kept[2]!, 'close');
  world.check();
  expect(world.state.servers.inSessionMode).toBe(0);
});

test('the reserve does not open for those in session mode who wait for each other', () => {
  const late = { reserve: 1, reserveAfterMs: 1_000_000 };
  const setting = {
    ...late,
    ...({ size: 2, perRole: Infinity, reset: 'auto', share: 'role', mostSessions: 1 } as const),
  };
  const kept = Array.from({ length: 2 }, () => session(`a${IN_SESSION_MODE}`, KEYS[0]!, true));
  const others = Array.from({ length: 2 }, () => session('b', KEYS[0]!));
  const world = new World(setting, [...kept, ...others]);
  for (const one of [...kept, others[0]!]) world.checkOut(one);
  while (world.opening.length > 0) world.opened(true);
  world.pass(1_000_000);
  world.checkOut(others[1]!);
  expect(world.opening).toHaveLength(0);
  world.pass(1_000_000);
  expect(world.opening.map(({ waiter }) => waiter)).toEqual([others[1]!.waiter]);
});

test('those in session mode leave one connection of their role to the others', () => {
  const setting = { size: 4, perRole: 2, reset: 'auto', share: 'role', mostSessions: 3 } as const;
  const kept = Array.from({ length: 2 }, () => session(`a${IN_SESSION_MODE}`, KEYS[0]!, true));
  const [other, elsewhere] = [session('a', KEYS[0]!), session(`b${IN_SESSION_MODE}`, KEYS[1]!, true)];
  const world = new World(setting, [...kept, other, elsewhere]);
  const state = (): string => world.sessions.map(({ held }) => (held ? 'x' : '-')).join('');
  for (const one of world.sessions) world.checkOut(one);
  while (world.opening.length > 0) world.opened(true);
  expect(state()).toBe('x-xx');
  world.checkIn(kept[0]!, 'clean');
  expect(state()).toBe('-xxx');
  world.check();
});

test('ten thousand that are done in the stack of their grant do not exhaust it', () => {
  const many = Array.from({ length: 10_000 }, () => session('a', KEYS[0]!));
  const world = new World({ size: 1, perRole: Infinity, reset: 'auto', share: 'role' }, many);
  let done = 0;
  world.checkOut(many[0]!);
  world.opened(true);
  for (const one of many.slice(1)) world.checkOut(one);
  world.atOnce = (one) => {
    done += 1;
    world.checkIn(one, 'clean');
  };
  world.checkIn(many[0]!, 'clean');
  expect(done).toBe(9_999);
  world.check();
});

test('a paused pool lends nothing and keeps nothing, and serves whoever waits when it goes on', () => {
  const world = new World({ size: 2, perRole: Infinity, reset: 'auto', share: 'role' }, sessions());
  const [one, , , two] = world.sessions as [Session, Session, Session, Session];
  world.checkOut(one);
  world.opened(true);
  world.state.idle.paused = true;
  world.checkOut(two);
  world.checkIn(one, 'clean');
  expect([world.closing.length, two.held]).toEqual([1, undefined]);
  world.closed();
  world.state.idle.paused = false;
  world.state.serve();
  world.opened(true);
  expect(two.held).toBeDefined();
});
