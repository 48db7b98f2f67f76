/** Pools of one or several workers under a load of transactions, in simulated time: the real decisions, without sockets. A seed repeats a run. */
import { parseDatabase, parseRole } from '../../../core/contract/names.ts';
import { Isolation } from '../../../core/upstream/pool/isolation.ts';
import { limitsOf } from '../../../core/upstream/pool/limits.ts';
import type { Waiter } from '../../../core/upstream/pool/checkout-request.ts';
import type { ConnectionSlots } from '../../../core/upstream/pool/connection-slots.ts';
import type { PoolEnvironment } from '../../../core/upstream/pool/idle-connections.ts';
import { PoolState } from '../../../core/upstream/pool/pool-state.ts';
import type { PooledServer } from '../../../core/upstream/pool/pooled-servers.ts';
import type { FromParent, FromWorker, SlotsRequest, SlotsTold } from '../../../core/workers/messages.ts';
import { SlotsOfWorkers } from '../../../core/workers/parent/slots-of-workers.ts';
import { SlotsLink } from '../../../core/workers/worker/slots-link.ts';
import { Random } from '../../leaks/random.ts';
import { SimulatedTime } from './simulated-time.ts';

/** How long things take, in milliseconds. */
const [OPEN_MS, CLOSE_MS, MESSAGE_MS, SERVE_MS] = [6, 1, 0.2, 1_000];
/** What a transaction takes on average. */
const TRANSACTION_MS = 2;

const DATABASE = parseDatabase('db');
const ROLE = parseRole('app');
const KEY = { text: 'app', role: ROLE, database: DATABASE, pooled: true, target: 'any' } as const;

/** Runs one transaction after the other while it is active. */
interface Client {
  readonly waiter: Waiter;
  isActive: boolean;
  isBusy: boolean;
  transactions: number;
  waitedMs: number;
  longestMs: number;
}

/** One worker's pool. Connections cost time; clients come and go. */
class Worker implements PoolEnvironment {
  readonly state: PoolState;
  readonly connecting = false;
  readonly clients: Client[] = [];
  readonly #world: World;
  readonly #byWaiter = new Map<Waiter, Client>();

  constructor(world: World, slots: ConnectionSlots | undefined) {
    this.#world = world;
    const clock = { now: () => world.time.now(), every: () => () => {} };
    const limits = limitsOf({ mode: 'transaction', size: world.setting.size });
    const isolation = new Isolation({ entry: 'main', limits: { share: 'role', reset: 'auto' }, clock });
    this.state = new PoolState({ limits, isolation, environment: this, slots });
    slots?.changed(() => this.state.serve());
    const serve = (): void => {
      this.state.serve();
      world.time.after(SERVE_MS, serve);
    };
    serve();
  }

  now(): number {
    return this.#world.time.now();
  }
  refusal(): undefined {}
  open({ key }: Waiter): 'size' | 'role' | undefined {
    const { state } = this;
    const slot = state.slots?.take(key.role);
    if (state.slots && !slot) return state.slots.full(key.role);
    const server = state.servers.add(key, Infinity);
    server.slot = slot;
    this.#world.moved(1);
    this.#world.time.after(OPEN_MS, () => {
      server.connection = { channel: { closed: false, kept: 0 } } as PooledServer['connection'];
      server.readyAt = this.now();
      slot?.opened(undefined);
      state.opened(server);
    });
    return undefined;
  }
  fits(): boolean {
    return true;
  }
  watch(): void {}
  unwatch(): boolean {
    return true;
  }
  reset(): void {
    throw new Error('no client of this load leaves anything');
  }
  close(server: PooledServer): void {
    this.#world.time.after(CLOSE_MS, () => {
      this.#world.moved(-1);
      this.state.closed(server);
    });
  }
  granted(waiter: Waiter, server: PooledServer): void {
    const client = this.#byWaiter.get(waiter);
    if (client) this.#serve(client, server);
  }
  refused(): void {
    throw new Error('nobody is refused');
  }
  served(): void {
    this.state.slots?.told();
  }

  add(): void {
    const text = `client ${this.clients.length}`;
    const scopes = { session: text, subject: text, tenant: 'all' };
    const owner = { fingerprint: 'one', scopes, holder: {} };
    const waiter = { key: KEY, owner, since: 0, queued: false } as unknown as Waiter;
    const client = { waiter, isActive: false, isBusy: false, transactions: 0, waitedMs: 0, longestMs: 0 };
    this.clients.push(client);
    this.#byWaiter.set(waiter, client);
  }

  /** So many of its clients are active from now on. */
  activate(count: number): void {
    for (const [index, client] of this.clients.entries()) {
      client.isActive = index < count;
      if (client.isActive && !client.isBusy) this.#ask(client);
    }
  }

  #ask(client: Client): void {
    const { waiter } = client;
    client.isBusy = true;
    waiter.since = this.now();
    const server = this.state.pick(KEY, waiter.owner);
    if (server) this.#serve(client, server);
    else this.state.queue(waiter);
  }

  #serve(client: Client, server: PooledServer): void {
    const { time, random, setting } = this.#world;
    const waited = this.now() - client.waiter.since;
    if (time.now() >= setting.warmUpMs) {
      client.waitedMs += waited;
      client.longestMs = Math.max(client.longestMs, waited);
      client.transactions += 1;
    }
    time.after(TRANSACTION_MS * (0.5 + random.next()), () => {
      this.state.checkIn(server, 'clean');
      if (client.isActive) this.#ask(client);
      else client.isBusy = false;
    });
  }
}

