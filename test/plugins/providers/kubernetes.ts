/** Kubernetes: an API server that gives its keys to service accounts only, and clusters that publish them. */
import { SERVICE_ACCOUNT, discovery } from './provider.ts';
import type { Members, Provider } from './provider.ts';

const CLUSTER = 'https://kubernetes.default.svc.cluster.local';
const EKS = 'https://oidc.eks.eu-west-1.amazonaws.com/id/2CEA0DD4CE6D01B4AF7E7B3C3EXAMPLE';
const KID = 'JWYr7R0vZqvzJ2k8Yk6ZKB5Yx0j0s8oP2oUQ1e6xJ1U';

const projected = (iat: number, issuer: string, account: string): Members => ({
  aud: ['postern'],
  exp: iat + 3_607,
  iat,
  iss: issuer,
  jti: '0e1a5c8e-8b7a-4ff5-a3c4-1c2f2c7b8f11',
  'kubernetes.io': {
    namespace: 'shop',
    node: { name: 'node-1', uid: '646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1' },
    pod: { name: `${account}-7c9d8b-x2x7p`, uid: '5e0bd49b-f040-43b0-99b7-22765a53f7f3' },
    serviceaccount: { name: account, uid: '14ee3fa4-a7e2-420f-9f9a-dbc4507c3798' },
  },
  nbf: iat,
  sub: `system:serviceaccount:shop:${account}`,
});

/** Projected tokens, with the keys of the API server. */
export const kubernetes: Provider = {
  name: 'Kubernetes, in the cluster',
  about:
    'Clients get a projected volume with `serviceAccountToken: { audience: postern, expirationSeconds: 3600 }`. The API server gives its keys to service accounts only, so the gateway shows its own token, which is read at each fetch since it is renewed in place. It goes to the origin of `jwks` alone.',
  config: `plugins: [
    jwt({
      issuers: [
        {
          issuer: '${CLUSTER}',
          audience: 'postern',
          jwks: 'https://kubernetes.default.svc/openid/v1/jwks',
          ca: '${SERVICE_ACCOUNT}/ca.crt',
          bearerFile: '${SERVICE_ACCOUNT}/token',
        },
      ],
    }),
    roles({
      claim: 'sub',
      map: { 'system:serviceaccount:shop:orders': 'writer', 'system:serviceaccount:shop:*': 'reader' },
    }),
  ]`,
  serves: ({ rsa }) => ({
    'https://kubernetes.default.svc/openid/v1/jwks': {
      keys: [{ use: 'sig', ...rsa, kid: KID, alg: 'RS256' }],
    },
  }),
  bearer: 'canary-token-of-the-gateway',
  header: { alg: 'RS256', kid: KID },
  claims: (iat) => projected(iat, CLUSTER, 'orders'),
  granted: [
    { name: 'of the service account', role: 'writer' },
    {
      name: 'of another one of the namespace',
      claims: { sub: 'system:serviceaccount:shop:reports' },
      role: 'reader',
    },
  ],
  refused: [
    { name: 'of another namespace', claims: { sub: 'system:serviceaccount:default:orders' } },
    { name: 'of a namespace whose name begins so', claims: { sub: 'system:serviceaccount:shop2:orders' } },
    { name: 'for the API server', claims: { aud: [CLUSTER] } },
    {
      name: 'of the older kind, which never expires',
      claims: {
        aud: undefined,
        exp: undefined,
        iat: undefined,
        nbf: undefined,
        iss: 'kubernetes/serviceaccount',
        'kubernetes.io/serviceaccount/namespace': 'shop',
      },
    },
  ],
};

/** Projected tokens of a cluster that publishes its keys. */
export const eks: Provider = {
  name: 'Kubernetes, EKS, GKE and AKS',
  about:
    'They publish their keys, so `jwks` and `bearerFile` are left out. A claim may have a dot in its name: `kubernetes.io.namespace` finds it.',
  config: `plugins: [
    jwt({ issuers: [{ issuer: '${EKS}', audience: 'postern' }] }),
    roles({ claim: 'kubernetes.io.namespace', map: { shop: 'reader' } }),
  ]`,
  serves: ({ rsa, other }) => ({
    [`${EKS}/.well-known/openid-configuration`]: discovery(EKS, `${EKS}/keys`),
    [`${EKS}/keys`]: {
      keys: [
        { ...other, use: 'sig', kid: 'old', alg: 'RS256' },
        { ...rsa, use: 'sig', kid: KID, alg: 'RS256' },
      ],
    },
  }),
  header: { alg: 'RS256', kid: KID },
  claims: (iat) => projected(iat, EKS, 'reports'),
  granted: [{ name: 'of the namespace', role: 'reader' }],
  refused: [
    {
      name: 'of another namespace',
      claims: { 'kubernetes.io': { namespace: 'blog', serviceaccount: { name: 'reports' } } },
    },
    { name: 'of another cluster', claims: { iss: `${EKS.slice(0, -7)}ANOTHER` } },
    { name: 'for AWS', claims: { aud: ['sts.amazonaws.com'] } },
  ],
};
