/** The hooks as sessions meet them: order, errors, facts, rules, synchrony. */
import { describe, expect, test, vi } from 'vitest';
import type { Credential } from '../../core/contract/credential.ts';
import { GatewayError } from '../../core/contract/errors.ts';
import { SessionFacts } from '../../core/hooks/session-facts.ts';
import type { Facts, Identity } from '../../core/contract/facts.ts';
import { compileHooks, HookSets } from '../../core/hooks.ts';
import { parseDatabase, parseRole, parseTenant } from '../../core/contract/names.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import type { LoginSession, Upstream } from '../../core/contract/session.ts';
import type { Statement } from '../../core/contract/statement.ts';

type Login = LoginSession<keyof Facts, keyof Facts>;

const identity: Identity = { issuer: 'i', subject: 's', expiresAt: new Date(0), claims: {} };
const upstream: Upstream = {
  entry: 'x',
  database: parseDatabase('x'),
  settings: {},
  schemas: [],
  onCheckout: [],
};

/** As much of a session as hooks.ts and these plugins touch: the facts. */
function login(): { readonly session: Login; readonly facts: SessionFacts } {
  const facts = new SessionFacts();
  const session = {
    establish: facts.establish.bind(facts),
    get facts() {
      return facts.known;
    },
  };
  return { session: session as unknown as Login, facts };
}

const query: Statement = {
  kind: 'query',
  id: 1,
  sql: 'select 1',
  withSql: (sql) => ({ ...query, sql }) as Statement,
};

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Runs every onAuth of a list for a new login. */
async function auth(...plugins: readonly AnyPlugin[]): Promise<{ upstream: Upstream; facts: SessionFacts }> {
  const { session, facts } = login();
  return { upstream: await compileHooks(plugins).auth(session, facts, upstream), facts };
}

const jwt: AnyPlugin = {
  name: 'jwt',
  provides: ['identity'],
  onAuth: (session) => session.establish('identity', identity),
};

describe('onStartup', () => {
  test('the hooks run in the order of the list, each after the one before has settled', async () => {
    const order: string[] = [];
    const plugin = (name: string): AnyPlugin => ({
      name,
      async onStartup() {
        order.push(`${name} begins`);
        await tick();
        order.push(`${name} ends`);
      },
    });
    const { session, facts } = login();
    await compileHooks([plugin('a'), plugin('b')]).startup(session, facts);
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
  });

  test.each([
    [
      'throws',
      () => {
        throw new GatewayError('insufficient_privilege', 'no');
      },
    ],
    [
      'rejects',
      async () => {
        await tick();
        throw new GatewayError('insufficient_privilege', 'no');
      },
    ],
  ])('a plugin that %s keeps the later ones from running', async (_, onStartup) => {
    const later = vi.fn<() => void>();
    const { session, facts } = login();
    const hooks = compileHooks([
      { name: 'a', onStartup },
      { name: 'b', onStartup: later },
    ]);
    await expect(hooks.startup(session, facts)).rejects.toMatchObject({ code: 'insufficient_privilege' });
    expect(later).not.toHaveBeenCalled();
  });

  test.each([undefined, null, 0, '', false])(
    'a plugin that throws %j refuses all the same',
    async (nothing) => {
      const { session, facts } = login();
      const sync = compileHooks([
        {
          name: 'a',
          onStartup() {
            throw nothing;
          },
        },
      ]);
      await expect(sync.startup(session, facts)).rejects.toThrow('thrown');
      const later = compileHooks([{ name: 'a', onStartup: () => Promise.reject(nothing) }]);
      await expect(later.startup(session, facts)).rejects.toThrow('thrown');
    },
  );

  test('what it establishes is checked there', async () => {
    const check = vi.fn<() => void>(() => {
      throw new GatewayError('invalid_password', 'no');
    });
    const { session, facts } = login();
    const hooks = compileHooks([
      { ...jwt, onStartup: (early) => early.establish('identity', identity) },
      { name: 'guard', checks: { identity: check } },
    ]);
    await expect(hooks.startup(session, facts)).rejects.toMatchObject({ code: 'invalid_password' });
    expect(check).toHaveBeenCalledWith(identity, session, false);
  });
});

