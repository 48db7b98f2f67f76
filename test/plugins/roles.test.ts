/** The roles plugin: which role a verified token may take, and that no token can take any other. */
import { afterEach, describe, expect, test } from 'vitest';
import type { GatewayError, Session, Upstream } from '../../core/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import type { RolesOptions } from '../../plugins/roles/index.ts';
import { issuer } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import type { PluginHost } from './gateway.ts';

const good = issuer({ algorithms: ['ES256'] });
const other = issuer({ algorithms: ['ES256'], issuer: 'https://other.example' });
const open: PluginHost[] = [];

afterEach(async () => {
  for (const started of open.splice(0)) await started.stop();
});

async function start(options: RolesOptions | readonly RolesOptions[]): Promise<PluginHost> {
  const started = await host([jwt({ issuers: [good.options, other.options] }), roles(options)]);
  open.push(started);
  return started;
}

/** The role a login ends up with. */
async function role(
  running: PluginHost,
  claims: Readonly<Record<string, unknown>>,
  user?: string,
  from = good,
) {
  const login = { token: from.sign(claims), ...(user === undefined ? {} : { user }) };
  return (await running.login(login)).upstream.role;
}

const refused = async (...login: Parameters<typeof role>) => refusalOf(role(...login));

const allow = { claim: 'role', allow: ['reader', 'writer'] } as const;

describe('the user name', () => {
  test.each([
    ['_', 'reader'],
    ['alice', 'reader'],
    ['reader', 'reader'],
  ])('%s takes the role the token names', async (user, expected) => {
    expect(await role(await start(allow), { role: 'reader' }, user)).toBe(expected);
  });

  test('picks one of several, and _ takes the first', async () => {
    const running = await start(allow);
    const claims = { role: ['writer', 'reader'] };
    expect(await role(running, claims, 'reader')).toBe('reader');
    expect(await role(running, claims, 'writer')).toBe('writer');
    expect(await role(running, claims, '_')).toBe('writer');
  });

  test.each(['writer', 'postgres', 'READER', 'reader ', '', '__', 'Alice', 'toString'])(
    'of another role is refused: %j',
    async (user) => {
      const error = await refused(await start(allow), { role: 'reader' }, user);
      expect([error.sqlstate, error.message]).toEqual(['28000', `the token may not take role "${user}"`]);
      expect(error.hint).toMatch(/psql -U _.* reader\./);
    },
  );

  test('that is the subject never makes the subject a role', async () => {
    const running = await start(allow);
    expect(await role(running, { sub: 'writer', role: 'reader' }, 'writer')).toBe('reader');
    expect(await role(running, { sub: 'postgres', role: 'reader' }, 'postgres')).toBe('reader');
  });
});

