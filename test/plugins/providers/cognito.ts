/** Amazon Cognito: access tokens have no `aud`, and name the app client instead. */
import { discovery } from './provider.ts';
import type { Provider } from './provider.ts';

const ISSUER = 'https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab1Cd2Ef3';
const KEYS = `${ISSUER}/.well-known/jwks.json`;
const CLIENT = '3n4b5urk1ft4fl3mg5e62d9ado';
const KID = 'vV7mFqDL4GnXCV9WQwp6Kz0Ue8m1s5aTn2Rb3Yc4Xd0=';

/** Access tokens of a user pool. */
export const cognito: Provider = {
  name: 'Amazon Cognito, access tokens',
  about:
    'They name the app client in `client_id`, and have an `aud` only where a client has asked for one resource: then that has to be in `audience` too. Groups of the pool are a list, scopes one text.',
  config: `plugins: [
    jwt({
      issuers: [
        {
          issuer: '${ISSUER}',
          audience: '${CLIENT}',
          audienceClaim: 'client_id',
          requiredClaims: { token_use: 'access' },
        },
      ],
    }),
    roles({
      claim: ['cognito:groups', 'scope'],
      as: 'words',
      map: { 'orders-writers': 'writer', 'https://orders.acme.example/read': 'reader' },
    }),
  ]`,
  serves: ({ rsa, other }) => ({
    [`${ISSUER}/.well-known/openid-configuration`]: discovery(ISSUER, KEYS),
    [KEYS]: {
      keys: [
        { alg: 'RS256', ...other, kid: 'id-tokens-8mQ2=', use: 'sig' },
        { alg: 'RS256', ...rsa, kid: KID, use: 'sig' },
      ],
    },
  }),
  header: { kid: KID, alg: 'RS256' },
  claims: (iat) => ({
    sub: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
    'cognito:groups': ['everyone', 'orders-writers'],
    iss: ISSUER,
    version: 2,
    client_id: CLIENT,
    origin_jti: 'aaaaaaaa-bbbb-4ccc-8ddd-ffffffffffff',
    event_id: '64f513be-32db-42b0-b78e-b02127b4f463',
    token_use: 'access',
    scope: 'openid profile email',
    auth_time: iat,
    exp: iat + 3_600,
    iat,
    jti: 'aaaaaaaa-bbbb-4ccc-8ddd-000000000000',
    username: 'ada',
  }),
  granted: [
    { name: 'of a person in a group', role: 'writer' },
    {
      name: 'of a machine with a scope',
      claims: {
        sub: CLIENT,
        username: undefined,
        'cognito:groups': undefined,
        scope: 'https://orders.acme.example/read https://orders.acme.example/list',
      },
      role: 'reader',
    },
  ],
  refused: [
    { name: 'of another app client of the pool', claims: { client_id: '1example23456789' } },
    {
      name: 'that is an ID token',
      header: { kid: 'id-tokens-8mQ2=' },
      key: 'other',
      claims: {
        aud: CLIENT,
        client_id: undefined,
        token_use: 'id',
        scope: undefined,
        'cognito:username': 'ada',
      },
    },
    { name: 'for one other resource', claims: { aud: 'https://billing.acme.example' } },
    {
      name: 'of another pool',
      claims: { iss: 'https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Zz9Yy8Xx7' },
    },
    {
      name: 'with other scopes only',
      claims: { 'cognito:groups': undefined, scope: 'openid https://orders.acme.example/read2' },
    },
  ],
};
