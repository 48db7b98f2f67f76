/** What all connections of one gateway share. */
import type { CancelKeys } from './cancel-keys.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import type { HookSets } from '../hooks.ts';
import type { LogSampler, PinoLogger } from './log.ts';
import type { OpenSession } from '../connection/open-session.ts';
import type { Pools } from './pools.ts';

/** Made by gateway.ts, used by connection.ts. */
export interface House {
  readonly config: Pick<ResolvedConfig, 'database' | 'loginTimeoutMs' | 'maxStatementBytes'>;
  readonly hooks: HookSets;
  readonly pools: Pools;
  readonly cancelKeys: CancelKeys;
  /** From their first hook to their last. */
  readonly sessions: Set<OpenSession>;
  readonly log: PinoLogger;
  /** For lines about clients that never became a session. */
  readonly sampler: LogSampler;
  /** True once the gateway takes no new logins. */
  draining: boolean;
}
