/** The parts of the gateway that a connection uses: the config at its accept, and the state that all connections share. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { DatabaseOptions } from '../contract/database.ts';
import type { Client, Disposer } from '../contract/session.ts';
import type { HookSets } from '../hooks.ts';
import type { PluginCalls } from '../hooks/plugin-calls.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import type { Pool } from '../upstream/pool/pool.ts';
import type { CancelKeys } from './cancel-keys.ts';
import type { OpenSession } from './open-session.ts';
import type { Counts, Usage } from './usage.ts';

/** The pools of the gateway, as a session needs them. */
export interface SessionPools {
  /** Finds or makes the pool of an entry. */
  for(entry: string, database: DatabaseOptions): Pool;
  /** Whether an operator has paused the entry. */
  isPaused(entry: string): boolean;
  /** Whether an operator lets no new session to the entry. */
  isDisabled(entry: string): boolean;
  /** Tells a holder of other connections when an entry may be paused; the returned function ends that. */
  watchPauses(changed: () => Promise<void>): Disposer;
}

/** Counts the use of open sessions by entry. */
export interface SessionUsages {
  /** A session has found its entry. */
  enter(usage: Usage): Usage;
  /** The session is over: its counts; undefined where it had not found its entry. */
  leave(session: OpenSession): Counts | undefined;
}

/** Used by connection.ts: the same one from accept to close, whatever is reloaded meanwhile. */
export interface GatewayContext {
  readonly config: Pick<
    ResolvedConfig,
    'database' | 'listeners' | 'loginTimeoutMs' | 'maxStatementBytes' | 'replicationEntry'
  >;
  readonly hooks: HookSets;
  readonly log: PinoLogger;
  /** For lines about clients that never became a session. */
  readonly unauthenticatedLog: PinoLogger;
  readonly pools: SessionPools;
  readonly cancelKeys: CancelKeys;
  /** All sessions from their first hook to their last, of any config. */
  readonly sessions: Set<OpenSession>;
  readonly statistics: SessionUsages;
  /** Whether an operator has suspended the gateway; `over` resolves when it resumes, at once where it is not suspended. */
  readonly suspension: { readonly on: boolean; readonly over: Promise<void> };
  /** The calls of plugins. */
  readonly calls: PluginCalls;
  /** True once the gateway takes no new logins. */
  readonly draining: boolean;
  /** Whether the certificate of a client has been revoked, by the config that is in force now. */
  revokes(client: Client): boolean;
  /** A connection came, and the config stays for it until it has left. */
  enter(): void;
  leave(): void;
}
