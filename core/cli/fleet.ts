/** The membership of this process in the fleet of its config: joined before the gateway serves, left when it has stopped. */
import type { ResolvedFleet } from '../config/resolved.ts';
import { ConfigError } from '../contract/errors.ts';
import type { Logger } from '../contract/session.ts';
import { createFleetMember } from '../fleet/member.ts';
import { RedisStore } from '../fleet/redis/redis-store.ts';
import type { FleetMember, FleetState } from '../workers/fleet-member.ts';
import { machineTimers } from '../workers/timers.ts';

type Log = Pick<Logger, 'info' | 'warn'>;

/** As for a secret that is text in the config. */
const LEAST_SECRET_BYTES = 32;

async function secretOf({ secret }: ResolvedFleet): Promise<string> {
  if (typeof secret === 'string') return secret;
  const text = await asked(secret);
  if (Buffer.byteLength(text) >= LEAST_SECRET_BYTES) return text;
  throw new ConfigError(
    `fleet.secret: has fewer than ${LEAST_SECRET_BYTES} bytes; make one by: openssl rand -hex 32`,
  );
}

async function asked(secret: Exclude<ResolvedFleet['secret'], string>): Promise<string> {
  try {
    return await secret();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`fleet.secret: cannot be read: ${why}`);
  }
}

/** Joins it. A store that is away does not keep the gateway from starting. @throws ConfigError */
export async function joinFleet(fleet: ResolvedFleet, log: Log): Promise<FleetMember> {
  const { name, instance, store, away, staleMs } = fleet;
  const { timeoutMs } = store;
  const options = { name, instance, secret: await secretOf(fleet), staleMs, timeoutMs, away };
  const member = createFleetMember({
    store: new RedisStore({ ...store, name }),
    timers: machineTimers,
    options,
    log,
  });
  tellChanges(member, log);
  try {
    await member.start();
  } catch (error) {
    await member.close();
    throw error;
  }
  const { id, number, instances, staleSince } = member.state;
  log.info({ fleet: name, id, number, instances: instances.length }, 'joined the fleet');
  if (staleSince !== undefined) log.warn({ fleet: name }, 'the store of the fleet does not answer');
  return member;
}

/** One line for each change of what is known of the store. */
export function tellChanges(member: Pick<FleetMember, 'watch'>, log: Log): void {
  tellLimits(member, log);
  let was: Pick<FleetState, 'staleSince' | 'isStale'> | undefined;
  member.watch((state) => {
    const { name: fleet, staleSince, isStale, away } = state;
    // What is at the start is told there.
    const before = (was ??= { staleSince, isStale });
    was = { staleSince, isStale };
    const since = staleSince === undefined ? {} : { since: new Date(staleSince).toISOString() };
    if (isStale && !before.isStale)
      log.warn({ fleet, ...since, revocations: away.revocations }, 'the fleet is stale');
    else if (staleSince !== undefined && before.staleSince === undefined)
      log.warn({ fleet, ...since }, 'the store of the fleet does not answer');
    else if (staleSince === undefined && before.staleSince !== undefined)
      log.info({ fleet }, 'the store of the fleet answers again');
  });
}

/** However short it is, and however many logins it is for. */
function tellLimits(member: Pick<FleetMember, 'watch'>, log: Log): void {
  let wasAway = false;
  member.watch(({ name: fleet, limitsAwaySince, limitsAwayTimes, away: { limits } }) => {
    // It begins so, before the store is asked.
    const isAway = limitsAwaySince !== undefined && limitsAwayTimes > 0;
    if (isAway && !wasAway)
      log.warn(
        { fleet, limits, times: limitsAwayTimes },
        'the store of the fleet has not answered in time: limits go by fleet.away',
      );
    else if (!isAway && wasAway) log.info({ fleet }, 'limits count all instances of the fleet');
    wasAway = isAway;
  });
}