describe('onAuth', () => {
  test('each plugin sees what the one before returned, and nothing keeps the value', async () => {
    const role = parseRole('reader');
    const map: AnyPlugin = { name: 'roles', onAuth: async (_, before) => ({ ...before, role }) };
    const pin: AnyPlugin = {
      name: 'pin',
      onAuth: (_, before) => ({ ...before, settings: { of: before.role ?? '' } }),
    };
    const { upstream: result } = await auth(map, { name: 'nothing', onAuth() {} }, pin);
    expect(result).toEqual({ ...upstream, role, settings: { of: 'reader' } });
  });

  test('without any onAuth the upstream comes back as it was', async () => {
    expect((await auth({ name: 'a' })).upstream).toBe(upstream);
  });

  test.each([null, true, 'reader', 0])('a plugin that returns %j is refused', async (value) => {
    await expect(auth({ name: 'odd', onAuth: () => value as never })).rejects.toThrow(
      `plugin 'odd': onAuth returned ${value} instead of an object or nothing`,
    );
  });

  test('an error that is not ours comes out as it is', async () => {
    const error = new TypeError('x');
    await expect(
      auth({
        name: 'a',
        onAuth() {
          throw error;
        },
      }),
    ).rejects.toBe(error);
  });

  test('every check for a fact runs before the next onAuth, wherever its plugin stands', async () => {
    const order: string[] = [];
    const guard = (name: string): AnyPlugin => ({
      name,
      checks: {
        async identity(value, _, renewed) {
          await tick();
          order.push(`${name} ${value.subject} ${renewed}`);
        },
      },
    });
    const next: AnyPlugin = { name: 'next', onAuth: () => void order.push('next') };
    await auth(guard('first'), jwt, next, guard('last'));
    expect(order).toEqual(['first s false', 'last s false', 'next']);
  });

  test('a check refuses the login before the next onAuth', async () => {
    const next = vi.fn<() => void>();
    const guard: AnyPlugin = {
      name: 'guard',
      checks: { identity: () => Promise.reject(new GatewayError('invalid_password', 'revoked')) },
    };
    await expect(auth(jwt, { name: 'next', onAuth: next }, guard)).rejects.toMatchObject({
      code: 'invalid_password',
    });
    expect(next).not.toHaveBeenCalled();
  });

  test('a promised fact that stays absent refuses the login before the next onAuth', async () => {
    const next = vi.fn<() => void>();
    const attempt = auth(
      { name: 'jwt', provides: ['identity'], onAuth() {} },
      { name: 'next', onAuth: next },
    );
    await expect(attempt).rejects.toMatchObject({
      code: 'internal_error',
      cause: new Error("plugin 'jwt' provides 'identity' and did not establish it"),
    });
    expect(next).not.toHaveBeenCalled();
  });

  test('a fact that its plugin does not provide refuses the login', async () => {
    const thief: AnyPlugin = {
      name: 'thief',
      onAuth: (session) => session.establish('tenant', parseTenant('a')),
    };
    await expect(auth(thief)).rejects.toMatchObject({
      code: 'internal_error',
      cause: new Error("plugin 'thief' established 'tenant', which it does not provide"),
    });
  });

  test('a fact is established once', async () => {
    const twice: AnyPlugin = {
      ...jwt,
      onAuth(session) {
        session.establish('identity', identity);
        session.establish('identity', identity);
      },
    };
    await expect(auth(twice)).rejects.toThrow("the fact 'identity' is established already");
  });

  test('after the login no fact can be established any more', async () => {
    const { facts } = await auth(jwt);
    expect(() => facts.establish('tenant', parseTenant('a'))).toThrow('too late');
    expect(facts.known).toEqual({ identity });
  });
});

describe('rules of tokens', () => {
  const withRules = (rules: object): AnyPlugin => ({
    name: 'jwt',
    provides: ['rules'],
    onAuth: (session) => session.establish('rules', rules),
  });

  test('a rule that nobody enforces refuses the login, and the log learns which', async () => {
    await expect(
      auth(withRules({ cidrs: [], maxConnections: 1 }), { name: 'a', enforces: ['cidrs'] }),
    ).rejects.toMatchObject({
      code: 'invalid_authorization_specification',
      cause: new Error("no plugin in this scope enforces the token rule 'maxConnections'"),
    });
  });

  test('a rule that is undefined is none, and one that is enforced passes', async () => {
    const rules = { cidrs: ['10.0.0.0/8'], maxConnections: undefined };
    expect((await auth(withRules(rules), { name: 'a', enforces: ['cidrs'] })).facts.known.rules).toBe(rules);
  });

  test('a renewal cannot bring a rule that nobody enforces', async () => {
    const { session } = login();
    const renewal = compileHooks([withRules({})]).renew(session, { rules: { maxSession: '1h' } });
    await expect(renewal).rejects.toMatchObject({ code: 'invalid_authorization_specification' });
  });
});

