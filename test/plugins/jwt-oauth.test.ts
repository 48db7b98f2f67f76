/** What `jwt` announces to clients of OAUTHBEARER: the addresses that libpq would ask, and what it would find there. */
import { afterEach, describe, expect, test } from 'vitest';
import { GatewayError } from '../../core/index.ts';
import { issuerBehind, whyNoTokens } from '../../plugins/jwt/announcement.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions, OAuthOptions } from '../../plugins/jwt/index.ts';
import { issuer } from '../support/token.ts';
import { host as startPlugins } from './gateway.ts';
import type { PluginHost } from './gateway.ts';

const good = issuer({ algorithms: ['ES256'] });
const TENANTS = ['0b8c54c9-7d1c-4a39-9d21-5e8f2f7d5a10', '1b8c54c9-7d1c-4a39-9d21-5e8f2f7d5a10'];
let host: PluginHost | undefined;
afterEach(async () => {
  await host?.stop();
  host = undefined;
});

const announced = (oauth: OAuthOptions, more: Partial<IssuerOptions> = {}) =>
  jwt({ issuers: [{ ...good.options, ...more, oauth }] }).announces;

describe('the announced address', () => {
  test('is by default where PostgreSQL says it is: the issuer as it is, and the well-known path', () => {
    expect(announced({ scope: 'openid postern' })).toEqual({
      discovery: 'https://id.example/.well-known/openid-configuration',
      scope: 'openid postern',
    });
    expect(announced({ scope: 'openid' }, { issuer: 'https://id.example/' })?.discovery).toBe(
      'https://id.example//.well-known/openid-configuration',
    );
  });

  test('may be another one in which libpq finds the issuer', () => {
    const discovery = 'https://id.example/.well-known/oauth-authorization-server/realm';
    expect(announced({ scope: 'a', discovery }, { issuer: 'https://id.example/realm' })?.discovery).toBe(
      discovery,
    );
  });

  test('is that of the one tenant', () => {
    const many = { issuer: 'https://id.example/{tenantid}', tenants: TENANTS.slice(0, 1) };
    expect(announced({ scope: 'a' }, many)?.discovery).toBe(
      `https://id.example/${TENANTS[0]}/.well-known/openid-configuration`,
    );
    expect(() => announced({ scope: 'a' }, { ...many, tenants: TENANTS })).toThrow(
      'jwt.issuers[0].oauth: one issuer can be announced, and there are 2 tenants',
    );
  });

  test('is of one issuer, and tokens of others are taken all the same', async () => {
    const other = issuer({ issuer: 'https://other.example', algorithms: ['ES256'] });
    const oauth = { scope: 'openid' };
    const first = { ...good.options, oauth };
    const both = jwt({ issuers: [other.options, first] });
    expect(both.announces?.discovery).toBe('https://id.example/.well-known/openid-configuration');
    host = await startPlugins([both]);
    expect((await host.login({ token: other.sign() })).facts.identity?.issuer).toBe('https://other.example');
    expect(() => jwt({ issuers: [first, { ...other.options, oauth }] })).toThrow(
      'jwt.issuers[1].oauth: one issuer',
    );
  });

  test.each(['', ' ', 'openid  postern', 'openid\tpostern', 'a"b', 'a\\b', 'grün', 'openid '])(
    'has no scope %j, and the mistake is told where it stands',
    (scope) => {
      expect(() => announced({ scope })).toThrow('jwt.issuers[0].oauth.scope: ');
    },
  );

  test('is none without oauth', () => {
    expect(jwt({ issuers: [good.options] }).announces).toBeUndefined();
  });
});

/** As `issuer_from_well_known_uri` of libpq 18 has it. */
test.each([
  ['https://a/.well-known/openid-configuration', 'https://a'],
  ['https://a/b/.well-known/openid-configuration', 'https://a/b'],
  ['https://a/.well-known/openid-configuration/b', 'https://a/b'],
  ['https://a/.well-known/oauth-authorization-server/b/c', 'https://a/b/c'],
  ['HTTPS://a/.well-known/openid-configuration', 'HTTPS://a'],
  ['https://a//.well-known/openid-configuration', 'https://a/'],
  ['https://a/b/.well-known/openid-configuration/c', undefined],
  ['https://a/.well-known/openid-configuration-bad', undefined],
  ['https://a/.well-known/other', undefined],
  ['https://a/openid-configuration', undefined],
  ['https://a/.well-known/openid-configuration?x', undefined],
  ['https://a/.well-known/openid-configuration#x', undefined],
  ['http://a/.well-known/openid-configuration', undefined],
])('libpq takes %s for %s', (discovery, expected) => {
  expect(issuerBehind(discovery)).toBe(expected);
});

test('a document of another issuer, or without device authorization, gets nobody a token', () => {
  const document = { issuer: 'https://a', device_authorization_endpoint: 'https://a/device' };
  expect(whyNoTokens(document, 'https://a')).toBeUndefined();
  expect(whyNoTokens(document, 'https://b')).toBe(
    "the document is of another issuer: 'https://a', not 'https://b'",
  );
  expect(whyNoTokens({ issuer: 'https://a' }, 'https://a')).toContain('no device_authorization_endpoint');
  expect(whyNoTokens(null, 'https://a')).toContain('another issuer');
});

test('an issuer that cannot be read is warned of, and stops no login', async () => {
  const unreachable = { ...good.options, issuer: 'https://127.0.0.1:1', oauth: { scope: 'openid' } };
  host = await startPlugins([jwt({ issuers: [unreachable] })]);
  const running = host;
  const warned = () => running.lines.filter(({ message }) => message.startsWith('clients may get no tokens'));
  while (warned().length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(warned()[0]?.fields).toMatchObject({ issuer: 'https://127.0.0.1:1' });
  const token = good.sign({ iss: 'https://127.0.0.1:1' });
  expect((await host.login({ token })).facts.identity?.subject).toBe('alice');
  await expect(host.login({ token: 'x' })).rejects.toThrow(GatewayError);
});
