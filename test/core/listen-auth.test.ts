/** Which credential a listener takes: what a config may say, and which one a client is asked for. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { only } from '../../core/contract/config.ts';
import { choiceText } from '../../core/config/auth.ts';
import { checkConfig } from '../../core/config/check.ts';
import { answeredDatabases } from '../../core/config/answered-databases.ts';
import { knownPlugins } from '../../core/config/known-plugins.ts';
import { credentialFor, parameterValues } from '../../core/connection/credential-choice.ts';
import type { CredentialChoice } from '../../core/contract/credential.ts';
import { GatewayError } from '../../core/contract/errors.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { console } from '../../plugins/console/index.ts';
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
const announcing = plugin('id', { announces, credentials: ['password', 'oauthbearer'] });
const scram = plugin('old', { credentials: ['scram'] });

const installed = await knownPlugins();

function lines(listen: unknown, plugins: readonly unknown[] = [announcing]): readonly string[] {
  try {
    const databases = { orders: { host: 'db', login: { kind: 'trust' } } };
    checkConfig({ listen, databases, plugins }, '/', installed);
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
  [
    { default: 'scram', password: { users: ['_', 'ops'] }, certificate: { parameter: true } },
    'scram, password by user _ or user ops, certificate by postern.auth',
  ],
])('operators read of %j: %s', (auth, text) => {
  expect(choiceText(auth as CredentialChoice)).toBe(text);
});

test.each<[string, unknown, readonly unknown[], readonly string[]]>([
  [
    'a password',
    { auth: { default: 'scram', password: { users: ['_'] } } },
    [announcing, scram],
    ['default'],
  ],
  ['an announced issuer', { auth: 'oauthbearer' }, [announcing], ['default']],
  ['an issuer of other databases', { auth: 'oauthbearer' }, only({ databases: ['orders'] }, announcing), []],
  ['no token', { auth: 'scram' }, [scram], []],
  [
    'one of several listeners',
    [
      { name: 'old', auth: 'scram' },
      { name: 'new', port: 1 },
    ],
    [announcing, scram],
    ['new'],
  ],
])(
  'operators can open the console where a listener takes a token for it: %s',
  (_, listen, plugins, expected) => {
    const admin = { operators: { claim: 'role', value: 'operator' } };
    const databases = { orders: { host: 'db', login: { kind: 'trust' } } };
    const config = (...more: readonly AnyPlugin[]) =>
      checkConfig({ listen, databases, plugins: [...plugins, ...more], admin }, '/');
    expect(answeredDatabases(config(console()))).toMatchObject([{ name: 'pgbouncer', on: expected }]);
    expect(answeredDatabases(config())).toEqual([]);
  },
);

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
    ['oauth', "listen.auth: expected 'password', 'oauthbearer', 'scram' or 'certificate', got 'oauth'"],
    [true, "listen.auth: expected 'password', 'oauthbearer', 'scram' or 'certificate', got true"],
    [{ oauthbearer: { parameter: true } }, 'listen.auth.default: missing: expected'],
    [
      { default: 'password', oauth: {} },
      "listen.auth: unknown key 'oauth'; known: default, password, oauthbearer, scram, certificate",
    ],
    [{ default: 'password' }, "listen.auth: nothing is chosen but the default: write 'password', or say {"],
    [
      { default: 'password', oauthbearer: {} },
      'listen.auth.oauthbearer: nothing chooses it: say servernames, users, or parameter: true',
    ],
    [
      { default: 'password', oauthbearer: { parameter: false } },
      'listen.auth.oauthbearer: nothing chooses it: say servernames, users, or parameter: true',
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

  test('users are told letter by letter, each once', () => {
    const scram = plugin('passwords', { credentials: ['scram'] });
    const users = (...given: unknown[]): readonly string[] =>
      lines({ auth: { default: 'scram', password: { users: given } } });
    const at = 'listen.auth.password.users';
    expect(
      lines({ auth: { default: 'password', scram: { users: ['a', 'A', 'ä'] } } }, [
        plugin('jwt', { credentials: ['password'] }),
        scram,
      ]),
    ).toEqual([]);
    expect(users()).toEqual([`${at}: at least one user is needed`]);
    expect(users('')).toEqual([`${at}[0]: expected a user, got ''`]);
    expect(users('a', 'a')).toEqual([`${at}[1]: 'a' comes twice`]);
    const twice = { default: 'password', scram: { users: ['a'] }, oauthbearer: { users: ['b', 'a'] } };
    expect(lines({ auth: twice })).toEqual(["listen.auth.scram.users[0]: 'a' comes twice"]);
  });

  test.each<[string, unknown]>([
    ['alone', 'certificate'],
    ['as default', { default: 'certificate', password: { parameter: true } }],
    ['by a sign', { default: 'password', certificate: { users: ['billing'] } }],
  ])('certificates %s need authorities that have signed them', (_, auth) => {
    const [here, there] = [
      plugin('jwt', { credentials: ['password'] }),
      plugin('certificates', { credentials: ['certificate'] }),
    ];
    const wanted =
      "listen.auth: 'certificate' needs listen.tls.clientCa, the authorities of client certificates";
    expect(lines({ auth }, [here, there])).toEqual([wanted]);
    expect(lines({ auth, tls: tls() }, [here, there])).toEqual([wanted]);
    expect(lines({ auth, tls: { ...tls(), clientCa: files.ca.certFile } }, [here, there])).toEqual([]);
    expect(
      lines(
        [
          { name: 'a', port: 0 },
          { name: 'b', port: 0, auth, tls: tls() },
        ],
        [here, there],
      ),
    ).toEqual([wanted.replaceAll('listen.', 'listen[1].')]);
  });

  describe('each credential that a listener takes needs a plugin that says who comes with it', () => {
    const jwt = plugin('jwt', { credentials: ['password', 'oauthbearer'] });
    const passwords = plugin('passwords', { credentials: ['scram'] });
    const needing: AnyPlugin = { name: 'roles', needs: ['identity'] };
    const both = { default: 'scram', password: { users: ['_'] } };

    test('and with one for each they boot together', () => {
      expect(lines({ auth: both }, [jwt, passwords, needing])).toEqual([]);
      expect(lines({ auth: both }, [passwords, jwt, needing])).toEqual([]);
    });

    test('a credential without one is named with its place', () => {
      expect(lines({ auth: both }, [jwt])).toEqual([
        "listen.auth: 'scram' needs a plugin that provides 'identity': passwords()",
      ]);
      expect(lines({ auth: both }, [passwords, needing])).toEqual([
        "listen.auth: 'password' needs a plugin that provides 'identity' for every database: jwt()",
      ]);
      expect(lines({ auth: 'scram' }, [])).toHaveLength(1);
      expect(lines({}, [])).toEqual([]);
    });

    test('also one that only a database lacks', () => {
      const list = [...only({ databases: ['orders'] }, jwt), passwords];
      expect(lines({ auth: both }, list)).toEqual([
        "listen.auth: 'password' needs a plugin that provides 'identity' for every database: jwt()",
      ]);
      const other = [jwt, ...only({ databases: ['orders'] }, passwords)];
      expect(lines({ auth: both }, other)).toEqual([
        "listen.auth: 'scram' needs a plugin that provides 'identity' for every database: passwords()",
      ]);
      expect(lines({ auth: both }, [...only({ databases: ['orders'] }, jwt, passwords, needing)])).toEqual(
        [],
      );
    });

    test('and one listener is not held to what another takes', () => {
      const two = [
        { name: 'public', port: 0 },
        { name: 'private', port: 0, auth: 'scram' },
      ];
      expect(lines(two, [jwt, passwords, needing])).toEqual([]);
      const list = [...only({ listeners: ['private'] }, jwt), passwords, needing];
      expect(lines(two, list)).toEqual([
        "plugins: 'roles' needs 'identity', but 'jwt' provides it only within its own only(): widen that scope or narrow this one",
      ]);
      expect(lines(two, [jwt, needing])).toEqual([
        "listen[1].auth: 'scram' needs a plugin that provides 'identity': passwords()",
      ]);
    });

    test('two for one credential are too many', () => {
      expect(lines({ auth: both }, [jwt, passwords, plugin('second', { credentials: ['scram'] })])).toEqual([
        "plugins: 'second' provides 'identity', which 'passwords' provides already: one of them is enough",
      ]);
      expect(lines({ auth: both }, [jwt, passwords, plugin('all')])).toHaveLength(2);
      expect(lines({}, [jwt, plugin('all')])).toHaveLength(1);
    });

    test('a need is met by the plugins for its own credentials, and those of tokens do not count for others', () => {
      const rules = plugin('rules', { provides: ['rules'], credentials: ['password'] });
      const limits: AnyPlugin = { name: 'limits', needs: ['rules'] };
      expect(lines({ auth: both }, [jwt, passwords, rules, limits])).toEqual([
        "plugins: 'limits' needs 'rules', but 'rules' provides it for 'password' only, not for 'scram': put a plugin that does before it",
      ]);
      expect(
        lines({ auth: both }, [jwt, passwords, rules, { ...limits, credentials: ['password'] }]),
      ).toEqual([]);
      expect(
        lines({ auth: both }, [jwt, passwords, rules, ...only({ credentials: ['password'] }, limits)]),
      ).toEqual([]);
    });

    test('a plugin for a credential that no listener takes is named; one for tokens serves operators', () => {
      expect(lines({}, [jwt, passwords])).toEqual([
        "plugins: 'passwords' is for 'scram', which no listener takes: say so in listen.auth",
      ]);
      expect(lines({ auth: 'scram' }, [jwt, passwords])).toEqual([]);
    });
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
  const nobody = { user: '_' };
  const of = (servername?: string, parameter?: string, user = '_'): string =>
    credentialFor(auth, servername === undefined ? {} : { tls: { servername } }, {
      user,
      options: parameter === undefined ? {} : { 'postern.auth': parameter },
    });

  test('is the default without a sign', () => {
    expect(of()).toBe('password');
    expect(of('gateway.example')).toBe('password');
    expect(of('sso.example')).toBe('password');
    expect(of('a.b.sso.example')).toBe('password');
    expect(credentialFor(undefined, {}, nobody)).toBe('password');
    expect(credentialFor('oauthbearer', { tls: { servername: 'x' } }, nobody)).toBe('oauthbearer');
  });

  test('is chosen by a server name, in any case, or one label below it', () => {
    expect(of('oauth.EXAMPLE')).toBe('oauthbearer');
    expect(of('psql.sso.example')).toBe('oauthbearer');
  });

  test('is not chosen by the one label that a name below it would have behind it', () => {
    const single: CredentialChoice = { default: 'password', oauthbearer: { servernames: ['*.sso'] } };
    const by = (servername: string): string => credentialFor(single, { tls: { servername } }, nobody);
    expect(by('db.sso')).toBe('oauthbearer');
    for (const name of ['sso', '.sso', 'a.b.sso', '']) expect(by(name)).toBe('password');
  });

  test('is chosen by the user of the startup packet, letter by letter', () => {
    const byUser: CredentialChoice = {
      default: 'scram',
      password: { users: ['_', 'Ops', 'constructor'] },
      certificate: { users: ['billing'] },
    };
    const by = (user: string): string => credentialFor(byUser, {}, { user });
    expect(['_', 'Ops', 'constructor', 'billing'].map(by)).toEqual([
      'password',
      'password',
      'password',
      'certificate',
    ]);
    for (const user of ['', '__', 'ops', 'Ops ', 'toString', '*']) expect(by(user)).toBe('scram');
  });

  test.each<[parameter: string | undefined, servername: string | undefined, user: string, is: string]>([
    ['scram', 'bearer.example', 'billing', 'scram'],
    ['password', 'bearer.example', 'billing', 'password'],
    [undefined, 'bearer.example', 'billing', 'oauthbearer'],
    [undefined, 'x.bearer.example', 'billing', 'oauthbearer'],
    [undefined, 'other.example', 'billing', 'certificate'],
    [undefined, undefined, 'billing', 'certificate'],
    [undefined, 'bearer.example', 'alice', 'oauthbearer'],
    [undefined, 'other.example', 'alice', 'password'],
    ['scram', undefined, 'alice', 'scram'],
  ])(
    'of parameter %s, server name %s and user %s the first counts: %s',
    (parameter, servername, user, is) => {
      const all: CredentialChoice = {
        default: 'password',
        scram: { parameter: true },
        oauthbearer: { servernames: ['bearer.example', '*.bearer.example'] },
        certificate: { users: ['billing'] },
      };
      const client = servername === undefined ? {} : { tls: { servername } };
      const options = parameter === undefined ? {} : { 'postern.auth': parameter };
      expect(credentialFor(all, client, { user, options })).toBe(is);
      expect(parameterValues(all)).toEqual(['password', 'scram']);
    },
  );

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
    // A parameter that the listener does not have is refused elsewhere, as any other that is not known.
    expect(credentialFor(other, {}, { user: '_', options: { 'postern.auth': 'scram' } })).toBe('password');
    expect(() => of(undefined, 'OAUTHBEARER')).toThrow('invalid value for parameter "postern.auth"');
  });
});
