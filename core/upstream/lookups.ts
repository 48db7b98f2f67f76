/** Questions of plugins to databases, each entry and role on one connection of its own: no pool is used, and no session waits. */
import { setMaxListeners } from 'node:events';
import { hostsOf } from '../contract/database.ts';
import type { DatabaseOptions, HostAddress } from '../contract/database.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Lookup, LookupRow } from '../contract/lookup.ts';
import { parseDatabase } from '../contract/names.ts';
import type { Disposer, MaybePromise } from '../contract/session.ts';
import { addressOf } from './connection.ts';
import type { ServerConnection } from './connection.ts';
import { abortable, within } from './deadline.ts';
import { open } from './open.ts';
import { encodeExecutions, executeBetween } from './query.ts';
import type { Outcome } from './query.ts';
import { describeRefusal, unreachable } from './refusals.ts';

/** How long an answer may take in all, its connection included, in milliseconds. */
const ANSWER_MS = 5_000;
/** How long a connection stays open unused, in milliseconds. */
const IDLE_MS = 30_000;
/** Questions that wait for one connection; more are refused at once. */
const MOST_WAITING = 500;

/** For whoever looks at `pg_stat_activity`. */
const SETTINGS = { application_name: 'postern lookup' };

/** The entry of a name, as the config has it. */
export type EntryOf = (name: string) => MaybePromise<DatabaseOptions | undefined>;

/** Which entries an operator has paused. */
export interface EntryPauses {
  isPaused(entry: string): boolean;
  /** `changed` is called at each change, and resolves when no connection to a paused entry is left. */
  watchPauses(changed: () => Promise<void>): Disposer;
}

/** The questions of the plugins of one config. Those to a paused entry wait, for as long as an answer may take. */
export class Lookups {
  readonly #entryOf: EntryOf;
  readonly #pauses: EntryPauses | undefined;
  readonly #unwatch: Disposer | undefined;
  readonly #lines = new Map<string, LookupLine>();
  readonly #over = new AbortController();

