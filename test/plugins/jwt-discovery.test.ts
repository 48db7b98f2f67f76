/** Keys by OpenID discovery: only from the issuer that is meant, and only over ways nobody can change. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { configurationUrl } from '../../plugins/jwt/discovery.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions } from '../../plugins/jwt/index.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { issuer } from '../support/token.ts';
import type { TokenIssuer } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import type { PluginHost } from './gateway.ts';
import { hang, json, keyIssuer } from './key-issuer.ts';
import type { Answer, KeyIssuer } from './key-issuer.ts';

/** Answers by path. */
function site(pages: Readonly<Record<string, Answer>>): Answer {
  return (response: ServerResponse, request: IncomingMessage) => {
    const page = pages[request.url ?? ''];
    if (page) page(response, request);
    else response.writeHead(404).end();
  };
}

const CONFIGURATION = '/.well-known/openid-configuration';

interface Site {
  readonly keys: KeyIssuer;
  readonly tokens: TokenIssuer;
  readonly origin: string;
}

/** An issuer at an address of its own that says what is given about itself. */
async function discoverable(
  about: (origin: string) => Readonly<Record<string, unknown>> | Answer,
  tls?: { cert: string; key: string },
  path = '',
): Promise<Site> {
  const keys = await keyIssuer(hang, tls);
  const origin = new URL(keys.url).origin;
  const tokens = issuer({ algorithms: ['ES256'], issuer: `${origin}${path}` });
  const said = about(origin);
  const page = typeof said === 'function' ? said : json(said);
  keys.answer(site({ [`${path}${CONFIGURATION}`]: page, '/keys': json(tokens.jwks) }));
  return { keys, tokens, origin };
}

async function start(tokens: TokenIssuer, more: Partial<IssuerOptions> = {}): Promise<PluginHost> {
  const running = await host([jwt({ issuers: [{ issuer: tokens.issuer, audience: 'postern', ...more }] })]);
  onTestFinished(() => running.stop());
  return running;
}

const usual = (origin: string) => ({ issuer: origin, jwks_uri: `${origin}/keys`, more: 'is not looked at' });

test('without jwks, the keys are where the issuer says', async () => {
  const { tokens } = await discoverable(usual);
  const running = await start(tokens);
  expect((await running.login({ token: tokens.sign() })).facts.identity?.subject).toBe('alice');
  expect(running.notReady()).toEqual([]);
});

test('an issuer with a path has its document below that', async () => {
  const about = (origin: string) => ({ ...usual(origin), issuer: `${origin}/tenant/v2.0` });
  const { tokens } = await discoverable(about, undefined, '/tenant/v2.0');
  const running = await start(tokens, { discovery: true });
  expect((await running.login({ token: tokens.sign() })).facts.identity).toBeDefined();
});

test('a slash at the end of an issuer is not doubled', () => {
  const { href } = configurationUrl('https://id.example/');
  expect(href).toBe('https://id.example/.well-known/openid-configuration');
});

describe('an issuer is not believed', () => {
  test.each<[string, (origin: string) => Readonly<Record<string, unknown>> | Answer, RegExp]>([
    [
      'that is another one',
      (origin) => ({ ...usual(origin), issuer: 'https://id.example' }),
      /another issuer/,
    ],
    ['that differs by a slash', (origin) => ({ ...usual(origin), issuer: `${origin}/` }), /another issuer/],
    ['without its name', (origin) => ({ jwks_uri: `${origin}/keys` }), /another issuer/],
    ['without jwks_uri', (origin) => ({ issuer: origin }), /no jwks_uri/],
    [
      'with a list as jwks_uri',
      (origin) => ({ issuer: origin, jwks_uri: [`${origin}/keys`] }),
      /no jwks_uri/,
    ],
    ['with a relative jwks_uri', (origin) => ({ issuer: origin, jwks_uri: '/keys' }), /not a URL/],
    ['with keys in a file', (origin) => ({ issuer: origin, jwks_uri: 'file:///etc/keys' }), /not https/],
    [
      'with keys over http',
      (origin) => ({ issuer: origin, jwks_uri: 'http://id.example/keys' }),
      /not https/,
    ],
    [
      'with a password in jwks_uri',
      (origin) => ({ issuer: origin, jwks_uri: `${origin.replace('//', '//me:secret@')}/keys` }),
      /user name or password/,
    ],
    ['that sends a list', () => json([]), /another issuer/],
    ['that sends null', () => json(null), /another issuer/],
    ['that sends HTML', () => (response: ServerResponse) => response.end('<html>'), /not JSON/],
    [
      'that sends 10 MB',
      () => (response: ServerResponse) => response.end(Buffer.alloc(10_000_000, 32)),
      /longer than/,
    ],
    [
      'that redirects to what is none',
      () => (response: ServerResponse) => response.writeHead(302, { location: '/keys' }).end(),
      /another issuer: absent/,
    ],
  ])('%s', async (_name, about, why) => {
    const { tokens } = await discoverable(about);
    const running = await start(tokens);
    expect((await refusalOf(running.login({ token: tokens.sign() }))).sqlstate).toBe('57P03');
    expect(running.notReady().join()).toMatch(why);
    expect(running.notReady().join()).not.toMatch(/secret/);
  });
});

describe('over https', () => {
  let made: Certificates;
  beforeAll(async () => {
    made = await certificates();
  });
  afterAll(() => {
    made.remove();
  });

  test('both documents are checked by the configured authority', async () => {
    const { tokens } = await discoverable(usual, made.server);
    const running = await start(tokens, { ca: made.ca.certFile });
    expect((await running.login({ token: tokens.sign() })).facts.identity).toBeDefined();
    const wary = await start(tokens, { ca: made.wrongCa.certFile });
    expect((await refusalOf(wary.login({ token: tokens.sign() }))).sqlstate).toBe('57P03');
  });

  test('an issuer cannot lead to http, not even on this machine', async () => {
    const plain = await keyIssuer(json(issuer({ algorithms: ['ES256'] }).jwks));
    const { tokens } = await discoverable((origin) => ({ issuer: origin, jwks_uri: plain.url }), made.server);
    const running = await start(tokens, { ca: made.ca.certFile });
    await refusalOf(running.login({ token: tokens.sign() }));
    expect(running.notReady().join()).toMatch(/leads from https to http/);
    expect(plain.requests()).toBe(0);
  });
});

test('a thousand unknown kids cause no request beyond the two of the start', async () => {
  const { tokens, keys } = await discoverable(usual);
  const running = await start(tokens);
  await running.login({ token: tokens.sign() });
  const unknown = Array.from({ length: 1_000 }, (_, index) => tokens.sign({}, { kid: `random-${index}` }));
  await Promise.all(unknown.map((token) => refusalOf(running.login({ token }))));
  expect([keys.requests(), keys.mostAtOnce()]).toEqual([2, 1]);
});
