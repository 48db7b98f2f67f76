/** Puts a pool together: its state, and the sockets, servers and timers that the state decides about. */
import type { DatabaseOptions } from '../../database.ts';
import { GatewayError } from '../../errors.ts';
import type { Logger } from '../../session.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Timeouts } from '../open.ts';
import { unreachable } from '../refusals.ts';
import { CheckOuts } from './check-outs.ts';
import type { Clock } from './clock.ts';
import type { Limits } from './limits.ts';
import type { Member } from './member.ts';
import { Departures } from './departures.ts';
import { Openings } from './openings.ts';
import type { Attempt } from './openings.ts';
import type { PoolOutside } from './pool-outside.ts';
import { PoolState } from './pool-state.ts';
import { ReportedParameters } from './reported-parameters.ts';
import { ServerSockets } from './server-sockets.ts';
import { Sharing } from './sharing.ts';
import { dropStrays, hostsFor } from './strays.ts';
import { Upkeep } from './upkeep.ts';
import type { Waiter } from './wanted.ts';

/** The options of these parts. */
export interface PoolPartsOptions {
  /** The key of `databases`. */
  readonly entry: string;
  readonly database: DatabaseOptions;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly timeouts?: Timeouts | undefined;
  readonly log?: Logger | undefined;
  /** Aborted when the pool closes; its reason is the error for requests. */
  readonly closing: AbortSignal;
  /** A connection has come to be. */
  readonly opened: (member: Member) => void;
}

/** One per pool. */
export class PoolParts implements PoolOutside {
  readonly hosts: Hosts;
  readonly state: PoolState;
  readonly departures: Departures;
  readonly checkOuts: CheckOuts;
  readonly openings: Openings;
  readonly upkeep: Upkeep;
  readonly reported: ReportedParameters;
  readonly #options: PoolPartsOptions;
  readonly #sharing: Sharing;
  readonly #sockets: ServerSockets;

  constructor(options: PoolPartsOptions) {
    this.#options = options;
    this.#sharing = new Sharing(options);
    const sharing = this.#sharing;
    this.state = new PoolState({ limits: options.limits, sharing, outside: this });
    const { members, waiting } = this.state;
    this.departures = new Departures({ members, idle: this.state.idle });
    const serve = (): void => this.state.serve();
    const isWaiting = (): boolean => waiting.size > 0;
    this.hosts = hostsFor({ ...options, members, waiting: isWaiting, changed: () => this.#review() });
    const parts = { ...options, members, sharing, state: this.state, hosts: this.hosts };
    this.openings = new Openings({
      ...parts,
      postponed: serve,
      ready: serve,
      opened: (member, attempt) => this.#opened(member, attempt),
      failed: (attempt, error) => this.#failed(attempt, error),
    });
    this.reported = new ReportedParameters({ ...parts, openings: this.openings });
    this.checkOuts = new CheckOuts({
      ...parts,
      first: (member, waiter) => this.reported.learn(member, waiter),
    });
    const close = (member: Member): void => this.state.idle.close(member);
    this.upkeep = new Upkeep({ ...parts, openings: this.openings, close, waiting: isWaiting, looked: serve });
    this.#sockets = new ServerSockets({
      ...parts,
      spoilt: (member) => this.state.idle.spoilt(member),
      wasReset: (member, done) => this.state.idle.wasReset(member, done),
      closed: (member) => this.state.closed(member),
    });
  }

  // ---- questions and effects of the state ----

  now(): number {
    return this.#options.clock.now();
  }
  get connecting(): boolean {
    return this.openings.busy;
  }
  refusal(role: string): Error | undefined {
    return this.openings.refusal(role);
  }
  open(waiter: Waiter): void {
    this.upkeep.used(waiter);
    this.openings.begin(waiter);
  }
  fits(member: Member): boolean {
    return this.hosts.fits(member);
  }
  watch(member: Member): void {
    this.#sockets.watch(member);
  }
  unwatch(member: Member): boolean {
    return this.#sockets.unwatch(member);
  }
  reset(member: Member): void {
    this.#sockets.reset(member);
  }
  close(member: Member): void {
    this.#sockets.close(member);
  }
  granted(waiter: Waiter, member: Member): void {
    this.checkOuts.granted(waiter, member);
  }
  refused(waiter: Waiter, error: unknown): void {
    this.checkOuts.refused(waiter, error);
  }
  served(): void {
    this.departures.look();
  }

  /** A new connection. One that cannot be used counts as a failure, or it would be opened again and again. */
  #opened(member: Member, attempt: Attempt): void {
    const { connection, key } = member;
    this.#options.opened(member);
    if (key.pooled) this.#sharing.learn(key.database, connection?.lasting === true);
    this.reported.opened(member);
    if (this.state.opened(member)) return;
    const why = new Error('the server said what nobody asked for, or closed');
    this.state.failed(attempt, unreachable(why));
  }

  /** A login without a connection must not hide that PostgreSQL refuses it. A server that is full does not refuse it. */
  #failed(attempt: Attempt, error: unknown): void {
    const full = error instanceof GatewayError && error.code === 'too_many_connections';
    if (!full) this.reported.forget(attempt.wanted.key);
    this.state.failed(attempt, error);
  }

  /** A server has changed its status. */
  #review(): void {
    this.openings.review();
    dropStrays(this.state.members, this.hosts);
    this.state.serve();
  }
}
