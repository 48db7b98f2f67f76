/** The names of a certificate that may say who its holder is. */
import type { ClientCertificate } from '../../core/index.ts';
import type { NameKind } from './options.ts';

/** Names to compare, or why there is none. */
export type Names = readonly string[] | { readonly why: string };

/** The longest SPIFFE id, in bytes (SPIFFE-ID, 2.3). */
const LONGEST_SPIFFE_ID = 2_048;
/** A path of a SPIFFE id (SPIFFE-ID, 2.2), without its segments `.` and `..`. */
const SPIFFE_PATH = /^(?:\/[a-zA-Z0-9._-]+)+$/;

/** A trust domain of SPIFFE (SPIFFE-ID, 2.1). */
export const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;

function only(names: readonly string[], what: string): Names {
  const [name, ...more] = names;
  if (name === undefined) return { why: `has no ${what}` };
  return more.length === 0 ? [name] : { why: `has ${names.length} of ${what}, and one has to be it` };
}

/** Why a URI is no SPIFFE id of a trust domain; undefined for one. */
function whyNoId(uri: string, trustDomain: string): string | undefined {
  const start = `spiffe://${trustDomain}`;
  const path = uri.slice(start.length);
  if (!uri.startsWith(start) || !path.startsWith('/')) return `is not of trust domain ${trustDomain}`;
  const segments = path.split('/');
  const fits = SPIFFE_PATH.test(path) && !segments.includes('.') && !segments.includes('..');
  return fits && uri.length <= LONGEST_SPIFFE_ID ? undefined : 'is no SPIFFE id';
}

/**
 * The names of a kind.
 * @param trustDomain of SPIFFE ids. Default: any URI counts
 */
export function namesOf(
  { uris, dns, commonNames, subject }: ClientCertificate,
  kind: NameKind,
  trustDomain?: string,
): Names {
  if (kind === 'subject') return subject === '' ? { why: 'has no subject' } : [subject];
  if (kind === 'commonName') return only(commonNames, 'common names');
  // A certificate may be for many hosts; `*` in one is for servers.
  if (kind === 'dns') {
    const names = dns.filter((name) => !name.includes('*')).map((name) => name.toLowerCase());
    return names.length > 0 ? names : { why: 'has no DNS name' };
  }
  const found = only(uris, 'URIs');
  if ('why' in found || trustDomain === undefined) return found;
  const why = whyNoId(found[0] ?? '', trustDomain);
  return why === undefined ? found : { why: `has a URI that ${why}` };
}
