/** Issuers of Microsoft Entra ID for many tenants: an exact issuer per tenant on a list, and one key set for all of them. */
import { badOption, readList, readText } from '../../core/index.ts';
import type { IssuerOptions } from './options.ts';

/** Where a tenant's id stands in the issuer, as Entra ID writes it in its discovery document and in its keys. */
const PLACE = '{tenantid}';
/** The tenant under which Entra ID publishes what is for every company; `common` would be for personal accounts as well. */
const ANY = 'organizations';
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

/** Reads `tenants`, which belong to an issuer with the place for one. @throws ConfigError */
export function tenantsOf(path: string, { issuer, tenants }: IssuerOptions): readonly string[] | undefined {
  const places = issuer.split(PLACE).length - 1;
  if (tenants === undefined) {
    if (places > 0)
      badOption(`${path}.tenants`, `is needed with ${PLACE} in the issuer: which tenants may come`);
    return undefined;
  }
  if (places !== 1) badOption(`${path}.tenants`, `goes with ${PLACE} in the issuer, once`);
  const ids = readList(`${path}.tenants`, tenants, readText, 'texts');
  for (const [index, id] of ids.entries()) {
    const place = `${path}.tenants[${index}]`;
    // A domain name is in no token, and a word such as `common` would let in whoever has an account.
    if (UUID.exec(id)?.[0] !== id) badOption(place, 'the id of a tenant is needed, a UUID in lower case');
    if (ids.indexOf(id) < index) badOption(place, `"${id}" comes twice`);
  }
  return ids;
}

/** The exact issuer of each tenant. `iss` is compared with these, and none is ever made of what a token says. */
export function issuerOfEach(
  issuer: string,
  tenants: readonly string[],
): readonly { readonly issuer: string; readonly tenant: string }[] {
  return tenants.map((tenant) => ({ issuer: issuer.replace(PLACE, tenant), tenant }));
}

/** Where an issuer of many tenants is asked about itself; any other issuer as it is. */
export function askedAs(issuer: string): string {
  return issuer.replace(PLACE, ANY);
}

/**
 * Whether a key may sign for an issuer. Entra ID's say whose they are: one tenant's, or with the place any company's. A key for
 * personal accounts must not sign for a company.
 */
export function isKeyOf(keyIssuer: string | undefined, issuer: string | undefined): boolean {
  if (keyIssuer === undefined || issuer === undefined) return true;
  if (!/^https?:\/\//.test(keyIssuer) || keyIssuer.includes(PLACE)) return true;
  // Tokens of version 1.0 have an issuer of another host, and the same keys.
  const tenant = UUID.exec(keyIssuer)?.[0];
  return keyIssuer === issuer || (tenant !== undefined && UUID.exec(issuer)?.[0] === tenant);
}
