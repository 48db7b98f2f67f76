/** Many tenants of one provider: exact issuers, one key set, and keys that sign for whom they are for. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions } from '../../plugins/jwt/index.ts';
import { parseKeySet } from '../../plugins/jwt/key-set.ts';
import { isKeyOf } from '../../plugins/jwt/tenants.ts';
import { forge, issuer, now } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import type { PluginHost } from './gateway.ts';
import { hang, json, keyIssuer } from './key-issuer.ts';
import type { KeyIssuer } from './key-issuer.ts';
import { errorOf, session, tokenGateway, tokens } from './token-sessions.ts';

const [ACME, PARTNER, STRANGER] = [
  '0b8c54c9-7d1c-4a39-9d21-5e8f2f7d5a10',
  '5f3c0a1e-2b4d-4c6f-8a9b-0c1d2e3f4a5b',
  '11111111-2222-4333-8444-555555555555',
] as const;
const PERSONAL = '9188040d-6c67-4c5b-b112-36a304b66dad';

const company = issuer({ algorithms: ['ES256'] });
const personal = issuer({ algorithms: ['ES256'], generation: '2' });

interface Site {
  readonly keys: KeyIssuer;
  readonly options: IssuerOptions;
  /** A token of this tenant. */
  readonly token: (tenant: string, by?: typeof company, more?: object) => string;
}

/** A provider with tenants, whose document names this issuer. */
async function site(documentIssuer = (origin: string) => `${origin}/{tenantid}/v2.0`): Promise<Site> {
  const keys = await keyIssuer(hang);
  const { origin } = new URL(keys.url);
  const jwks = {
    keys: [
      ...company.jwks.keys.map((key) => ({ ...key, issuer: `${origin}/{tenantid}/v2.0` })),
      ...personal.jwks.keys.map((key) => ({ ...key, issuer: `${origin}/${PERSONAL}/v2.0` })),
    ],
  };
  const pages: Readonly<Record<string, unknown>> = {
    '/organizations/v2.0/.well-known/openid-configuration': {
      issuer: documentIssuer(origin),
      jwks_uri: `${origin}/keys`,
    },
    '/keys': jwks,
  };
  keys.answer((response, request) => {
    const page = pages[request.url ?? ''];
    if (page === undefined) response.writeHead(404).end();
    else json(page)(response, request);
  });
  return {
    keys,
    options: {
      issuer: `${origin}/{tenantid}/v2.0`,
      tenants: [ACME, PARTNER, PERSONAL],
      audience: 'postern',
    },
    token: (tenant, by = company, more = {}) =>
      by.sign({ iss: `${origin}/${tenant}/v2.0`, tid: tenant, ...more }),
  };
}

async function start(options: IssuerOptions, directory?: string): Promise<PluginHost> {
  const cache = directory === undefined ? {} : { cache: 'keys' };
  const running = await host([jwt({ issuers: [options], ...cache })], directory);
  onTestFinished(() => running.stop());
  return running;
}

async function refused(running: PluginHost, token: string): Promise<unknown> {
  expect((await refusalOf(running.login({ token }))).sqlstate).toBe('28P01');
  const { reason } = (running.lines.at(-1)?.fields ?? {}) as { readonly reason?: unknown };
  return reason;
}

test('all tenants on the list come with the keys of one set, each as an issuer of its own', async () => {
  const { keys, options, token } = await site();
  const running = await start(options);
  for (const tenant of [ACME, PARTNER]) {
    const { facts } = await running.login({ token: token(tenant) });
    expect(facts.identity?.issuer).toBe(options.issuer.replace('{tenantid}', tenant));
  }
  expect(keys.requests()).toBe(2);
  expect(running.notReady()).toEqual([]);
});

