/** The jwt plugin: which tokens are good, what a good one states, and what a client and the operator learn of a bad one. */
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions, JwtOptions } from '../../plugins/jwt/index.ts';
import { badTokens } from '../support/bad-tokens.ts';
import { ALGORITHMS, encode, forge, issuer, now } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import type { PluginHost } from './gateway.ts';

const good = issuer();
const open: PluginHost[] = [];

async function start(
  options: Partial<IssuerOptions> = {},
  more: Partial<JwtOptions> = {},
): Promise<PluginHost> {
  const started = await host([jwt({ issuers: [{ ...good.options, ...options }], ...more })]);
  open.push(started);
  return started;
}

afterEach(async () => {
  for (const started of open.splice(0)) await started.stop();
});

/** Everything a thrown error could print, its causes included. */
function printed(error: unknown): string {
  if (!(error instanceof Error)) return JSON.stringify(error ?? '');
  return `${error.stack} ${JSON.stringify(Object.entries(error))} ${printed(error.cause)}`;
}

describe('a good token', () => {
  test.each(ALGORITHMS)('signed with %s is accepted', async (alg) => {
    const gateway = await start();
    const { facts } = await gateway.login({ token: good.sign({}, { alg }) });
    expect(facts.identity?.subject).toBe('alice');
  });

  test('states identity and rules, and ends the session at its exp', async () => {
    const gateway = await start();
    const exp = now() + 100;
    const rules = {
      databases: ['orders'],
      max_connections: 5,
      cidrs: ['10.0.0.0/8', '2001:db8::/32'],
      windows: [{ days: ['mon', 'fri'], from: '08:00', to: '24:00', tz: 'Europe/Berlin' }],
      rate: { statements: '200/s', connections: '10/m' },
      max_session_duration: '1h',
    };
    const { facts, ends } = await gateway.login({ token: good.sign({ exp, jti: 'j1', postern: rules }) });
    expect(facts.identity).toMatchObject({ issuer: good.issuer, subject: 'alice', tokenId: 'j1' });
    expect(facts.identity?.expiresAt).toEqual(new Date(exp * 1_000));
    expect(facts.identity?.claims['role']).toBe('reader');
    const { max_connections: maxConnections, max_session_duration: maxSession, ...same } = rules;
    expect(facts.rules).toEqual({ ...same, maxConnections, maxSession });
    expect(ends.map(({ at, error }) => [at, error.sqlstate])).toEqual([[new Date(exp * 1_000), '57P01']]);
  });

  test('without rules states none, so that every fact it provides is there', async () => {
    const gateway = await start();
    expect((await gateway.login({ token: good.sign() })).facts.rules).toEqual({});
  });

  test.each([
    ['one of several audiences', { aud: ['billing', 'postern'] }, {}],
    ['no iat', { iat: undefined }, {}],
    ['a clock three seconds ahead', { iat: now() + 3, nbf: now() + 3 }, {}],
    ['exp with a fraction', { exp: now() + 60.5 }, {}],
    ['no typ', {}, { typ: undefined }],
    ['typ at+jwt in capitals', {}, { typ: 'AT+JWT' }],
    ['an x5t, which is not looked at', {}, { x5t: 'AAAA' }],
    ['a subject in Greek', { sub: 'Ἀλίκη' }, {}],
  ])('may have %s', async (_name, claims, header) => {
    const gateway = await start();
    expect((await gateway.login({ token: good.sign(claims, header) })).facts.identity).toBeDefined();
  });

  test('verified before is accepted again, and cannot be changed by the session that had it first', async () => {
    const gateway = await start();
    const token = good.sign({ groups: ['a'] });
    const first = (await gateway.login({ token })).facts.identity;
    const groups = first?.claims['groups'] as string[];
    expect(() => groups.push('admin')).toThrow(TypeError);
    expect((await gateway.login({ token })).facts.identity?.claims).toBe(first?.claims);
  });
});

