/** OAuth 2.0 Token Exchange (RFC 8693) on the policy of `access`, and what `/openapi.json` says of it all. */
import { Validator } from '@seriousme/openapi-schema-validator';
import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import { CI_KEY, developer, openDesk } from './access-desk.ts';
import type { Answer, Desk } from './access-desk.ts';

const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const GOOD = {
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token_type: JWT,
  audience: 'orders',
  scope: 'reader',
  reason: 'ticket 4711',
};

function exchange(desk: Desk, more: Readonly<Record<string, string | undefined>> = {}): Promise<Answer> {
  const given = Object.entries({ ...GOOD, subject_token: developer(), ...more });
  const form = new URLSearchParams(given.filter((pair): pair is [string, string] => pair[1] !== undefined));
  return desk.send('POST', '/oauth/token', undefined, form);
}

test('a token of a caller is exchanged for one that logs in', async () => {
  const desk = await openDesk();
  const { status, body, headers } = await exchange(desk, { duration: '10m' });
  expect(status).toBe(200);
  expect(headers.get('cache-control')).toBe('no-store');
  expect(body).toEqual({
    access_token: expect.any(String) as string,
    issued_token_type: JWT,
    token_type: 'N_A',
    expires_in: expect.any(Number) as number,
    scope: 'reader',
  });
  expect(Number(body['expires_in'])).toBeGreaterThan(500);
  const client = await desk.login(body['access_token']);
  expect((await client.query('select session_user as who')).rows).toEqual([{ who: 'reader' }]);
  const { jti } = decodeJwt(String(body['access_token']));
  const path = `/v1/grants/${String(jti)}`;
  expect((await desk.send('DELETE', path, developer())).body).toMatchObject({ ended: 1 });
});

test('is refused in the words of the standard', async () => {
  const desk = await openDesk();
  const told = async (more: Readonly<Record<string, string | undefined>>): Promise<unknown[]> => {
    const { status, body } = await exchange(desk, more);
    return [status, body['error']];
  };
  const wrong: readonly (readonly [Readonly<Record<string, string | undefined>>, string])[] = [
    [{ grant_type: undefined }, 'invalid_request'],
    [{ grant_type: 'password' }, 'unsupported_grant_type'],
    [{ subject_token: undefined }, 'invalid_request'],
    [{ subject_token: CI_KEY }, 'invalid_request'],
    [{ subject_token: developer({ exp: 1 }) }, 'invalid_request'],
    [{ subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }, 'invalid_request'],
    [{ subject_token_type: undefined }, 'invalid_request'],
    [{ requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }, 'invalid_request'],
    [{ actor_token: 'x' }, 'invalid_request'],
    [{ audience: undefined }, 'invalid_target'],
    [{ resource: 'https://x' }, 'invalid_target'],
    [{ audience: 'other' }, 'invalid_target'],
    [{ scope: 'postgres' }, 'invalid_target'],
    [{ duration: '9h' }, 'invalid_target'],
    [{ reason: undefined }, 'invalid_target'],
    [{ duration: 'x' }, 'invalid_request'],
  ];
  for (const [more, error] of wrong) expect([more, ...(await told(more))]).toEqual([more, 400, error]);
  const twice = new URLSearchParams({ ...GOOD, subject_token: developer() });
  twice.append('audience', 'other');
  expect((await desk.send('POST', '/oauth/token', undefined, twice)).body['error']).toBe('invalid_target');
  const json = await desk.send('POST', '/oauth/token', undefined, { ...GOOD, subject_token: developer() });
  expect([json.status, json.body['error']]).toEqual([400, 'invalid_request']);
  expect((await desk.send('GET', '/v1/grants', developer())).body['grants']).toEqual([]);
});

test('what the gateway has granted cannot be exchanged for more', async () => {
  const desk = await openDesk();
  const { body } = await exchange(desk);
  const again = await exchange(desk, { subject_token: String(body['access_token']) });
  expect([again.status, again.body]).toEqual([
    400,
    { error: 'invalid_request', error_description: 'subject_token is not good' },
  ]);
});

test('a caller who exchanges too often has to wait', async () => {
  const desk = await openDesk({ access: { rate: '1/h' } });
  expect((await exchange(desk)).status).toBe(200);
  const { status, headers, body } = await exchange(desk);
  expect([status, body['error']]).toEqual([429, 'temporarily_unavailable']);
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(3_000);
});

test('the routes are in the OpenAPI document, which stays valid, and other methods are refused', async () => {
  const desk = await openDesk();
  const { body } = await desk.send('GET', '/openapi.json');
  expect(await new Validator().validate({ ...body })).toMatchObject({ valid: true });
  const routes = { '/v1/grants': 'put', '/v1/grants/{id}': 'post', '/oauth/token': 'get' };
  for (const [path, wrong] of Object.entries(routes)) {
    expect(body['paths']).toHaveProperty([path]);
    const asked = await desk.send(wrong.toUpperCase(), path.replace('{id}', 'x'), developer());
    expect([path, asked.status]).toEqual([path, 405]);
  }
});
