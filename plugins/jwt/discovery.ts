/** Finds an issuer's keys by what it publishes about itself (OpenID Connect Discovery 1.0 §4, RFC 8414 §3). */
import { shown } from '../../core/index.ts';
import { download } from './download.ts';
import type { DownloadTrust } from './download.ts';
import { mayLeadTo, unfit } from './key-url.ts';
import { askedAs } from './tenants.ts';

/** Where an issuer publishes what it is: its own address, without a slash at the end, and the well-known path. */
export function configurationUrl(issuer: string): URL {
  return new URL(`${askedAs(issuer).replace(/\/$/, '')}/.well-known/openid-configuration`);
}

/** Reads JSON, with a byte order mark or without (RFC 8259 §8.1). @throws Error that does not quote the text, as the parser's own would */
export function parseDocument(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Error('not JSON');
  }
}

function keysAddress(document: unknown, issuer: string, from: URL): URL {
  const known = (typeof document === 'object' && document !== null ? document : {}) as Record<
    string,
    unknown
  >;
  // An issuer that answers for another one could have its keys taken for the other's (§4.3).
  if (known['issuer'] !== issuer)
    throw new Error(
      `discovery: the document is of another issuer: ${shown(known['issuer'])}, not ${shown(issuer)}`,
    );
  const { jwks_uri: address } = known;
  if (typeof address !== 'string') throw new Error('discovery: there is no jwks_uri');
  const why = unfit(address);
  if (why !== undefined) throw new Error(`discovery: jwks_uri: ${why}`);
  const url = new URL(address);
  if (!mayLeadTo(from, url)) throw new Error('discovery: jwks_uri leads from https to http');
  return url;
}

/**
 * Downloads the keys of an issuer from where it says they are, anew each time, since that may move.
 * @param trust for both addresses; the credential goes to the issuer's own origin only
 * @throws Error as `download` does; if the document is of another issuer or leads to where keys may not come from
 */
export async function discoverKeys(
  issuer: string,
  signal: AbortSignal,
  { ca, bearer }: DownloadTrust = {},
): Promise<unknown> {
  const from = configurationUrl(issuer);
  const document = parseDocument(await download(from, signal, { ca, bearer }));
  const to = keysAddress(document, issuer, from);
  return parseDocument(
    await download(to, signal, { ca, bearer: to.origin === from.origin ? bearer : undefined }),
  );
}