test.each([
  ['a tenant that is not listed', STRANGER, {}, /^iss is '.*', wanted one of \[/],
  ['every tenant', 'organizations', {}, /^iss is '.*\/organizations\/v2\.0', wanted one of \[/],
  ['the template', '{tenantid}', {}, /^iss is '.*\/\{tenantid\}\/v2\.0', wanted one of \[/],
  [
    'a tenant in capitals',
    ACME.toUpperCase(),
    {},
    /^iss is '.*', and the config has '.*': every character counts$/,
  ],
  [
    'one tenant in iss and another in tid',
    ACME,
    { tid: PARTNER },
    new RegExp(`^claim tid is '${PARTNER}', wanted '${ACME}'$`),
  ],
  ['a tenant without tid', ACME, { tid: undefined }, new RegExp(`^claim tid is absent, wanted '${ACME}'$`)],
])('a token of %s: %s', async (_name, tenant, more, why) => {
  const { options, token } = await site();
  const running = await start(options);
  expect(await refused(running, token(tenant, company, more))).toMatch(why);
});

describe('a key for personal accounts', () => {
  test('signs for these alone, and a company’s key does not', async () => {
    const { options, token } = await site();
    const running = await start(options);
    await running.login({ token: token(PERSONAL, personal) });
    expect(await refused(running, token(ACME, personal))).toContain('no key of the issuer fits');
  });

  test('does so after a start from kept keys as well', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'postern-keys-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const { keys, options, token } = await site();
    const first = await start(options, directory);
    await first.login({ token: token(ACME) });
    await vi.waitFor(
      async () => expect((await readdir(join(directory, 'keys'))).join()).toMatch(/\.json(,|$)/),
      30_000,
    );
    await first.stop();
    keys.answer((response) => response.writeHead(503).end());
    const second = await start(options, directory);
    await second.login({ token: token(PARTNER) });
    expect((await refusalOf(second.login({ token: token(ACME, personal) }))).sqlstate).toMatch(
      /^(28P01|57P03)$/,
    );
  });

  test.each<[string, string | undefined, string, boolean]>([
    ['no word about it', undefined, `https://login.example/${ACME}/v2.0`, true],
    ['any company', 'https://login.example/{tenantid}/v2.0', `https://login.example/${ACME}/v2.0`, true],
    ['this very issuer', 'https://id.example', 'https://id.example', true],
    [
      'this tenant, for a token of version 1.0',
      `https://login.example/${ACME}/v2.0`,
      `https://sts.example/${ACME}/`,
      true,
    ],
    ['another tenant', `https://login.example/${PERSONAL}/v2.0`, `https://login.example/${ACME}/v2.0`, false],
    [
      'another tenant, for version 1.0',
      `https://login.example/${PERSONAL}/v2.0`,
      `https://sts.example/${ACME}/`,
      false,
    ],
    ['another issuer', 'https://other.example', 'https://id.example', false],
    ['what is no address', 'CN=Acme', 'https://id.example', true],
  ])('whose issuer is %s', (_name, ofKey, ofToken, fits) => {
    expect(isKeyOf(ofKey, ofToken)).toBe(fits);
  });
});

test('a set whose keys are all of others has none for a token, and says so at the login only', async () => {
  const jwks = { keys: company.jwks.keys.map((key) => ({ ...key, issuer: 'https://other.example' })) };
  const set = parseKeySet(jwks);
  expect(await set.match({ alg: 'ES256', kid: company.kid('ES256'), issuer: company.issuer })).toEqual([]);
  expect(
    await set.match({ alg: 'ES256', kid: company.kid('ES256'), issuer: 'https://other.example' }),
  ).toHaveLength(1);
});

test('a document of one tenant does not speak for all', async () => {
  const { options, token } = await site((origin) => `${origin}/${ACME}/v2.0`);
  const running = await start(options);
  expect((await refusalOf(running.login({ token: token(ACME) }))).sqlstate).toBe('57P03');
  expect(running.notReady().join()).toContain('the document is of another issuer');
});

test('operators drop the keys and take tokens back by a tenant’s own issuer', async () => {
  const { keys, options, token } = await site();
  const gateway = await tokenGateway({ jwt: { issuers: [tokens.options, options] } });
  const { isOpen, ended } = await session(gateway, token(ACME));
  const ask = async (path: string, body: object): Promise<number> => {
    const headers = { authorization: `Bearer ${tokens.sign({ operator: 'yes' })}` };
    const url = `http://127.0.0.1:${gateway.adminPort}${path}`;
    return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).status;
  };
  const before = keys.requests();
  expect(await ask('/v1/keys/purge', { issuer: options.issuer.replace('{tenantid}', ACME) })).toBe(200);
  expect(keys.requests()).toBe(before + 2);
  expect(isOpen()).toBe(true);
  const subject = { issuer: options.issuer.replace('{tenantid}', ACME), subject: 'alice' };
  expect(await ask('/v1/revocations', subject)).toBe(201);
  expect((await ended)?.code).toBe('57P01');
  expect((await errorOf(session(gateway, token(ACME)))).code).toBe('28P01');
  // The same subject of another tenant is somebody else.
  await session(gateway, token(PARTNER));
});

test('a token whose alg its key does not have is refused in any tenant', async () => {
  const { options } = await site();
  const running = await start(options);
  const claims = {
    iss: options.issuer.replace('{tenantid}', ACME),
    tid: ACME,
    aud: 'postern',
    sub: 'a',
    exp: now() + 60,
  };
  const header = { alg: 'ES384', kid: company.kid('ES256') };
  expect(
    (await refusalOf(running.login({ token: forge(header, claims, 'ES256', company.privateKey('ES256')) })))
      .sqlstate,
  ).toBe('28P01');
});