describe('the claim', () => {
  test.each([
    ['a role not allowed', 'admin'],
    ['another case', 'Reader'],
    ['a space more', 'reader '],
    ['letters that look alike', 'r\u0435ader'],
    ['a zero byte', 'reader\0'],
    ['nothing', ''],
    ['null', null],
    ['a number', 1],
    ['an object', { 0: 'reader' }],
    ['a list in a list', [['reader']]],
    ['a list with a number', ['reader', 1]],
    ['a list without an allowed role', ['admin', 'root']],
    ['an empty list', []],
    ['a member of every object', 'constructor'],
    ['its prototype', '__proto__'],
    ['a list in a text', 'reader,writer'],
    ['a predefined role', 'pg_read_all_data'],
  ])('that is %s maps to no role, default or not', async (_name, value) => {
    for (const options of [allow, { ...allow, default: 'guest' }, { claim: 'role', map: { a: 'reader' } }]) {
      const error = await refused(await start(options), { role: value });
      expect([error.sqlstate, error.message]).toEqual(['28000', 'the token maps to no role']);
    }
  });

  test('with foreign groups among its values takes those that mean something', async () => {
    const running = await start({ claim: 'groups', map: { 'eng-data': 'writer', everyone: 'reader' } });
    expect(await role(running, { groups: ['vpn', 'eng-data', 'everyone'] })).toBe('writer');
    expect(await role(running, { groups: ['vpn', 'everyone'] })).toBe('reader');
    expect((await refused(running, { groups: ['everyone'] }, 'writer')).sqlstate).toBe('28000');
  });

  test('is not the role by its own name where a map decides', async () => {
    const running = await start({ claim: 'role', map: { a: 'reader' } });
    expect(await role(running, { role: 'a' })).toBe('reader');
    expect((await refused(running, { role: 'reader' })).sqlstate).toBe('28000');
  });

  test('that is absent gives the default role, and none without a default', async () => {
    expect(await role(await start({ ...allow, default: 'guest' }), { role: undefined })).toBe('guest');
    expect((await refused(await start(allow), { role: undefined })).sqlstate).toBe('28000');
    expect(
      (await refused(await start({ ...allow, default: 'guest' }), { role: undefined }, 'reader')).sqlstate,
    ).toBe('28000');
  });

  test.each([
    ['realm_access.roles', { realm_access: { roles: ['reader'] } }],
    ['kubernetes.io.serviceaccount.name', { 'kubernetes.io': { serviceaccount: { name: 'reader' } } }],
    ['a.b.c', { 'a.b': { d: 'writer' }, a: { 'b.c': 'reader' } }],
    ['a.b.c', { a: { b: { c: 'reader' } } }],
    ['https://postern.example/role', { 'https://postern.example/role': 'reader' }],
    ['a.b', { 'a.b': 'reader', a: { b: 'writer' } }],
  ])('is found at %s', async (claim, claims) => {
    expect(await role(await start({ ...allow, claim }), claims)).toBe('reader');
  });

  test.each(['constructor.name', '__proto__.x', 'roles.0', 'roles.length', 'role.length', 'a.b.c'])(
    'is not found where no claim is: %s',
    async (claim) => {
      const claims = { roles: ['reader'], role: 'reader', a: { b: null } };
      expect((await refused(await start({ ...allow, claim }), claims)).sqlstate).toBe('28000');
    },
  );
});

describe('issuers', () => {
  test('cannot mint the roles of one another', async () => {
    const running = await start([
      { ...allow, issuer: good.issuer, allow: ['writer'] },
      { ...allow, issuer: other.issuer, allow: ['reader'] },
    ]);
    expect(await role(running, { role: 'writer' })).toBe('writer');
    expect(await role(running, { role: 'reader' }, '_', other)).toBe('reader');
    expect((await refused(running, { role: 'reader' })).sqlstate).toBe('28000');
    expect((await refused(running, { role: 'writer' }, '_', other)).sqlstate).toBe('28000');
  });

  test('without an entry map to no role', async () => {
    const running = await start({ ...allow, issuer: good.issuer });
    expect((await refused(running, { role: 'reader' }, '_', other)).sqlstate).toBe('28000');
  });
});

test('the plugin says every role that some token can get', () => {
  const map = { a: 'reader', b: 'writer', c: 'reader' };
  expect(roles({ claim: 'role', map, default: 'guest' }).maps).toEqual(['reader', 'writer', 'guest']);
  const lists = [
    { ...allow, issuer: good.issuer, allow: ['x', 'y'] },
    { ...allow, issuer: other.issuer, allow: ['y', 'z'] },
  ];
  expect(roles(lists).maps).toEqual(['x', 'y', 'z']);
});

test('the operator can read why and what the claim was, and the client cannot', async () => {
  const error = await refused(await start(allow), { role: 'a stranger' });
  expect((error.cause as Error).message).toBe("claim role names no role that is allowed: 'a stranger'");
  expect(`${error.message} ${error.detail} ${error.hint}`).not.toContain('stranger');
});

