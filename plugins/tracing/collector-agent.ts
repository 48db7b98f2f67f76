/** The way to a collector for exporters that send by node:http: through the proxy that the environment names for it. */
import type { Agent } from 'node:http';
import { proxyFor } from '../../core/index.ts';
import type { Proxy } from '../../core/index.ts';

async function openAgent({ protocol }: URL, { url, authorization }: Proxy): Promise<Agent> {
  // Not in the URL, which the libraries write down where `DEBUG` is set.
  const headers = authorization === undefined ? {} : { 'Proxy-Authorization': authorization };
  const options = { keepAlive: true, headers };
  if (protocol === 'https:') {
    const { HttpsProxyAgent } = await import('https-proxy-agent');
    return new HttpsProxyAgent(url, options);
  }
  const { HttpProxyAgent } = await import('http-proxy-agent');
  return new HttpProxyAgent(url, options);
}

/** One per exporter. */
export class CollectorAgent {
  /** For an exporter of OpenTelemetry; empty without a proxy, since they have agents of their own. */
  readonly options: { readonly httpAgentOptions?: () => Promise<Agent> };
  #agent: Promise<Agent> | undefined;

  /** @throws ConfigError for a proxy in the environment that is none */
  constructor(collector: string) {
    const url = new URL(collector);
    const proxy = proxyFor(url);
    this.options = proxy ? { httpAgentOptions: () => (this.#agent ??= openAgent(url, proxy)) } : {};
  }

  /** Closes its connections. */
  async close(): Promise<void> {
    (await this.#agent)?.destroy();
  }
}