/** A load: how many clients are active in each worker, from the begin of each phase on. */
export interface Setting {
  readonly size: number;
  readonly seed: number;
  /** By phase, by worker. The last one is followed by the first. */
  readonly clients: readonly (readonly number[])[];
  readonly phaseMs: number;
  readonly ms: number;
  /** Not measured. */
  readonly warmUpMs: number;
}

class World {
  readonly time = new SimulatedTime();
  readonly random: Random;
  readonly setting: Setting;
  readonly workers: readonly Worker[];
  messages = 0;
  opened = 0;
  #open = 0;

  constructor(setting: Setting) {
    this.setting = setting;
    this.random = new Random(setting.seed);
    const count = Math.max(...setting.clients.map((phase) => phase.length));
    const links: SlotsLink[] = [];
    const later = (run: () => void): void => {
      this.messages += 1;
      this.time.after(MESSAGE_MS, run);
    };
    const tell = (worker: number, message: FromParent): void =>
      later(() => links[worker]?.hear(message as SlotsTold));
    const parent = new SlotsOfWorkers({ tell, ready: () => [...links.keys()], timers: this.time });
    this.workers = Array.from({ length: count }, (_, number) => {
      if (count === 1) return new Worker(this, undefined);
      const send = (message: FromWorker): void => later(() => parent.hear(number, message as SlotsRequest));
      const link = new SlotsLink(count, send, this.time);
      links.push(link);
      return new Worker(this, link.of('main', limitsOf({ size: setting.size })));
    });
  }

  moved(by: 1 | -1): void {
    this.#open += by;
    if (by === 1) this.opened += 1;
    if (this.#open > this.setting.size) throw new Error('more connections than the pool has');
  }

  run(): void {
    const { clients, phaseMs, ms, warmUpMs } = this.setting;
    for (const [worker, one] of this.workers.entries())
      for (let n = Math.max(...clients.map((phase) => phase[worker] ?? 0)); n > 0; n -= 1) one.add();
    for (let at = 0, phase = 0; at < warmUpMs + ms; at += phaseMs, phase += 1) {
      const active = clients[phase % clients.length] ?? [];
      for (const [worker, one] of this.workers.entries()) one.activate(active[worker] ?? 0);
      this.time.pass(Math.min(phaseMs, warmUpMs + ms - at));
    }
  }
}

/** What a load has met. */
export interface Simulation {
  /** Transactions per second. */
  readonly tps: number;
  /** By worker and client: how long each has waited for a connection, on average and at most, in milliseconds, and how often it had one. */
  readonly waits: readonly (readonly {
    readonly mean: number;
    readonly longest: number;
    readonly transactions: number;
  }[])[];
  /** Connections opened and messages sent per second, from the begin on. */
  readonly opened: number;
  readonly messages: number;
}

export function simulate(setting: Setting): Simulation {
  const world = new World(setting);
  world.run();
  const clients = world.workers.flatMap((worker) => worker.clients);
  const seconds = (setting.ms + setting.warmUpMs) / 1_000;
  return {
    tps: clients.reduce((sum, { transactions }) => sum + transactions, 0) / (setting.ms / 1_000),
    waits: world.workers.map((worker) =>
      worker.clients.map(({ waitedMs, transactions, longestMs }) => ({
        mean: waitedMs / Math.max(1, transactions),
        longest: longestMs,
        transactions,
      })),
    ),
    opened: world.opened / seconds,
    messages: world.messages / seconds,
  };
}
