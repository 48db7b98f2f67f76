/** Who is let in with a certificate: names, patterns, authorities, rules; and what a config may say of it. */
import { describe, expect, test } from 'vitest';
import { GatewayError } from '../../core/contract/errors.ts';
import type { Facts } from '../../core/contract/facts.ts';
import type { ClientCertificate, EndAtOptions, LoginSession } from '../../core/contract/session.ts';
import { certificates } from '../../plugins/certificates/index.ts';
import type { CertificatesOptions } from '../../plugins/certificates/index.ts';

const notAfter = new Date(Date.now() + 3_600_000);
const certificate = (more: Partial<ClientCertificate>): ClientCertificate => ({
  sha256: 'aa',
  subject: '',
  issuer: 'CN=Machines CA',
  serialNumber: '01',
  commonNames: [],
  dns: [],
  uris: [],
  notAfter,
  ...more,
});

interface Met {
  readonly facts: Partial<Facts>;
  readonly ends: readonly Date[];
}

/** What a login establishes; rejects with the refusal. */
async function login(options: CertificatesOptions, shown?: Partial<ClientCertificate>): Promise<Met> {
  const facts: Record<string, unknown> = {};
  const ends: Date[] = [];
  const session = {
    client: {
      address: '127.0.0.1',
      port: 1,
      listener: 'default',
      tls: shown && { certificate: certificate(shown) },
    },
    startup: { user: 'billing', database: 'orders', parameters: {} },
    establish: (name: string, value: unknown) => void (facts[name] = value),
    endAt: (at: Date, error: GatewayError, how: EndAtOptions) => {
      expect(error).toMatchObject({ code: 'admin_shutdown', message: 'the client certificate has expired' });
      expect(how.noticeMs).toBeGreaterThan(0);
      ends.push(at);
    },
  } as unknown as LoginSession<never, 'identity' | 'rules'>;
  await certificates(options).onAuth?.(session, {} as never);
  return { facts, ends };
}

/** The reason in the log; the client reads the same of each. */
async function refusal(options: CertificatesOptions, shown?: Partial<ClientCertificate>): Promise<string> {
  const error: unknown = await login(options, shown).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof GatewayError)) throw new Error(`no refusal: ${String(error)}`);
  expect(error).toMatchObject({ code: 'invalid_authorization_specification' });
  expect([error.message, error.detail, error.hint]).toEqual([
    'certificate authentication failed for user "billing"',
    undefined,
    undefined,
  ]);
  return (error.cause as Error).message;
}

const spiffe = (name: string | readonly string[]): CertificatesOptions => ({
  by: 'uri',
  trustDomain: 'example.org',
  allow: [{ name }],
});
const id = (path: string): Partial<ClientCertificate> => ({ uris: [`spiffe://example.org${path}`] });

