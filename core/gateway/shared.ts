/** Makes what all configs of a gateway share. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { GatewayContext } from '../connection/gateway-context.ts';
import type { OpenSession } from '../connection/open-session.ts';
import type { Events } from '../contract/events.ts';
import type { PluginReading } from '../contract/overview.ts';
import type { GatewayServices } from '../contract/services.ts';
import type { Client } from '../contract/session.ts';
import { PluginCalls } from '../hooks/plugin-calls.ts';
import { tellBlocked } from '../telemetry/blocked.ts';
import { cancelKeysOver } from '../connection/cancel-forwarding.ts';
import type { Channel } from '../net/channel.ts';
import { unauthenticatedLog } from '../telemetry/log.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import type { Address } from '../net/listening.ts';
import { cancelOfDead } from './cancel-of-dead.ts';
import { OperationsOfFleet } from './fleet-operations.ts';
import { GatewayOverview } from './gateway-overview.ts';
import { GivenOrders } from './given-orders.ts';
import { GatewayOperations } from './operations.ts';
import { OperatorState } from './operator-state.ts';
import { OutdatedReports } from './outdated-reports.ts';
import { RefusedLogins } from './refused-logins.ts';
import type { OperationsParts } from './operations.ts';
import { Overview } from './overview.ts';
import { Pools } from './pools.ts';
import { Statistics } from './statistics.ts';
import { Suspension } from './suspension.ts';
import { WorkerOperations } from './worker-operations.ts';
import type { Coordination } from '../workers/coordination.ts';

/** The state that outlives a reload. */
export interface Shared extends Pick<
  GatewayContext,
  'cancelKeys' | 'sessions' | 'unauthenticatedLog' | 'calls'
> {
  /** What the workers share. */
  readonly coordination: Coordination;
  readonly pools: Pools;
  readonly statistics: Statistics;
  readonly suspension: Suspension;
  /** What operators have paused, disabled and suspended. */
  readonly operatorState: OperatorState;
  /** The sessions, server connections and entries that operators see. */
  readonly overview: Overview;
  /** Services for plugins, the same for all configs. */
  readonly services: Readonly<Pick<GatewayServices, 'operations' | 'overview'>>;
  /** True once balancers shall send no more clients: it shuts down, or will after the drain delay. */
  leaving: boolean;
  /** True once another process is to take the place of this one: no new connection comes. */
  retiring: boolean;
  /** True once the gateway takes no new logins. */
  draining: boolean;
  /** Serves a connection that a plugin has accepted, for a client of a listener of the config. */
  readonly accept: (channel: Channel, client: Client) => void;
  /** When the config last came into force, in milliseconds since the epoch, and whether a reload has failed since. */
  readonly reload: { at: number; failed: boolean };
}

/** What it is made with. */
export interface SharedOptions {
  readonly coordination: Coordination;
  readonly log: PinoLogger;
  /** The config in force; asked only once there is one. */
  readonly config: () => ResolvedConfig;
  /** Its plugins. */
  readonly plugins: () => readonly PluginReading[];
  /** Observers of the config in force hear of what operators do. */
  readonly tell: (event: Events['operator']) => void;
  /** What an operator's RELOAD does. */
  readonly reload: () => Promise<void>;
  /** What an operator's SHUTDOWN does. */
  readonly shutDown: OperationsParts['shutDown'];
  /** Where clients connect. */
  readonly addresses: () => readonly Address[];
  readonly accept: Shared['accept'];
}

/** One per gateway. */
export function makeShared({
  coordination,
  log,
  config,
  plugins,
  addresses,
  accept,
  ...orders
}: SharedOptions): Shared {
  const statistics = new Statistics();
  const { slots } = coordination;
  const shared = slots && {
    slots,
    refusedLogins: new RefusedLogins(coordination),
    outdatedReports: new OutdatedReports(coordination.post),
  };
  const pools = new Pools(log, () => statistics.poolsInUse(), shared);
  slots?.cancelsBy(cancelOfDead({ pools, config }));
  const suspension = new Suspension();
  const parts = { pools, sessions: new Set<OpenSession>(), statistics, suspension, config };
  const overview = new Overview({ ...parts, addresses, ordersOf: (name) => state.fleetOrders?.about(name) });
  const strangers = unauthenticatedLog(log);
  const channels = (): Iterable<Channel> => overview.channels();
  const state = new OperatorState({ ...parts, coordination, channels });
  const workers = new WorkerOperations({ ...parts, coordination, state });
  const given = new GivenOrders({ log, config, tell: orders.tell });
  const { fleet } = coordination;
  const ofFleet = fleet && new OperationsOfFleet({ fleet, coordination, state, orders: given });
  return {
    ...parts,
    coordination,
    calls: new PluginCalls(tellBlocked(log)),
    cancelKeys: cancelKeysOver(coordination, strangers),
    unauthenticatedLog: strangers,
    overview,
    operatorState: state,
    services: {
      operations: new GatewayOperations({ ...orders, state, workers, orders: given, fleet: ofFleet }),
      overview: new GatewayOverview(overview, coordination, plugins),
    },
    leaving: false,
    retiring: false,
    draining: false,
    accept,
    reload: { at: Date.now(), failed: false },
  };
}
