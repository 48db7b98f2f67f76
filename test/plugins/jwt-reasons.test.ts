/** The reason of a refusal in the log lets an operator mend it: what was there, and what was wanted. Never the token. */
import { createHash } from 'node:crypto';
import { describe, expect, onTestFinished, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions } from '../../plugins/jwt/index.ts';
import { encode, forge, issuer, makeKey, now } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import type { LogLine, PluginHost } from './gateway.ts';
import { json, keyIssuer } from './key-issuer.ts';
import { errorOf, session, tokenGateway, tokens } from './token-sessions.ts';

const good = issuer({ algorithms: ['ES256', 'RS256'] });
type Members = Readonly<Record<string, unknown>>;

async function start(options: Partial<IssuerOptions> = {}): Promise<PluginHost> {
  const running = await host([jwt({ issuers: [{ ...good.options, ...options }] })]);
  onTestFinished(() => running.stop());
  return running;
}

async function lineOf(
  running: PluginHost,
  token: string,
  tls?: { certificateSha256: string },
): Promise<LogLine> {
  const refused = await refusalOf(running.login({ token, client: tls ? { tls } : {} }));
  // To the client one text, whatever was wrong.
  expect([refused.sqlstate, refused.message, refused.detail, refused.hint]).toEqual([
    '28P01',
    'password authentication failed for user "_"',
    undefined,
    undefined,
  ]);
  return running.lines.at(-1) as LogLine;
}

async function reasonOf(token: string, options: Partial<IssuerOptions> = {}): Promise<string> {
  const { fields } = await lineOf(await start(options), token);
  return (fields as { reason: string }).reason;
}

const sign = (claims: Members, header: Members = {}): string => good.sign(claims, header);
const whole = good.sign();
const [head = '', body = '', mark = ''] = whole.split('.');

describe('a text that is no token', () => {
  test.each<[string, string, RegExp | string]>([
    ['a plain password', 'correct horse battery staple', /^not a JWT: a password, an API key/],
    ['a password with dots', 'a.b c.d', /^not a JWT/],
    ['an opaque token', 'gho_16C7e42F292c6912E7710c838347Ae178B4a', /^not a JWT/],
    ['a blank before', ` ${whole}`, 'white space before or behind the token'],
    ['a line break behind', `${whole}\n`, 'white space before or behind the token'],
    ['a line break inside', `${head}.\n${body}.${mark}`, /^white space inside of the token/],
    ['quotes around', `"${whole}"`, 'quotes around the token'],
    ['single quotes around, and a blank', `'${whole}' `, 'quotes around the token'],
    ['its scheme', `Bearer ${whole}`, "'Bearer ' in front of the token"],
    ['its scheme in small letters', `bearer ${whole}`, "'Bearer ' in front of the token"],
    ['what a token endpoint answers', JSON.stringify({ access_token: whole }), /^a JSON document/],
    ['padding', `${head}.${body}.${mark}==`, /^padding/],
    ['the other alphabet', `${head}.${body}.+/${mark}`, /base64url/],
    ['a zero-width space', `${whole}\u200b`, 'a character in the token that no token has'],
    ['no signature', `${head}.${body}`, /three parts .* this has 2$/],
    ['an empty signature', `${head}.${body}.`, 'signature: there is none'],
    ['too many parts', `${whole}.a.b.c`, /three parts .* this has more$/],
    ['a JWE', `${head}.a.b.c.d`, /^an encrypted token \(JWE\)/],
    ['its first 90 characters', whole.slice(0, 90), /three parts .* this has [12]$/],
    ['a header that is no JSON', `${encode('{"alg":')}.${body}.${mark}`, 'header: not JSON in UTF-8'],
    ['claims that are a list', `${head}.${encode([1])}.${mark}`, 'claims: not a JSON object'],
    [
      'claims with a name twice',
      `${head}.${encode('{"a":1,"a":2}')}.${mark}`,
      /^claims: a JSON name comes twice/,
    ],
    ['the end cut off', whole.slice(0, -46), /^wrong signature: .* it has 30 bytes: is the token cut\?$/],
  ])('%s', async (_name, text, reason) => {
    const { fields } = await lineOf(await start(), text);
    expect((fields as { reason: string }).reason).toMatch(reason);
    for (const part of text.split(/[. \n]/).filter(({ length }) => length > 6)) {
      expect(JSON.stringify(fields)).not.toContain(part);
    }
  });
});

