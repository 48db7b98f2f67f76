/** Server connections for one session, transaction by transaction: from its pool. */
import type { DatabaseOptions } from '../database.ts';
import { GatewayError } from '../errors.ts';
import type { ServerSource, ServerWaiter } from '../relay/server-source.ts';
import type { ServerFitness } from '../relay/transaction-boundary.ts';
import type { Startup, Upstream } from '../session.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import { leavingsOn } from '../upstream/leavings.ts';
import { agrees, chosenNow } from '../upstream/session-settings.ts';
import type { Pool } from '../upstream/pool.ts';
import type { Usage } from './usage.ts';
import type { Circles, Holder } from '../upstream/pool/member.ts';
import type { CheckOutListener, Queued, Waiter } from '../upstream/pool/wanted.ts';

/** A session's use of its pool. */
export interface Loan {
  readonly pool: Pool;
  readonly database: DatabaseOptions;
  readonly upstream: Upstream;
  readonly startup: Startup;
  readonly fingerprint: string;
  /** The session: it may get a connection back as it left it. */
  readonly holder: Holder;
  readonly circles?: Circles;
  /** Counts it. Default: it is not counted. */
  readonly usage?: Usage;
  /** Aborted when the session ends. */
  readonly signal: AbortSignal;
  /** Called when a wait begins. Default: not called. */
  readonly queued?: Queued | undefined;
}

/** The source of connections for a session, after `first`, which its login got. */
export function serversFor(loan: Loan, first: ServerConnection): ServerSource {
  return new SessionServers(loan, first);
}

class SessionServers implements ServerSource, CheckOutListener {
  readonly parameters: Map<string, string>;
  readonly known: ServerSource['known'];
  readonly probe: ServerSource['probe'];
  readonly #loan: Loan;
  readonly #request: Waiter;
  /** The connection that the session had last. */
  #latest: ServerConnection;
  #waiter: ServerWaiter | undefined;

  constructor(loan: Loan, first: ServerConnection) {
    const { role, database, settings, schemas } = loan.upstream;
    this.#loan = loan;
    this.#request = loan.pool.waiter(loan, this);
    this.#latest = first;
    this.parameters = new Map(first.parameters);
    this.#request.request = { ...this.#request.request, follows: this.parameters };
    this.known = knownTo(loan.pool, JSON.stringify([role, database, settings, schemas]));
    this.probe = looks(loan.database) ? leavingsOn : undefined;
    if (loan.usage) loan.usage.parameters = this.parameters;
    loan.pool.members.attend(loan.signal);
  }

  pinned(_server: ServerConnection | undefined, why: string): void {
    this.#loan.pool.members.stays(this.#latest, why);
  }

  checkOut(waiter: ServerWaiter): ServerConnection | undefined {
    const { pool, usage } = this.#loan;
    if (this.#retakes()) {
      usage?.took(this.#latest);
      return this.#latest;
    }
    this.#follow();
    this.#waiter = waiter;
    usage?.waits();
    const server = pool.checkOut(this.#request);
    if (server) this.#got(server);
    return server;
  }

  granted(server: ServerConnection): void {
    const waiter = this.#waiter;
    this.#got(server);
    waiter?.granted(server);
  }

  refused(error: unknown): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    this.#loan.usage?.waited();
    waiter?.refused(error);
  }

  cancel(reason: Error = OVER): void {
    this.#waiter = undefined;
    this.#loan.usage?.waited();
    this.#loan.pool.cancel(this.#request, reason);
  }

  checkIn(server: ServerConnection, how: ServerFitness): void {
    const { pool, usage } = this.#loan;
    if (usage) usage.server = undefined;
    pool.checkIn(server, how);
  }

  #got(server: ServerConnection): void {
    this.#waiter = undefined;
    this.#latest = server;
    this.#loan.usage?.waited(server);
  }

  /** The connection that the session had last, if it is as the session needs it now. */
  #retakes(): boolean {
    const { pool, upstream, holder } = this.#loan;
    // The values of onCheckout are set at each check-out.
    if (upstream.onCheckout.length > 0 || !pool.retake(this.#latest, holder)) return false;
    // The server may have reported a parameter meanwhile.
    if (agrees(this.#latest.parameters, this.parameters)) return true;
    pool.checkIn(this.#latest, 'clean');
    return false;
  }

  /** Takes the settings that the client has made since its login to the next connection. */
  #follow(): void {
    const { request } = this.#request;
    const { startup } = request;
    const parameters = chosenNow(startup.parameters, this.parameters);
    if (parameters !== startup.parameters)
      this.#request.request = { ...request, startup: { ...startup, parameters } };
  }
}

/** The error for observers of the queue where the session ended. */
const OVER = new GatewayError('query_canceled', 'the session has ended');

/** Command tags show most of what ties a session to its connection, and cost nothing. */
function looks({ pool }: DatabaseOptions): boolean {
  return (pool?.detect ?? (pool?.reset === 'always' ? 'state' : 'tags')) === 'state';
}

/** Texts remembered per pool; the oldest goes first. */
const MOST_KNOWN = 10_000;
const known = new WeakMap<Pool, Set<string>>();

/** The statements that connections of a pool have prepared for sessions with the same role, database and settings. */
function knownTo(pool: Pool, kind: string): ServerSource['known'] {
  const all = known.get(pool) ?? new Set<string>();
  known.set(pool, all);
  return {
    has: (key) => all.has(`${kind}${key}`),
    add(key) {
      all.add(`${kind}${key}`);
      const [oldest] = all;
      if (all.size > MOST_KNOWN && oldest !== undefined) all.delete(oldest);
    },
  };
}
