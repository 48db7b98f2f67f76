/** Okta: an authorization server of one's own, scopes as a list, groups by a claim that one adds. */
import { discovery } from './provider.ts';
import type { Provider } from './provider.ts';

const ISSUER = 'https://acme.okta.com/oauth2/default';
const KEYS = `${ISSUER}/v1/keys`;
const KID = '5RVfLnkKlhaoiN1mIBxT';

/** Access tokens of a custom authorization server. */
export const okta: Provider = {
  name: 'Okta',
  about:
    'Tokens for others come from a custom authorization server, `default` being one; those of the organisation’s own server are for Okta alone. Add a claim `groups` with a filter, so that only groups that matter are in it.',
  config: `plugins: [
    jwt({ issuers: [{ issuer: '${ISSUER}', audience: 'api://postern' }] }),
    roles({ claim: ['groups', 'scp'], map: { 'db-writers': 'writer', 'db-*': 'reader', 'orders:read': 'reader' } }),
  ]`,
  serves: ({ rsa }) => ({
    [`${ISSUER}/.well-known/openid-configuration`]: discovery(ISSUER, KEYS),
    [KEYS]: { keys: [{ ...rsa, alg: 'RS256', kid: KID, use: 'sig' }] },
  }),
  header: { kid: KID, alg: 'RS256' },
  claims: (iat) => ({
    ver: 1,
    jti: 'AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE',
    iss: ISSUER,
    aud: 'api://postern',
    iat,
    exp: iat + 3_600,
    cid: '0oah0z9xwfZ3RzLHY5d7',
    uid: '00uid4BxXw6I6TV4m0g3',
    scp: ['openid', 'offline_access'],
    auth_time: iat - 5,
    sub: 'ada@acme.example',
    groups: ['db-writers'],
  }),
  granted: [
    { name: 'of a person in the group', role: 'writer' },
    { name: 'of a person in a group of that pattern', claims: { groups: ['db-analysts'] }, role: 'reader' },
    {
      name: 'of a service with a scope',
      claims: { uid: undefined, groups: undefined, sub: '0oah0z9xwfZ3RzLHY5d7', scp: ['orders:read'] },
      role: 'reader',
    },
  ],
  refused: [
    {
      name: 'of the organisation’s own server',
      header: { typ: 'application/okta-internal-at+jwt' },
      claims: { iss: 'https://acme.okta.com', aud: 'https://acme.okta.com' },
    },
    { name: 'that is an ID token', claims: { aud: '0oah0z9xwfZ3RzLHY5d7', jti: 'ID.4eAWJOCMB3SX8XewDfVR' } },
    { name: 'with other groups only', claims: { groups: ['Everyone', 'not-db-writers'] } },
  ],
};