describe('a header', () => {
  test.each<[Members, Partial<IssuerOptions>, string]>([
    [{ alg: 'HS256' }, {}, "alg is 'HS256', wanted one of ['EdDSA', "],
    [{ alg: undefined }, { algorithms: ['ES256'] }, "alg is absent, wanted 'ES256'"],
    [{ typ: 'ID' }, {}, "typ is 'ID', wanted one of ['JWT', 'at+jwt', 'JOSE']"],
    [{ typ: undefined }, { typ: 'at+jwt' }, "typ is absent, wanted 'at+jwt'"],
    [{ kid: 7 }, {}, 'kid is 7, a text of 1 to 256 bytes is needed'],
    [
      { kid: 'b' },
      {},
      "no key of the issuer fits kid 'b' and alg ES256; it has 'ES256-1' for ES256, 'RS256-1' for RS256",
    ],
    [{ kid: undefined }, {}, 'names no key (kid is absent), and the issuer has 2'],
    [{ cty: 'JWT' }, {}, "cty is 'JWT': a token inside of a token is not read"],
    [{ crit: ['x'] }, {}, 'header parameter crit is not supported'],
  ])('with %j', async (header, options, reason) => {
    const key = good.privateKey('ES256');
    const members = { alg: 'ES256', kid: good.kid('ES256'), typ: 'JWT', ...header };
    const claims = { iss: good.issuer, aud: 'postern', sub: 'alice', exp: now() + 60 };
    expect(await reasonOf(forge(members, claims, 'ES256', key), options)).toContain(reason);
  });
});