describe('a certificate', () => {
  test('is an identity with the claims and rules of its entry, and the session ends with it', async () => {
    const rules = { maxConnections: 2, databases: ['orders'], maxSession: '8h' };
    const claims = { role: 'writer' };
    const options: CertificatesOptions = {
      by: 'uri',
      trustDomain: 'example.org',
      allow: [{ name: 'spiffe://example.org/billing', claims, rules }],
    };
    const { facts, ends } = await login(options, id('/billing'));
    expect(facts.identity).toMatchObject({
      issuer: 'certificate:',
      subject: 'spiffe://example.org/billing',
      expiresAt: notAfter,
      claims: {
        role: 'writer',
        iss: 'certificate:',
        sub: 'spiffe://example.org/billing',
        certificate: { sha256: 'aa' },
      },
    });
    expect(facts.rules).toEqual(rules);
    expect(ends).toEqual([notAfter]);
  });

  test('has the first entry that means it', async () => {
    const allow = [
      { name: 'spiffe://example.org/a', claims: { n: 1 } },
      { name: ['spiffe://example.org/b', 'spiffe://example.org/*'], claims: { n: 2 } },
      { name: 'spiffe://example.org/**', claims: { n: 3 } },
    ];
    const of = async (path: string): Promise<unknown> =>
      (await login({ by: 'uri', trustDomain: 'example.org', allow }, id(path))).facts.identity?.claims['n'];
    expect(await Promise.all(['/a', '/b', '/c', '/c/d'].map(of))).toEqual([1, 2, 2, 3]);
  });

  test('that nobody knows is refused as any other, with the reason in the log', async () => {
    const options = spiffe('spiffe://example.org/ns/*/sa/billing');
    expect(await refusal(options)).toBe('the client has shown none');
    expect(await refusal(options, {})).toBe('the certificate has no URIs');
    expect(await refusal(options, { uris: ['spiffe://example.org/a', 'spiffe://example.org/b'] })).toBe(
      'the certificate has 2 of URIs, and one has to be it',
    );
    expect(await refusal(options, id('/ns/a/sa/other'))).toBe(
      "certificates.allow has no entry for 'spiffe://example.org/ns/a/sa/other'",
    );
    expect(await refusal(options, { uris: ['spiffe://other.org/ns/a/sa/billing'] })).toBe(
      'the certificate has a URI that is not of trust domain example.org',
    );
  });

  test.each([
    '/ns/a/b/sa/billing',
    '/ns//sa/billing',
    '/ns/../sa/billing',
    '/ns/a/sa/billing/',
    '/ns/a/sa/billing?x',
    '/ns/a/sa/billing#x',
    '/ns/%61/sa/billing',
    '/NS/a/sa/billing',
    '',
    '.evil.example/ns/a/sa/billing',
    '@evil.example/ns/a/sa/billing',
    ':443/ns/a/sa/billing',
  ])('with the id spiffe://example.org%s is not what /ns/*/sa/billing means', async (path) => {
    await refusal(spiffe('spiffe://example.org/ns/*/sa/billing'), id(path));
  });

  test('is known by a DNS name in any case, and a star is one label', async () => {
    const by = (name: string): CertificatesOptions => ({ by: 'dns', allow: [{ name }] });
    const of = async (name: string, ...dns: string[]): Promise<string | undefined> =>
      (await login(by(name), { dns })).facts.identity?.subject;
    expect(await of('Billing.Example', 'x.example', 'bILLING.example')).toBe('billing.example');
    expect(await of('*.prod.example', 'a.prod.example')).toBe('a.prod.example');
    for (const name of [
      'a.b.prod.example',
      'prod.example',
      '.prod.example',
      '*.prod.example',
      'a.prod.example.',
    ])
      await refusal(by('*.prod.example'), { dns: [name] });
  });

  test('is known by its only common name', async () => {
    const by: CertificatesOptions = { by: 'commonName', allow: [{ name: 'billing' }] };
    expect((await login(by, { commonNames: ['billing'] })).facts.identity?.subject).toBe('billing');
    expect(await refusal(by, { commonNames: ['billing', 'admin'] })).toContain('one has to be it');
    expect(await refusal(by, { commonNames: ['Billing'] })).toContain("'Billing'");
    expect(await refusal(by, { subject: 'CN=billing' })).toContain('no common names');
    const any: CertificatesOptions = { by: 'commonName', allow: [{ name: '*' }] };
    expect((await login(any, { commonNames: ['x*'] })).facts.identity?.subject).toBe('x*');
  });

  test('is known by its whole subject', async () => {
    const by: CertificatesOptions = { by: 'subject', allow: [{ name: 'CN=billing,O=Example\\, Inc.' }] };
    expect((await login(by, { subject: 'CN=billing,O=Example\\, Inc.' })).facts.identity?.subject).toContain(
      'CN=',
    );
    for (const subject of ['CN=billing', 'CN=billing,O=Example', 'CN=billing,O=Example\\, Inc.,C=DE', ''])
      await refusal(by, { subject });
  });

  test('with names of the kind that a prototype has is nobody', async () => {
    const by: CertificatesOptions = { by: 'commonName', allow: [{ name: 'billing' }] };
    for (const name of ['constructor', '__proto__', 'toString']) await refusal(by, { commonNames: [name] });
  });
});