describe('a bad token', () => {
  const table = badTokens(good);

  test('comes in many kinds, each with a name of its own', () => {
    expect(table.length).toBeGreaterThanOrEqual(100);
    expect(new Set(table.map(({ name }) => name)).size).toBe(table.length);
  });

  test.each(table)('is refused: $name', async ({ token }) => {
    const gateway = await start();
    const refused = await refusalOf(gateway.login({ token, user: 'bob' }));
    expect(refused.sqlstate).toBe('28P01');
    expect(refused.message).toBe('password authentication failed for user "bob"');
    expect(refused.detail ?? refused.hint).toBeUndefined();
    expect(gateway.lines.at(-1)?.message).toBe('token refused');
  });

  test.each(table)('leaves nothing of itself in log or error: $name', async ({ token }) => {
    const gateway = await start();
    const refused = await refusalOf(gateway.login({ token }));
    const all = printed(refused) + JSON.stringify(gateway.lines);
    for (const part of token.split('.').filter((text) => text.length > 6)) expect(all).not.toContain(part);
  });

  test.each(['', '\0', `${good.sign()}\0`, '.'.repeat(16_000), '.'.repeat(65_536), '{'.repeat(16_000)])(
    'that no client can send is refused as well',
    async (token) => {
      expect((await refusalOf((await start()).login({ token }))).sqlstate).toBe('28P01');
    },
  );

  test('tells the operator why, and which token it was', async () => {
    const gateway = await start();
    const exp = now() - 60;
    const refused = await refusalOf(gateway.login({ token: good.sign({ iat: exp - 60, exp }) }));
    const reason = `expired at ${new Date(exp * 1_000).toISOString()}`;
    expect((refused.cause as Error).message).toBe(reason);
    expect(gateway.lines.at(-1)?.fields).toEqual({
      reason,
      kid: good.kid('ES256'),
      iss: good.issuer,
      sub: 'alice',
    });
  });

  test('tells the operator which audience is missing', async () => {
    const refused = await refusalOf((await start()).login({ token: good.sign({ aud: 'billing' }) }));
    expect((refused.cause as Error).message).toBe("aud is 'billing', wanted 'postern'");
  });

  test('has its labels cut, so that none fills the log', async () => {
    const gateway = await start();
    await refusalOf(gateway.login({ token: good.sign({ sub: 's'.repeat(9_000), exp: 0 }) }));
    expect(JSON.stringify(gateway.lines.at(-1)?.fields).length).toBeLessThan(1_000);
  });

  test.each([
    ['typ', { typ: 'at+jwt' }, good.sign()],
    ['a required claim', { requiredClaims: ['email'] }, good.sign()],
    ['an algorithm not configured', { algorithms: ['EdDSA'] as const }, good.sign()],
    ['a lifetime over the configured one', { maxLifetime: '1m' as const }, good.sign()],
    [
      'a clock ahead of the configured tolerance',
      { clockTolerance: '0s' as const },
      good.sign({ nbf: now() + 3_600, exp: now() + 3_700 }),
    ],
  ])('is refused for %s', async (_name, options, token) => {
    expect((await refusalOf((await start(options)).login({ token }))).sqlstate).toBe('28P01');
  });

  test('is refused above maxTokenBytes, and the same token below it is good', async () => {
    const token = good.sign({ x: 'x'.repeat(20_000) });
    expect((await refusalOf((await start()).login({ token }))).sqlstate).toBe('28P01');
    const wide = await start({}, { maxTokenBytes: 65_536 });
    expect((await wide.login({ token })).facts.identity).toBeDefined();
  });
});

