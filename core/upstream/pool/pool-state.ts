/**
 * The connections of a pool and the queue in front of them: which request gets which connection, and which action makes
 * one available. It only decides: sockets, timers and the clock are its {@link PoolEnvironment}.
 */
import type { Isolation } from './isolation.ts';
import type { CheckoutRequest, Holder, Owner, Waiter } from './checkout-request.ts';
import type { PoolKey } from '../pool-key.ts';
import type { Limits } from './limits.ts';
import { IdleConnections } from './idle-connections.ts';
import { PooledServers, total } from './pooled-servers.ts';
import type { PooledServer } from './pooled-servers.ts';
import { speaksFor } from './connector.ts';
import type { Attempt } from './connector.ts';
import type { Condition, PoolEnvironment } from './idle-connections.ts';
import type { ConnectionSlots } from './connection-slots.ts';
import { SessionSlots } from './session-slots.ts';
import { SlotWants } from './slot-wants.ts';
import { WaitingClients } from './waiting-clients.ts';

/** Made for one pass through the queue: every connection under way helps one waiter. */
class PendingCapacity {
  readonly #servers: PooledServers;
  readonly #isolation: Isolation;
  readonly #keys = new Map<string, number>();
  readonly #roles = new Map<string, number>();
  #room: number;

  constructor(servers: PooledServers, isolation: Isolation) {
    this.#servers = servers;
    this.#isolation = isolation;
    this.#room = servers.counts.closing;
  }

  /** Whether a connection of the key, opening or being reset, is left for one more of the same group. */
  connection({ key, owner }: Pick<CheckoutRequest, 'key' | 'owner'>): boolean {
    const { opening, resetting } = this.#servers.ofKey(key);
    const share = this.#isolation.of(key.database);
    if (share === 'role') return this.#take(key.text, opening + resetting);
    const suits = this.#servers.all('resetting').filter((one) => this.#isolation.fits(one, owner));
    const ofKey = suits.filter((one) => one.key.text === key.text).length;
    return this.#take(`${key.text} ${owner.scopes[share]}`, ofKey) || this.#take(key.text, opening);
  }

  /** Whether a connection that is being closed leaves room for one more: in all, or of a role. */
  room(role: string | undefined): boolean {
    const left = role === undefined ? this.#room : (this.#roles.get(role) ?? this.#closingOf(role));
    if (role === undefined) this.#room -= 1;
    else this.#roles.set(role, left - 1);
    return left > 0;
  }

  #take(what: string, all: number): boolean {
    const left = this.#keys.get(what) ?? all;
    this.#keys.set(what, Math.max(0, left - 1));
    return left > 0;
  }

  #closingOf(role: string): number {
    return this.#servers.ofRole(role).closing;
  }
}

/** Records the state that its session may have left: it is on the connection until a reset. */
function note(server: PooledServer, how: Condition): void {
  const { connection } = server;
  if (connection?.sequencesOfOthers === 'discarded' && server.left === 'sequences') server.left = 'nothing';
  if (connection) connection.sequencesOfOthers = undefined;
  if (how === 'suspect' || how === 'dirty') server.left = 'state';
  else if (how === 'sequences' && server.left === 'nothing') server.left = how;
}

/** The options of a state. */
interface PoolStateParts {
  readonly limits: Pick<Limits, 'size' | 'perRole' | 'mostSessions' | 'reserve' | 'reserveAfterMs'>;
  readonly isolation: Isolation;
  readonly environment: PoolEnvironment;
  /** Default: only this process opens connections for the entry. */
  readonly slots?: ConnectionSlots | undefined;
  /** As {@link slots}, for sessions in session mode in a pool that lends for transactions. */
  readonly sessionSlots?: ConnectionSlots | undefined;
}

/**
 * The connections of a pool and the queue in front of them: which request gets which connection, and which action makes
 * one available. It only decides: sockets, timers and the clock are its {@link PoolEnvironment}. One per pool.
 */
export class PoolState {
  readonly servers = new PooledServers();
  readonly waiting = new WaitingClients<Waiter>();
  readonly idle: IdleConnections;
  readonly slots: SlotWants | undefined;
  readonly sessionSlots: SessionSlots | undefined;
  readonly #parts: PoolStateParts;
  #serving = false;
  #again = false;
  /** How many connections there may be in this pass through the queue. */
  #most: number;

