/** Workload tokens work as they come: each kind is accepted by the config in the documents, mapped, and kept apart. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { issuer } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import type { PluginHost } from './gateway.ts';
import { workloadTokens } from './workload-tokens.ts';
import type { WorkloadToken } from './workload-tokens.ts';

const keys = issuer({ algorithms: ['RS256', 'ES256'] });
/** As SPIRE publishes a trust bundle: the keys of X.509-SVIDs beside those of JWT-SVIDs. */
const bundle = {
  keys: [
    { ...keys.jwks.keys[0], use: 'x509-svid', x5c: ['MIIB'], kid: undefined },
    ...keys.jwks.keys.map((key) => ({ ...key, use: 'jwt-svid' })),
  ],
  spiffe_sequence: 1,
  spiffe_refresh_hint: 300,
};

async function start(kinds: readonly WorkloadToken[]): Promise<PluginHost> {
  const issuers = kinds.map(({ issuer: options }) => ({
    ...options,
    jwks: options.issuer.startsWith('spiffe:') ? bundle : keys.jwks,
  }));
  const maps = kinds.map((kind) => ({ ...kind.roles, issuer: kind.issuer.issuer }));
  const running = await host([jwt({ issuers }), roles(maps)]);
  onTestFinished(() => running.stop());
  return running;
}

const sign = ({ header, claims }: WorkloadToken, more: object = {}): string =>
  keys.sign({ role: undefined, ...claims, ...more }, header);

const kinds = workloadTokens();

describe.each(kinds)('$name', (kind) => {
  test('is accepted and mapped to a role', async () => {
    const { facts, upstream } = await (await start([kind])).login({ token: sign(kind) });
    expect(facts.identity).toMatchObject({ issuer: kind.issuer.issuer, subject: kind.subject });
    expect(upstream.role).toBe(Object.values(kind.roles.map ?? {})[0]);
  });

  test('of a neighbour is refused', async () => {
    const { sqlstate } = await refusalOf((await start([kind])).login({ token: sign(kind, kind.neighbour) }));
    expect(['28000', '28P01']).toContain(sqlstate);
  });

  test('for another audience is refused', async () => {
    const running = await start([kind]);
    for (const aud of ['sts.amazonaws.com', ['another'], undefined]) {
      expect((await refusalOf(running.login({ token: sign(kind, { aud }) }))).sqlstate).toBe('28P01');
    }
  });

  test('is in the documents with this config', async () => {
    const readme = await readFile(fileURLToPath(new URL('../../plugins/README.md', import.meta.url)), 'utf8');
    expect(readme).toContain(`issuer: '${kind.issuer.issuer}'`);
  });
});

test('all of them side by side are told apart', async () => {
  const running = await start(kinds);
  for (const kind of kinds) {
    const { facts } = await running.login({ token: sign(kind) });
    expect(facts.identity?.issuer).toBe(kind.issuer.issuer);
  }
});

describe('a JWT-SVID', () => {
  const svid = kinds.find(({ name }) => name.startsWith('SPIFFE')) ?? kinds[0];
  if (!svid) throw new Error('no SVID');

  test.each([
    ['of another trust domain', { sub: 'spiffe://evil.example/ns/shop/sa/orders' }],
    ['of a trust domain that begins like ours', { sub: 'spiffe://acme.example.evil/x' }],
    ['without a path', { sub: 'spiffe://acme.example' }],
    ['with capitals in its trust domain', { sub: 'spiffe://ACME.example/ns/shop/sa/orders' }],
    ['that names its trust domain as issuer', { iss: 'spiffe://acme.example' }],
    ['that names the trust domain for a foreign subject', { iss: 'spiffe://acme.example', sub: 'alice' }],
    ['with a list as subject', { sub: ['spiffe://acme.example/a'] }],
  ])('%s is refused', async (_name, more) => {
    const refused = await refusalOf((await start([svid])).login({ token: sign(svid, more) }));
    expect(refused.sqlstate).toBe('28P01');
  });

  test('is for no issuer that is not a trust domain', async () => {
    const running = await host([jwt({ issuers: [{ ...keys.options, audience: 'postern' }] })]);
    onTestFinished(() => running.stop());
    expect((await refusalOf(running.login({ token: sign(svid) }))).sqlstate).toBe('28P01');
  });
});

describe('azp', () => {
  test.each([undefined, '', 'another', ['7a5f0e3c-2a8d-4a1e-bc0f-7b1c2d3e4f50']])(
    '%j is refused',
    async (azp) => {
      const entra = kinds.find(({ issuer: { azp: wanted } }) => wanted);
      if (!entra) throw new Error('no kind with azp');
      const refused = await refusalOf((await start([entra])).login({ token: sign(entra, { azp }) }));
      expect((refused.cause as Error).message).toBe('azp is not a configured one');
    },
  );
});
