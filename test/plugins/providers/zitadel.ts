/** ZITADEL: roles are the keys of an object, each with the organisations that have given it. */
import { discovery } from './provider.ts';
import type { Provider } from './provider.ts';

const ISSUER = 'https://acme-ab12cd.zitadel.cloud';
const KEYS = `${ISSUER}/oauth/v2/keys`;
const PROJECT = '234567890123456789';
const ORGANISATION = '234567890987654321';
const ROLES = `urn:zitadel:iam:org:project:${PROJECT}:roles`;
const OWNER = 'urn:zitadel:iam:user:resourceowner:id';

/** Access tokens as JWT. */
export const zitadel: Provider = {
  name: 'ZITADEL',
  about:
    'The audience is the project’s id (scope `urn:zitadel:iam:org:project:id:{id}:aud`), the claim that of the project, since a client may ask for the roles of several. Roles are an object’s keys. Scope `urn:zitadel:iam:user:resourceowner` tells the person’s organisation: name it where a project is granted to others.',
  config: `plugins: [
    jwt({
      issuers: [
        {
          issuer: '${ISSUER}',
          audience: '${PROJECT}',
          requiredClaims: { '${OWNER}': '${ORGANISATION}' },
        },
      ],
    }),
    roles({ claim: '${ROLES}', as: 'keys', allow: ['reader', 'writer'] }),
  ]`,
  serves: ({ rsa, other }) => ({
    [`${ISSUER}/.well-known/openid-configuration`]: discovery(ISSUER, KEYS),
    [KEYS]: {
      keys: [
        { use: 'sig', ...rsa, kid: '234567890111111111', alg: 'RS256' },
        { use: 'sig', ...other, kid: '234567890222222222', alg: 'RS256' },
      ],
    },
  }),
  header: { alg: 'RS256', kid: '234567890111111111', typ: 'JWT' },
  claims: (iat) => ({
    iss: ISSUER,
    sub: '234567890333333333',
    aud: ['234567890444444444', PROJECT],
    exp: iat + 43_200,
    iat,
    nbf: iat,
    client_id: '234567890444444444',
    jti: 'V2_234567890555555555-at_234567890666666666',
    [ROLES]: { reader: { [ORGANISATION]: 'acme.zitadel.cloud' } },
    [OWNER]: ORGANISATION,
  }),
  granted: [
    { name: 'with a role', role: 'reader' },
    {
      name: 'with two roles',
      claims: { [ROLES]: { admin: { [ORGANISATION]: 'x' }, writer: { [ORGANISATION]: 'x' } } },
      role: 'writer',
    },
  ],
  refused: [
    { name: 'without roles', claims: { [ROLES]: {} } },
    { name: 'with other roles only', claims: { [ROLES]: { admin: { [ORGANISATION]: 'x' } } } },
    {
      name: 'with the role in another project',
      claims: { [ROLES]: undefined, 'urn:zitadel:iam:org:project:999:roles': { reader: {} } },
    },
    { name: 'of somebody of another organisation', claims: { [OWNER]: '999' } },
    { name: 'for another project', claims: { aud: ['234567890444444444', '999'] } },
  ],
};