describe('options', () => {
  const wrong = (options: unknown): string => {
    try {
      certificates(options as CertificatesOptions);
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  const one = (entry: object, more: object = {}): object => ({ by: 'uri', allow: [entry], ...more });

  test.each<[unknown, string]>([
    [undefined, 'certificates: an object is needed'],
    [{}, 'certificates.by: '],
    [{ by: 'cn', allow: [] }, "certificates.by: one of 'uri', 'dns', 'commonName', 'subject' is needed"],
    [{ by: 'uri' }, 'certificates.allow: a list of values is needed, with at least one'],
    [one({}), 'certificates.allow[0].name: a name is needed'],
    [one({ name: [] }), 'certificates.allow[0].name: a list of names is needed, with at least one'],
    [one({ name: 'a:b', rols: 1 }), 'certificates.allow[0].rols: no such option'],
    [
      one({ name: 'spiffe://*/a' }),
      'certificates.allow[0].name: scheme and host of a URI have to be written out',
    ],
    [one({ name: '*' }), 'certificates.allow[0].name: scheme and host of a URI have to be written out'],
    [one({ name: 'spiffe://a/b*' }), 'certificates.allow[0].name: "b*": * stands for a whole part'],
    [one({ name: 'spiffe://a/**/b' }), 'certificates.allow[0].name: ** stands at the end of a URI'],
    [{ by: 'dns', allow: [{ name: '*' }] }, 'certificates.allow[0].name: some label has to be written out'],
    [{ by: 'dns', allow: [{ name: 'a.**' }] }, 'certificates.allow[0].name: ** stands at the end of a URI'],
    [
      { by: 'subject', allow: [{ name: '*' }] },
      'certificates.allow[0].name: a whole distinguished name is needed',
    ],
    [
      { by: 'dns', trustDomain: 'a', allow: [{ name: 'a' }] },
      "certificates.trustDomain: goes with by: 'uri'",
    ],
    [
      one({ name: 'a:b' }, { trustDomain: 'spiffe://a' }),
      'certificates.trustDomain: a trust domain is needed',
    ],
    [
      one({ name: 'spiffe://b/c' }, { trustDomain: 'a' }),
      'certificates.allow[0].name: an id that begins with spiffe://a/ is needed',
    ],
    [
      one({ name: 'a:b', authority: 'x' }),
      'certificates.allow[0].authority: "x" is none of certificates.authorities',
    ],
    [one({ name: 'a:b' }, { authorities: {} }), 'certificates.authorities: at least one is needed'],
    [one({ name: 'a:b' }, { authorities: { A: 'f' } }), "certificates.authorities['A']: a name of a-z"],
    [
      one({ name: 'a:b', claims: { sub: 'x' } }),
      'certificates.allow[0].claims.sub: is what the certificate says',
    ],
    [
      one({ name: 'a:b', rules: { maxConnection: 1 } }),
      'certificates.allow[0].rules.maxConnection: no such option',
    ],
    [one({ name: 'a:b', rules: { maxConnections: 0 } }), 'certificates.allow[0].rules.maxConnections: '],
    [one({ name: 'a:b', rules: { cidrs: ['x'] } }), 'certificates.allow[0].rules.cidrs[0]: '],
    [
      one({ name: 'a:b', rules: { rate: { statements: '5' } } }),
      'certificates.allow[0].rules.rate.statements: ',
    ],
    [one({ name: 'a:b', rules: { maxSession: '0s' } }), 'certificates.allow[0].rules.maxSession: '],
    [one({ name: 'a:b', rules: { cidrs: ['10.0.0.1'] } }), 'certificates.allow[0].rules.cidrs[0]: '],
    [one({ name: 'a:b', rules: { databases: [''] } }), 'certificates.allow[0].rules.databases[0]: '],
    [one({ name: 'a:b', rules: { maxSession: 5 } }), 'certificates.allow[0].rules.maxSession: '],
    [one({ name: 'a:b', rules: { target: 'x' } }), 'certificates.allow[0].rules.target: '],
    [
      one({ name: 'a:b', rules: { windows: [{ days: ['mon'], from: '8', to: '18:00', tz: 'UTC' }] } }),
      'certificates.allow[0].rules.windows[0].from: a time HH:MM is needed',
    ],
    [
      one({ name: 'a:b', rules: { windows: [{ days: ['mon'], from: '08:00', to: '24:00', tz: 'Mars/X' }] } }),
      'certificates.allow[0].rules.windows[0].tz: a time zone is needed',
    ],
  ])('%j stop the boot with their path', (options, sentence) => {
    expect(wrong(options)).toContain(sentence);
  });

  test('may say everything', () => {
    const windows = [{ days: ['mon'], from: '08:00', to: '24:00', tz: 'Europe/Berlin' }];
    const rules = {
      databases: ['orders'],
      maxConnections: 5,
      cidrs: ['10.0.0.0/8'],
      windows,
      rate: { statements: '200/s', connections: '5/s' },
      maxSession: '1h',
      target: 'replica',
    };
    const entry = { name: 'spiffe://a/b', authority: ['x'], claims: { role: 'a' }, rules };
    expect(wrong(one(entry, { trustDomain: 'a', authorities: { x: 'x.pem' } }))).toBe('');
  });
});
