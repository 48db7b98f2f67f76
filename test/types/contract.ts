/** What the compiler accepts and what it refuses. This file has to compile; it is never run. */
import { defineConfig, env, file, GatewayError, only, parseRole, parseTenant } from 'postern';
import type { Facts, Identity, Ordered, Plugin, RoleName, TenantName, Upstream } from 'postern';
import {
  audit,
  certificates,
  claims,
  identify,
  ipFilter,
  jwt,
  limits,
  rateLimit,
  roles,
  tenant,
  tokenRoles,
  tracing,
} from './skeletons.ts';

type Equals<A, B> = [A, B] extends [B, A] ? true : false;
function holds<T extends true>(...cases: readonly T[]): readonly T[] {
  return cases;
}

const databases = { demo: { host: '::1', login: { kind: 'trust' } } } as const;
const production = Boolean(process.env['PRODUCTION']);

/** The whole set in order compiles, conditions and scopes included. */
export const whole = defineConfig({
  listen: [{ name: 'public', port: 6432 }, { name: 'private' }],
  databases: {
    orders: {
      host: 'orders-db',
      login: { kind: 'password', passwords: { reader: env('READER'), writer: file('writer') } },
      pool: { size: 20 },
    },
    '*': { host: '/run/postgresql', login: { kind: 'trust' } },
  },
  plugins: [
    ipFilter({ allow: [] }),
    rateLimit(),
    jwt(),
    roles(),
    tenant(),
    claims(),
    limits(),
    ...only({ listeners: ['public'] }, tracing()),
    production && audit(),
    null,
    undefined,
  ],
  workers: 1,
  loginTimeout: '10s',
  drainTimeout: '1.5m',
});

/** A function may stand for the databases and for the passwords. */
export const functions = defineConfig({
  databases: async (name) => ({
    host: name,
    login: { kind: 'password', passwords: (role, database) => `${role}${database}` },
  }),
  plugins: [],
});

/** A need that is met further down does not compile. */
export const late = defineConfig({
  databases,
  // @ts-expect-error 'roles' needs 'identity': list a plugin that provides it above
  plugins: [roles(), jwt()],
});

/** A need that is never met does not compile. */
export const never = defineConfig({
  databases,
  // @ts-expect-error 'claims' needs 'tenant': list a plugin that provides it above
  plugins: [jwt(), claims()],
});

/** A fact has one provider. */
export const twice = defineConfig({
  databases,
  // @ts-expect-error 'jwt' provides 'identity' | 'rules', which a plugin above provides already
  plugins: [jwt(), jwt()],
});

/** A plugin under a condition must fit in as well. */
export const conditional = defineConfig({
  databases,
  // @ts-expect-error 'audit' needs 'identity': list a plugin that provides it above
  plugins: [production && audit(), jwt()],
});

/** What a spread hides is left to the boot check. */
export const spread = defineConfig({
  databases,
  plugins: [...only({ databases: ['demo'] }, jwt()), roles()],
});

/** A factory that was not called is no plugin. */
export const uncalled = defineConfig({
  databases,
  // @ts-expect-error this is a function: did you forget to call it?
  plugins: [jwt],
});

/** Durations have units. */
export const bare = defineConfig({
  databases,
  plugins: [],
  // @ts-expect-error a bare number is no duration
  loginTimeout: 10,
});

/** A misspelt option does not compile. */
export const misspelt = defineConfig({
  // @ts-expect-error there is no `plaintex`
  listen: { plaintex: 'never' },
  databases,
  plugins: [],
});

/** A fact may have one provider per credential: with others in between, who needs it finds it. */
export const byCredential = defineConfig({
  listen: { auth: { default: 'password', certificate: { users: ['billing'] } } },
  databases,
  plugins: [jwt(), certificates(), roles()],
});

