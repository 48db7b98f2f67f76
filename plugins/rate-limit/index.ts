/** How many per time: connections, failed logins, statements and bytes, in one gateway or in several together. */
import type {
  Disposer,
  FactChecks,
  GatewayHandle,
  Observers,
  Plugin,
  ProbeContext,
} from '../../core/index.ts';
import { Buckets } from './bucket.ts';
import { countersOf, openCounters } from './counters.ts';
import type { Counters } from './counters.ts';
import { Logins, checkRates } from './logins.ts';
import type { RateLimitOptions } from './options.ts';
import { parsePolicy } from './policy.ts';
import type { Policy } from './policy.ts';
import { probeStore } from './probe.ts';
import { Statements } from './statements.ts';

export type {
  ByteLimit,
  ByteRate,
  Bytes,
  ConnectionLimit,
  FailedLoginLimit,
  Per,
  RateLimitOptions,
  RedisOptions,
  StatementLimit,
} from './options.ts';

function checksOf(logins: Logins, { tokenRates }: Policy): FactChecks {
  return {
    identity: (_, session, renewed) => (renewed ? undefined : logins.admit(['subject'], session)),
    tenant: (_, session, renewed) => (renewed ? undefined : logins.admit(['tenant'], session)),
    ...(tokenRates && {
      async rules({ rate }, session, renewed) {
        if (!rate) return;
        checkRates(rate);
        if (!renewed) await logins.admitToken(rate, session);
      },
    }),
  };
}

function observersOf(logins: Logins, statements: Statements, { limits }: Policy): Observers {
  return {
    ...(limits.failedLogins.length > 0 && { login: (event) => logins.ended(event) }),
    // Whoever observes statements has each of them followed to its end.
    ...(limits.bytes.length > 0 && { statement: (event) => statements.after(event) }),
    renewal: (event) => {
      if (event.sqlstate === undefined) statements.renewed(event.session);
      else logins.renewed(event);
    },
  };
}

/** Hooks that cost something stand in the plugin only where a limit needs them. */
function hooksOf(
  logins: Logins,
  statements: Statements,
  { limits, tokenRates }: Policy,
): Pick<Plugin, 'onAuth' | 'onQuery'> {
  const looks = tokenRates || limits.statements.length + limits.bytes.length > 0;
  const late = limits.connections.some(({ per }) => per === 'role' || per === 'database');
  return {
    ...(late && { onAuth: (session, upstream) => logins.admit(['role', 'database'], session, upstream) }),
    ...(looks && {
      onQuery: (session, statement) => statements.before(session, statement),
    }),
  };
}

/**
 * Limits connections, failed logins, statements and bytes per time, in one gateway or in several together. Enforces the token rule `rate`.
 *
 * @place 3 above the plugins that provide `identity`; with `connections` per role below the plugin that maps roles
 * @throws ConfigError that names the option, such as `rateLimit.statements[1].limit`
 * @example rateLimit({ connections: { per: 'address', limit: '20/s' }, statements: { per: 'subject', limit: '500/s' } })
 */
export function rateLimit(options: RateLimitOptions = {}): Plugin<never, never, 'rate-limit'> {
  const policy = parsePolicy(options);
  let counters: Counters = countersOf(policy, () => ({
    buckets: new Buckets(policy.maxKeys),
    failOpen: true,
  }));
  const logins = new Logins(() => counters);
  const statements = new Statements(() => counters, policy.tokenRates);
  const { store } = policy;
  return {
    name: 'rate-limit',
    options,
    enforces: policy.tokenRates ? ['rate'] : [],
    reads: 'kind',
    checks: checksOf(logins, policy),
    on: observersOf(logins, statements, policy),
    ...(store && { probe: (context: ProbeContext) => probeStore(store, context) }),
    async setup(gateway: GatewayHandle): Promise<Disposer> {
      const opened = await openCounters(policy, gateway);
      counters = opened.counters;
      return opened.close;
    },
    onStartup: (session) => logins.admit(['address'], session),
    ...hooksOf(logins, statements, policy),
  };
}
