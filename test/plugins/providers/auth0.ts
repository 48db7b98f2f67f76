/** Auth0: an issuer with a slash at its end, and permissions of the API beside scopes. */
import { X5C, X5T, discovery } from './provider.ts';
import type { Provider } from './provider.ts';

const ISSUER = 'https://acme.eu.auth0.com/';
const KEYS = `${ISSUER}.well-known/jwks.json`;

/** Access tokens of the profile of RFC 9068. */
export const auth0: Provider = {
  name: 'Auth0',
  about:
    'The issuer ends with a slash. Ask for the API’s audience, or the token is none that anybody can read. With RBAC and _Add Permissions in the Access Token_ the API’s `permissions` are in it; the token profile RFC 9068 gives access tokens a `typ` of their own.',
  config: `plugins: [
    jwt({ issuers: [{ issuer: '${ISSUER}', audience: 'https://postern.acme.example', typ: 'at+jwt' }] }),
    roles({ claim: 'permissions', map: { 'orders:read': 'reader', 'orders:write': 'writer' } }),
  ]`,
  serves: ({ rsa, other }) => ({
    [`${ISSUER}.well-known/openid-configuration`]: discovery(ISSUER, KEYS),
    [KEYS]: {
      keys: [
        { ...rsa, use: 'sig', kid: 'ztTWkwExj8zTSZd2oWfYE', x5t: X5T, x5c: X5C, alg: 'RS256' },
        { ...other, use: 'sig', kid: 'pXcBpVx4ChlZrzGm8oTnx', x5t: X5T, x5c: X5C, alg: 'RS256' },
      ],
    },
  }),
  header: { alg: 'RS256', typ: 'at+jwt', kid: 'ztTWkwExj8zTSZd2oWfYE' },
  claims: (iat) => ({
    iss: ISSUER,
    sub: 'auth0|5f7c8ec7c33c6c004bbafe82',
    aud: ['https://postern.acme.example', 'https://acme.eu.auth0.com/userinfo'],
    iat,
    exp: iat + 86_400,
    scope: 'openid profile orders:read',
    jti: '7Qp2Jd8xnUbLk0y8bGmXxJ',
    client_id: 'my0BmZ3w5x1kPz2nHqX7cV9tYr4LsDfG',
    permissions: ['orders:read'],
  }),
  granted: [
    { name: 'of a person with a permission', role: 'reader' },
    {
      name: 'of a machine',
      claims: {
        sub: 'my0BmZ3w5x1kPz2nHqX7cV9tYr4LsDfG@clients',
        aud: 'https://postern.acme.example',
        scope: 'orders:write',
        permissions: ['orders:write'],
      },
      role: 'writer',
    },
  ],
  refused: [
    {
      name: 'that is an ID token',
      header: { typ: 'JWT' },
      claims: { aud: 'my0BmZ3w5x1kPz2nHqX7cV9tYr4LsDfG' },
    },
    { name: 'for another API', claims: { aud: 'https://acme.eu.auth0.com/api/v2/' } },
    { name: 'without permissions', claims: { permissions: [] } },
    {
      name: 'whose client asked for a scope that the person has no permission for',
      claims: { scope: 'orders:write', permissions: [] },
    },
    { name: 'of an issuer without the slash', claims: { iss: 'https://acme.eu.auth0.com' } },
  ],
};
