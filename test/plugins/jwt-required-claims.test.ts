/** Claims that an issuer's tokens must have: present, or with a value; and an audience that another claim names. */
import { describe, expect, onTestFinished, test } from 'vitest';
import type { IssuerOptions } from '../../plugins/jwt/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { issuer } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import type { PluginHost } from './gateway.ts';

const keys = issuer({ algorithms: ['ES256'] });

type Members = Readonly<Record<string, unknown>>;

async function start(more: Partial<IssuerOptions>): Promise<PluginHost> {
  const started = await host([jwt({ issuers: [{ ...keys.options, ...more }] })]);
  onTestFinished(() => started.stop());
  return started;
}

/** What the log says of a login that is refused; undefined if it is not. */
async function reason(running: PluginHost, claims: Members): Promise<unknown> {
  const work = running.login({ token: keys.sign(claims) });
  const known = running.lines.length;
  if (
    await work.then(
      () => true,
      () => false,
    )
  )
    return undefined;
  expect((await refusalOf(work)).sqlstate).toBe('28P01');
  return (running.lines.slice(known).at(-1)?.fields as Members | undefined)?.['reason'];
}

describe('a claim by its name in a list', () => {
  test.each([
    ['absent', undefined, 'claim email_verified is absent'],
    ['null', null, 'claim email_verified is null'],
    ['false', false, 'claim email_verified is false'],
  ])('is not there when it is %s', async (_name, value, why) => {
    const running = await start({ requiredClaims: ['email_verified'] });
    expect(await reason(running, { email_verified: value })).toBe(why);
  });

  test.each([true, 'false', '', 0, [], {}])('is there when it is %j', async (value) => {
    const running = await start({ requiredClaims: ['email_verified'] });
    expect(await reason(running, { email_verified: value })).toBeUndefined();
  });
});

const required = {
  email_verified: true,
  hd: 'acme.example',
  repository_owner_id: ['1', '2'],
  'address.country': 'DE',
  level: 3,
} as const;
const good = {
  email_verified: true,
  hd: 'acme.example',
  repository_owner_id: '2',
  address: { country: 'DE' },
  level: 3,
};

describe('a claim with a value', () => {
  test('lets in who has it, alone or in a list, one of several being enough', async () => {
    const running = await start({ requiredClaims: required });
    expect(await reason(running, good)).toBeUndefined();
    expect(await reason(running, { ...good, repository_owner_id: '1' })).toBeUndefined();
    expect(await reason(running, { ...good, hd: ['other.example', 'acme.example'] })).toBeUndefined();
  });

  test.each([
    ['another', { hd: 'evil.example' }, "claim hd is 'evil.example', wanted 'acme.example'"],
    ['absent', { hd: undefined }, "claim hd is absent, wanted 'acme.example'"],
    ['null', { hd: null }, "claim hd is null, wanted 'acme.example'"],
    ['in another case', { hd: 'ACME.example' }, "claim hd is 'ACME.example', wanted 'acme.example'"],
    ['longer', { hd: 'acme.example.evil' }, "claim hd is 'acme.example.evil', wanted 'acme.example'"],
    ['a list without it', { hd: ['a', 'b'] }, "claim hd is ['a', 'b'], wanted 'acme.example'"],
    ['a list in a list', { hd: [['acme.example']] }, "claim hd is [a list], wanted 'acme.example'"],
    [
      'an object with it',
      { hd: { 0: 'acme.example' } },
      "claim hd is an object with ['0'], wanted 'acme.example'",
    ],
    ['a text for true', { email_verified: 'true' }, "claim email_verified is 'true', wanted true"],
    ['false for true', { email_verified: false }, 'claim email_verified is false, wanted true'],
    ['1 for true', { email_verified: 1 }, 'claim email_verified is 1, wanted true'],
    [
      'a number for a text',
      { repository_owner_id: 1 },
      "claim repository_owner_id is 1, wanted one of ['1', '2']",
    ],
    ['a text for a number', { level: '3' }, "claim level is '3', wanted 3"],
    ['elsewhere in the token', { address: { city: 'DE' } }, "claim address.country is absent, wanted 'DE'"],
  ])('keeps out who has %s', async (_name, more, why) => {
    expect(await reason(await start({ requiredClaims: required }), { ...good, ...more })).toBe(why);
  });

  test('may be false', async () => {
    const running = await start({ requiredClaims: { suspended: false } });
    expect(await reason(running, { suspended: false })).toBeUndefined();
    expect(await reason(running, {})).toBe('claim suspended is absent, wanted false');
  });

  test('goes with names in one list', async () => {
    const running = await start({ requiredClaims: ['jti', { hd: 'acme.example' }] });
    expect(await reason(running, { jti: 'a', hd: 'acme.example' })).toBeUndefined();
    expect(await reason(running, { hd: 'acme.example' })).toBe('claim jti is absent');
    expect(await reason(running, { jti: 'a' })).toBe("claim hd is absent, wanted 'acme.example'");
  });

  test('that a token has cannot fill or forge the log', async () => {
    const running = await start({ requiredClaims: { hd: 'acme.example' } });
    const said = String(await reason(running, { hd: `a\n\u202e${'x'.repeat(5_000)}` }));
    expect(said.length).toBeLessThan(200);
    expect(said).not.toMatch(/[\n\u202e]/);
  });
});

describe('an audience that another claim names', () => {
  const cognito = { audience: ['shop-client', 'https://api.acme.example'], audienceClaim: 'client_id' };

  test.each([
    ['the claim is one', { aud: undefined, client_id: 'shop-client' }],
    ['the claim is one and so is aud', { aud: 'https://api.acme.example', client_id: 'shop-client' }],
  ])('lets in where %s', async (_name, claims) => {
    expect(await reason(await start(cognito), claims)).toBeUndefined();
  });

  test.each([
    ['another', { aud: undefined, client_id: 'other' }, "client_id is 'other'"],
    ['none', { aud: undefined }, 'client_id is absent'],
    ['a number', { aud: undefined, client_id: 7 }, 'client_id is 7'],
    ['none, as an ID token', { aud: 'shop-client' }, 'client_id is absent'],
    [
      'the right one, in a token for somebody else',
      { aud: 'https://other.example', client_id: 'shop-client' },
      "aud is 'https://other.example'",
    ],
    ['the right one, in a token for nobody', { aud: [], client_id: 'shop-client' }, 'aud is []'],
    [
      'the right one, in a token with an unreadable aud',
      { aud: null, client_id: 'shop-client' },
      'aud is null',
    ],
  ])('keeps out who has %s', async (_name, claims, is) => {
    const why = `${is}, wanted one of ['shop-client', 'https://api.acme.example']`;
    expect(await reason(await start(cognito), claims)).toBe(why);
  });
});
