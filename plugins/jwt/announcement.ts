/** The issuer that clients of OAUTHBEARER are sent to, as libpq will judge it: from the config, never out of a token. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { badOption, proxyFor, readObject, readText, shown } from '../../core/index.ts';
import type { GatewayHandle, OAuthAnnouncement } from '../../core/index.ts';
import { parseDocument } from './discovery.ts';
import { download } from './download.ts';
import type { IssuerOptions, OAuthOptions } from './options.ts';
import { issuerOfEach, tenantsOf } from './tenants.ts';

/** An issuer that is announced. */
export interface AnnouncedIssuer {
  readonly issuer: string;
  readonly announcement: OAuthAnnouncement;
  /** As in the options. */
  readonly ca?: string;
}

/** How long a look at the document may take, in milliseconds. */
const LOOK_MS = 10_000;
const WELL_KNOWN = '/.well-known/';
/** OpenID Connect Discovery 1.0 §4, RFC 8414 §3. */
const SUFFIXES = ['openid-configuration', 'oauth-authorization-server'];

/**
 * The issuer that libpq takes an address for (`issuer_from_well_known_uri`), which it then compares with the user's
 * `oauth_issuer` byte by byte; undefined for an address that it refuses.
 */
export function issuerBehind(discovery: string): string | undefined {
  if (!/^https:\/\//i.test(discovery) || /[?#]/.test(discovery)) return undefined;
  const authority = 'https://'.length;
  const start = discovery.indexOf(WELL_KNOWN, authority);
  const rest = start < 0 ? '' : discovery.slice(start + WELL_KNOWN.length);
  const suffix = SUFFIXES.find((one) => rest === one || rest.startsWith(`${one}/`));
  if (suffix === undefined) return undefined;
  const behind = rest.slice(suffix.length);
  // In front of the path or behind it, and not in the middle.
  if (behind !== '' && start !== discovery.indexOf('/', authority)) return undefined;
  return discovery.slice(0, start) + behind;
}

/** Scope tokens with a blank between them (RFC 6749 §3.3). */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/;

function readScope(path: string, given: string): string {
  const scope = readText(path, given);
  if (!SCOPE.test(scope)) badOption(path, `${shown(scope)}: expected scopes, separated by single spaces`);
  return scope;
}

function announced(path: string, options: IssuerOptions, given: OAuthOptions): AnnouncedIssuer {
  const { scope, discovery } = readObject<OAuthOptions>(`${path}.oauth`, given, ['scope', 'discovery']);
  const tenants = tenantsOf(path, options);
  const [issuer = '', ...others] = tenants
    ? issuerOfEach(options.issuer, tenants).map((one) => one.issuer)
    : [options.issuer];
  if (others.length > 0)
    badOption(`${path}.oauth`, `one issuer can be announced, and there are ${others.length + 1} tenants`);
  const address =
    discovery === undefined
      ? `${issuer}${WELL_KNOWN}openid-configuration`
      : readText(`${path}.oauth.discovery`, discovery);
  const behind = issuerBehind(address);
  if (behind === undefined)
    badOption(
      discovery === undefined ? `${path}.oauth` : `${path}.oauth.discovery`,
      `${shown(address)} is no address that libpq asks: https, without a query, with ${WELL_KNOWN}${SUFFIXES.join(' or ')}`,
    );
  if (behind !== issuer)
    badOption(`${path}.oauth.discovery`, `is of the issuer ${shown(behind)}, not of ${shown(issuer)}`);
  proxyFor(new URL(address));
  const announcement = { discovery: address, scope: readScope(`${path}.oauth.scope`, scope) };
  return { issuer, announcement, ...(options.ca !== undefined && { ca: options.ca }) };
}

/** The issuer that is announced, of checked options; undefined where none is. @throws ConfigError for two, and for one that libpq would not ask */
export function announcedIn(issuers: readonly IssuerOptions[]): AnnouncedIssuer | undefined {
  let found: AnnouncedIssuer | undefined;
  for (const [index, options] of issuers.entries()) {
    const path = `jwt.issuers[${index}]`;
    if (options.oauth === undefined) continue;
    if (found)
      badOption(
        `${path}.oauth`,
        'one issuer can be announced: list the other in a jwt() of its own, by only()',
      );
    found = announced(path, options, options.oauth);
  }
  return found;
}

/** What is wrong with an issuer's document for a client that has to get a token by it; undefined if nothing is. */
export function whyNoTokens(document: unknown, issuer: string): string | undefined {
  const known = (typeof document === 'object' && document !== null ? document : {}) as Record<
    string,
    unknown
  >;
  if (known['issuer'] !== issuer)
    return `the document is of another issuer: ${shown(known['issuer'])}, not ${shown(issuer)}`;
  if (typeof known['device_authorization_endpoint'] !== 'string')
    return 'the document has no device_authorization_endpoint, by which psql gets tokens';
  return undefined;
}

/** Looks once at what the issuer says of itself, and warns of what psql would tell every user. Returns at once. */
export function lookAtIssuer({ issuer, announcement, ca }: AnnouncedIssuer, gateway: GatewayHandle): void {
  const warn = (reason: string): void => {
    if (!gateway.signal.aborted)
      gateway.log.warn({ issuer, reason }, 'clients may get no tokens by OAUTHBEARER');
  };
  const look = async (): Promise<string | undefined> => {
    const trust = ca === undefined ? {} : { ca: await readFile(resolve(gateway.directory, ca)) };
    const signal = AbortSignal.any([gateway.signal, AbortSignal.timeout(LOOK_MS)]);
    return whyNoTokens(parseDocument(await download(new URL(announcement.discovery), signal, trust)), issuer);
  };
  look().then(
    (why) => why !== undefined && warn(why),
    (error: unknown) =>
      warn(`${announcement.discovery}: ${error instanceof Error ? error.message : 'unknown'}`),
  );
}
