/** The parent process of a gateway with workers: binds the sockets in which they accept, and holds what they share. */
import type { ChildProcess } from 'node:child_process';
import type { ShutdownAfter } from '../../contract/operations.ts';
import { BoundSocket } from '../../net/bound-socket.ts';
import type { Place } from '../../net/entrance.ts';
import type { Address } from '../../net/listening.ts';
import { Dispatch } from '../decisions/dispatch.ts';
import type { Accepted, Lent } from '../decisions/dispatch.ts';
import { Rolling } from '../decisions/rolling.ts';
import type { FleetMember } from '../fleet-member.ts';
import { isLifeRequest } from '../messages.ts';
import type { FromParent, FromWorker, ReloadBy } from '../messages.ts';
import { machineTimers } from '../timers.ts';
import { Hub } from './hub.ts';
import { Processes } from './processes.ts';
import type { ProcessesParts } from './processes.ts';

/** What a parent is made of. */
export interface ParentOptions {
  readonly workers: number;
  /** The config file that each worker loads, absolute. */
  readonly config: string;
  readonly listeners: readonly { readonly name: string; readonly place: Place }[];
  readonly admin: Place | undefined;
  /** Whether the lead reloads all when a file of the config changes. */
  readonly watch: boolean;
  readonly fork: (worker: number) => ChildProcess;
  /** It starts before the parent and closes after it. Undefined: the gateway is in no fleet. */
  readonly member?: FleetMember | undefined;
  readonly log: ProcessesParts['log'];
}

/** Where clients and operators connect. */
interface Listening {
  readonly listeners: readonly (Address & { readonly name: string })[];
  readonly admin?: Address;
}

/** How long workers that were told to stop may take beyond their own limits, in milliseconds. */
const LATE_MS = 5_000;
/** How long a worker may take to say how long it drains, in milliseconds. */
const HEARD_MS = 10_000;

/** One per process. Starts once and stops once. */
export class Parent {
  readonly #options: ParentOptions;
  readonly #hub: Hub;
  readonly #dispatch: Dispatch;
  readonly #processes: Processes;
  readonly #rolling: Rolling;
  /** By the listener's name; undefined is `admin`. */
  readonly #sockets: ReadonlyMap<string | undefined, BoundSocket>;
  #addresses: Readonly<Record<string, Address>> = {};
  #refuse: (error: Error) => void = () => {};
  /** Rejects where a worker cannot listen: another program was faster, although both could bind. */
  readonly #refused = new Promise<never>((_, reject) => (this.#refuse = reject));
  #late: NodeJS.Timeout | undefined;
  /** While they drain. */
  #exitMs: number | undefined;
  #drainMs = 0;

