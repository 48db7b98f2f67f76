/** Which credential a listener takes: what a config may say, and which one a client is asked for. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { only } from '../../core/config.ts';
import { choiceText } from '../../core/config/auth.ts';
import { checkConfig } from '../../core/config/check.ts';
import { credentialFor, parameterValues } from '../../core/connection/credential-choice.ts';
import type { CredentialChoice } from '../../core/credential.ts';
import { GatewayError } from '../../core/errors.ts';
import type { AnyPlugin } from '../../core/plugin.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';

let files: Certificates;
beforeAll(async () => {
  files = await certificates();
});
afterAll(() => files.remove());

const announces = { discovery: 'https://id.example/.well-known/openid-configuration', scope: 'openid' };
const plugin = (name: string, more: Partial<AnyPlugin> = {}): AnyPlugin => ({
  name,
  provides: ['identity'],
  onAuth() {},
  ...more,
});
const announcing = plugin('id', { announces });

function lines(listen: unknown, plugins: readonly unknown[] = [announcing]): readonly string[] {
  try {
    checkConfig({ listen, databases: { orders: { host: 'db', login: { kind: 'trust' } } }, plugins }, '/');
    return [];
  } catch (error) {
    return (error as Error).message.split('\n');
  }
}

test.each<[string | CredentialChoice, string]>([
  ['oauthbearer', 'oauthbearer'],
  [
    { default: 'password', oauthbearer: { servernames: ['db.example', '*.db.example'], parameter: true } },
    'password, oauthbearer by db.example or *.db.example or postern.auth',
  ],
])('operators read of %j: %s', (auth, text) => {
  expect(choiceText(auth as CredentialChoice)).toBe(text);
});

describe('what a config says', () => {
  const tls = (): object => ({ cert: files.server.certFile, key: files.server.keyFile });
  const names = (...servernames: unknown[]): object => ({
    tls: tls(),
    auth: { default: 'password', oauthbearer: { servernames } },
  });

  test('may be one credential, or a default with what chooses another', () => {
    expect(lines({ auth: 'oauthbearer' })).toEqual([]);
    expect(lines({ auth: { default: 'password', oauthbearer: { parameter: true } } })).toEqual([]);
    expect(lines({ auth: { default: 'oauthbearer', password: { parameter: true } } })).toEqual([]);
    expect(lines(names('oauth.example', '*.oauth.example'))).toEqual([]);
  });

  test.each<[unknown, string]>([
    ['oauth', "listen.auth: expected 'password' or 'oauthbearer', got 'oauth'"],
    [true, "listen.auth: expected 'password' or 'oauthbearer', got true"],
    [{ oauthbearer: { parameter: true } }, 'listen.auth.default: missing: expected'],
    [
      { default: 'password', oauth: {} },
      "listen.auth: unknown key 'oauth'; known: default, password, oauthbearer",
    ],
    [{ default: 'password' }, "listen.auth: nothing is chosen but the default: write 'password', or say {"],
    [
      { default: 'password', oauthbearer: {} },
      'listen.auth.oauthbearer: nothing chooses it: say servernames, or parameter: true',
    ],
    [
      { default: 'password', oauthbearer: { parameter: false } },
      'listen.auth.oauthbearer: nothing chooses it: say servernames, or parameter: true',
    ],
    [
      { default: 'password', password: { parameter: true }, oauthbearer: { parameter: true } },
      'listen.auth.password: is the default, and needs no sign',
    ],
    [
      { default: 'password', oauthbearer: { servernames: ['oauth.example'] } },
      'listen.auth.oauthbearer.servernames: need tls, in which clients say a server name',
    ],
    [
      { default: 'password', oauthbearer: { servernames: [] } },
      'listen.auth.oauthbearer.servernames: at least one server name is needed',
    ],
  ])('%j is told its mistake', (auth, sentence) => {
    expect(lines({ auth })[0]).toContain(sentence);
  });

  test('server names are names, each once', () => {
    const at = 'listen.auth.oauthbearer.servernames';
    expect(lines(names('10.0.0.1'))).toEqual([`${at}[0]: '10.0.0.1' is an address, which is no server name`]);
    expect(lines(names('a b'))).toEqual([`${at}[0]: 'a b' is no server name`]);
    expect(lines(names('*'))).toEqual([`${at}[0]: '*' is no server name`]);
    expect(lines(names('a.example', 'A.example'))).toEqual([`${at}[1]: 'A.example' comes twice`]);
  });

  test('OAUTHBEARER needs one issuer to announce in every scope where somebody is identified', () => {
    const example = "jwt({ issuers: [{ …, oauth: { scope: 'openid' } }] })";
    const listen = { auth: 'oauthbearer' };
    expect(lines(listen, [plugin('id')])).toEqual([
      `listen.auth: 'oauthbearer' needs a plugin that announces an issuer: ${example}`,
    ]);
    expect(lines({ auth: { default: 'password', oauthbearer: { parameter: true } } }, [])).toHaveLength(1);
    const second = { name: 'other', announces };
    expect(lines(listen, [announcing, second])).toEqual([
      "listen.auth: 'oauthbearer' has one issuer to announce, and 'id' and 'other' announce one each: give each a scope of its own by only()",
    ]);
    const here = only({ databases: ['orders'] }, announcing);
    expect(lines(listen, here)).toEqual([]);
    const elsewhere = only({ databases: ['orders'] }, plugin('silent'));
    expect(lines([{ name: 'a', port: 0, auth: 'oauthbearer' }], [...elsewhere, ...here])).not.toEqual([]);
    const two = [
      { name: 'a', port: 0 },
      { name: 'b', port: 0, auth: 'oauthbearer' },
    ];
    const silent = only({ listeners: ['a'] }, plugin('silent'));
    expect(lines(two, [...silent, ...only({ listeners: ['b'] }, announcing)])).toEqual([]);
    expect(lines(two, [...silent, ...only({ listeners: ['a'] }, { name: 'other', announces })])).toEqual([
      `listen[1].auth: 'oauthbearer' needs a plugin that announces an issuer: ${example}`,
    ]);
  });

  test('a database whose plugins identify somebody and announce nothing is named', () => {
    const list = [
      ...only({ databases: ['orders'] }, plugin('silent')),
      ...only({ databases: ['billing'] }, announcing),
    ];
    const databases = {
      orders: { host: 'db', login: { kind: 'trust' } },
      billing: { host: 'db', login: { kind: 'trust' } },
    };
    expect(() => checkConfig({ listen: { auth: 'oauthbearer' }, databases, plugins: list }, '/')).toThrow(
      "listen.auth: 'oauthbearer' needs a plugin that announces an issuer for database 'orders'",
    );
  });

  test.each<[unknown, string]>([
    [5, 'announces: expected an object, got a number'],
    [{ ...announces, discovery: 'http://id.example/' }, 'announces.discovery: expected an address of https'],
    [{ ...announces, scope: 'a  b' }, 'announces.scope: expected scopes, separated by single spaces'],
    [{ ...announces, scope: 'a"b' }, 'announces.scope: expected scopes, separated by single spaces'],
    [
      { ...announces, scope: 'a'.repeat(2_000) },
      'announces: is 2114 bytes as clients get it, and libpq reads at most 1992',
    ],
  ])('a plugin that announces what nobody could use is told its mistake: %#', (wrong, sentence) => {
    expect(lines({}, [{ name: 'id', announces: wrong }])).toEqual([`plugins[0] ('id') ${sentence}`]);
  });
});

describe('the credential of a client', () => {
  const auth: CredentialChoice = {
    default: 'password',
    oauthbearer: { servernames: ['OAuth.example', '*.sso.example'], parameter: true },
  };
  const of = (servername?: string, parameter?: string): string =>
    credentialFor(
      auth,
      servername === undefined ? {} : { tls: { servername } },
      parameter === undefined ? {} : { 'postern.auth': parameter },
    );

  test('is the default without a sign', () => {
    expect(of()).toBe('password');
    expect(of('gateway.example')).toBe('password');
    expect(of('sso.example')).toBe('password');
    expect(of('a.b.sso.example')).toBe('password');
    expect(credentialFor(undefined, {}, {})).toBe('password');
    expect(credentialFor('oauthbearer', { tls: { servername: 'x' } }, {})).toBe('oauthbearer');
  });

  test('is chosen by a server name, in any case, or one label below it', () => {
    expect(of('oauth.EXAMPLE')).toBe('oauthbearer');
    expect(of('psql.sso.example')).toBe('oauthbearer');
  });

  test('is not chosen by the one label that a name below it would have behind it', () => {
    const single: CredentialChoice = { default: 'password', oauthbearer: { servernames: ['*.sso'] } };
    const by = (servername: string): string => credentialFor(single, { tls: { servername } }, {});
    expect(by('db.sso')).toBe('oauthbearer');
    for (const name of ['sso', '.sso', 'a.b.sso', '']) expect(by(name)).toBe('password');
  });

  test('is chosen by the parameter, whatever the server name', () => {
    expect(of('gateway.example', 'oauthbearer')).toBe('oauthbearer');
    expect(of('oauth.example', 'password')).toBe('password');
  });

  test('cannot be one that the listener does not have', () => {
    const other: CredentialChoice = { default: 'password', oauthbearer: { servernames: ['a.example'] } };
    expect(parameterValues(other)).toEqual([]);
    expect(parameterValues('oauthbearer')).toEqual([]);
    expect(parameterValues(auth)).toEqual(['password', 'oauthbearer']);
    expect(() => of(undefined, 'scram')).toThrow(GatewayError);
    expect(() => of(undefined, 'OAUTHBEARER')).toThrow('invalid value for parameter "postern.auth"');
  });
});
