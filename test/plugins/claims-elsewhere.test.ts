/** A claim that its issuer keeps elsewhere is not an absent one: nothing that absence means is given to its token. */
import { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { AnyPlugin } from '../../core/index.ts';
import { claimAt } from '../../core/index.ts';
import { claims } from '../../plugins/claims/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { tenant } from '../../plugins/tenant/index.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { home, startOperated } from '../support/operated.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';
import { developer, openDesk } from './access-desk.ts';
import { errorOf } from './token-sessions.ts';

const keys = issuer({ algorithms: ['ES256'] });
type Members = Readonly<Record<string, unknown>>;

/** As Entra ID sends them where somebody is in more than 200 groups, and where a token travels in a URL. */
const OVERAGE = {
  _claim_names: { groups: 'src1' },
  _claim_sources: {
    src1: { endpoint: 'https://graph.windows.net/0b8c54c9/users/690222be/getMemberObjects' },
  },
};
const TOO_MANY: readonly (readonly [string, Members])[] = [
  ['_claim_names', OVERAGE],
  ['_claim_names beside a part of them', { ...OVERAGE, groups: ['everyone'] }],
  ['hasgroups', { hasgroups: true }],
  ['hasgroups as a text', { hasgroups: 'true' }],
];
const UNREADABLE: readonly (readonly [string, Members])[] = [
  ['a list', { _claim_names: ['groups'] }],
  ['a text', { _claim_names: 'groups' }],
  ['null', { _claim_names: null }],
];

describe('the reader that all share', () => {
  test.each(TOO_MANY)('refuses by %s', (_name, members) => {
    expect(() => claimAt(members, 'groups')).toThrow('the token lacks a claim that decides here');
  });

  test.each(UNREADABLE)('refuses by _claim_names that is %s', (_name, members) => {
    expect(() => claimAt({ ...members, groups: ['a'] }, 'groups')).toThrow('the token lacks a claim');
  });

  test.each(['realm.roles', 'realm.io.roles', 'realm.io'])('refuses a path into it: %s', (claim) => {
    const members = { _claim_names: { realm: 'a', 'realm.io': 'b' } };
    expect(() => claimAt(members, claim)).toThrow('the token lacks a claim that decides here');
  });

  test.each([
    ['another claim is elsewhere', { ...OVERAGE, roles: ['a'] }, 'roles'],
    ['no claim is', { _claim_names: {}, roles: ['a'] }, 'roles'],
    ['there are no groups at all', { hasgroups: false, roles: ['a'] }, 'roles'],
    [
      'a member of every object is asked for',
      { ...OVERAGE, 'constructor.roles': ['a'] },
      'constructor.roles',
    ],
    ['somebody has a claim with the name of the mark', { hasgroups: true, groups: ['a'] }, 'groups'],
  ])('reads where %s', (_name, members, claim) => {
    expect(claimAt(members, claim)).toEqual(['a']);
  });
});

async function start(...plugins: readonly AnyPlugin[]): Promise<RunningGateway> {
  const started = await startGateway({
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [jwt({ issuers: [keys.options] }), ...plugins],
  });
  onTestFinished(() => started.gateway.stop());
  return started;
}

async function roleOf({ port }: RunningGateway, more: Members): Promise<unknown> {
  const password = keys.sign({ role: undefined, ...more });
  const client = new Client({ host: '127.0.0.1', port, user: '_', database: 'orders', password });
  await client.connect();
  try {
    return (await client.query<{ name: string }>('select current_user as name')).rows[0]?.name;
  } finally {
    await client.end();
  }
}

async function refused(to: RunningGateway, more: Members): Promise<readonly [string | undefined, unknown]> {
  const { code } = await errorOf(roleOf(to, more));
  return [code, to.lines('login refused').at(-1)?.['reason']];
}

const byGroups = roles({ claim: 'groups', map: { dba: 'writer' }, default: 'reader' });

describe('a default', () => {
  test.each(TOO_MANY)('of roles is not for it, by %s', async (_name, members) => {
    const started = await start(byGroups);
    const [code, reason] = await refused(started, members);
    expect(code).toBe('28000');
    expect(reason).toContain('claim groups is not in the token but elsewhere');
    expect(await roleOf(started, {})).toBe('reader');
    expect(await roleOf(started, { groups: ['dba'] })).toBe('writer');
  });

  test.each(TOO_MANY)('of a tenant is not for it, by %s', async (_name, members) => {
    const started = await start(
      tenant({ claim: 'groups', default: 'nobody' }),
      roles({ claim: 'role', allow: ['reader'] }),
    );
    const [code, reason] = await refused(started, { role: 'reader', ...members });
    expect(code).toBe('28000');
    expect(reason).toContain('claim groups is not in the token but elsewhere');
    expect(await roleOf(started, { role: 'reader' })).toBe('reader');
  });

  test('is given where another claim is elsewhere', async () => {
    const started = await start(roles({ claim: 'roles', map: { dba: 'writer' }, default: 'reader' }));
    expect(await roleOf(started, OVERAGE)).toBe('reader');
  });
});

describe('the token itself', () => {
  const allow = roles({ claim: 'role', allow: ['reader'] });

  test('is not without rules where these are elsewhere', async () => {
    const started = await start(allow);
    const members = { role: 'reader', _claim_names: { postern: 'src1' } };
    expect((await refused(started, members))[0]).toBe('28P01');
    const [line] = started.lines('token refused');
    expect(line?.['reason']).toBe('claim postern is not in the token but elsewhere (_claim_names)');
  });

  test.each(['cnf', 'jti', 'iat', 'nbf', 'azp', 'aud', 'sub', 'exp', 'iss'])(
    'is not taken for one without %s',
    async (name) => {
      const started = await start(allow);
      const [code] = await refused(started, { role: 'reader', _claim_names: { [name]: 'src1' } });
      expect(code).toBe('28P01');
      expect(started.lines('token refused')[0]?.['reason']).toContain(`claim ${name} is not in the token`);
    },
  );

  test.each(UNREADABLE)('is refused where _claim_names is %s', async (_name, members) => {
    const started = await start(allow);
    expect((await refused(started, { role: 'reader', ...members }))[0]).toBe('28P01');
    expect(started.lines('token refused')[0]?.['reason']).toContain('_claim_names is not an object');
  });

  test('says why a claim that it must have is not there', async () => {
    const started = await startGateway({
      databases: { orders: databaseOf(sharedPostgres()) },
      plugins: [jwt({ issuers: [{ ...keys.options, requiredClaims: ['groups'] }] }), allow],
    });
    onTestFinished(() => started.gateway.stop());
    expect((await refused(started, { role: 'reader', ...OVERAGE }))[0]).toBe('28P01');
    const [line] = started.lines('token refused');
    expect(line?.['reason']).toBe('claim groups is not in the token but elsewhere (_claim_names)');
  });

  test('is refused where SQL is promised the claim, and goes through where it is not', async () => {
    const passedOn = await start(allow, claims({ select: ['sub', 'groups'] }));
    const [code, reason] = await refused(passedOn, { role: 'reader', ...OVERAGE });
    expect(code).toBe('28000');
    expect(reason).toContain('claim groups is not in the token but elsewhere');
    const other = await start(allow, claims({ select: ['sub'] }));
    expect(await roleOf(other, { role: 'reader', ...OVERAGE })).toBe('reader');
  });
});

describe('a rule of access', () => {
  const wide = { databases: ['orders'], roles: ['reader'], reason: 'optional' } as const;
  const policy = [
    { ...wide, who: { claim: 'groups', value: 'contractors' }, rules: { maxConnections: 1 } },
    { ...wide, who: { claim: 'email', value: 'ada@acme.example' } },
    { ...wide, databases: ['other'], who: { claim: 'email', value: 'ada@acme.example' } },
  ];
  const ada = (more: Members): string => developer({ groups: undefined, email: 'ada@acme.example', ...more });

  test('that a token cannot answer is not passed over for a wider one', async () => {
    const desk = await openDesk({ access: { policy } });
    const { status, body } = await desk.ask(ada(OVERAGE), { database: 'orders' });
    expect([status, body['error']]).toEqual([
      403,
      'claim groups is not in the token but elsewhere (_claim_names)',
    ]);
    expect(desk.lines('access refused')[0]?.['why']).toContain('claim groups');
    expect((await desk.ask(ada({}), { database: 'orders' })).status).toBe(201);
  });

  test('does not stand in the way of other databases, or of another answer to the same question', async () => {
    const either = [
      {
        ...wide,
        who: [
          { claim: 'groups', value: 'dev' },
          { claim: 'email', value: 'ada@acme.example' },
        ],
      },
    ];
    const desk = await openDesk({ access: { policy } });
    expect((await desk.ask(ada(OVERAGE), { database: 'other' })).status).toBe(201);
    const second = await openDesk({ access: { policy: either } });
    expect((await second.ask(ada(OVERAGE), { database: 'orders' })).status).toBe(201);
  });
});

describe('an operator', () => {
  const many = { sub: 'olga', role: undefined, ...OVERAGE };

  test('whose groups are elsewhere is none, and the log says why', async () => {
    const operated = await startOperated(sharedPostgres());
    onTestFinished(() => operated.gateway.stop());
    const { status } = await operated.ask('GET', '/v1/sessions', home.sign(many));
    expect(status).toBe(403);
    expect(operated.lines('not an operator')[0]?.['reason']).toContain('claim groups is not in the token');
    const { code } = await errorOf(operated.console({ password: home.sign(many) }));
    expect(code).toBe('28000');
    expect(operated.lines('login refused')[0]?.['reason']).toContain('claim groups is not in the token');
  });
});
