/** Microsoft Entra ID: keys without `alg` that say whose they are, two versions of tokens, many tenants, too many groups. */
import { X5C, X5T, discovery } from './provider.ts';
import type { Members, Provider, PublicKeys } from './provider.ts';

const LOGIN = 'https://login.microsoftonline.com';
const TENANT = '0b8c54c9-7d1c-4a39-9d21-5e8f2f7d5a10';
const PARTNER = '5f3c0a1e-2b4d-4c6f-8a9b-0c1d2e3f4a5b';
const STRANGER = '11111111-2222-4333-8444-555555555555';
/** The tenant of personal accounts. */
const PERSONAL = '9188040d-6c67-4c5b-b112-36a304b66dad';
const APP = '6e74172b-be56-4843-9ff4-e66a39bb12e3';
const CLIENT = '7a5f0e3c-2a8d-4a1e-bc0f-7b1c2d3e4f50';
const WRITERS = 'c1f2a3b4-5d6e-4f70-8a91-b2c3d4e5f607';

const issuerOf = (tenant: string): string => `${LOGIN}/${tenant}/v2.0`;

/** Version 2.0 names the issuer in each key, with `{tenantid}` in those that sign for every company. */
function keySet({ rsa, other }: PublicKeys): Members {
  const more = { use: 'sig', x5t: X5T, x5c: X5C, cloud_instance_name: 'microsoftonline.com' };
  return {
    keys: [
      { ...rsa, ...more, kid: X5T, issuer: issuerOf('{tenantid}') },
      { ...other, ...more, kid: 'personal', issuer: issuerOf(PERSONAL) },
    ],
  };
}

function versionTwo(tenant: string, issuer: string) {
  const keys = `${LOGIN}/${tenant}/discovery/v2.0/keys`;
  return (all: PublicKeys) => ({
    [`${LOGIN}/${tenant}/v2.0/.well-known/openid-configuration`]: discovery(issuer, keys),
    [keys]: keySet(all),
  });
}

const header = { typ: 'JWT', alg: 'RS256', kid: X5T };

const service = (iat: number): Members => ({
  aud: APP,
  iss: issuerOf(TENANT),
  iat,
  nbf: iat,
  exp: iat + 3_900,
  aio: 'AXQAi/8IAAAA',
  azp: CLIENT,
  azpacr: '2',
  idtyp: 'app',
  oid: '690222be-ff1a-4d56-abd1-7e4f7d38e474',
  rh: '0.AAAA',
  roles: ['Orders.Read'],
  sub: '690222be-ff1a-4d56-abd1-7e4f7d38e474',
  tid: TENANT,
  uti: 'abcdefghijklmnopqrstuv',
  ver: '2.0',
});

/** Tokens of version 2.0 for services. */
export const entraServices: Provider = {
  name: 'Microsoft Entra ID, v2.0, app roles',
  about:
    'The audience is the application’s id, `azp` the client that comes. App roles are the way for services, and for people with many groups.',
  config: `plugins: [
    jwt({ issuers: [{ issuer: '${issuerOf(TENANT)}', audience: '${APP}', azp: ['${CLIENT}'] }] }),
    roles({ claim: 'roles', map: { 'Orders.Read': 'reader', 'Orders.Write': 'writer' } }),
  ]`,
  serves: versionTwo(TENANT, issuerOf(TENANT)),
  header,
  claims: service,
  granted: [
    { name: 'with an app role', role: 'reader' },
    { name: 'with another app role', claims: { roles: ['Orders.Write'] }, role: 'writer' },
  ],
  refused: [
    { name: 'without app roles', claims: { roles: undefined } },
    { name: 'for another client', claims: { azp: '11111111-2a8d-4a1e-bc0f-7b1c2d3e4f50' } },
    { name: 'for another application', claims: { aud: '00000003-0000-0000-c000-000000000000' } },
    { name: 'of another tenant', claims: { iss: issuerOf(STRANGER), tid: STRANGER } },
    { name: 'signed with the key for personal accounts', header: { kid: 'personal' }, key: 'other' },
  ],
};

/** Tokens of version 2.0 for people. */
export const entraPeople: Provider = {
  name: 'Microsoft Entra ID, v2.0, groups',
  about:
    'With more than 200 groups a token has none, and `_claim_names` or `hasgroups` instead: that is not an absence, so `default` is not for it. Let the application emit assigned groups only, or use app roles.',
  config: `plugins: [
    jwt({ issuers: [{ issuer: '${issuerOf(TENANT)}', audience: '${APP}', azp: ['${CLIENT}'] }] }),
    roles({ claim: 'groups', map: { '${WRITERS}': 'writer' }, default: 'reader' }),
  ]`,
  serves: versionTwo(TENANT, issuerOf(TENANT)),
  header,
  claims: (iat) => ({
    ...service(iat),
    idtyp: undefined,
    roles: undefined,
    azpacr: '0',
    scp: 'Orders.Access',
    groups: ['0f1e2d3c-4b5a-4697-8877-665544332211', WRITERS],
    name: 'Ada',
    preferred_username: 'ada@acme.example',
    sub: 'AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ',
  }),
  granted: [
    { name: 'with the group', role: 'writer' },
    { name: 'without groups', claims: { groups: undefined }, role: 'reader' },
  ],
  refused: [
    {
      name: 'with too many groups',
      claims: {
        groups: undefined,
        _claim_names: { groups: 'src1' },
        _claim_sources: {
          src1: { endpoint: `https://graph.windows.net/${TENANT}/users/690222be/getMemberObjects` },
        },
      },
    },
    { name: 'with too many groups, of the implicit flow', claims: { groups: undefined, hasgroups: true } },
    { name: 'for another application', claims: { aud: '00000003-0000-0000-c000-000000000000' } },
    { name: 'with other groups only', claims: { groups: ['0f1e2d3c-4b5a-4697-8877-665544332211'] } },
  ],
};

