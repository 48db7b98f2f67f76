/** The proxies that the environment names for requests to other machines, read as curl reads them (curl(1), ENVIRONMENT). */
import { BlockList, isIP } from 'node:net';
import { ConfigError } from '../contract/errors.ts';
import type { WebUrl } from '../contract/web-types.ts';

/** An HTTP proxy. */
export interface Proxy {
  /** Without user name and password. */
  readonly url: WebUrl;
  /** The value of `Proxy-Authorization` (RFC 9110 §11.7.2); absent where the environment has no user name. Secret. */
  readonly authorization?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The lower-case variable counts where there are both; empty is none. */
function variable(env: Environment, name: string): { readonly name: string; readonly value: string } {
  const lower = name.toLowerCase();
  const value = env[lower];
  return value === undefined ? { name, value: env[name] ?? '' } : { name: lower, value };
}

/** Nothing of the value is repeated: it may have a password in it. */
function bad(name: string, why = 'the URL of a proxy is needed, such as http://proxy.example:3128'): never {
  throw new ConfigError(`environment variable ${name}: ${why}`);
}

function authorizationOf(name: string, { username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  try {
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    return `Basic ${Buffer.from(credentials).toString('base64')}`;
  } catch {
    return bad(name, 'user name or password are not percent-encoded as in a URL');
  }
}

function parseProxy({ name, value }: ReturnType<typeof variable>): Proxy | undefined {
  const text = value.trim();
  if (text === '') return undefined;
  const whole = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(whole)) bad(name);
  const url = new URL(whole);
  if (!['http:', 'https:'].includes(url.protocol))
    bad(name, 'http and https are the proxies that can be used');
  const authorization = authorizationOf(name, url);
  const bare = new URL(`${url.protocol}//${url.host}`);
  return authorization === undefined ? { url: bare } : { url: bare, authorization };
}

/** A host as `NO_PROXY` may name it: without brackets, and without the dot of the root. */
function bareHost(host: string): string {
  return host.toLowerCase().replace(/^\[|\]$|\.$/g, '');
}

function isLoopback(host: string): boolean {
  return (
    host === 'localhost' || host.endsWith('.localhost') || inNetwork(host, '127.0.0.0/8') || host === '::1'
  );
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  return ({ 4: 'ipv4', 6: 'ipv6' } as const)[isIP(address)];
}

function inNetwork(host: string, network: string): boolean {
  const [, address = '', bits] = /^([\da-f.:]+)\/(\d{1,3})$/i.exec(network) ?? [];
  const [family, own] = [familyOf(address), familyOf(host)];
  if (!family || !own || Number(bits) > (family === 'ipv4' ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(address, Number(bits), family);
  return list.check(host, own);
}

/** Whether an entry of `NO_PROXY` means this host: `*`, an address, a network, a name with those below it, each with a port or without. */
function means(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return inNetwork(host, entry);
  // An address of IPv6 without brackets has no port.
  const [, name = entry, only] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(entry) ?? [];
  if (only !== undefined && only !== port) return false;
  const wanted = bareHost(name.replace(/^\*?\./, ''));
  return wanted !== '' && (host === wanted || host.endsWith(`.${wanted}`));
}

/**
 * The proxy for requests to a URL by `HTTPS_PROXY` or `HTTP_PROXY`, and `NO_PROXY`; undefined where there is none. What is on
 * this machine is reached without one.
 *
 * @throws ConfigError that names the variable, and repeats nothing of its value
 * @example const proxy = proxyFor(new URL('https://calendar.example'));
 */
export function proxyFor(url: WebUrl, env: Environment = process.env): Proxy | undefined {
  const proxy = parseProxy(variable(env, url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'));
  if (!proxy) return undefined;
  const host = bareHost(url.hostname);
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const exempt = variable(env, 'NO_PROXY').value.split(/[\s,]+/);
  const direct = isLoopback(host) || exempt.some((entry) => means(entry, host, port));
  return direct ? undefined : proxy;
}
