/** Every plugin that is planned, as a skeleton: the contract has to carry them all. */
import { GatewayError, milliseconds, parseRole, parseSchema, parseTenant } from 'postern';
import type { Identity, Plugin, Session, Statement } from 'postern';

/** Gates connections before any credential. */
export function ipFilter(options: { readonly allow: readonly string[] }): Plugin<never, never, 'ip-filter'> {
  return {
    name: 'ip-filter',
    enforces: ['cidrs'],
    onStartup(session) {
      if (!options.allow.includes(session.client.address)) {
        throw new GatewayError('invalid_authorization_specification', 'not from here');
      }
    },
    checks: {
      rules(rules, session) {
        if (rules.cidrs?.includes(session.client.address) === false) {
          throw new GatewayError('invalid_authorization_specification', 'the token is not for this address');
        }
      },
    },
  };
}

/** Counts per time; knows who it is only if somebody found out before. */
export function rateLimit(): Plugin<never, never, 'rate-limit'> {
  const counts = new WeakMap<Session, number>();
  return {
    name: 'rate-limit',
    reads: 'kind',
    enforces: ['rate'],
    onQuery(session, statement) {
      const subject = session.facts.identity?.subject ?? session.client.address;
      counts.set(session, (counts.get(session) ?? 0) + 1);
      if (statement.kind === 'query' && subject === '') {
        throw new GatewayError('configuration_limit_exceeded', 'slower', { hint: 'retry in 1 s' });
      }
    },
  };
}

/** Verifies the token, renews it in band, ends the session with it. */
export function jwt(): Plugin<never, 'identity' | 'rules', 'jwt', 'password' | 'oauthbearer'> {
  const verify = async (token: string): Promise<Identity> => ({
    issuer: token,
    subject: token,
    expiresAt: new Date(),
    claims: {},
  });
  const ends = new WeakMap<object, { move(at: Date): void }>();
  return {
    name: 'jwt',
    credentials: ['password', 'oauthbearer'],
    provides: ['identity', 'rules'],
    setup(gateway) {
      const keys = gateway.keep('keys', () => new Map<string, string>());
      gateway.provide('verifier', { verify });
      gateway.ready(() => (keys.size === 0 ? 'no keys yet' : undefined));
      return () => keys.clear();
    },
    async onAuth(session) {
      const identity = await verify(await session.token());
      session.establish('identity', identity);
      session.establish('rules', {});
      const error = new GatewayError('admin_shutdown', 'the token has expired');
      ends.set(session, session.endAt(identity.expiresAt, error, { noticeMs: milliseconds('1m') }));
    },
    inBand: {
      'postern.token': async (session, value) => {
        const identity = await verify(value);
        if (identity.subject !== session.facts.identity.subject) {
          throw new GatewayError('invalid_password', 'somebody else');
        }
        await session.renew({ identity });
        ends.get(session)?.move(identity.expiresAt);
      },
    },
  };
}

/** Knows machines by their certificates. */
export function certificates(): Plugin<never, 'identity', 'certificates', 'certificate'> {
  return {
    name: 'certificates',
    credentials: ['certificate'],
    provides: ['identity'],
    onAuth(session) {
      const { subject, notAfter } = session.client.tls?.certificate ?? {};
      if (subject === undefined || !notAfter) throw new Error('no certificate');
      session.establish('identity', { issuer: 'certificate:', subject, expiresAt: notAfter, claims: {} });
    },
  };
}

/** Takes whoever comes by its word. */
export function identify(): Plugin<never, 'identity', 'identify'> {
  return {
    name: 'identify',
    provides: ['identity'],
    onAuth(session) {
      const subject = session.startup.user;
      session.establish('identity', { issuer: 'x', subject, expiresAt: new Date(), claims: {} });
    },
  };
}

/** Maps a claim to a role, for those with a token. */
export function tokenRoles(): Plugin<'identity', never, 'tokenRoles', 'password'> {
  return { ...roles(), name: 'tokenRoles', credentials: ['password'] };
}

/** Maps a claim to a role. */
export function roles(): Plugin<'identity', never, 'roles'> {
  return {
    name: 'roles',
    needs: ['identity'],
    onAuth(session, upstream) {
      return { ...upstream, role: parseRole(String(session.facts.identity.claims['role'])) };
    },
    checks: {
      identity(identity, session, renewed) {
        const role = identity.claims['role'];
        if (renewed && role !== session.upstream?.role)
          throw new GatewayError('insufficient_privilege', 'another role');
      },
    },
  };
}

/** Pins the tenant's schema. */
export function tenant(): Plugin<'identity', 'tenant', 'tenant'> {
  return {
    name: 'tenant',
    needs: ['identity'],
    provides: ['tenant'],
    onAuth(session, upstream) {
      const name = parseTenant(String(session.facts.identity.claims['tenant']));
      session.establish('tenant', name);
      return { ...upstream, schemas: [parseSchema(`tenant_${name}`)] };
    },
  };
}

/** Hands claims to row-level security, signed for the backend that has them. */
export function claims(): Plugin<'identity' | 'tenant', never, 'claims'> {
  return {
    name: 'claims',
    needs: ['identity', 'tenant'],
    onAuth(session, upstream) {
      const { identity, tenant: name } = session.facts;
      const settings = { 'postern.subject': identity.subject, 'postern.tenant': name };
      return {
        ...upstream,
        onCheckout: [
          ...upstream.onCheckout,
          ({ pid }) => ({ ...settings, 'postern.signature': String(pid) }),
        ],
      };
    },
  };
}

/** How many at once and for how long. */
export function limits(): Plugin<'identity', never, 'limits'> {
  const open = new Map<string, number>();
  return {
    name: 'limits',
    needs: ['identity'],
    enforces: ['maxConnections', 'maxSession', 'windows'],
    onAuth(session) {
      const { subject } = session.facts.identity;
      const now = open.get(subject) ?? 0;
      if (now >= (session.facts.rules?.maxConnections ?? Infinity)) {
        throw new GatewayError('too_many_connections', 'too many sessions');
      }
      open.set(subject, now + 1);
      session.defer(() => void open.set(subject, (open.get(subject) ?? 1) - 1));
      session.endAt(
        new Date(Date.now() + 3_600_000),
        new GatewayError('idle_session_timeout', 'long enough'),
      );
    },
  };
}

/** Watches, and can do nothing else. */
export function tracing(): Plugin<never, never, 'tracing'> {
  return {
    name: 'tracing',
    on: {
      login: ({ durationMs, error }) => void [durationMs, error?.sqlstate],
      statement: ({ sql, rows, kind }) => void [sql, rows, kind],
      close: ({ reason }) => void (reason.kind === 'refused' && reason.error.code),
      refused: ({ client, why }) => void [client.address, why],
    },
  };
}

/** Writes down what was asked, parameters included, before it runs. */
export function audit(): Plugin<'identity', never, 'audit'> {
  const write = async (...what: readonly unknown[]): Promise<void> => void what;
  const describe = (statement: Statement): string => {
    switch (statement.kind) {
      case 'query':
      case 'parse':
      case 'execute':
        return statement.sql;
      case 'bind':
        return `${statement.sql} with ${statement.parameters.length}`;
      case 'function-call':
        return `function ${statement.function}`;
    }
  };
  return {
    name: 'audit',
    needs: ['identity'],
    reads: 'parameters',
    async onQuery(session, statement) {
      await write(session.facts.identity.subject, describe(statement));
    },
    async onClose(session, reason) {
      await write(session.id, reason.kind);
    },
  };
}