const VERSION_ONE = `https://sts.windows.net/${TENANT}/`;
const VERSION_ONE_KEYS = `${LOGIN}/common/discovery/keys`;

/** Tokens of version 1.0. */
export const entraOne: Provider = {
  name: 'Microsoft Entra ID, v1.0',
  about:
    'What an API gets whose manifest does not say `requestedAccessTokenVersion: 2`: another issuer, with a slash at its end, the application’s URI as audience, and `appid` in the place of `azp`.',
  config: `plugins: [
    jwt({
      issuers: [
        { issuer: '${VERSION_ONE}', audience: 'api://postern', requiredClaims: { appid: '${CLIENT}', ver: '1.0' } },
      ],
    }),
    roles({ claim: 'roles', map: { 'Orders.Read': 'reader' } }),
  ]`,
  serves: ({ rsa, other }) => ({
    [`${VERSION_ONE}.well-known/openid-configuration`]: discovery(VERSION_ONE, VERSION_ONE_KEYS),
    [VERSION_ONE_KEYS]: {
      keys: [
        { ...rsa, use: 'sig', kid: X5T, x5t: X5T, x5c: X5C },
        { ...other, use: 'sig', kid: 'next', x5t: 'next', x5c: X5C },
      ],
    },
  }),
  header: { ...header, x5t: X5T },
  claims: (iat) => ({
    ...service(iat),
    aud: 'api://postern',
    iss: VERSION_ONE,
    azp: undefined,
    azpacr: undefined,
    appid: CLIENT,
    appidacr: '1',
    idp: VERSION_ONE,
    ver: '1.0',
  }),
  granted: [{ name: 'with an app role', role: 'reader' }],
  refused: [
    { name: 'for another client', claims: { appid: '11111111-2a8d-4a1e-bc0f-7b1c2d3e4f50' } },
    { name: 'for another API', claims: { aud: 'https://graph.microsoft.com' } },
    { name: 'of version 2.0', claims: { iss: issuerOf(TENANT), ver: '2.0' } },
  ],
};

/** Tokens of version 2.0 of several tenants. */
export const entraTenants: Provider = {
  name: 'Microsoft Entra ID, several tenants',
  about:
    'One issuer for each tenant on the list, all with the keys of `organizations`: `iss` and `tid` are compared with the list, and nothing is made of what a token says. `identity.issuer` is the tenant’s own, as for any other issuer; for roles by tenant list an entry of `roles` for each.',
  config: `plugins: [
    jwt({
      issuers: [
        {
          issuer: '${issuerOf('{tenantid}')}',
          tenants: ['${TENANT}', '${PARTNER}'],
          audience: '${APP}',
        },
      ],
    }),
    roles([
      { issuer: '${issuerOf(TENANT)}', claim: 'roles', map: { 'Orders.Read': 'reader', 'Orders.Write': 'writer' } },
      { issuer: '${issuerOf(PARTNER)}', claim: 'roles', map: { 'Orders.Read': 'reader' } },
    ]),
  ]`,
  serves: versionTwo('organizations', issuerOf('{tenantid}')),
  header,
  claims: service,
  granted: [
    { name: 'of the first tenant', claims: { roles: ['Orders.Write'] }, role: 'writer' },
    { name: 'of the second', claims: { iss: issuerOf(PARTNER), tid: PARTNER }, role: 'reader' },
  ],
  refused: [
    { name: 'of a tenant that is not on the list', claims: { iss: issuerOf(STRANGER), tid: STRANGER } },
    {
      name: 'of personal accounts',
      claims: { iss: issuerOf(PERSONAL), tid: PERSONAL },
      header: { kid: 'personal' },
      key: 'other',
    },
    { name: 'for another application', claims: { aud: '00000003-0000-0000-c000-000000000000' } },
    { name: 'of one tenant that names another', claims: { tid: PARTNER } },
    {
      name: 'of a tenant, signed with the key for personal accounts',
      header: { kid: 'personal' },
      key: 'other',
    },
    { name: 'whose issuer is the template', claims: { iss: issuerOf('{tenantid}'), tid: '{tenantid}' } },
    { name: 'whose issuer is every company', claims: { iss: issuerOf('organizations') } },
    {
      name: 'of the second tenant with a role of the first',
      claims: { iss: issuerOf(PARTNER), tid: PARTNER, roles: ['Orders.Write'] },
    },
  ],
};
