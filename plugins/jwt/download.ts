/** Fetches one small document as the JWKS endpoint of an issuer serves it: bounded in time, size and redirects. */
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { Outbound } from '../../core/index.ts';
import type { OutboundResponse } from '../../core/index.ts';
import { AddressGuard } from './address-guard.ts';
import { redirected } from './key-url.ts';

/** Largest document, in bytes. */
export const MAX_DOCUMENT_BYTES = 262_144;
/** How long connecting may take, TLS included, in milliseconds. */
const CONNECT_MS = 2_000;
/** Redirects in a row that are followed. */
const MOST_REDIRECTS = 3;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
/** Statuses with which a server says when to come again (RFC 6585 §4, RFC 9110 §15.6.4). */
const BUSY: readonly number[] = [429, 503];

/** Some servers refuse who does not take anything, and some firewalls who does not say a name. */
const HEADERS = { accept: 'application/jwk-set+json, application/json, */*', 'user-agent': 'postern' };

/** Codings that are sent by servers that nobody asked for one (RFC 9110 §8.4.1). */
const DECODERS = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
} as const;

/** Whom to trust, and what to show. */
export interface DownloadTrust {
  /** PEM of the authorities to trust instead of the system's. */
  readonly ca?: Buffer | undefined;
  /** Sent as a bearer token (RFC 6750 §2.1) to the origin of the address, and to no other that a redirect leads to. */
  readonly bearer?: string | undefined;
}

/** The server has said when it wants to be asked again. */
export class ServerBusy extends Error {
  override readonly name = 'ServerBusy';
  /** In milliseconds; 0 if it has not said. */
  readonly retryAfterMs: number;

  constructor(status: number, retryAfterMs: number, reason?: string) {
    const when = retryAfterMs > 0 ? `, and asks for ${Math.ceil(retryAfterMs / 1_000)} s of peace` : '';
    super(reason ?? `the answer has status ${status}${when}`);
    this.retryAfterMs = retryAfterMs;
  }
}

const tooLong = (): Error => new Error(`the answer is longer than ${MAX_DOCUMENT_BYTES} bytes`);

/** Bounded before and behind: a small body can be a large document. */
async function decoded(bytes: Buffer, coding = ''): Promise<Buffer> {
  const name = coding.trim().toLowerCase();
  if (name === '' || name === 'identity') return bytes;
  const decode = Object.entries(DECODERS).find(([known]) => known === name)?.[1];
  if (!decode) throw new Error('the answer has a content coding that nobody has asked for');
  try {
    return await decode(bytes, { maxOutputLength: MAX_DOCUMENT_BYTES });
  } catch (error) {
    const long = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
    throw long ? tooLong() : new Error(`the answer is not ${name}, as it says`);
  }
}

async function documentOf(response: OutboundResponse): Promise<Buffer> {
  const { status, retryAfterMs } = response;
  if (BUSY.includes(status)) throw new ServerBusy(status, retryAfterMs);
  if (status !== 200) throw new Error(`the answer has status ${status}`);
  const bytes = await response.bytes(MAX_DOCUMENT_BYTES);
  if (!bytes) throw tooLong();
  return decoded(Buffer.from(bytes), response.header('content-encoding'));
}

/**
 * GETs `url` on a connection of its own. Up to three redirects are followed, by the same scheme, and from a public address to
 * no private one.
 * @throws Error for every other status but 200, a body over 256 KiB, a connection that takes over 2 s, and when `signal`
 * aborts; ServerBusy for 429 and 503
 */
export async function download(
  url: URL,
  signal: AbortSignal,
  { ca, bearer }: DownloadTrust = {},
): Promise<Buffer> {
  const guard = new AddressGuard();
  const outbound = new Outbound({ ca, connectMs: CONNECT_MS, lookup: guard.lookup });
  try {
    let at = url;
    for (let followed = 0; ; followed += 1) {
      guard.enter(at);
      const shown = at.origin === url.origin ? bearer : undefined;
      const headers = { ...HEADERS, ...(shown !== undefined && { authorization: `Bearer ${shown}` }) };
      const response = await outbound.request(at, { headers, signal });
      if (!REDIRECTS.includes(response.status)) return await documentOf(response);
      if (followed === MOST_REDIRECTS) throw new Error(`more than ${MOST_REDIRECTS} redirects`);
      at = redirected(at, response.header('location'));
      guard.redirected();
    }
  } finally {
    await outbound.close();
  }
}