  constructor(options: ParentOptions) {
    this.#options = options;
    const { log } = options;
    this.#refused.catch(() => {});
    this.#sockets = new Map([
      ...(options.admin ? [[undefined, new BoundSocket(options.admin)] as const] : []),
      ...options.listeners.map(({ name, place }) => [name, new BoundSocket(place)] as const),
    ]);
    const orders = {
      reload: (by?: ReloadBy) => this.#hub.reload(by),
      shutDown: (after: ShutdownAfter | undefined) => this.#shutDown(after),
    };
    const { member, workers: count } = options;
    this.#hub = new Hub(orders, log, member && { member, workers: count });
    const { workers } = this.#hub;
    this.#dispatch = new Dispatch({
      listeners: options.listeners.map(({ name }) => name),
      admin: options.admin !== undefined,
      lend: (worker, lent) => this.#lend(worker, lent),
      reclaim: (worker, n) => workers.tell(worker, { t: 'reclaim', n }),
      ask: (worker, n) => workers.tell(worker, { t: 'has', n }),
      lead: () => workers.lead,
      now: () => performance.now(),
      warn: (fields, text) => log.warn(fields, text),
    });
    this.#processes = new Processes({
      count: options.workers,
      fork: options.fork,
      log,
      workers,
      begun: (worker) => this.#begun(worker),
      heard: (worker, message) => this.#heard(worker, message),
      gone: (worker, { died, wasReady }) => {
        this.#dispatch.gone(worker, died);
        this.#rolling.gone(worker, wasReady);
      },
    });
    this.#rolling = new Rolling({
      count: options.workers,
      isReady: (worker) => workers.isReady(worker),
      retire: (worker) => this.#retire(worker),
      kill: (worker) => this.#processes.killLate(worker),
      after: machineTimers.after,
      log,
    });
  }

  /** Binds, and begins the workers: resolves when there is one that listens on each socket; with undefined where it is told to end before. @throws ConfigError for an address, Error where no worker starts */
  async start(): Promise<Listening | undefined> {
    try {
      const listeners: (Address & { readonly name: string })[] = [];
      for (const [name, socket] of this.#sockets) {
        const address = await socket.bind();
        if (name !== undefined) listeners.push({ name, ...address });
      }
      this.#addresses = Object.fromEntries(listeners.map(({ name, host, port }) => [name, { host, port }]));
      await this.#processes.start();
      await Promise.race([this.#dispatch.listening, this.#refused, this.#processes.over]);
      if (this.#processes.isEnding) return undefined;
      const admin = this.#sockets.get(undefined)?.address;
      return { listeners, ...(admin && { admin }) };
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  /** Has all workers reload: all of them or none. The log tells how it went. @throws Error with the reason */
  reload(): Promise<void> {
    return this.#hub.reload();
  }

  /** Replaces one worker after the other by a new process; none of their sockets is closed meanwhile. The log tells how it goes. */
  roll(): void {
    this.#rolling.begin();
  }

  /**
   * Has every worker drain; resolves when all have ended: with true where each did in order. `exitMs`: how long that may take behind the time
   * that the config in force lets them drain.
   */
  async drain(exitMs: number): Promise<boolean> {
    this.#exitMs = exitMs;
    return this.#end({ t: 'drain' }, exitMs + HEARD_MS);
  }

  /** As {@link drain}, without waiting for sessions. */
  async stop(withinMs: number): Promise<boolean> {
    this.#exitMs = undefined;
    return this.#end({ t: 'stop', withinMs }, withinMs);
  }

  /** Resolves when all workers have ended, because of an operator as well. */
  get stopped(): Promise<boolean> {
    return this.#processes.over.then(() => {
      this.#close();
      return this.#processes.isWell;
    });
  }

  async #end(message: FromParent, withinMs: number): Promise<boolean> {
    this.#rolling.end();
    this.#hub.fleet?.drains();
    this.#hub.workers.tellAll(message);
    this.#processes.end();
    this.#killAfter(withinMs);
    return this.stopped;
  }

  #killAfter(withinMs: number): void {
    clearTimeout(this.#late);
    this.#late = setTimeout(() => this.#processes.kill(), withinMs + LATE_MS);
  }

  /** The workers know the config that is in force. */
  #drains(withinMs: number): void {
    this.#drainMs = Math.max(this.#drainMs, withinMs);
    if (this.#exitMs !== undefined) this.#killAfter(this.#drainMs + this.#exitMs);
  }

  #shutDown(after: ShutdownAfter | undefined): void {
    this.#rolling.end();
    this.#hub.fleet?.drains();
    this.#hub.workers.tellAll({ t: 'shutDown', ...(after !== undefined && { after }) });
    this.#processes.end();
  }

  /** Its sockets come back before it hears the rest. */
  #retire(worker: number): void {
    this.#processes.retire(worker);
    this.#hub.retire(worker);
    this.#dispatch.retire(worker);
    this.#hub.workers.tell(worker, { t: 'retire' });
  }

  #lend(worker: number, lent: Lent): void {
    const handle = this.#sockets.get(lent.listener)?.handle;
    if (handle) this.#hub.workers.tell(worker, { t: 'lend', ...lent }, handle);
  }

  #accepted(worker: number, accepted: Accepted & { readonly error?: string }): void {
    const { error: code } = accepted;
    const listener = code === undefined ? undefined : this.#dispatch.listenerOf(worker, accepted.n);
    if (code !== undefined) {
      this.#processes.end();
      this.#processes.kill();
      const error = Object.assign(new Error(code), { code });
      const why = this.#sockets.get(listener)?.cannotListen(error) ?? error;
      this.#options.log.error({ reason: why.message }, 'a worker cannot listen');
      this.#refuse(why);
    }
    this.#dispatch.accepted(worker, accepted);
  }

  #begun(worker: number): void {
    const { workers, config, watch } = this.#options;
    const admin = this.#sockets.get(undefined)?.address;
    const fleet = this.#hub.fleet?.begin;
    this.#hub.workers.tell(worker, {
      t: 'start',
      worker,
      workers,
      config,
      listeners: this.#addresses,
      ...(admin && { admin }),
      ...(fleet && { fleet }),
      watch,
    });
  }

  #heard(worker: number, message: FromWorker): void {
    if (!isLifeRequest(message)) return this.#hub.hear(worker, message);
    switch (message.t) {
      case 'ready':
        this.#dispatch.ready(worker);
        return this.#rolling.ready();
      case 'beat':
        this.#hub.fleet?.beat(worker, message);
        return this.#dispatch.beat(worker, message);
      case 'listens':
        return this.#dispatch.listens(worker, message.n);
      case 'accepted':
        return this.#accepted(worker, message);
      case 'missed':
        return this.#dispatch.missed(worker, message.n);
      case 'ending':
        this.#rolling.ending(worker, message.withinMs);
        return this.#drains(message.withinMs);
      case 'failed':
        return undefined;
    }
  }

  #close(): void {
    clearTimeout(this.#late);
    this.#dispatch.close();
    this.#rolling.close();
    for (const socket of this.#sockets.values()) socket.close();
    this.#hub.close();
  }
}