describe('renew', () => {
  test('the checks run in the order of the list with renewed true, and the first error ends it', async () => {
    const { session } = login();
    const calls: unknown[] = [];
    const guard = (name: string, error?: Error): AnyPlugin => ({
      name,
      checks: {
        async identity(_, of, renewed) {
          await tick();
          calls.push([name, of === session, renewed]);
          if (error) throw error;
        },
        tenant: () => void calls.push([name, 'tenant']),
      },
    });
    const error = new GatewayError('insufficient_privilege', 'wider');
    const hooks = compileHooks([guard('a'), guard('b', error), guard('c')]);
    await expect(hooks.renew(session, { identity })).rejects.toBe(error);
    expect(calls).toEqual([
      ['a', true, true],
      ['b', true, true],
    ]);
  });
});

describe('onQuery', () => {
  const rewrite = (suffix: string): AnyPlugin => ({
    name: `rewrite ${suffix}`,
    onQuery: (_, statement) =>
      'withSql' in statement ? statement.withSql(statement.sql + suffix) : undefined,
  });
  const { session } = login();

  test('without onQuery there is nothing to call, and nothing is read', () => {
    const hooks = compileHooks([jwt]);
    expect(hooks.query).toBeUndefined();
    expect(hooks.reads).toBe('none');
  });

  test('plugins that answer synchronously are answered synchronously', () => {
    const hooks = compileHooks([rewrite(' a'), { name: 'watch', onQuery() {} }, rewrite(' b')]);
    expect(hooks.query?.(session, query)).toMatchObject({ sql: 'select 1 a b', id: 1 });
  });

  test('a refusal is thrown synchronously, and later plugins are not asked', () => {
    const error = new GatewayError('insufficient_privilege', 'no');
    const later = vi.fn<() => void>();
    const hooks = compileHooks([
      {
        name: 'a',
        onQuery() {
          throw error;
        },
      },
      { name: 'b', onQuery: later },
    ]);
    expect(() => hooks.query?.(session, query)).toThrow(error);
    expect(later).not.toHaveBeenCalled();
  });

  test('throwing undefined refuses as well', () => {
    const hooks = compileHooks([
      {
        name: 'a',
        onQuery() {
          throw undefined;
        },
      },
    ]);
    expect(() => hooks.query?.(session, query)).toThrow('thrown: undefined');
  });

  test('one promise makes the answer a promise, in order', async () => {
    const slow: AnyPlugin = {
      name: 'slow',
      onQuery: async (_, statement) => {
        await tick();
        return statement;
      },
    };
    const result = compileHooks([rewrite(' a'), slow, rewrite(' b')]).query?.(session, query);
    expect(result).toBeInstanceOf(Promise);
    expect(await result).toMatchObject({ sql: 'select 1 a b' });
  });

  test('a rejection comes out as it is', async () => {
    const error = new Error('x');
    const hooks = compileHooks([{ name: 'a', onQuery: () => Promise.reject(error) }]);
    await expect(hooks.query?.(session, query)).rejects.toBe(error);
  });

  test('null would replace the statement, and is refused', async () => {
    const sync = compileHooks([{ name: 'a', onQuery: () => null as never }]);
    expect(() => sync.query?.(session, query)).toThrow("plugin 'a': onQuery returned null");
    const later = compileHooks([{ name: 'a', onQuery: async () => null as never }]);
    await expect(later.query?.(session, query)).rejects.toThrow("plugin 'a': onQuery returned null");
  });

  test('a bind is told only to those who read parameters', () => {
    const told: string[] = [];
    const plugin = (reads: 'kind' | 'sql' | 'parameters'): AnyPlugin => ({
      name: reads,
      reads,
      onQuery: () => void told.push(reads),
    });
    const bind: Statement = { kind: 'bind', id: 1, sql: '', name: '', portal: '', parameters: [] };
    void compileHooks([plugin('kind'), plugin('sql'), plugin('parameters')]).query?.(session, bind);
    expect(told).toEqual(['parameters']);
  });

  test.each([
    [[undefined], 'sql'],
    [['kind'], 'kind'],
    [['kind', 'parameters', 'sql'], 'parameters'],
  ] as const)('of %j the widest is read', (reads, widest) => {
    const plugins = reads.map((one, place) => ({
      name: `${place}`,
      ...(one && { reads: one }),
      onQuery() {},
    }));
    expect(compileHooks([...plugins, { name: 'none', reads: 'parameters' }]).reads).toBe(widest);
  });
});

describe('onClose', () => {
  test('every plugin runs once, whatever the others do, and all are waited for', async () => {
    const ran: string[] = [];
    const failures: unknown[] = [];
    const plugin = (name: string, act: () => void | Promise<void>): AnyPlugin => ({
      name,
      onClose() {
        ran.push(name);
        return act();
      },
    });
    const thrown = new Error('thrown');
    const hooks = compileHooks([
      plugin('throws', () => {
        throw thrown;
      }),
      plugin('rejects', () => Promise.reject(thrown)),
      plugin('slow', async () => {
        await tick();
        ran.push('slow ends');
      }),
      plugin('plain', () => {}),
    ]);
    await hooks.close(login().session, { kind: 'client' }, (name, error) => failures.push([name, error]));
    expect(ran).toEqual(['throws', 'rejects', 'slow', 'plain', 'slow ends']);
    expect(failures).toEqual([
      ['throws', thrown],
      ['rejects', thrown],
    ]);
  });
});

