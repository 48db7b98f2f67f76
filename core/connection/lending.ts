/** Server connections for one session, transaction by transaction: what the relay borrows from a pool. */
import type { DatabaseOptions } from '../database.ts';
import type { Lender } from '../relay/seat.ts';
import type { Startup, Upstream } from '../session.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import { leavingsOn } from '../upstream/leavings.ts';
import type { Pool } from '../upstream/pool.ts';
import type { Usage } from './usage.ts';
import type { Circles, Holder } from '../upstream/pool/member.ts';
import type { Queued } from '../upstream/pool/wanted.ts';

/** What a session keeps asking its pool for. */
export interface Loan {
  readonly pool: Pool;
  readonly database: DatabaseOptions;
  readonly upstream: Upstream;
  readonly startup: Startup;
  readonly fingerprint: string;
  /** The session: it may get a connection back as it left it. */
  readonly holder: Holder;
  readonly circles?: Circles;
  /** What counts it. Default: nobody does. */
  readonly usage?: Usage;
  /** Aborted when the session ends. */
  readonly signal: AbortSignal;
  /** Default: nobody hears of waits. */
  readonly queued?: Queued | undefined;
}

/** Parameters that the server reports and a client may set: they follow it from connection to connection. */
const FOLLOWING = [
  'application_name',
  'client_encoding',
  'DateStyle',
  'IntervalStyle',
  'standard_conforming_strings',
  'TimeZone',
];

/** Borrows for `loan`, beginning with `first`, which the login got. */
export function lenderFor(loan: Loan, first: ServerConnection): Lender {
  const { pool, startup, usage, ...wanted } = loan;
  const parameters = new Map(first.parameters);
  if (usage) usage.parameters = parameters;
  const { role, database, settings, schemas } = loan.upstream;
  let latest = first;
  /** With what the client has set since, where that follows it. */
  let now = startup;
  pool.stock.members.attend(loan.signal);
  return {
    parameters,
    pinned: (why) => pool.stock.members.stays(latest, why),
    ...(looks(loan.database) && { look: leavingsOn }),
    known: knownTo(pool, JSON.stringify([role, database, settings, schemas])),
    acquire: (signal) => {
      if (!follows(now, parameters))
        now = { ...startup, parameters: { ...startup.parameters, ...following(parameters) } };
      // The relay gives the wait up when the session ends.
      const acquire = async (): Promise<ServerConnection> =>
        (latest = await pool.acquire({ ...wanted, startup: now, signal }));
      return usage ? usage.waits(acquire) : acquire();
    },
    retake() {
      // What onCheckout asks for is asked each time.
      if (loan.upstream.onCheckout.length > 0 || !pool.retake(latest, loan.holder)) return undefined;
      // The server may have said something of its own meanwhile.
      if (!agrees(latest, parameters)) {
        void pool.release(latest, 'clean');
        return undefined;
      }
      usage?.took(latest);
      return latest;
    },
    release(server, afterwards) {
      if (usage) usage.server = undefined;
      void pool.release(server, afterwards);
    },
  };
}

/** Command tags show most of what ties a session to its connection, and cost nothing. */
function looks({ pool }: DatabaseOptions): boolean {
  return (pool?.detect ?? (pool?.reset === 'always' ? 'state' : 'tags')) === 'state';
}

/** Texts remembered per pool; the oldest goes first. */
const MOST_KNOWN = 10_000;
const known = new WeakMap<Pool, Set<string>>();

/** The statements that connections of a pool have prepared for a kind of session. */
function knownTo(pool: Pool, kind: string): Lender['known'] {
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

/** Whether all that follows the session is in force on a connection as it is. */
function agrees(server: ServerConnection, parameters: ReadonlyMap<string, string>): boolean {
  for (const name of FOLLOWING) if (server.parameters.get(name) !== parameters.get(name)) return false;
  return true;
}

/** Whether a startup packet would say what follows the session. */
function follows({ parameters: said }: Startup, parameters: ReadonlyMap<string, string>): boolean {
  return FOLLOWING.every((name) => said[name] === parameters.get(name));
}

function following(parameters: ReadonlyMap<string, string>): Record<string, string> {
  const found = FOLLOWING.flatMap((name) => {
    const value = parameters.get(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  return Object.fromEntries(found);
}