describe('claims', () => {
  const rules = (value: unknown): Members => ({ postern: value });
  test.each<[Members, Partial<IssuerOptions>, string | RegExp]>([
    [{ iss: undefined }, {}, "iss is absent, wanted 'https://id.example'"],
    [{ iss: 'https://evil.example' }, {}, "iss is 'https://evil.example', wanted 'https://id.example'"],
    [{ iss: ['https://id.example'] }, {}, "iss is ['https://id.example'], wanted 'https://id.example'"],
    [
      { iss: 'https://id.example/' },
      {},
      "iss is 'https://id.example/', and the config has 'https://id.example': every character counts",
    ],
    [
      { iss: 'HTTPS://ID.example' },
      {},
      /and the config has 'https:\/\/id\.example': every character counts$/,
    ],
    [
      { iss: undefined, sub: 'spiffe://other.example/a' },
      {},
      /^iss is absent, and sub is of 'spiffe:\/\/other\.example'/,
    ],
    [{ iss: 'spiffe://acme.example' }, {}, /a token of a trust domain has none$/],
    [{ aud: 'billing' }, {}, "aud is 'billing', wanted 'postern'"],
    [
      { aud: ['a', 'b'] },
      { audience: ['postern', 'pg'] },
      "aud is ['a', 'b'], wanted one of ['postern', 'pg']",
    ],
    [{ aud: undefined }, {}, 'aud is absent'],
    [{ aud: ['postern', 1] }, {}, "aud is ['postern', 1], a text or a list of texts is needed"],
    [{ azp: 'web' }, { azp: ['cli', 'app'] }, "azp is 'web', wanted one of ['cli', 'app']"],
    [{ azp: undefined }, { azp: 'cli' }, "azp is absent, wanted 'cli'"],
    [{ sub: undefined }, {}, 'sub is absent'],
    [{ sub: 7 }, {}, 'sub is 7, a text is needed'],
    [{ sub: 'a\nb' }, {}, "sub has control characters: 'a\\u{a}b'"],
    [{ jti: 7 }, {}, 'jti is 7, a text without control characters is needed'],
    [{ exp: undefined }, {}, 'exp is absent'],
    [{ exp: 'tomorrow' }, {}, "exp is 'tomorrow', a number of seconds is needed"],
    [{ iat: 'now' }, {}, "iat is 'now', a number of seconds is needed"],
    [{ nbf: now() + 3_600 }, {}, /^nbf is 3\d\d\d s ahead, 5 s allowed \(clockTolerance\)$/],
    [
      { iat: now() + 600, exp: now() + 700 },
      { clockTolerance: '30s' },
      /^iat is (600|59\d) s ahead, 30 s allowed \(clockTolerance\)$/,
    ],
    [{ iat: now(), exp: now() + 90_000 }, {}, 'lives 90000 s, 86400 s allowed (maxLifetime)'],
    [{ iat: now(), exp: Date.now() + 60_000 }, {}, /\(maxLifetime\): is exp in milliseconds\?$/],
    [{ iat: 0, exp: 1 }, {}, 'expired at 1970-01-01T00:00:01.000Z'],
    [{ email: undefined }, { requiredClaims: ['email'] }, 'claim email is absent'],
    [rules({ max_conns: 5 }), {}, /^postern has 'max_conns', and can have databases, max_connections, /],
    [rules('none'), {}, "postern is 'none', an object is needed"],
    [rules({ max_connections: '5' }), {}, "postern.max_connections is '5', a whole number from 1 is needed"],
    [rules({ cidrs: ['10.0.0.0'] }), {}, "postern.cidrs is '10.0.0.0', a network in CIDR notation is needed"],
    [
      rules({ windows: [{ days: ['Monday'], from: '08:00', to: '18:00', tz: 'UTC' }] }),
      {},
      "postern.windows.days is 'Monday', one of mon … sun is needed",
    ],
    [{ cnf: { jkt: 'x' } }, {}, "cnf is an object with ['jkt']: only x5t#S256 alone can be checked"],
    [{ cnf: { 'x5t#S256': 'AAAA' } }, {}, "bound to the client certificate 'AAAA', and there is none"],
  ])('%j', async (claims, options, reason) => {
    expect(await reasonOf(sign(claims), options)).toMatch(
      typeof reason === 'string'
        ? new RegExp(`^${reason.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`)
        : reason,
    );
  });

  test('of another certificate: which one it is bound to, and which came', async () => {
    const [wanted, there] = ['a', 'b'].map((text) => createHash('sha256').update(text).digest());
    const token = sign({ cnf: { 'x5t#S256': wanted?.toString('base64url') } });
    const { fields } = await lineOf(await start(), token, {
      certificateSha256: there?.toString('hex') ?? '',
    });
    const [one, other] = [wanted, there].map((hash) => `'${hash?.toString('base64url')}'`);
    expect(fields).toMatchObject({ reason: `bound to the client certificate ${one}, and this is ${other}` });
  });
});

test('a token that is revoked: by which revocation', async () => {
  const running = await start();
  await running.service('revocations')?.revoke({ issuer: good.issuer, subject: 'alice' });
  const { fields } = await lineOf(running, whole);
  expect((fields as { reason: string }).reason).toMatch(
    /^revoked by issuer and subject \(revocation [\w-]{22}\)$/,
  );
});

test('a token with rules at the verifier for HTTP: which ones', async () => {
  const verifier = (await start()).service('verifier');
  const refused = await refusalOf(
    Promise.resolve(verifier?.verify(sign({ postern: { max_connections: 1 } }))),
  );
  expect((refused.cause as Error).message).toBe('carries rules, which only sessions keep: maxConnections');
});

