/** Makes what all configs of a gateway share. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { OpenSession } from '../connection/open-session.ts';
import type { Events } from '../events.ts';
import { PluginCalls } from '../hooks/plugin-calls.ts';
import { tellBlocked } from './blocked.ts';
import { CancelKeys } from './cancel-keys.ts';
import type { Channel } from '../net/channel.ts';
import type { Shared } from './gateway-context.ts';
import { unauthenticatedLog } from './log.ts';
import type { PinoLogger } from './log.ts';
import type { Address } from './listening.ts';
import { Operations } from './operations.ts';
import type { OperationsParts } from './operations.ts';
import { Overview } from './overview.ts';
import { Pools } from './pools.ts';
import { Statistics } from './statistics.ts';
import { Suspension } from './suspension.ts';

/** What it is made with. */
export interface SharedOptions {
  readonly log: PinoLogger;
  /** The config in force; asked only once there is one. */
  readonly config: () => ResolvedConfig;
  /** Observers of the config in force hear of what operators do. */
  readonly tell: (event: Events['operator']) => void;
  /** What an operator's RELOAD does. */
  readonly reload: () => Promise<void>;
  /** What an operator's SHUTDOWN does. */
  readonly shutDown: OperationsParts['shutDown'];
  /** Where clients connect. */
  readonly addresses: () => readonly Address[];
}

/** One per gateway. */
export function makeShared({ log, config, tell, reload, shutDown, addresses }: SharedOptions): Shared {
  const statistics = new Statistics();
  const pools = new Pools(log, () => statistics.poolsInUse());
  const suspension = new Suspension();
  const parts = { pools, sessions: new Set<OpenSession>(), statistics, suspension, config };
  const overview = new Overview({ ...parts, addresses });
  const channels = (): Iterable<Channel> => overview.channels();
  return {
    ...parts,
    calls: new PluginCalls(tellBlocked(log)),
    cancelKeys: new CancelKeys(),
    unauthenticatedLog: unauthenticatedLog(log),
    overview,
    operations: new Operations({ ...parts, channels, log, tell, reload, shutDown }),
    draining: false,
    reload: { at: Date.now(), failed: false },
  };
}
