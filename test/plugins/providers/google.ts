/** Google: keys at another host than the issuer; an address of the company is not yet one of its people. */
import { discovery } from './provider.ts';
import type { Members, Provider, PublicKeys } from './provider.ts';

const ISSUER = 'https://accounts.google.com';
const KEYS = 'https://www.googleapis.com/oauth2/v3/certs';
const KID = 'e197bf2e87bd1905575f9b6e5eb426eda5d574e3';
const AUDIENCE = '32555940559.apps.googleusercontent.com';

const serves = ({ rsa, other }: PublicKeys): Members => ({
  [`${ISSUER}/.well-known/openid-configuration`]: discovery(ISSUER, KEYS),
  [KEYS]: {
    keys: [
      { ...other, use: 'sig', alg: 'RS256', kid: '6adc101cc7498c09c010dc3d5176fa97c9627ecb' },
      { ...rsa, use: 'sig', alg: 'RS256', kid: KID },
    ],
  },
});

const header = { alg: 'RS256', kid: KID, typ: 'JWT' };

/** ID tokens of people. */
export const googlePeople: Provider = {
  name: 'Google Workspace',
  about:
    '`hd` says that somebody belongs to the Workspace; an address alone does not, and `email_verified` may be false.',
  config: `plugins: [
    jwt({
      issuers: [
        {
          issuer: '${ISSUER}',
          audience: '${AUDIENCE}',
          requiredClaims: { email_verified: true, hd: 'acme.example' },
        },
      ],
    }),
    roles({ claim: 'email', map: { 'ada@acme.example': 'writer', '*@acme.example': 'reader' } }),
  ]`,
  serves,
  header,
  claims: (iat) => ({
    iss: ISSUER,
    azp: AUDIENCE,
    aud: AUDIENCE,
    sub: '110169484474386276334',
    hd: 'acme.example',
    email: 'ada@acme.example',
    email_verified: true,
    at_hash: 'HK6E_P6Dh8Y93mRNtsDB1Q',
    iat,
    exp: iat + 3_600,
  }),
  granted: [
    { name: 'of the person', role: 'writer' },
    { name: 'of another one', claims: { email: 'bob@acme.example' }, role: 'reader' },
  ],
  refused: [
    { name: 'with an address that is not verified', claims: { email_verified: false } },
    { name: 'of an account outside of the Workspace', claims: { hd: undefined } },
    { name: 'of another Workspace', claims: { hd: 'evil.example', email: 'ada@evil.example' } },
    { name: 'with an address that begins so', claims: { email: 'ada@acme.example.evil.example' } },
    { name: 'for another client', claims: { aud: '618104708054.apps.googleusercontent.com' } },
  ],
};

/** ID tokens of service accounts. */
export const googleServices: Provider = {
  name: 'Google service accounts',
  about:
    '`gcloud auth print-identity-token --audiences=https://postern.acme.example --include-email`, or the metadata server with `format=full`.',
  config: `plugins: [
    jwt({
      issuers: [
        {
          issuer: '${ISSUER}',
          audience: 'https://postern.acme.example',
          requiredClaims: { email_verified: true },
        },
      ],
    }),
    roles({ claim: 'email', map: { 'orders@acme-shop.iam.gserviceaccount.com': 'reader' } }),
  ]`,
  serves,
  header,
  claims: (iat) => ({
    aud: 'https://postern.acme.example',
    azp: '112010400000000710080',
    email: 'orders@acme-shop.iam.gserviceaccount.com',
    email_verified: true,
    exp: iat + 3_600,
    iat,
    iss: ISSUER,
    sub: '112010400000000710080',
  }),
  granted: [{ name: 'of the service account', role: 'reader' }],
  refused: [
    { name: 'of somebody else', claims: { email: 'someone@gmail.com', sub: '1' } },
    { name: 'with an address that is not verified', claims: { email_verified: false } },
    { name: 'without an address', claims: { email: undefined, email_verified: undefined } },
    { name: 'for another service', claims: { aud: 'https://other.example' } },
  ],
};