describe('the servers a role is served by', () => {
  const target = async (targets: RolesOptions['targets'], rule?: unknown): Promise<string | undefined> => {
    const running = await start(targets ? { ...allow, targets } : allow);
    const claims = { role: 'reader', ...(rule !== undefined && { postern: { target: rule } }) };
    const login = running.login({ token: good.sign(claims) });
    return login.then(
      ({ upstream }) => upstream.target,
      (error: unknown) => (error as GatewayError).sqlstate,
    );
  };

  test('are those that the policy says, and a token may narrow them', async () => {
    expect(await target(undefined)).toBeUndefined();
    expect(await target({ writer: 'primary' })).toBeUndefined();
    expect(await target({ reader: 'replica' })).toBe('replica');
    expect(await target(undefined, 'replica')).toBe('replica');
    expect(await target({ reader: 'any' }, 'prefer-replica')).toBe('prefer-replica');
    expect(await target({ reader: 'prefer-replica' }, 'primary')).toBe('primary');
    expect(await target({ reader: 'replica' }, 'any')).toBe('replica');
    expect(await target({ reader: 'primary' }, 'prefer-replica')).toBe('primary');
  });

  test('are never more than the policy says, whatever a token wants', async () => {
    expect(await target({ reader: 'replica' }, 'primary')).toBe('28000');
    expect(await target({ reader: 'primary' }, 'replica')).toBe('28000');
    // The database's entry may say replica.
    for (const rule of ['primary', 'any', 'prefer-replica'])
      expect(await target(undefined, rule)).toBe('28000');
    for (const rule of ['Replica', '', 7, ['replica']]) expect(await target(undefined, rule)).toBe('28P01');
  });

  test('are named for roles that there are, by words that there are', () => {
    expect(() => roles({ ...allow, targets: { raeder: 'replica' } })).toThrow(
      'roles.targets.raeder: no token can get this role',
    );
    expect(() => roles({ ...allow, targets: { reader: 'standby' as 'replica' } })).toThrow(
      'roles.targets.reader: one of primary, replica, prefer-replica, any is needed',
    );
  });

  test('do not change with a renewal', async () => {
    const { checks } = roles({ ...allow, targets: { reader: 'any' } });
    const session = (now?: Upstream['target']) => ({ upstream: { target: now } }) as unknown as Session;
    expect(() => checks?.rules?.({ target: 'replica' }, session('replica'), true)).not.toThrow();
    for (const now of [undefined, 'primary', 'any'] as const)
      expect(() => checks?.rules?.({ target: 'replica' }, session(now), true)).toThrow('other servers');
  });
});

describe('a template', () => {
  const template = { claim: 'team', template: 'app_{value}_rw' };

  test.each([['data'], ['team_7'], ['0']])('makes a role of %s', async (team) => {
    expect(await role(await start(template), { team })).toBe(`app_${team}_rw`);
  });

  test.each([
    ['capitals', 'Data'],
    ['a sign', 'a-b'],
    ['a quote', 'a"b'],
    ['a space', 'a b'],
    ['nothing', ''],
    ['what would be too long', 'x'.repeat(60)],
    ['a look-alike', 'd\u0430ta'],
    ['a placeholder', '{value}'],
  ])('makes none of %s', async (_, team) => {
    expect((await refused(await start(template), { team })).message).toBe('the token maps to no role');
  });

  test('makes roles of a list, of which the user name chooses one', async () => {
    const running = await start(template);
    expect(await role(running, { team: ['a', 'B', 'c'] })).toBe('app_a_rw');
    expect(await role(running, { team: ['a', 'B', 'c'] }, 'app_c_rw')).toBe('app_c_rw');
    await refused(running, { team: ['a'] }, 'app_c_rw');
  });

  test('tells nobody which roles there are, since nobody knows', () => {
    expect(roles(template).maps).toBeUndefined();
    expect(roles(allow).maps).toEqual(['reader', 'writer']);
  });
});

test('another database may have other roles, and one that is not named has none', async () => {
  const running = await start([
    { claim: 'role', allow: ['reader'], databases: ['orders'] },
    { claim: 'role', allow: ['archivist'], databases: ['archive'] },
  ]);
  expect(await role(running, { role: 'reader' })).toBe('reader');
  await refused(running, { role: 'archivist' });
  const elsewhere = await start({ claim: 'role', allow: ['reader'], databases: ['archive'] });
  expect((await refused(elsewhere, { role: 'reader' })).message).toBe('the token maps to no role');
});
