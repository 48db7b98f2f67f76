/** What operators see of a running gateway: sessions, server connections and entries, read when they ask. */
import type { ResolvedConfig, ResolvedDatabase } from '../config/resolved.ts';
import type { OpenSession } from '../connection/open-session.ts';
import type { Usage } from '../connection/usage.ts';
import type { EntryReading } from '../contract/overview.ts';
import type { Channel } from '../net/channel.ts';
import type { Pool } from '../upstream/pool/pool.ts';
import type { PooledServer } from '../upstream/pool/pooled-servers.ts';
import type { Address } from '../net/listening.ts';
import type { Pools } from './pools.ts';
import type { Statistics } from './statistics.ts';
import type { Suspension } from './suspension.ts';

/** What an overview is of. */
export interface OverviewParts {
  readonly pools: Pools;
  readonly sessions: ReadonlySet<OpenSession>;
  readonly statistics: Statistics;
  readonly suspension: Suspension;
  /** The config in force. */
  readonly config: () => ResolvedConfig;
  /** Where clients connect. */
  readonly addresses: () => readonly Address[];
  /** What the fleet holds of an entry. */
  readonly ordersOf: (entry: string) => EntryReading['fleet'];
}

/** A server connection, whose it is and who has it. */
export interface Backing {
  readonly entry: string;
  readonly pool: Pool;
  readonly server: PooledServer;
  /** Who has it now. */
  readonly user: Usage | undefined;
}

/** An entry by the name that clients use. */
export interface EntryView {
  readonly name: string;
  /** Undefined: the config has none of this name any more, or cannot tell. */
  readonly database: ResolvedDatabase | undefined;
  /** Server connections in any state. */
  readonly connections: number;
  readonly paused: boolean;
  /** An operator lets no new session in. */
  readonly disabled: boolean;
  /** Absent: the fleet holds nothing of it. */
  readonly fleet?: NonNullable<EntryReading['fleet']>;
}

/** One per gateway. */
export class Overview {
  readonly #parts: OverviewParts;

  constructor(parts: OverviewParts) {
    this.#parts = parts;
  }

  get config(): ResolvedConfig {
    return this.#parts.config();
  }

  get statistics(): Statistics {
    return this.#parts.statistics;
  }

  /** Sessions that have found their entry, the longest open first. */
  get usages(): readonly Usage[] {
    return [...this.statistics.usages.values()];
  }

  /** Sessions that have not. */
  get arriving(): readonly OpenSession[] {
    return [...this.#parts.sessions].filter((one) => !this.statistics.usages.has(one));
  }

  /** All sessions but those that plugins answer. */
  get clients(): readonly OpenSession[] {
    const { sessions, statistics } = this.#parts;
    return [...sessions].filter((one) => {
      const usage = statistics.usages.get(one);
      return !usage || usage.pool !== undefined;
    });
  }

  /** Whether everything is paused. */
  get paused(): boolean {
    return this.#parts.pools.isPaused();
  }

  /** Whether nothing is read from clients and servers. */
  get suspended(): boolean {
    return this.#parts.suspension.on;
  }

  /** Where clients connect. */
  addresses(): readonly Address[] {
    return this.#parts.addresses();
  }

  /** Of sessions that may have a server connection, and of server connections. */
  *channels(): Generator<Channel, void> {
    for (const { pool, channel } of this.usages) if (pool) yield channel;
    for (const { server } of this.backings()) if (server.connection) yield server.connection.channel;
  }

  /** Every server connection there is. */
  backings(): readonly Backing[] {
    const users = new Map(this.usages.flatMap((usage) => (usage.server ? [[usage.server, usage]] : [])));
    return this.#parts.pools.everyOne().flatMap(({ entry, pool }) =>
      pool.servers.all().map((server) => {
        const user = server.connection && users.get(server.connection);
        return { entry, pool, server, user };
      }),
    );
  }

  /** Entries of the config by name, and those that `'*'` or the function has served: what there is to see of each. */
  async entries(): Promise<readonly EntryView[]> {
    const { pools } = this.#parts;
    const names = new Set(this.config.databaseNames.filter((name) => name !== '*'));
    for (const { entry } of pools.everyOne()) names.add(entry);
    for (const entry of [...pools.pausedEntries, ...pools.disabledEntries]) names.add(entry);
    return Promise.all([...names].map((name) => this.entry(name)));
  }

  async #databaseOf(name: string): Promise<EntryView['database']> {
    try {
      return await this.config.database(name);
    } catch {
      return undefined;
    }
  }

  /** One of them, known or not. */
  async entry(name: string): Promise<EntryView> {
    const { pools } = this.#parts;
    const own = pools.everyOne().filter(({ entry }) => entry === name);
    const connections = own.reduce((sum, { pool }) => sum + pool.size, 0);
    const database = await this.#databaseOf(name);
    const [paused, disabled] = [pools.isPaused(name), pools.isDisabled(name)];
    const fleet = this.#parts.ordersOf(name);
    return { name, database, connections, paused, disabled, ...(fleet && { fleet }) };
  }
}
