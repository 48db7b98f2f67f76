/** Keeps a redirect of a key server away from private addresses, unless the server itself has such a one. */
import { lookup as resolve } from 'node:dns';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import { Networks, parseNetwork } from '../../core/index.ts';

/** What no public server has: the special-purpose registries of IANA (RFC 6890), those for translation included. */
const PRIVATE = new Networks(
  [
    '0.0.0.0/8',
    '10.0.0.0/8',
    '100.64.0.0/10',
    '127.0.0.0/8',
    '169.254.0.0/16',
    '172.16.0.0/12',
    '192.0.0.0/24',
    '192.168.0.0/16',
    '198.18.0.0/15',
    '224.0.0.0/3',
    '::/127',
    '64:ff9b::/96',
    '64:ff9b:1::/48',
    '100::/64',
    '2002::/16',
    'fc00::/7',
    'fe80::/9',
    'ff00::/8',
  ].map(parseNetwork),
);

/** Whether an address is of no public server. */
export function isPrivate(address: string): boolean {
  return PRIVATE.has(address);
}

/** An address in a URL; undefined for a name. */
function literal({ hostname }: URL): string | undefined {
  const host = hostname.replace(/^\[|\]$/g, '');
  return isIP(host) === 0 ? undefined : host;
}

function refusal(host: string): Error {
  return new Error(`a redirect leads to ${host}, which has a private address`);
}

/**
 * One per download. It sees the very addresses that are connected to, so that a name cannot mean another one a moment later.
 * Where a proxy resolves names, it is the proxy that decides where they may lead.
 */
export class AddressGuard {
  #closed = false;
  #first = true;
  #privateAtFirst = false;

  /** Before each request: the first one may go anywhere, and those behind it where it could. @throws Error */
  enter(url: URL): void {
    const address = literal(url);
    if (address !== undefined) this.#admit(url.hostname, [address]);
  }

  /** Behind the first answer. */
  redirected(): void {
    this.#first = false;
    this.#closed = !this.#privateAtFirst;
  }

  readonly lookup: LookupFunction = (host, options, done) => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      if (error) return done(error, '', 0);
      try {
        this.#admit(
          host,
          addresses.map(({ address }) => address),
        );
      } catch (refused) {
        return done(refused as Error, '', 0);
      }
      const [one] = addresses;
      if (options.all === true) return done(null, addresses);
      done(null, one?.address ?? '', one?.family ?? 0);
    });
  };

  #admit(host: string, addresses: readonly string[]): void {
    const hidden = addresses.some(isPrivate);
    if (this.#first) this.#privateAtFirst ||= hidden;
    if (hidden && this.#closed) throw refusal(host);
  }
}
