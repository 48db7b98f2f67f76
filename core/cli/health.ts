/** `postern health`: asks a running gateway whether it is ready, for supervisors without an HTTP client, as in an image without a shell. */
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import { text as textOf } from 'node:stream/consumers';
import { ConfigError } from '../contract/errors.ts';
import { findConfig, loadConfig } from '../load.ts';
import { UsageError } from './command-line.ts';

/** How long the answer may take, in milliseconds. */
const ANSWER_MS = 5_000;

/** What the command line said. */
export interface HealthOptions {
  /** The config file. Default: gateway.config.ts in the working directory. */
  readonly config: string | undefined;
  /** The check, instead of that of the config's `admin`. */
  readonly url: string | undefined;
  /** Whether only the process is asked, and not what it needs. */
  readonly live: boolean;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** A gateway that listens on all addresses is asked on this machine's own. */
const ASKED: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

async function ofConfig(given: string | undefined): Promise<RequestOptions> {
  const path = findConfig(process.cwd(), given);
  const { admin } = await loadConfig(path);
  if (!admin) throw new ConfigError(`admin: ${path} has none, and only that answers health checks`);
  if (admin.mode !== undefined) return { socketPath: admin.host };
  if (admin.port === 0) throw new ConfigError('admin.port: 0 is another port at each start; use --url');
  const { host, port, tls } = admin;
  // Nothing secret is sent, and the name in the certificate is the one by which others come.
  return {
    host: ASKED[host] ?? host,
    port,
    protocol: tls ? 'https:' : 'http:',
    rejectUnauthorized: false,
  };
}

function ofUrl(url: string): RequestOptions {
  if (!URL.canParse(url) || !/^https?:/i.test(url))
    throw new UsageError(`--url: '${url}' is no URL of http or https`, 'health');
  const { protocol, hostname, port, pathname, search } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  return { protocol, host, ...(port !== '' && { port: Number(port) }), path: pathname + search };
}

async function ask(options: RequestOptions): Promise<Answer> {
  const request = options.protocol === 'https:' ? httpsRequest : httpRequest;
  const asked = request({ agent: false, ...options, signal: AbortSignal.timeout(ANSWER_MS) });
  // Also one that comes when the answer is being read, and is told there.
  asked.on('error', () => {});
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, text: await textOf(response) };
}

function sentence(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.name === 'AbortError' || error.name === 'TimeoutError'
    ? `no answer in ${ANSWER_MS / 1_000} s`
    : error.message;
}

/**
 * Prints the answer. Resolves with exit code 0 where it says that all is well, with 1 where it does not or where there is none.
 * @throws ConfigError for a bad config, or one without `admin`; UsageError for a bad URL
 */
export async function health({ config, url, live }: HealthOptions): Promise<number> {
  if (live && url !== undefined)
    throw new UsageError('--live is for admin of the config; --url says all', 'health');
  const path = live ? '/livez' : '/readyz';
  const options = url === undefined ? { ...(await ofConfig(config)), path } : ofUrl(url);
  try {
    const { status, text } = await ask(options);
    (status === 200 ? process.stdout : process.stderr).write(`${text.trimEnd()}\n`);
    return status === 200 ? 0 : 1;
  } catch (error) {
    process.stderr.write(`postern: ${sentence(error)}\n`);
    return 1;
  }
}
