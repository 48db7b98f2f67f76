/** SPIFFE: tokens without `iss`, and a trust bundle with the keys of certificates beside those of tokens. */
import { X5C } from './provider.ts';
import type { Provider } from './provider.ts';

const BUNDLE = 'https://spire.acme.example/bundle';

/** JWT-SVIDs. */
export const spiffe: Provider = {
  name: 'SPIFFE',
  about:
    'A JWT-SVID has no `iss`: it belongs to the trust domain of its `sub`. The keys are the trust bundle, by SPIRE’s bundle endpoint or as a file.',
  config: `plugins: [
    jwt({ issuers: [{ issuer: 'spiffe://acme.example', audience: 'postern', jwks: '${BUNDLE}' }] }),
    roles({
      claim: 'sub',
      map: { 'spiffe://acme.example/ns/shop/sa/orders': 'writer', 'spiffe://acme.example/ns/shop/*': 'reader' },
    }),
  ]`,
  serves: ({ rsa, ec }) => ({
    [BUNDLE]: {
      keys: [
        { ...rsa, use: 'x509-svid', x5c: X5C },
        { ...ec, use: 'jwt-svid', kid: 'C6vs25welZOx6WksNYfbMfiw9l96pMnD' },
      ],
      spiffe_sequence: 1,
      spiffe_refresh_hint: 300,
    },
  }),
  key: 'ec',
  header: { alg: 'ES256', kid: 'C6vs25welZOx6WksNYfbMfiw9l96pMnD', typ: 'JWT' },
  claims: (iat) => ({
    aud: ['postern', 'spiffe://acme.example/cache'],
    exp: iat + 300,
    iat,
    sub: 'spiffe://acme.example/ns/shop/sa/orders',
  }),
  granted: [
    { name: 'of the workload', header: { typ: 'JOSE' }, role: 'writer' },
    {
      name: 'of another one of the namespace',
      claims: { sub: 'spiffe://acme.example/ns/shop/sa/reports' },
      role: 'reader',
    },
  ],
  refused: [
    { name: 'of another namespace', claims: { sub: 'spiffe://acme.example/ns/blog/sa/orders' } },
    { name: 'of another trust domain', claims: { sub: 'spiffe://evil.example/ns/shop/sa/orders' } },
    { name: 'that names its trust domain as issuer', claims: { iss: 'spiffe://acme.example' } },
    { name: 'for another audience', claims: { aud: ['spiffe://acme.example/cache'] } },
  ],
};