describe('in-band settings', () => {
  test('each key has its answer, and a synchronous refusal rejects', async () => {
    const heard: string[] = [];
    const { inBand } = compileHooks([
      { name: 'a', inBand: { 'postern.a': (_, value) => void heard.push(value) } },
      {
        name: 'b',
        inBand: {
          'postern.b': () => {
            throw new GatewayError('invalid_password', 'no');
          },
        },
      },
    ]);
    expect([...inBand.keys()]).toEqual(['postern.a', 'postern.b']);
    await inBand.get('postern.a')?.(login().session, 'token');
    expect(heard).toEqual(['token']);
    await expect(inBand.get('postern.b')?.(login().session, '')).rejects.toMatchObject({
      code: 'invalid_password',
    });
  });
});

describe('observers', () => {
  const refused = { client: { address: '', port: 0, listener: 'x' }, why: 'test' };

  test('an event that nobody observes has no function', () => {
    const { observed } = compileHooks([{ name: 'a', on: { refused() {} } }]);
    expect(Object.keys(observed)).toEqual(['refused']);
  });

  test('each observer hears each event; one that fails is reported once and disturbs nobody', async () => {
    const heard: unknown[] = [];
    const failed = vi.fn<(plugin: string, event: string, error: unknown) => void>();
    const error = new Error('x');
    const { observed } = compileHooks(
      [
        {
          name: 'throws',
          on: {
            refused() {
              throw error;
            },
          },
        },
        {
          name: 'rejects',
          on: {
            // oxlint-disable-next-line typescript/no-misused-promises -- who writes JavaScript has no linter
            refused: () => Promise.reject(error),
          },
        },
        { name: 'hears', on: { refused: (event) => void heard.push(event) } },
      ],
      failed,
    );
    observed.refused?.(refused);
    observed.refused?.(refused);
    await tick();
    expect(heard).toEqual([refused, refused]);
    expect(failed.mock.calls).toEqual([
      ['throws', 'refused', error],
      ['rejects', 'refused', error],
    ]);
  });
});

describe('scopes', () => {
  const sets = new HookSets([
    { name: 'all' },
    { name: 'public', scope: { listeners: ['public'] } },
    { name: 'orders', scope: { databases: ['orders'] } },
    { name: 'both', scope: { listeners: ['public'], databases: ['orders'] } },
  ]);
  const names = (listener: string, database: string): readonly string[] =>
    sets.forScope(listener, database).plugins.map(({ name }) => name);

  test('a session meets the plugins of its listener and its database', () => {
    expect(names('private', 'x')).toEqual(['all']);
    expect(names('public', 'x')).toEqual(['all', 'public']);
    expect(names('private', 'orders')).toEqual(['all', 'orders']);
    expect(names('public', 'orders')).toEqual(['all', 'public', 'orders', 'both']);
  });

  test('a plugin meets the sessions with its credentials, and a client that has said nothing yet has none', () => {
    const byCredential = new HookSets([
      { name: 'all' },
      { name: 'tokens', credentials: ['password', 'oauthbearer'] },
      { name: 'machines', credentials: ['certificate'], scope: { databases: ['orders'] } },
      { name: 'narrowed', credentials: ['password', 'scram'], scope: { credentials: ['scram'] } },
    ]);
    const met = (credential: Credential | undefined, database = 'orders'): readonly string[] =>
      byCredential.forScope('any', database, credential).plugins.map(({ name }) => name);
    expect(met('password')).toEqual(['all', 'tokens']);
    expect(met('oauthbearer')).toEqual(['all', 'tokens']);
    expect(met('scram')).toEqual(['all', 'narrowed']);
    expect(met('certificate')).toEqual(['all', 'machines']);
    expect(met('certificate', 'billing')).toEqual(['all']);
    expect(met(undefined)).toEqual(['all']);
    expect(byCredential.forScope('a', 'x', 'password')).toBe(byCredential.forScope('b', 'y', 'oauthbearer'));
  });

  test('hooks are compiled once per set of plugins, whatever names clients come up with', () => {
    expect(sets.forScope('private', 'a')).toBe(sets.forScope('other', 'b'));
    expect(sets.forScope('public', 'a')).not.toBe(sets.forScope('private', 'a'));
  });
});
