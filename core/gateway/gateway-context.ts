/** The parts of the gateway that a connection uses: the config at its accept, and the state that all connections share. */
import type { CancelKeys } from './cancel-keys.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import type { HookSets } from '../hooks.ts';
import type { PluginCalls } from '../hooks/plugin-calls.ts';
import type { PinoLogger } from './log.ts';
import type { OpenSession } from '../connection/open-session.ts';
import type { Operations } from './operations.ts';
import type { Operators } from './operators.ts';
import type { Overview } from './overview.ts';
import type { Pools } from './pools.ts';
import type { Statistics } from './statistics.ts';
import type { Suspension } from './suspension.ts';
import type { Client } from '../session.ts';

/** The state that outlives a reload. Made by gateway.ts. */
export interface Shared {
  readonly pools: Pools;
  readonly cancelKeys: CancelKeys;
  /** All sessions from their first hook to their last, of any config. */
  readonly sessions: Set<OpenSession>;
  /** For lines about clients that never became a session. */
  readonly unauthenticatedLog: PinoLogger;
  readonly statistics: Statistics;
  readonly suspension: Suspension;
  /** The calls of plugins. */
  readonly calls: PluginCalls;
  /** The state that operators see, and their operations. */
  readonly overview: Overview;
  readonly operations: Operations;
  /** True once the gateway takes no new logins. */
  draining: boolean;
  /** When the config last came into force, in milliseconds since the epoch, and whether a reload has failed since. */
  readonly reload: { at: number; failed: boolean };
}

/** Used by connection.ts: the same one from accept to close, whatever is reloaded meanwhile. */
export interface GatewayContext extends Readonly<Shared> {
  readonly config: Pick<
    ResolvedConfig,
    'admin' | 'database' | 'listeners' | 'loginTimeoutMs' | 'maxStatementBytes' | 'replicationEntry'
  >;
  readonly operators: Operators;
  readonly hooks: HookSets;
  readonly log: PinoLogger;
  /** Whether the certificate of a client has been revoked, by the config that is in force now. */
  revokes(client: Client): boolean;
  /** A connection came, and the config stays for it until it has left. */
  enter(): void;
  leave(): void;
}
