/** Keycloak: roles of the realm and of the client in nested claims, a key for encryption beside the one that signs. */
import { X5T, discovery, signingKey } from './provider.ts';
import type { Provider } from './provider.ts';

const ISSUER = 'https://id.acme.example/realms/acme';
const KEYS = `${ISSUER}/protocol/openid-connect/certs`;
const KID = 'nnniBrxL0qhG79pkF3ccQj-l0jDmxKrYYy2YLlEe1s';
const X5T_S256 = `${X5T}${X5T}`;

/** Access tokens. */
export const keycloak: Provider = {
  name: 'Keycloak',
  about:
    'Access tokens have your audience once the client has an audience mapper; without one `aud` is `account`. `typ` inside the token tells access tokens (`Bearer`) from ID tokens.',
  config: `plugins: [
    jwt({ issuers: [{ issuer: '${ISSUER}', audience: 'postern', requiredClaims: { typ: 'Bearer' } }] }),
    roles({
      claim: ['realm_access.roles', 'resource_access.postern.roles'],
      map: { 'orders-read': 'reader', 'orders-write': 'writer' },
    }),
  ]`,
  serves: ({ rsa, other }) => ({
    [`${ISSUER}/.well-known/openid-configuration`]: discovery(ISSUER, KEYS),
    [KEYS]: {
      keys: [
        signingKey(other, 'qZ3a', { alg: 'RSA-OAEP', use: 'enc', 'x5t#S256': X5T_S256 }),
        signingKey(rsa, KID, { 'x5t#S256': X5T_S256 }),
      ],
    },
  }),
  header: { alg: 'RS256', typ: 'JWT', kid: KID },
  claims: (iat) => ({
    exp: iat + 300,
    iat,
    auth_time: iat - 60,
    jti: 'onrtac:8b1f7a52-0b3f-4a55-b1d3-6a0b5c0c8a4e',
    iss: ISSUER,
    aud: ['postern', 'account'],
    sub: '36fa0f91-f94d-4a0c-afed-6b7d952e47da',
    typ: 'Bearer',
    azp: 'orders-cli',
    sid: '2a88c258-f73a-4103-b862-e1fbd8f4e04e',
    acr: '1',
    'allowed-origins': ['http://localhost:8080'],
    realm_access: { roles: ['offline_access', 'default-roles-acme', 'orders-read'] },
    resource_access: { account: { roles: ['manage-account', 'view-profile'] } },
    scope: 'openid email profile',
    email_verified: true,
    preferred_username: 'ada',
  }),
  granted: [
    { name: 'with a role of the realm', role: 'reader' },
    {
      name: 'with a role of the client',
      claims: {
        realm_access: { roles: ['offline_access'] },
        resource_access: { postern: { roles: ['orders-write'] } },
      },
      role: 'writer',
    },
  ],
  refused: [
    { name: 'that is an ID token', claims: { typ: 'ID' } },
    { name: 'without an audience mapper', claims: { aud: 'account' } },
    {
      name: 'with none of the roles',
      claims: { realm_access: { roles: ['offline_access', 'default-roles-acme'] } },
    },
    { name: 'of another realm', claims: { iss: 'https://id.acme.example/realms/master' } },
    { name: 'signed with the key for encryption', header: { kid: 'qZ3a' }, key: 'other' },
  ],
};
