/** A gateway with several workers in this process: what the processes of `postern start` are, for configs that hold functions. */
import { adminPlaceOf } from '../../core/admin/admin-place.ts';
import type { ResolvedConfig } from '../../core/config/resolved.ts';
import { Gateway } from '../../core/gateway.ts';
import type { Started } from '../../core/gateway.ts';
import { acceptFrom, BoundSocket } from '../../core/net/bound-socket.ts';
import { placeOf } from '../../core/net/entrance.ts';
import type { Address } from '../../core/net/listening.ts';
import type { PinoLogger } from '../../core/telemetry/log.ts';
import type { ParentOrders } from '../../core/workers/coordination.ts';
import { GivenEntrances } from '../../core/workers/worker/given-entrances.ts';
import type { Reloadable } from '../../core/workers/worker/reload-steps.ts';
import { linkWorkers } from './worker-links.ts';
import type { LinkedWorkers } from './worker-links.ts';

/** What tests do with a gateway, whether it is of one worker or of several. */
export type TestedGateway = Pick<Gateway, 'start' | 'stop' | 'drain' | 'reload' | 'reloadsFrom' | 'stopped'>;

interface GivenWorker {
  readonly gateway: Gateway;
  readonly entrances: GivenEntrances;
}

/** Workers of one process read the same files. */
const DIGEST = 'config';

const connectionsOf = (worker: GivenWorker | undefined): number => worker?.gateway.connections ?? Infinity;

/** Its connections go to the worker with the fewest, those of `admin` to the lead; messages between workers are JSON. */
export class GatewayOfWorkers implements TestedGateway {
  readonly #configs: readonly ResolvedConfig[];
  readonly #log: PinoLogger;
  readonly #linked: LinkedWorkers;
  readonly #listeners: readonly { readonly name: string; readonly socket: BoundSocket }[];
  readonly #admin: BoundSocket | undefined;
  /** Workers that have stopped, by index. */
  readonly #ended = new Set<number>();
  /** Of workers with equally many connections another one gets the next. */
  #turn = 0;
  #workers: readonly GivenWorker[] = [];
  #source: (() => Promise<ResolvedConfig>) | undefined;
  /** What the reload under way loads. */
  #load: () => Promise<ResolvedConfig> = () => Promise.reject(new Error('nothing is reloaded'));
  #reloads: Promise<void> = Promise.resolve();

  /** @param configs one per worker, the first of which says where to listen */
  constructor(configs: readonly [ResolvedConfig, ...ResolvedConfig[]], log: PinoLogger) {
    this.#configs = configs;
    this.#log = log;
    const orders: ParentOrders = {
      reload: () => this.#reloadFromSource(),
      shutDown: (after) => void Promise.all(this.#workers.map(({ gateway }) => gateway.shutDown(after))),
    };
    this.#linked = linkWorkers(configs.length, orders, { log });
    const [{ listeners, admin }] = configs;
    this.#listeners = listeners.map((one) => ({ name: one.name, socket: new BoundSocket(placeOf(one)) }));
    this.#admin = admin && new BoundSocket(adminPlaceOf(admin));
  }

  get workers(): number {
    return this.#configs.length;
  }

  async start(): Promise<Started> {
    try {
      const admin = await this.#admin?.bind();
      const listeners: (Address & { readonly name: string })[] = [];
      for (const { name, socket } of this.#listeners) listeners.push({ name, ...(await socket.bind()) });
      const ofListeners = Object.fromEntries(listeners.map((one) => [one.name, one]));
      const sockets = { listeners: ofListeners, admin, closed() {} };
      this.#workers = this.#configs.map((config, index) => {
        const link = this.#linked.links[index];
        const entrances = new GivenEntrances(sockets);
        const log = this.#log.child({ worker: index + 1 });
        return { gateway: new Gateway(config, log, link, entrances), entrances };
      });
      for (const [index, { gateway }] of this.#workers.entries()) {
        await gateway.start();
        await this.#linked.links[index]?.loaded(DIGEST, this.#reloadableOf(gateway));
        void gateway.stopped.then(() => this.#gone(index));
      }
      if (this.#admin) this.#accept(this.#admin, undefined);
      for (const { name, socket } of this.#listeners) this.#accept(socket, name);
      void this.stopped.then(() => this.#close());
      return { listeners, ...(admin && { admin }) };
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** In two steps, as the processes do it; one after the other, since each has a config of its own. */
  reload(from: ResolvedConfig | (() => Promise<ResolvedConfig>)): Promise<void> {
    let loading: Promise<ResolvedConfig> | undefined;
    const load = typeof from === 'function' ? () => (loading ??= from()) : () => Promise.resolve(from);
    const reloaded = this.#reloads.then(() => {
      this.#load = load;
      return this.#linked.hub.reload();
    });
    this.#reloads = reloaded.catch(() => {});
    return reloaded;
  }

  reloadsFrom(load: () => Promise<ResolvedConfig>): void {
    this.#source = load;
  }

  async drain(): Promise<void> {
    await Promise.all(this.#workers.map(({ gateway }) => gateway.drain()));
    this.#close();
  }

  async stop(withinMs?: number): Promise<void> {
    await Promise.all(this.#workers.map(({ gateway }) => gateway.stop(withinMs)));
    this.#close();
  }

  get stopped(): Promise<void> {
    return Promise.all(this.#workers.map(({ gateway }) => gateway.stopped)).then(() => {});
  }

  #reloadFromSource(): Promise<void> {
    if (this.#source) return this.reload(this.#source);
    return Promise.reject(new Error('this gateway was not started from a config file'));
  }

  /** Those that still drain have another lead. */
  #gone(index: number): void {
    this.#ended.add(index);
    this.#linked.hub.workers.left(index + 1);
  }

  #reloadableOf(gateway: Gateway): Reloadable {
    return {
      prepare: async (calledOff) => ({
        digest: DIGEST,
        ...(await gateway.prepareReload(this.#load, calledOff)),
      }),
      failed: () => gateway.reloadFailed(),
    };
  }

  #accept({ handle }: BoundSocket, listener: string | undefined): void {
    if (!handle) return;
    acceptFrom(handle, (connection, error) => {
      if (!connection) return this.#log.error({ listener, error }, 'accept failed');
      const worker =
        listener === undefined ? this.#workers[(this.#linked.hub.workers.lead ?? 1) - 1] : this.#next();
      worker?.entrances.take(connection, listener);
    });
  }

  /** Those that have stopped let none in: the last one closes what still comes. */
  #next(): GivenWorker | undefined {
    this.#turn += 1;
    const count = this.#workers.length;
    const inTurn = this.#workers.map((_, index) => (index + this.#turn) % count);
    const alive = inTurn.filter((index) => !this.#ended.has(index)).map((index) => this.#workers[index]);
    return alive.toSorted((a, b) => connectionsOf(a) - connectionsOf(b))[0] ?? this.#workers[0];
  }

  #close(): void {
    this.#admin?.close();
    for (const { socket } of this.#listeners) socket.close();
    this.#linked.close();
  }
}
