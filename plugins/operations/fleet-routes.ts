/** Orders with `?scope=fleet`: to all instances of the fleet. */
import { ConfigError, GatewayError, milliseconds } from '../../core/index.ts';
import type { FleetOperations, FleetProof } from '../../core/index.ts';
import { ACCEPTED, patience } from './asked.ts';
import type { Asked, Route } from './asked.ts';
import { databaseView } from './views.ts';

/** The orders to the fleet, where the request is for it. @throws ConfigError for another scope; GatewayError `feature_not_supported` where there is no fleet */
function fleetAskedFor({ url, operations: { fleet } }: Asked): FleetOperations | undefined {
  const scope = url.searchParams.get('scope') ?? 'gateway';
  if (scope === 'gateway') return undefined;
  if (scope !== 'fleet') throw new ConfigError(`scope: 'gateway' or 'fleet', not '${scope.slice(0, 100)}'`);
  if (fleet) return fleet;
  throw new GatewayError('feature_not_supported', 'this gateway is in no fleet: its config has no fleet');
}

/** The database, and what is known of the instances: 200 where all obey. */
async function answer(
  { overview, name }: Asked,
  { live, missing }: Partial<FleetProof>,
  status = missing?.length === 0 ? 200 : ACCEPTED,
): Promise<Response> {
  const instances = { live, missing: missing ?? [] };
  return Response.json({ ...databaseView(await overview.entry(name)), instances }, { status });
}

/** An order to this gateway, or to the fleet. */
export const toEither =
  (here: Route, everywhere: (fleet: FleetOperations, asked: Asked) => Promise<FleetProof>): Route =>
  async (asked) => {
    const fleet = fleetAskedFor(asked);
    return fleet ? answer(asked, await everywhere(fleet, asked)) : here(asked);
  };

/** A pause of this gateway, or of the fleet: then the answer names the instances that are still waited for. */
export const pauseEither =
  (here: Route): Route =>
  async (asked) => {
    const fleet = fleetAskedFor(asked);
    if (!fleet) return here(asked);
    const { operator, name } = asked;
    let missing: readonly string[] = [];
    const waitingFor = (instances: readonly string[]): void => void (missing = instances);
    const options = { ...heldFor(asked), waitingFor };
    try {
      return await answer(asked, await fleet.pause(operator, name, patience(asked), options));
    } catch (error) {
      if (error instanceof GatewayError) throw error;
      return answer(asked, { missing }, ACCEPTED);
    }
  };

/** How long a pause of the fleet holds, as `?for=` says. @throws ConfigError */
function heldFor({ url }: Asked): { readonly forMs?: number } {
  const text = url.searchParams.get('for');
  if (text === null) return {};
  const forMs = milliseconds(text);
  if (forMs > 0) return { forMs };
  throw new ConfigError('for: more than 0 is needed');
}