  constructor(parts: PoolStateParts) {
    this.#parts = parts;
    this.#most = parts.limits.size;
    this.idle = new IdleConnections({ ...parts, servers: this.servers, changed: () => this.serve() });
    this.sessionSlots = parts.sessionSlots && new SessionSlots(parts.sessionSlots, this.waiting);
    this.servers.sessionSlot = (role) => this.sessionSlots?.take(role);
    this.slots =
      parts.slots &&
      new SlotWants({
        slots: parts.slots,
        servers: this.servers,
        waiting: this.waiting,
        now: () => parts.environment.now(),
        close: (server) => this.idle.close(server),
        mayHave: ({ key, owner }) => !this.#tooManySessions(key, owner),
      });
  }

  // ---- check-out ----

  /** Lends the idle connection that suits best. */
  pick(key: PoolKey, owner: Owner): PooledServer | undefined {
    if (this.#tooManySessions(key, owner)) return undefined;
    for (;;) {
      if (this.idle.paused) return undefined;
      const server = this.#parts.isolation.best(this.servers.idleOf(key), owner);
      if (!server || this.idle.lend(server, owner)) return server;
    }
  }

  /** Lends one again to the session that had it last; false if it is not idle, another session had it since, or it may not be lent. */
  checkOutSame(server: PooledServer, holder: Holder): boolean {
    const { owner, state } = server;
    if (state !== 'idle' || owner?.holder !== holder || this.idle.paused) return false;
    return this.#parts.isolation.fits(server, owner) && this.idle.lend(server, owner);
  }

  /** Puts a request into the queue and serves the queue. */
  queue(waiter: Waiter): void {
    this.waiting.add(waiter);
    if (!this.#waitsAsOthers(waiter)) this.serve();
  }

  /** All connections are lent, and a slot for another request of the role is wanted already: a pass would end as the last one did. */
  #waitsAsOthers({ key, owner }: Waiter): boolean {
    if (!this.slots?.wants(key.role) || this.#serving || owner.inSessionMode === true) return false;
    return this.servers.counts.lent === this.servers.size;
  }

  /** Removes a cancelled request. */
  leave(waiter: Waiter): void {
    this.waiting.remove(waiter, false);
  }

  // ---- check-in ----

  /** Takes a lent connection back; the next request in turn gets it before this returns, if it suits as it is. */
  checkIn(server: PooledServer, how: Condition): void {
    const { idle } = this;
    // Closed together with the pool.
    if (server.state !== 'lent') return;
    if (server.inSessionMode) this.servers.setSessionMode(server, false);
    const kept = how !== 'close' && server.key.pooled && !idle.keepsNothing && idle.usable(server);
    note(server, how);
    if (!kept || this.slots?.owes(server)) idle.close(server);
    else if (how === 'dirty') idle.reset(server);
    else if (!this.#giveToNext(server)) idle.keep(server, true);
  }

  /** Lends it directly to the next request in turn, of the same identity, without listing it as idle. Else the whole queue is served. */
  #giveToNext(server: PooledServer): boolean {
    const { next } = this.waiting;
    const { isolation, environment } = this.#parts;
    if (!next || this.#serving || this.servers.counts.idle > 0) return false;
    // Bytes that arrived meanwhile have to be read by the idle watch.
    if (server.connection?.channel.kept !== 0) return false;
    if (server.key.text !== next.key.text || !isolation.passes(server, next.owner)) return false;
    if (this.#tooManySessions(next.key, next.owner)) return false;
    this.waiting.remove(next, true);
    this.idle.lent(server, next.owner);
    this.#serving = true;
    try {
      environment.granted(next, server);
    } finally {
      this.#serving = false;
    }
    if (this.#again) this.serve();
    return true;
  }

  /** The server has closed it. */
  closed(server: PooledServer): void {
    this.servers.remove(server);
    this.serve();
  }

  /** A session is over: state that only it may have seen, such as locks, goes at once. */
  over(holder: Holder): void {
    for (const server of this.servers.leftBy(holder)) if (this.idle.take(server)) this.idle.reset(server);
  }

  // ---- openings ----

  /** A new connection; false if it cannot be used. */
  opened(server: PooledServer): boolean {
    this.idle.keep(server);
    return !server.unusable;
  }

  /** Refuses the request that waited for it, and others that have no other connection to wait for. */
  failed(attempt: Attempt, error: unknown): void {
    const { idle, lent, resetting } = this.servers.ofKey(attempt.checkout.key);
    const hopeless = idle + lent + resetting === 0;
    const now = this.#parts.environment.now();
    const concerned = (one: Waiter): boolean =>
      (one === attempt.checkout && one.since <= attempt.startedAt) ||
      (hopeless && speaksFor(attempt, one, now));
    for (const waiter of this.waiting.all().filter(concerned)) this.#refuse(waiter, error);
    this.serve();
  }

  /** Refuses the whole queue. */
  refuseAll(error: unknown): void {
    for (const waiter of this.waiting.all()) this.#refuse(waiter, error);
  }

  // ---- the queue ----

  /** Serves the queue as far as connections permit. A call within a grant takes effect after it. */
  serve(): void {
    this.#again = true;
    if (this.#serving) return;
    this.#serving = true;
    try {
      while (this.#again) {
        this.#again = false;
        this.slots?.begin();
        while (this.waiting.size > 0 && this.#step());
      }
    } finally {
      this.#serving = false;
    }
    this.#parts.environment.served();
  }

  /** Goes through the queue until a request has left it; false if none could. */
  #step(): boolean {
    this.#most = this.#mostNow();
    this.slots?.begin();
    if (this.idle.paused || this.#exhausted()) return false;
    const pendingCapacity = new PendingCapacity(this.servers, this.#parts.isolation);
    for (const waiter of this.waiting.inTurn()) {
      if (this.#exhausted()) return false;
      if (this.#tooManySessions(waiter.key, waiter.owner)) continue;
      const server = this.pick(waiter.key, waiter.owner);
      if (server) {
        this.waiting.remove(waiter, true);
        this.#parts.environment.granted(waiter, server);
        return true;
      }
      const refusal = pendingCapacity.connection(waiter) ? undefined : this.#help(waiter, pendingCapacity);
      if (refusal) {
        this.#refuse(waiter, refusal);
        return true;
      }
    }
    return false;
  }

  /** Begins the action that makes a connection available: a reset, an opening, or closing an idle connection to make room. */
  #help(waiter: Waiter, pendingCapacity: PendingCapacity): Error | undefined {
    const { key, owner } = waiter;
    const { limits, environment, isolation } = this.#parts;
    const used = isolation.bestAfterReset(this.servers.idleOf(key), owner);
    if (used) {
      const what = isolation.sharesState(used, owner) ? 'sequences' : 'all';
      if (this.idle.take(used)) this.idle.reset(used, what);
      return undefined;
    }
    if (total(this.servers.ofRole(key.role)) >= limits.perRole) this.#makeRoom(key.role, pendingCapacity);
    else if (this.#room() <= 0) this.#makeRoom(undefined, pendingCapacity);
    else {
      const refusal = environment.refusal(key.role);
      if (refusal || environment.connecting) return refusal;
      const full = environment.open(waiter);
      if (full) this.#makeRoom(full === 'role' ? key.role : undefined, pendingCapacity);
    }
    return undefined;
  }

  /** Closes an idle connection, of a role or of all, unless one is being closed. */
  #makeRoom(role: string | undefined, pendingCapacity: PendingCapacity): void {
    const inTheWay = pendingCapacity.room(role) ? undefined : this.servers.idleLongest(role);
    if (inTheWay) this.idle.close(inTheWay);
  }

  #refuse(waiter: Waiter, error: unknown): void {
    this.waiting.remove(waiter, false);
    this.#parts.environment.refused(waiter, error);
  }

  /** A session in session mode has to wait until another one ends, whatever connections there are. */
  #tooManySessions({ role }: PoolKey, { inSessionMode }: Owner): boolean {
    if (inSessionMode !== true) return false;
    if (this.sessionSlots && !this.sessionSlots.has(role)) return true;
    const { mostSessions, perRole } = this.#parts.limits;
    // The last one of a role is for its clients in transaction mode.
    const ofRole = Math.max(1, perRole - 1);
    return this.servers.inSessionMode >= mostSessions || this.servers.inSessionModeOf(role) >= ofRole;
  }

  /** No connection is idle, and none can be opened. */
  #exhausted(): boolean {
    if (this.servers.counts.idle > 0) return false;
    return this.#parts.environment.connecting || this.#room() <= (this.slots?.wanted ?? 0);
  }

  /** How many connections there may be: with the reserve if a request that they help has waited for so long. */
  #mostNow(): number {
    const { size, reserve, reserveAfterMs } = this.#parts.limits;
    if (reserve === 0) return size;
    const oldest = this.waiting.oldest(({ key, owner }) => !this.#tooManySessions(key, owner));
    const isLate = oldest && this.#parts.environment.now() - oldest.since >= reserveAfterMs;
    return isLate ? size + reserve : size;
  }

  /** How many more connections there may be. */
  #room(): number {
    return this.#most - this.servers.size;
  }
}
