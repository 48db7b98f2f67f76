/** How many at once, for how long, and when: limits of the config, narrowed by the rules that a token carries. */
import { GatewayError, shown } from '../../core/index.ts';
import type { GatewayHandle, Places, Plugin, Session, TokenRules, Upstream } from '../../core/index.ts';
import { endIdle } from './idle.ts';
import { limitsOf } from './options.ts';
import type { LimitsOptions } from './options.ts';
import { placesOf, takePlaces } from './places.ts';
import { SessionEnd } from './session-end.ts';

export type { LimitsOptions, MaxConnectionsOptions, TimeoutsOptions } from './options.ts';

/** By the entry that serves the session: where a plugin chooses that, a client may write any name. */
function refuseDatabase(entry: string, { databases }: TokenRules): void {
  if (databases === undefined || databases.includes(entry)) return;
  throw new GatewayError('insufficient_privilege', `permission denied for database "${entry}"`, {
    detail: 'The token is not good for this database.',
    cause: new Error(`the token's rule databases is ${shown(databases)}`),
  });
}

/**
 * Limits how many sessions there are at once, for how long, and when. Enforces the token rules `databases`, `max_connections`, `windows` and
 * `max_session_duration`.
 *
 * @place 10 below the plugins that state the tenant and map the role
 * @throws ConfigError that names the option, such as `limits.maxConnections.subject`
 * @example limits({ maxConnections: { subject: 20 }, idle: '30m', timeouts: { statement: '1m' } })
 */
export function limits(options: LimitsOptions = {}): Plugin<'identity', never, 'limits'> {
  const checked = limitsOf(options);
  const sessions = new Set<Session>();
  const ends = new WeakMap<Session, SessionEnd>();
  let places: Places | undefined;
  return {
    name: 'limits',
    options,
    needs: ['identity'],
    enforces: ['databases', 'maxConnections', 'windows', 'maxSession'],
    setup(gateway: GatewayHandle) {
      places = gateway.places;
      return endIdle(sessions, checked);
    },
    checks: {
      rules(rules, session, renewed) {
        if (renewed && session.upstream) refuseDatabase(session.upstream.entry, rules);
        SessionEnd.refuseLate(checked, rules, ends.get(session));
      },
      tenant(_, session, renewed) {
        // Its place has been taken without: the limit would be one that nobody keeps.
        if (renewed || checked.maxConnections.tenant === undefined || !ends.has(session)) return;
        throw new Error('limits: list it below the plugin that states the tenant');
      },
    },
    onAuth(session, upstream) {
      if (upstream.role === undefined && checked.maxConnections.role !== undefined) {
        throw new Error('limits: list it below the plugin that maps roles');
      }
      const { rules } = session.facts;
      const { entry, decidedFor = [] } = upstream;
      if (rules) refuseDatabase(entry, rules);
      const end = new SessionEnd(checked, session);
      if (!places) throw new Error('limits: the gateway has not set it up');
      const admitted = (giveBack: () => void): Upstream => {
        // A client that has left meanwhile: this runs at once.
        session.defer(giveBack);
        sessions.add(session);
        session.defer(() => void sessions.delete(session));
        ends.set(session, end);
        end.begin();
        return {
          ...upstream,
          settings: { ...upstream.settings, ...checked.settings },
          ...(rules?.databases && { decidedFor: [...decidedFor, entry] }),
        };
      };
      const taken = takePlaces(places, placesOf(checked, session, upstream));
      return taken instanceof Promise ? taken.then(admitted) : admitted(taken);
    },
    on: {
      renewal({ session, error }) {
        if (!error) ends.get(session)?.begin();
      },
    },
  };
}
