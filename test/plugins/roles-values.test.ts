/** The shapes in which issuers write roles: words, keys, several claims, patterns, and whatever a function makes of them. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import type { RolesOptions } from '../../plugins/roles/index.ts';
import { matcherOf } from '../../plugins/roles/pattern.ts';
import { issuer } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';

const keys = issuer({ algorithms: ['ES256'] });
type Members = Readonly<Record<string, unknown>>;

async function role(options: RolesOptions, claims: Members, user = '_'): Promise<unknown> {
  const running = await host([jwt({ issuers: [keys.options] }), roles(options)]);
  onTestFinished(() => running.stop());
  const token = keys.sign({ role: undefined, ...claims });
  return (await running.login({ token, user })).upstream.role;
}

/** The reason in the operator's log. */
async function reason(options: RolesOptions, claims: Members): Promise<string> {
  const error = await refusalOf(role(options, claims));
  expect([error.sqlstate, error.message]).toEqual(['28000', 'the token maps to no role']);
  return (error.cause as Error).message;
}

describe('words', () => {
  const scopes = {
    claim: 'scope',
    as: 'words',
    map: { 'orders:read': 'reader', 'orders:write': 'writer' },
  } as const;

  test('between blanks each are a value', async () => {
    expect(await role(scopes, { scope: 'openid orders:read email' })).toBe('reader');
    expect(await role(scopes, { scope: 'orders:write orders:read' }, 'reader')).toBe('reader');
    expect(await role(scopes, { scope: ' orders:read  ' })).toBe('reader');
    expect(await role(scopes, { scope: ['orders:read', 'openid'] })).toBe('reader');
  });

  test.each([
    '',
    ' ',
    'orders:reader',
    'orders:read,openid',
    'openid\torders:read',
    'openid\u00a0orders:read',
    'Orders:read',
  ])('that are others name no role, default or not: %j', async (scope) => {
    expect(await reason(scopes, { scope })).toMatch(/^claim scope names no role that is allowed: /);
    expect(await reason({ ...scopes, default: 'guest' }, { scope })).toContain('names no role');
  });

  test('in a list stay what they are, and without the option so does a text', async () => {
    expect(await reason(scopes, { scope: ['openid orders:read'] })).toContain('names no role');
    const { as: _, ...plain } = scopes;
    expect(await reason(plain, { scope: 'openid orders:read' })).toContain('names no role');
  });
});

describe('keys', () => {
  const zitadel = {
    claim: 'urn:zitadel:iam:org:project:roles',
    as: 'keys',
    allow: ['reader', 'writer'],
    default: 'guest',
  } as const;
  const claims = (value: unknown): Members => ({ 'urn:zitadel:iam:org:project:roles': value });

  test('of an object each are a value', async () => {
    expect(await role(zitadel, claims({ admin: {}, reader: { '2345': 'acme.example' } }))).toBe('reader');
    expect(await role(zitadel, claims({ writer: {}, reader: {} }), 'reader')).toBe('reader');
    expect(await role(zitadel, claims(['reader']))).toBe('reader');
    expect(await role(zitadel, {})).toBe('guest');
  });

  test.each([
    ['none', {}],
    ['others', { admin: {} }],
    ['a member of every object', JSON.parse('{"__proto__":{},"constructor":{}}') as Members],
  ])('that are %s name no role', async (_name, value) => {
    expect(await reason(zitadel, claims(value))).toContain('names no role that is allowed');
  });

  test('are not looked at without the option, nor in what is no object', async () => {
    const { as: _, ...plain } = zitadel;
    expect(await reason(plain, claims({ reader: {} }))).toContain('is not a text or a list of texts');
    for (const value of [null, 7, true, [{ reader: {} }]])
      expect(await reason(zitadel, claims(value))).toContain('is not a text or a list of texts');
  });
});

describe('several claims', () => {
  const keycloak = {
    claim: ['realm_access.roles', 'resource_access.postern.roles'],
    allow: ['reader', 'writer'],
  } as const;

  test('give their values together, in their order', async () => {
    const claims = {
      realm_access: { roles: ['offline_access', 'reader'] },
      resource_access: { postern: { roles: ['writer'] } },
    };
    expect(await role(keycloak, claims)).toBe('reader');
    expect(await role(keycloak, claims, 'writer')).toBe('writer');
    expect(await role(keycloak, { resource_access: claims.resource_access })).toBe('writer');
    expect(await reason(keycloak, {})).toBe(
      'claim realm_access.roles, resource_access.postern.roles is absent',
    );
  });

  test('refuse when one is not made of texts, or is elsewhere, whatever the others say', async () => {
    const claims = { realm_access: { roles: ['reader'] } };
    expect(await reason(keycloak, { ...claims, resource_access: { postern: { roles: 7 } } })).toContain(
      'is not a text or a list of texts',
    );
    const elsewhere = { ...claims, _claim_names: { resource_access: 'a' } };
    expect((await refusalOf(role(keycloak, elsewhere))).sqlstate).toBe('28000');
  });
});

