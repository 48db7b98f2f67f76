/** GitHub Actions: whoever has a repository has tokens of this issuer, and names come free again; ids do not. */
import { X5T, discovery, signingKey } from './provider.ts';
import type { Provider } from './provider.ts';

const ISSUER = 'https://token.actions.githubusercontent.com';
const KEYS = `${ISSUER}/.well-known/jwks`;
const KID = 'cc413527-173f-5a05-976e-9c52b1d7b431';

/** Tokens of workflow jobs, with the immutable subject. */
export const github: Provider = {
  name: 'GitHub Actions',
  about:
    "`permissions: { id-token: write }`, then `core.getIDToken('postern')`. Subjects of repositories made, renamed or moved since July 2026, and of those that opted in, have the ids of owner and repository behind `@`: map these. An older subject has names alone, which somebody else may get one day; pin its owner by `repository_owner_id`. A `*` stands for any text, `/` and `:` as well, so end what is before it with a sign that no name can have. A token lives for minutes: `sessions: 'check-at-login'` lets a job’s session outlive it.",
  config: `plugins: [
    jwt({
      issuers: [
        {
          issuer: '${ISSUER}',
          audience: 'postern',
          maxLifetime: '15m',
          requiredClaims: { repository_owner_id: '65' },
        },
      ],
    }),
    roles({
      claim: 'sub',
      map: { 'repo:acme@65/shop@74:environment:production': 'writer', 'repo:acme@65/shop@74:*': 'reader' },
    }),
  ]`,
  serves: ({ rsa, other }) => ({
    [`${ISSUER}/.well-known/openid-configuration`]: discovery(ISSUER, KEYS),
    [KEYS]: {
      keys: [signingKey(other, '38826b17-6a30-5f9b-b169-8beb8202f723'), signingKey(rsa, KID)],
    },
  }),
  header: { typ: 'JWT', alg: 'RS256', x5t: X5T, kid: KID },
  claims: (iat) => ({
    jti: '4e9cb4f5-8a3c-4f4d-9ef2-8ab0ff0e1dbb',
    sub: 'repo:acme@65/shop@74:environment:production',
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
    iss: ISSUER,
    nbf: iat - 600,
    exp: iat + 300,
    iat,
  }),
  granted: [
    { name: 'of the environment', role: 'writer' },
    {
      name: 'of a pull request',
      claims: {
        sub: 'repo:acme@65/shop@74:pull_request',
        environment: undefined,
        event_name: 'pull_request',
      },
      role: 'reader',
    },
  ],
  refused: [
    { name: 'of the older subject', claims: { sub: 'repo:acme/shop:environment:production' } },
    {
      name: 'of whoever has got the names',
      claims: {
        sub: 'repo:acme@66/shop@75:environment:production',
        repository_owner_id: '66',
        repository_id: '75',
      },
    },
    {
      name: 'of another repository of the owner',
      claims: { sub: 'repo:acme@65/blog@80:environment:production' },
    },
    { name: 'of a repository whose id begins so', claims: { sub: 'repo:acme@65/shop@741:pull_request' } },
    { name: 'for another audience', claims: { aud: 'sts.amazonaws.com' } },
  ],
};
