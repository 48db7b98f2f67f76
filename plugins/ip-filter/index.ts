/** Who may come at all, by address: networks, countries, network operators, and the networks that a token names. */
import { GatewayError, Networks, parseNetwork, shown } from '../../core/index.ts';
import type { Disposer, GatewayHandle, Plugin, Session } from '../../core/index.ts';
import { openGates } from './geo-gate.ts';
import type { GeoGate } from './geo-gate.ts';
import type { IpFilterOptions } from './options.ts';
import { parsePolicy } from './policy.ts';
import type { Policy } from './policy.ts';

export type { AsnOptions, CountryOptions, IpFilterOptions, Unknown } from './options.ts';

/** One text for all reasons: who is refused learns nothing about the rules. The operator's log has the reason. */
function refuse(message: string, reason: string): never {
  throw new GatewayError('invalid_authorization_specification', message, { cause: new Error(reason) });
}

function refuseAddress(session: Session, { allow, deny }: Policy, geo: readonly GeoGate[]): void {
  const { address } = session.client;
  const message = 'connections from this address are not accepted';
  if (deny.has(address)) refuse(message, 'ipFilter.deny has the address');
  if (allow && !allow.has(address)) refuse(message, 'ipFilter.allow does not have the address');
  for (const gate of geo) {
    const reason = gate.refusal(address);
    if (reason !== undefined) refuse(message, reason);
  }
}

/** The networks of a token. A list without any is for nobody, since it may have meant to forbid. */
function refuseToken(cidrs: readonly string[], { client }: Session): void {
  const message = 'the token may not be used from this address';
  let networks: Networks;
  try {
    networks = new Networks(cidrs.map(parseNetwork));
  } catch (error) {
    return refuse(message, `the token's rule cidrs: ${error instanceof Error ? error.message : 'wrong'}`);
  }
  if (networks.has(client.address)) return;
  refuse(message, `the token's rule cidrs is ${shown(cidrs)}, and does not have ${client.address}`);
}

/**
 * Lets clients in by network, country or network operator, before they are asked for a credential. Enforces the token rule `cidrs`.
 *
 * @place 4 above the plugins that provide `identity`
 * @throws ConfigError that names the option, such as `ipFilter.allow[3]`
 * @example ipFilter({ allow: ['10.0.0.0/8'], deny: ['10.6.6.0/24'] })
 */
export function ipFilter(options: IpFilterOptions = {}): Plugin<never, never, 'ip-filter'> {
  const policy = parsePolicy(options);
  let geo: readonly GeoGate[] = [];
  return {
    name: 'ip-filter',
    options,
    enforces: ['cidrs'],
    checks: {
      rules({ cidrs }, session) {
        if (cidrs) refuseToken(cidrs, session);
      },
    },
    async setup(gateway: GatewayHandle): Promise<Disposer> {
      const { gates, close } = await openGates(policy.geo, gateway);
      geo = gates;
      return close;
    },
    onStartup(session) {
      refuseAddress(session, policy, geo);
    },
  };
}