describe('issuers', () => {
  test('vouch with their own keys only, even where a kid is the same', async () => {
    const other = issuer({ issuer: 'https://other.example' });
    const gateway = await host([jwt({ issuers: [good.options, other.options] })]);
    open.push(gateway);
    const key = other.privateKey('ES256');
    const claims = { iss: good.issuer, aud: 'postern', sub: 'alice', exp: now() + 60 };
    const crossed = forge({ alg: 'ES256', kid: other.kid('ES256') }, claims, 'ES256', key);
    expect((await refusalOf(gateway.login({ token: crossed }))).sqlstate).toBe('28P01');
    expect((await gateway.login({ token: other.sign() })).facts.identity?.issuer).toBe(other.issuer);
  });

  test('with two keys under one kid have both tried', async () => {
    const first = issuer({ algorithms: ['ES256'] });
    const second = issuer({ algorithms: ['ES256'] });
    const gateway = await start({ jwks: { keys: [...first.jwks.keys, ...second.jwks.keys] } });
    for (const one of [first, second]) {
      expect((await gateway.login({ token: one.sign() })).facts.identity).toBeDefined();
    }
    const expired = await refusalOf(gateway.login({ token: first.sign({ iat: 1, exp: 2 }) }));
    expect((expired.cause as Error).message).toMatch(/^expired/);
  });

  test('with keys for other purposes beside the good one are usable', async () => {
    const keys = [
      { kty: 'RSA', use: 'enc', n: 'AQAB', e: 'AQAB' },
      { kty: 'AKP', alg: 'ML-DSA-44', pub: 'AAAA' },
      { kty: 'oct', k: 'c2VjcmV0', alg: 'HS256', kid: 'h' },
      { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA', kid: 'off the curve' },
      null as unknown as object,
      ...good.jwks.keys,
    ];
    const gateway = await start({ jwks: { keys } });
    expect((await gateway.login({ token: good.sign() })).facts.identity).toBeDefined();
  });
});

describe('a token bound to a client certificate', () => {
  const der = Buffer.from('a certificate');
  const certificateSha256 = createHash('sha256').update(der).digest('hex');
  const token = good.sign({ cnf: { 'x5t#S256': encode(createHash('sha256').update(der).digest()) } });

  test('is good on a connection with that certificate', async () => {
    const gateway = await start();
    const { facts } = await gateway.login({ token, client: { tls: { certificateSha256 } } });
    expect(facts.identity).toBeDefined();
  });

  test('is refused elsewhere, also right after it was good', async () => {
    const gateway = await start();
    await gateway.login({ token, client: { tls: { certificateSha256 } } });
    const other = createHash('sha256').update('another').digest('hex');
    for (const tls of [{ certificateSha256: other }, { certificateSha256: '' }, {}]) {
      expect((await refusalOf(gateway.login({ token, client: { tls } }))).sqlstate).toBe('28P01');
    }
    expect((await refusalOf(gateway.login({ token }))).sqlstate).toBe('28P01');
  });

  test('is refused if it says more than can be checked', async () => {
    const cnf = { 'x5t#S256': encode(createHash('sha256').update(der).digest()), jkt: 'x' };
    const gateway = await start();
    const refused = gateway.login({ token: good.sign({ cnf }), client: { tls: { certificateSha256 } } });
    expect((await refusalOf(refused)).sqlstate).toBe('28P01');
  });
});

test('the rules claim may have another name, and then the usual one means nothing', async () => {
  const gateway = await start({}, { rulesClaim: 'https://postern.example/rules' });
  const token = good.sign({ 'https://postern.example/rules': { max_connections: 2 }, postern: 'ignored' });
  expect((await gateway.login({ token })).facts.rules).toEqual({ maxConnections: 2 });
});

test('the verifier it lends accepts and refuses as a login does', async () => {
  const verifier = (await start()).service('verifier');
  expect((await verifier?.verify(good.sign()))?.subject).toBe('alice');
  const refused = await refusalOf(verifier?.verify('hunter2') ?? Promise.resolve());
  expect([refused.sqlstate, refused.message]).toEqual(['28P01', 'password authentication failed']);
});