  /** @param pauses Default: no entry is ever paused */
  constructor(entryOf: EntryOf, pauses?: EntryPauses) {
    this.#entryOf = entryOf;
    this.#pauses = pauses;
    this.#unwatch = pauses?.watchPauses(() => this.#pausesChanged());
    // Each question that waits listens: many listeners are no leak.
    setMaxListeners(0, this.#over.signal);
  }

  /**
   * Asks. Those about one entry as one role wait for each other.
   * @throws GatewayError `invalid_catalog_name` for an entry there is not, `feature_not_supported` for one with `set-role`, `sqlclient_unable_to_establish_sqlconnection` where the
   * server does not answer in time or not as it should, `too_many_connections` where too many wait; as `open` does
   */
  async ask(lookup: Lookup): Promise<readonly LookupRow[]> {
    this.#over.signal.throwIfAborted();
    const database = await this.#entryOf(lookup.database);
    if (!database) {
      const text = `database "${lookup.database}" does not exist`;
      throw new GatewayError('invalid_catalog_name', text);
    }
    if (database.login.kind === 'set-role') throw notAsRole(lookup);
    const key = JSON.stringify([lookup.database, lookup.role]);
    const line = this.#lines.get(key) ?? new LookupLine(lookup.database, this.#over.signal);
    this.#lines.set(key, line);
    if (this.#pauses?.isPaused(lookup.database)) void line.pause();
    return line.ask(lookup, database);
  }

  async #pausesChanged(): Promise<void> {
    const paused = [...this.#lines.values()].filter((line) => {
      if (this.#pauses?.isPaused(line.entry)) return true;
      line.resume();
      return false;
    });
    await Promise.all(paused.map((line) => line.pause()));
  }

  /** Ends all of them. */
  close(): void {
    void this.#unwatch?.();
    this.#over.abort(unreachable(new Error('the config is not in force any more')));
    for (const line of this.#lines.values()) line.close();
    this.#lines.clear();
  }
}

/** One connection, and the questions that wait for it. */
class LookupLine {
  readonly entry: string;
  readonly #over: AbortSignal;
  #connection: ServerConnection | undefined;
  /** The server of the last connection. */
  #last: Partial<HostAddress> | undefined;
  #idle: NodeJS.Timeout | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** Present while the entry is paused. */
  #pause: { readonly over: Promise<void>; readonly end: () => void } | undefined;

  constructor(entry: string, over: AbortSignal) {
    this.entry = entry;
    this.#over = over;
  }

  async ask(lookup: Lookup, database: DatabaseOptions): Promise<readonly LookupRow[]> {
    if (this.#waiting >= MOST_WAITING) {
      const why = `${MOST_WAITING} lookups wait for database "${lookup.database}"`;
      throw new GatewayError('too_many_connections', 'too many logins wait', { cause: new Error(why) });
    }
    this.#waiting += 1;
    const late = (): Error => unreachable(new Error(`${lookup.database}: no answer within ${ANSWER_MS} ms`));
    // The time runs while it waits: a server that is away costs each no more.
    const answer = within(ANSWER_MS, this.#over, late, async (signal) => {
      await abortable(this.#pause?.over ?? Promise.resolve(), signal);
      return this.#inTurn(lookup, database, signal);
    });
    try {
      return await answer;
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Resolves when it has no connection; it asks nothing until {@link resume}. */
  async pause(): Promise<void> {
    if (!this.#pause) {
      let end = (): void => {};
      const over = new Promise<void>((resolve) => (end = resolve));
      this.#pause = { over, end };
    }
    this.close();
    await this.#turn;
  }

  resume(): void {
    this.#pause?.end();
    this.#pause = undefined;
  }

  close(): void {
    clearTimeout(this.#idle);
    this.#connection?.close();
    this.#connection = undefined;
  }

  #inTurn(lookup: Lookup, database: DatabaseOptions, signal: AbortSignal): Promise<readonly LookupRow[]> {
    const answer = this.#turn.then(() => this.#answer(lookup, database, signal));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  async #answer(
    lookup: Lookup,
    database: DatabaseOptions,
    signal: AbortSignal,
  ): Promise<readonly LookupRow[]> {
    signal.throwIfAborted();
    clearTimeout(this.#idle);
    const { rows, error } = await this.#outcome(lookup, database, signal);
    if (error) throw unreachable(new Error(`${lookup.database}: ${describeRefusal(error)}`));
    return rows;
  }

  /** A connection that was idle may have been lost meanwhile: then once more with another. */
  async #outcome(lookup: Lookup, database: DatabaseOptions, signal: AbortSignal): Promise<Outcome> {
    const kept = this.#connection;
    if (kept) {
      const outcome = await this.#on(kept, lookup, signal).catch(() => undefined);
      if (outcome) return outcome;
      signal.throwIfAborted();
    }
    const connection = await connect(lookup, database, this.#last, signal);
    this.#last = addressOf(connection);
    return this.#on(connection, lookup, signal);
  }

  /** An error of the statement, which a parameter may cause, costs no connection. */
  async #on(connection: ServerConnection, { sql, values }: Lookup, signal: AbortSignal): Promise<Outcome> {
    this.#connection = undefined;
    try {
      const batch = encodeExecutions({ sql, values: [values] });
      const outcome = await executeBetween(connection, batch, signal);
      this.#keep(connection);
      return outcome;
    } finally {
      if (this.#connection !== connection) discard(connection, signal.aborted);
    }
  }

  #keep(connection: ServerConnection): void {
    if (this.#over.aborted || this.#pause) return;
    this.#connection = connection;
    this.#idle = setTimeout(() => this.close(), IDLE_MS).unref();
  }
}

/** Its connections are those of a role that may become every other one: the question would have the rights of that. */
function notAsRole({ database, role }: Lookup): GatewayError {
  const why = `database "${database}" logs in by 'set-role', and cannot be asked as role "${role}"`;
  return new GatewayError('feature_not_supported', why);
}

/** A statement that nobody waits for any more would run on for as long as it likes. */
function discard(connection: ServerConnection, running: boolean): void {
  if (running) void connection.cancel().then(() => connection.close());
  else connection.close();
}

/** The hosts of an entry, the one that was there last before all others. */
function hostsFrom(database: DatabaseOptions, last: Partial<HostAddress> = {}): ReturnType<typeof hostsOf> {
  const isLast = ({ host, port }: HostAddress): boolean => host === last.host && port === last.port;
  return hostsOf(database).toSorted((one, other) => Number(isLast(other)) - Number(isLast(one)));
}

/** The first of the servers that takes it. Each has its share of the time: one that says nothing keeps no other from being asked. */
async function connect(
  { database: entry, role }: Lookup,
  database: DatabaseOptions,
  last: Partial<HostAddress> | undefined,
  signal: AbortSignal,
): Promise<ServerConnection> {
  const name = parseDatabase(database.database ?? entry);
  const upstream = { entry, database: name, role, settings: SETTINGS, schemas: [], onCheckout: [] };
  const startup = { user: role, database: name, parameters: {} };
  const hosts = hostsFrom(database, last);
  const ms = Math.floor(ANSWER_MS / hosts.length);
  let failed: unknown = new Error('the entry has no host');
  for (const endpoint of hosts) {
    const late = (): Error => unreachable(new Error(`${endpoint.host}: no connection within ${ms} ms`));
    try {
      return await within(ms, signal, late, (inner) =>
        open({ entry, database, upstream, startup, endpoint, signal: inner }),
      );
    } catch (error) {
      signal.throwIfAborted();
      failed = error;
    }
  }
  throw failed instanceof GatewayError ? failed : unreachable(failed);
}
