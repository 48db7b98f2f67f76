/** GitLab CI: everything about the job is in the token, true and false as texts. */
import { discovery } from './provider.ts';
import type { Provider } from './provider.ts';

const ISSUER = 'https://gitlab.acme.example';
const KEYS = `${ISSUER}/oauth/discovery/keys`;
const KID = 'RMVNNtLiFuXZ0dPVMMJGdzgZ6gGhZyFn';

/** ID tokens of jobs. */
export const gitlab: Provider = {
  name: 'GitLab CI',
  about:
    '`id_tokens: { POSTERN: { aud: postern } }` in the job. Ids do not change with a rename, and `ref_protected` is a text. What no single claim says a function puts together, for `map` to decide.',
  config: `plugins: [
    jwt({
      issuers: [
        { issuer: '${ISSUER}', audience: 'postern', maxLifetime: '2h', requiredClaims: { namespace_id: '72' } },
      ],
    }),
    roles({
      claim: (claim) => \`\${claim('project_id')} protected \${claim('ref_protected')}\`,
      map: { '20 protected true': 'writer', '20 protected false': 'reader' },
    }),
  ]`,
  serves: ({ rsa }) => ({
    [`${ISSUER}/.well-known/openid-configuration`]: discovery(ISSUER, KEYS),
    [KEYS]: { keys: [{ ...rsa, kid: KID, use: 'sig', alg: 'RS256' }] },
  }),
  header: { kid: KID, typ: 'JWT', alg: 'RS256' },
  claims: (iat) => ({
    namespace_id: '72',
    namespace_path: 'acme',
    project_id: '20',
    project_path: 'acme/shop',
    user_id: '1',
    user_login: 'ada',
    user_email: 'ada@acme.example',
    pipeline_id: '574',
    pipeline_source: 'push',
    job_id: '302',
    ref: 'main',
    ref_type: 'branch',
    ref_path: 'refs/heads/main',
    ref_protected: 'true',
    runner_id: 1,
    runner_environment: 'self-hosted',
    sha: '714a629c0b401fdce83e847fc9589983fc6f46bc',
    project_visibility: 'private',
    jti: '235b3a54-b797-45c7-ae9a-f72d7bc6ef5b',
    iss: ISSUER,
    iat,
    nbf: iat - 5,
    exp: iat + 3_600,
    sub: 'project_path:acme/shop:ref_type:branch:ref:main',
    aud: 'postern',
  }),
  granted: [
    { name: 'of a protected branch', role: 'writer' },
    {
      name: 'of another branch',
      claims: {
        ref: 'fix',
        ref_path: 'refs/heads/fix',
        ref_protected: 'false',
        sub: 'project_path:acme/shop:ref_type:branch:ref:fix',
      },
      role: 'reader',
    },
  ],
  refused: [
    { name: 'of another project', claims: { project_id: '21', project_path: 'acme/blog' } },
    { name: 'of another group that has the name', claims: { namespace_id: '73' } },
    { name: 'without a word about protection', claims: { ref_protected: undefined } },
    { name: 'for another audience', claims: { aud: 'https://vault.acme.example' } },
  ],
};
