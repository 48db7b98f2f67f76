/** Tokens of real issuers are kept apart: from one another, and from those for somebody else. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { now } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import type { PluginHost } from './gateway.ts';
import { PROVIDERS } from './providers/all.ts';
import { entraServices } from './providers/entra.ts';
import { ProviderKeys } from './providers/local-provider.ts';
import { optionsOf } from './providers/plugin-options.ts';
import type { Members, Provider } from './providers/provider.ts';
import { spiffe } from './providers/spiffe.ts';

const keys = new ProviderKeys();

/** All keys that the provider publishes, wherever. */
function published({ serves }: Provider): { readonly keys: readonly object[] } {
  const sets = Object.values(serves(keys.public)) as readonly { readonly keys?: readonly object[] }[];
  return { keys: sets.flatMap((set) => set.keys ?? []) };
}

async function start(kinds: readonly Provider[]): Promise<PluginHost> {
  const all = kinds.map((kind) => ({ ...optionsOf(kind), jwks: published(kind) }));
  const issuers = all.map(({ issuer: given, jwks }) => {
    const { bearerFile, ca, ...options } = given;
    // Only where keys are fetched.
    expect(bearerFile === undefined || ca !== undefined).toBe(true);
    return { ...options, jwks };
  });
  const maps = all.flatMap(({ issuer: { issuer: from }, roles: entries }) =>
    entries.map((entry) => ({ issuer: from, ...entry })),
  );
  const running = await host([jwt({ issuers }), roles(maps)]);
  onTestFinished(() => running.stop());
  return running;
}

function sign({ header, claims, key = 'rsa' }: Provider, more: Members = {}): string {
  return keys.sign(header, { ...claims(now()), ...more }, key);
}

/** One for each issuer. */
const issuers = [...new Map(PROVIDERS.map((one) => [optionsOf(one).issuer.issuer, one])).values()].filter(
  (one) => optionsOf(one).issuer.tenants === undefined,
);

test('all of them side by side are told apart', async () => {
  expect(issuers.length).toBeGreaterThan(10);
  const running = await start(issuers);
  for (const kind of issuers) {
    const { facts } = await running.login({ token: sign(kind) });
    expect(facts.identity?.issuer).toBe(optionsOf(kind).issuer.issuer);
    expect(facts.identity?.subject).toBe(kind.claims(0)['sub']);
  }
});

test.each(PROVIDERS)('$name: tokens for another audience are refused', async (kind) => {
  const running = await start([kind]);
  const { audienceClaim = 'aud' } = optionsOf(kind).issuer;
  for (const other of ['sts.amazonaws.com', ['another'], undefined]) {
    const refused = await refusalOf(running.login({ token: sign(kind, { [audienceClaim]: other }) }));
    expect(refused.sqlstate).toBe('28P01');
  }
});

describe('a JWT-SVID', () => {
  test.each([
    ['of another trust domain', { sub: 'spiffe://evil.example/ns/shop/sa/orders' }],
    ['of a trust domain that begins like ours', { sub: 'spiffe://acme.example.evil/x' }],
    ['without a path', { sub: 'spiffe://acme.example' }],
    ['with capitals in its trust domain', { sub: 'spiffe://ACME.example/ns/shop/sa/orders' }],
    ['that names its trust domain as issuer', { iss: 'spiffe://acme.example' }],
    ['that names the trust domain for a foreign subject', { iss: 'spiffe://acme.example', sub: 'alice' }],
    ['with a list as subject', { sub: ['spiffe://acme.example/a'] }],
  ])('%s is refused', async (_name, more) => {
    const refused = await refusalOf((await start([spiffe])).login({ token: sign(spiffe, more) }));
    expect(refused.sqlstate).toBe('28P01');
  });

  test('is for no issuer that is not a trust domain', async () => {
    const options = { issuer: 'https://id.example', audience: 'postern', jwks: published(spiffe) };
    const running = await host([jwt({ issuers: [options] })]);
    onTestFinished(() => running.stop());
    expect((await refusalOf(running.login({ token: sign(spiffe) }))).sqlstate).toBe('28P01');
  });
});

describe('azp', () => {
  test.each([undefined, '', 'another', ['7a5f0e3c-2a8d-4a1e-bc0f-7b1c2d3e4f50']])(
    '%j is refused',
    async (azp) => {
      const running = await start([entraServices]);
      const refused = await refusalOf(running.login({ token: sign(entraServices, { azp }) }));
      expect((refused.cause as Error).message).toMatch(
        /^azp is (absent|.*'.*), wanted '7a5f0e3c-2a8d-4a1e-bc0f-7b1c2d3e4f50'$/,
      );
    },
  );
});