test('discovery that is of another issuer: of which', async () => {
  const keys = await keyIssuer(
    json({ issuer: 'https://other.example', jwks_uri: 'https://other.example/keys' }),
  );
  const name = new URL(keys.url).origin;
  const running = await host([jwt({ issuers: [{ issuer: name, audience: 'postern' }] })]);
  onTestFinished(() => running.stop());
  await refusalOf(running.login({ token: issuer({ algorithms: ['ES256'], issuer: name }).sign() }));
  const reason = `discovery: the document is of another issuer: 'https://other.example', not '${name}'`;
  expect(running.lines).toContainEqual({
    fields: { issuer: name, reason },
    message: 'key set not refreshed',
  });
});

describe('a renewal', () => {
  test.each<[Members, string]>([
    [
      { sub: 'bob' },
      "it is for 'bob' of 'https://id.example', and the session for 'alice' of 'https://id.example'",
    ],
    [{ exp: now() + 60 }, 'it is good until '],
    [
      { postern: { databases: ['orders', 'other'] } },
      `rule databases is '["orders","other"]', and was '["orders"]'`,
    ],
    [{ postern: undefined }, `rule databases is absent, and was '["orders"]'`],
  ])('with %j', async (claims, reason) => {
    const gateway = await tokenGateway({ plugins: [{ name: 'keeper', enforces: ['databases'] }] });
    const rules = { postern: { databases: ['orders'] } };
    const { client } = await session(gateway, tokens.sign(rules));
    const refused = await errorOf(
      client.query(`set postern.token = '${tokens.sign({ ...rules, ...claims })}'`),
    );
    expect(refused.code).toBe('28000');
    expect(refused.message + refused.hint).not.toContain(reason);
    expect(gateway.lines('renewal refused').map((line) => line['reason'])).toEqual([
      expect.stringContaining(reason),
    ]);
  });
});

describe('whatever a stranger writes', () => {
  const hostile = 'x\u202ey\n{"level":30,"msg":"login"}\u0000';
  test.each<[Members, Members]>([
    [{}, { alg: hostile }],
    [{}, { typ: hostile }],
    [{}, { kid: hostile }],
    [{ iss: hostile }, {}],
    [{ iss: good.issuer, aud: hostile }, {}],
    [{ sub: hostile, aud: [hostile], azp: hostile }, {}],
    [{ postern: { [hostile]: 1 } }, {}],
    [{ iss: hostile.repeat(500) }, {}],
    [{ aud: Array.from({ length: 500 }, () => hostile) }, {}],
  ])('is one short line of the log: %#', async (claims, header) => {
    const usual = { iss: good.issuer, aud: 'postern', sub: 'alice', exp: now() + 60 };
    const members = { alg: 'ES256', kid: good.kid('ES256'), ...header };
    const token = forge(members, { ...usual, ...claims }, 'ES256', good.privateKey('ES256'));
    const { fields } = await lineOf(await start(), token);
    for (const value of Object.values(fields as Record<string, string>))
      expect(value).toMatch(/^[\x20-\x7e…]{1,1200}$/);
  });

  test('and a token in a claim is not written down', async () => {
    const other = issuer({ algorithms: ['ES256'] }).sign();
    for (const [claims, header] of [
      [{ aud: other }, {}],
      [{ sub: other, aud: 'x' }, {}],
      [{}, { kid: other.slice(0, 250) }],
    ]) {
      const { fields } = await lineOf(
        await start(),
        forge(
          { alg: 'ES256', kid: good.kid('ES256'), ...header },
          { iss: good.issuer, aud: 'postern', sub: 'alice', exp: now() + 60, ...claims },
          'ES256',
          makeKey('ES256'),
        ),
      );
      for (const part of other.split('.')) expect(JSON.stringify(fields)).not.toContain(part.slice(0, 40));
    }
  });
});
