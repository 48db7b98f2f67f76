/** How many at once, for how long, and when: limits of the config, narrowed by the rules that a token carries. */
import { GatewayError, shown } from '../../core/index.ts';
import type { GatewayHandle, Identity, Plugin, Session, TokenRules, Upstream } from '../../core/index.ts';
import { Connections } from './connections.ts';
import type { Place } from './connections.ts';
import { endIdle } from './idle.ts';
import { limitsOf } from './options.ts';
import type { Limits, LimitsOptions } from './options.ts';
import { SessionEnd } from './session-end.ts';

export type { LimitsOptions, MaxConnectionsOptions, TimeoutsOptions } from './options.ts';

type Limited = Session<'identity'>;

/** What a session is counted by; a token's own limit is for its subject. */
function placesOf(limits: Limits, { facts }: Limited, upstream: Upstream): readonly Place[] {
  const { identity, tenant, rules } = facts;
  const { subject = Infinity, ...max } = limits.maxConnections;
  type Kind = keyof Limits['maxConnections'];
  const place = (kind: Kind, name: string | undefined, whose: string, limit = Infinity): Place[] =>
    name === undefined
      ? []
      : [{ key: `${kind} ${name}`, limit, whose, by: `limits.maxConnections.${kind} for ${shown(name)}` }];
  const { maxConnections: own = Infinity } = rules ?? {};
  const rule = own < subject && { by: `the token's rule max_connections for ${shown(identity.subject)}` };
  return [
    // Counted without a limit as well: the next token of the same subject may bring one, or the next config.
    ...place('subject', subjectOf(identity), 'this subject', Math.min(subject, own)).map((one) => ({
      ...one,
      ...rule,
    })),
    ...place('tenant', tenant, `tenant "${tenant}"`, max.tenant),
    ...place('role', upstream.role, `role "${upstream.role}"`, max.role),
    ...place('database', upstream.entry, `database "${upstream.entry}"`, max.database),
  ];
}

/** Two issuers may know different people by one name. */
function subjectOf({ issuer, subject }: Identity): string {
  return JSON.stringify([issuer, subject]);
}

/** By the entry that serves the session: where a plugin chooses that, a client may write any name. */
function refuseDatabase(entry: string, { databases }: TokenRules): void {
  if (databases === undefined || databases.includes(entry)) return;
  throw new GatewayError('insufficient_privilege', `permission denied for database "${entry}"`, {
    detail: 'The token is not good for this database.',
    cause: new Error(`the token's rule databases is ${shown(databases)}`),
  });
}

/**
 * Keeps limits on sessions, and enforces the token rules `databases`, `max_connections`, `windows` and
 * `max_session_duration`. Stands below the plugins that state the tenant and map the role.
 * @throws ConfigError that names the option, such as `limits.maxConnections.subject`
 * @example limits({ maxConnections: { subject: 20 }, idle: '30m', timeouts: { statement: '1m' } })
 */
export function limits(options: LimitsOptions = {}): Plugin<'identity', never, 'limits'> {
  const checked = limitsOf(options);
  const sessions = new Set<Session>();
  const ends = new WeakMap<Session, SessionEnd>();
  let connections = new Connections();
  return {
    name: 'limits',
    needs: ['identity'],
    enforces: ['databases', 'maxConnections', 'windows', 'maxSession'],
    setup(gateway: GatewayHandle) {
      connections = gateway.keep('connections', () => new Connections());
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
      const taken = connections.take(placesOf(checked, session, upstream));
      if ('full' in taken) {
        const { whose, limit, by } = taken.full;
        throw new GatewayError('too_many_connections', `too many connections for ${whose}`, {
          detail: `There may be ${limit} at once.`,
          cause: new Error(`${limit} are open, ${limit} allowed (${by})`),
        });
      }
      session.defer(taken.giveBack);
      sessions.add(session);
      session.defer(() => void sessions.delete(session));
      ends.set(session, end);
      end.begin();
      return {
        ...upstream,
        settings: { ...upstream.settings, ...checked.settings },
        ...(rules?.databases && { decidedFor: [...decidedFor, entry] }),
      };
    },
    on: {
      renewal({ session, error }) {
        if (!error) ends.get(session)?.begin();
      },
    },
  };
}