/** A provider for other credentials is none. */
export const otherCredential = defineConfig({
  databases,
  // @ts-expect-error 'tokenRoles' needs 'identity': list a plugin that provides it above
  plugins: [certificates(), tokenRoles()],
});

/** Two providers for one credential do not compile, whatever else they are for. */
export const sameCredential = defineConfig({
  databases,
  // @ts-expect-error 'identify' provides 'identity', which a plugin above provides already
  plugins: [certificates(), identify()],
});

/** A fact is there for sure only for those who declared that they need it. */
export const undeclared: Plugin = {
  name: 'x',
  onAuth(session) {
    holds(Equals<typeof session.facts.identity, Identity | undefined>());
    // @ts-expect-error may be absent: this plugin does not need it
    void session.facts.identity.subject;
    // @ts-expect-error this plugin provides nothing
    session.establish('tenant', parseTenant('a'));
  },
};

/** What was declared is there, and nothing else. */
export const declared: Plugin<'identity', 'tenant'> = {
  name: 'x',
  needs: ['identity'],
  provides: ['tenant'],
  onAuth(session) {
    holds(Equals<typeof session.facts.identity, Identity>());
    holds(Equals<typeof session.facts.tenant, TenantName | undefined>());
    session.establish('tenant', parseTenant('a'));
    // @ts-expect-error a tenant's name is made by its parser
    session.establish('tenant', 'a');
    // @ts-expect-error the fact of another plugin
    session.establish('identity', session.facts.identity);
  },
  onStartup(session) {
    // @ts-expect-error before onAuth nothing is known
    void session.facts.identity.subject;
    // @ts-expect-error nor can the token be asked for
    void session.token();
  },
  onQuery(session, statement) {
    holds(Equals<typeof session.facts.tenant, TenantName>());
    // @ts-expect-error a function call has no text
    void statement.sql;
    if (statement.kind === 'query') return statement.withSql('select 1');
    return undefined;
  },
};

/** A hook gives back the right thing or nothing; null is neither. */
export const nothing: Plugin = {
  name: 'x',
  // @ts-expect-error null would replace the upstream
  onAuth: () => null,
  // @ts-expect-error null would replace the statement
  onQuery: async () => null,
};

/** A role enters an upstream only through its parser. */
export function mapped(upstream: Upstream): Upstream {
  // @ts-expect-error text is no role
  const wrong: Upstream = { ...upstream, role: 'reader' };
  return { ...wrong, role: parseRole('reader') };
}

/** Names of different kinds do not mix. */
export function mixed(role: RoleName): TenantName {
  // @ts-expect-error a role is no tenant
  return role;
}

/** Refusals have PostgreSQL's condition names. */
export function refusal(): GatewayError {
  // @ts-expect-error not in the manual, Appendix A
  void new GatewayError('no_such_condition', 'x');
  return new GatewayError('insufficient_privilege', 'x', { hint: 'y' });
}

/** Only the name space of the gateway is answered in band. */
export const foreign: Plugin = {
  name: 'x',
  // @ts-expect-error not postern.…
  inBand: { 'myapp.token': () => {} },
};

/** A list in order is itself, so that the compiler shows the plugins and not our arithmetic. */
export const inOrder: readonly true[] = holds(
  Equals<Ordered<readonly [Plugin<never, 'identity', 'a'>]>, readonly [Plugin<never, 'identity', 'a'>]>(),
  Equals<keyof Facts, 'identity' | 'rules' | 'tenant' | 'quota'>(),
);

declare module 'postern' {
  interface Facts {
    /** A third party's fact. */
    quota: number;
  }
}

/** A fact of a third party is as good as one of the gateway. */
export const quota: Plugin<'identity', 'quota'> = {
  name: 'quota',
  needs: ['identity'],
  provides: ['quota'],
  onAuth(session) {
    session.establish('quota', 3);
  },
  checks: { quota: (value) => void value.toFixed() },
};

function Equals<A, B>(): Equals<A, B> {
  return true as Equals<A, B>;
}