describe('a pattern', () => {
  const teams = {
    claim: 'groups',
    map: { 'team-*': 'reader', 'team-lead': 'writer', '*-admin-*': 'admin', 'team-admin-*': 'never' },
  };

  test.each([
    ['team-a', 'reader'],
    ['team-', 'reader'],
    ['team-lead', 'writer'],
    ['team-lead-7', 'reader'],
    ['team-admin-1', 'reader'],
    ['db-admin-1', 'admin'],
    ['-admin-', 'admin'],
  ])('or the very value: %s has the role %s', async (group, name) => {
    expect(await role(teams, { groups: ['everyone', group] })).toBe(name);
  });

  test.each(['team', 'Team-a', ' team-a', 'xteam-a', 'admin', 'db-admin', 'reader', '*', 'te*'])(
    'is for the whole value: %j has no role',
    async (group) => {
      expect(await reason(teams, { groups: group })).toContain('names no role');
    },
  );

  test('makes no role of what it matches', async () => {
    expect((await refusalOf(role(teams, { groups: 'team-postgres' }, 'team-postgres'))).sqlstate).toBe(
      '28000',
    );
    expect(roles(teams).maps).toEqual(['reader', 'writer', 'admin', 'never']);
  });

  test.each<[string, string, boolean]>([
    ['*', '', true],
    ['**', 'abc', true],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['ab*ba', 'aba', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'acb', false],
    ['*ab*', 'aab', true],
    ['*aab', 'aaab', true],
    ['a.c*', 'abc', false],
    ['a[bc]*', 'ab', false],
    ['*\n*', 'a\nb', true],
  ])('%j and %j', (pattern, value, expected) => {
    expect(matcherOf(pattern)(value)).toBe(expected);
  });

  test('agrees with a regular expression on all short texts', () => {
    const all = (letters: string, length: number): readonly string[] =>
      length === 0
        ? ['']
        : all(letters, length - 1).flatMap((text) => [text, ...letters.split('').map((one) => text + one)]);
    const texts = [...new Set(all('ab', 5))];
    for (const pattern of new Set(all('ab*', 4))) {
      const expected = new RegExp(`^${pattern.replaceAll('*', '[^]*')}$`);
      const wrong = texts.filter((text) => matcherOf(pattern)(text) !== expected.test(text));
      expect(wrong, pattern).toEqual([]);
    }
  });

  test.each(['*a*a*a*a*a*b', 'a*ab*ab*ab', '*aaaaaaaaab*', '*b*b*b*', 'a*b'])(
    'takes twice as long for twice the text, and no more: %s',
    (pattern) => {
      const matches = matcherOf(pattern);
      const fastest = (length: number): number => {
        const text = 'a'.repeat(length);
        const once = (): number => {
          const at = performance.now();
          for (let turn = 0; turn < 5; turn++) matches(text);
          return performance.now() - at;
        };
        return Math.min(...Array.from({ length: 9 }, once));
      };
      fastest(1_024);
      // A quadratic one takes 64 times as long for eight times the text; below a millisecond the clock says nothing, and a busy machine disturbs a try, not all of them.
      const proportional = (): boolean => fastest(8 * 131_072) < Math.max(30 * fastest(131_072), 1);
      expect(Array.from({ length: 5 }).some(proportional)).toBe(true);
    },
  );
});

describe('a function', () => {
  const gitlab: RolesOptions = {
    claim: (claim) => (claim('ref_protected') === 'true' ? claim('project_path') : undefined),
    map: { 'acme/shop': 'writer' },
  };

  test('makes values of claims, for the map to decide', async () => {
    expect(await role(gitlab, { ref_protected: 'true', project_path: 'acme/shop' })).toBe('writer');
    expect(await role({ ...gitlab, default: 'reader' }, { project_path: 'acme/shop' })).toBe('reader');
    const why = 'what claim makes of the token';
    expect(await reason(gitlab, { project_path: 'acme/shop' })).toBe(`${why} is absent`);
    expect(await reason(gitlab, { ref_protected: 'true', project_path: 'evil/shop' })).toBe(
      `${why} names no role that is allowed: 'evil/shop'`,
    );
    expect(await role({ claim: () => ['a', 'reader'], allow: ['reader'] }, {})).toBe('reader');
  });

  test.each([null, 7, [7], {}, Promise.resolve('reader')])('that gives %j gives no role', async (value) => {
    const why = await reason({ claim: () => value, allow: ['reader'], default: 'reader' }, {});
    expect(why).toMatch(/^what claim makes of the token is not a text or a list of texts: /);
  });

  test('reads by paths, and no claim that is elsewhere', async () => {
    const nested: RolesOptions = { claim: (claim) => claim('a.b'), allow: ['reader'], default: 'reader' };
    expect(await role(nested, { a: { b: 'reader' } })).toBe('reader');
    expect((await refusalOf(role(nested, { _claim_names: { a: 'x' } }))).sqlstate).toBe('28000');
    expect(await role(nested, { _claim_names: { c: 'x' } })).toBe('reader');
  });
});
