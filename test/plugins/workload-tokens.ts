/** Tokens as workloads really get them: the claims and headers of five issuers, with the config a user would write. */
import type { IssuerOptions } from '../../plugins/jwt/index.ts';
import type { RolesOptions } from '../../plugins/roles/index.ts';
import { now } from '../support/token.ts';

type Members = Readonly<Record<string, unknown>>;

/** One kind of token. Issuer and audience are the real ones; only the keys are the test's. */
export interface WorkloadToken {
  readonly name: string;
  readonly header: Members;
  readonly claims: Members;
  /** As in plugins/README.md, but for `jwks`. */
  readonly issuer: Omit<IssuerOptions, 'jwks'>;
  readonly roles: RolesOptions;
  readonly subject: string;
  /** Claims of a neighbour that the same issuer vouches for, and that has no role here. */
  readonly neighbour: Members;
}

const TENANT = '0b8c54c9-7d1c-4a39-9d21-5e8f2f7d5a10';

/** Made anew, since their times are those of now. */
export function workloadTokens(): readonly WorkloadToken[] {
  const iat = now();
  return [
    {
      name: 'Kubernetes projected service account',
      header: { alg: 'RS256', typ: undefined },
      claims: {
        aud: ['postern'],
        exp: iat + 3_607,
        iat,
        iss: 'https://kubernetes.default.svc.cluster.local',
        jti: '0e1a5c8e-8b7a-4ff5-a3c4-1c2f2c7b8f11',
        'kubernetes.io': {
          namespace: 'shop',
          node: { name: 'node-1', uid: '646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1' },
          pod: { name: 'orders-7c9d8b-x2x7p', uid: '5e0bd49b-f040-43b0-99b7-22765a53f7f3' },
          serviceaccount: { name: 'orders', uid: '14ee3fa4-a7e2-420f-9f9a-dbc4507c3798' },
        },
        nbf: iat,
        sub: 'system:serviceaccount:shop:orders',
      },
      issuer: { issuer: 'https://kubernetes.default.svc.cluster.local', audience: 'postern' },
      roles: { claim: 'sub', map: { 'system:serviceaccount:shop:orders': 'reader' } },
      subject: 'system:serviceaccount:shop:orders',
      neighbour: { sub: 'system:serviceaccount:default:orders' },
    },
    {
      name: 'Kubernetes, mapped by a nested claim',
      header: { alg: 'RS256', typ: undefined },
      claims: {
        aud: ['postern'],
        exp: iat + 3_600,
        iat,
        iss: 'https://oidc.eks.eu-west-1.amazonaws.com/id/2CEA0DD4CE6D01B4AF7E7B3C3EXAMPLE',
        'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'reports', uid: 'f1' } },
        nbf: iat,
        sub: 'system:serviceaccount:shop:reports',
      },
      issuer: {
        issuer: 'https://oidc.eks.eu-west-1.amazonaws.com/id/2CEA0DD4CE6D01B4AF7E7B3C3EXAMPLE',
        audience: 'postern',
      },
      roles: { claim: 'kubernetes.io.namespace', map: { shop: 'reader' } },
      subject: 'system:serviceaccount:shop:reports',
      neighbour: { 'kubernetes.io': { namespace: 'blog', serviceaccount: { name: 'reports' } } },
    },
    {
      name: 'GitHub Actions',
      header: { alg: 'RS256', typ: 'JWT', x5t: 'eBZ_cn3sXYAd0ch4THBKHIgOwOE' },
      claims: {
        jti: '4e9cb4f5-8a3c-4f4d-9ef2-8ab0ff0e1dbb',
        sub: 'repo:acme/shop:environment:production',
        aud: 'postern',
        ref: 'refs/heads/main',
        sha: 'f0e1d2c3b4a5968778695a4b3c2d1e0f01020304',
        repository: 'acme/shop',
        repository_owner: 'acme',
        repository_owner_id: '65',
        run_id: '1530679972',
        run_number: '10',
        run_attempt: '1',
        repository_visibility: 'private',
        repository_id: '74',
        actor_id: '12',
        actor: 'ada',
        workflow: 'migrate',
        head_ref: '',
        base_ref: '',
        event_name: 'push',
        ref_protected: 'true',
        ref_type: 'branch',
        environment: 'production',
        job_workflow_ref: 'acme/shop/.github/workflows/migrate.yml@refs/heads/main',
        runner_environment: 'github-hosted',
        iss: 'https://token.actions.githubusercontent.com',
        nbf: iat - 600,
        exp: iat + 300,
        iat,
      },
      issuer: {
        issuer: 'https://token.actions.githubusercontent.com',
        audience: 'postern',
        maxLifetime: '15m',
        requiredClaims: ['jti', 'repository_owner_id'],
      },
      roles: { claim: 'sub', map: { 'repo:acme/shop:environment:production': 'writer' } },
      subject: 'repo:acme/shop:environment:production',
      neighbour: { sub: 'repo:acme/shop:pull_request' },
    },
    {
      name: 'SPIFFE JWT-SVID',
      header: { alg: 'ES256', typ: 'JOSE' },
      claims: {
        aud: ['postern', 'spiffe://acme.example/cache'],
        exp: iat + 300,
        iat,
        iss: undefined,
        sub: 'spiffe://acme.example/ns/shop/sa/orders',
      },
      issuer: { issuer: 'spiffe://acme.example', audience: 'postern', maxLifetime: '1h' },
      roles: { claim: 'sub', map: { 'spiffe://acme.example/ns/shop/sa/orders': 'reader' } },
      subject: 'spiffe://acme.example/ns/shop/sa/orders',
      neighbour: { sub: 'spiffe://acme.example/ns/blog/sa/orders' },
    },
    {
      name: 'Microsoft Entra ID v2.0',
      header: { alg: 'RS256', typ: 'JWT' },
      claims: {
        aud: '6e74172b-be56-4843-9ff4-e66a39bb12e3',
        iss: `https://login.microsoftonline.com/${TENANT}/v2.0`,
        iat,
        nbf: iat,
        exp: iat + 3_900,
        aio: 'AXQAi/8IAAAA',
        azp: '7a5f0e3c-2a8d-4a1e-bc0f-7b1c2d3e4f50',
        azpacr: '2',
        idtyp: 'app',
        oid: '690222be-ff1a-4d56-abd1-7e4f7d38e474',
        rh: '0.AAAA',
        roles: ['Orders.Read'],
        sub: '690222be-ff1a-4d56-abd1-7e4f7d38e474',
        tid: TENANT,
        uti: 'abcdefghijklmnopqrstuv',
        ver: '2.0',
      },
      issuer: {
        issuer: `https://login.microsoftonline.com/${TENANT}/v2.0`,
        audience: '6e74172b-be56-4843-9ff4-e66a39bb12e3',
        azp: ['7a5f0e3c-2a8d-4a1e-bc0f-7b1c2d3e4f50'],
      },
      roles: { claim: 'roles', map: { 'Orders.Read': 'reader', 'Orders.Write': 'writer' } },
      subject: '690222be-ff1a-4d56-abd1-7e4f7d38e474',
      neighbour: { azp: '11111111-2a8d-4a1e-bc0f-7b1c2d3e4f50' },
    },
    {
      name: 'Google ID token of a service account',
      header: { alg: 'RS256', typ: 'JWT' },
      claims: {
        aud: 'https://postern.acme.example',
        azp: '112010400000000710080',
        email: 'orders@acme-shop.iam.gserviceaccount.com',
        email_verified: true,
        exp: iat + 3_600,
        iat,
        iss: 'https://accounts.google.com',
        sub: '112010400000000710080',
      },
      issuer: {
        issuer: 'https://accounts.google.com',
        audience: 'https://postern.acme.example',
        requiredClaims: ['email_verified'],
      },
      roles: { claim: 'email', map: { 'orders@acme-shop.iam.gserviceaccount.com': 'reader' } },
      subject: '112010400000000710080',
      neighbour: { email: 'someone@gmail.com', sub: '1' },
    },
  ];
}
