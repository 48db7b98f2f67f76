/** Requests to other machines over HTTP, through the proxy that the environment names for them. */
import type { Dispatcher } from 'undici';
import type { WebSignal, WebUrl } from '../contract/web-types.ts';
import { proxyFor } from './proxy.ts';

/** Resolves the name of a host; called as Node calls `dns.lookup`. */
export type HostLookup = (
  hostname: string,
  options: { readonly all?: boolean | undefined },
  callback: (
    error: (Error & { readonly code?: string | undefined }) | null,
    address: string | { address: string; family: number }[],
    family?: number,
  ) => void,
) => void;

/** How connections are made. */
export interface OutboundOptions {
  /** PEM of the authorities to trust instead of the system's. */
  readonly ca?: Uint8Array | string | undefined;
  /** How long connecting may take, TLS included, in milliseconds. Default 10 000. */
  readonly connectMs?: number;
  /** Resolves the names that no proxy resolves, and may refuse them. Default: the system's way. */
  readonly lookup?: HostLookup;
}

/** One request. Redirects are not followed. */
export interface OutboundRequest {
  readonly method?: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: WebSignal;
}

/** An answer. */
export interface OutboundResponse {
  readonly status: number;
  /** Undefined if there is none of this name, in lower case. */
  header(name: string): string | undefined;
  /** The body as it comes, whatever its coding; undefined if it is longer than so many bytes. Call it once. @throws Error */
  readonly bytes: (most: number) => Promise<Uint8Array | undefined>;
  /** How long the other side asks to be left alone (`Retry-After`, RFC 9110 §10.2.3), in milliseconds; 0 where it does not. */
  readonly retryAfterMs: number;
}

const MIN_TLS = 'TLSv1.2';

function retryAfterMs(header: string | undefined): number {
  if (header === undefined) return 0;
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return ms > 0 ? ms : 0;
}

async function bytesOf(body: AsyncIterable<Buffer>, most: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > most) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What undici says of connections, in words for operators. */
function told(error: unknown, { connectMs = 10_000 }: OutboundOptions): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  if (error.code === 'UND_ERR_CONNECT_TIMEOUT')
    return new Error(`no connection within ${connectMs / 1_000} s`, { cause: error });
  const [, status] = /^Proxy response \((\d+)\)/.exec(error.message) ?? [];
  return status === undefined
    ? error
    : new Error(`the proxy answers with status ${status}`, { cause: error });
}

/**
 * Requests to other machines, through the proxy that the environment names: the connections of one caller, kept between its requests.
 *
 * @example
 * const outbound = new Outbound();
 * const { status } = await outbound.request(new URL('https://calendar.example/today'), {
 *   headers: { accept: 'application/json' },
 *   signal: AbortSignal.timeout(5_000),
 * });
 */
export class Outbound {
  readonly #options: OutboundOptions;
  readonly #dispatchers = new Map<string, Promise<Dispatcher>>();

  constructor(options: OutboundOptions = {}) {
    this.#options = options;
  }

  /** @throws ConfigError for a proxy that is none; Error if there is no answer; the signal's reason when that aborts */
  async request(
    url: WebUrl,
    { signal, headers, method = 'GET', body }: OutboundRequest,
  ): Promise<OutboundResponse> {
    const { request } = await import('undici');
    const dispatcher = await this.#dispatcherFor(url);
    try {
      const answer = await request(url, { dispatcher, method, headers, signal, body: body ?? null });
      // Who does not read it to the end does not want to know either.
      answer.body.on('error', () => {});
      const header = (name: string): string | undefined => [answer.headers[name]].flat()[0];
      return {
        status: answer.statusCode,
        header,
        bytes: (most) => bytesOf(answer.body, most),
        retryAfterMs: retryAfterMs(header('retry-after')),
      };
    } catch (error) {
      throw told(error, this.#options);
    }
  }

  /** Closes all connections, whatever is under way. */
  async close(): Promise<void> {
    const open = [...this.#dispatchers.values()];
    this.#dispatchers.clear();
    for (const dispatcher of open) await (await dispatcher).destroy();
  }

  #dispatcherFor(url: URL): Promise<Dispatcher> {
    const proxy = proxyFor(url);
    const key = proxy?.url.href ?? '';
    const dispatcher = this.#dispatchers.get(key) ?? this.#open(proxy);
    this.#dispatchers.set(key, dispatcher);
    return dispatcher;
  }

  async #open(proxy: ReturnType<typeof proxyFor>): Promise<Dispatcher> {
    const { Agent, ProxyAgent } = await import('undici');
    const { connectMs = 10_000, ca, lookup } = this.#options;
    const connect = { timeout: connectMs, minVersion: MIN_TLS } as const;
    const trusted = {
      ...connect,
      ...(ca !== undefined && { ca: typeof ca === 'string' ? ca : Buffer.from(ca) }),
    };
    if (!proxy) return new Agent({ connect: { ...trusted, ...(lookup && { lookup }) } });
    const { url, authorization: token } = proxy;
    return new ProxyAgent({
      uri: url.href,
      ...(token !== undefined && { token }),
      proxyTls: connect,
      requestTls: trusted,
      // Plain HTTP is what proxies forward themselves; many let tunnels go to port 443 only.
      proxyTunnel: false,
    });
  }
}
