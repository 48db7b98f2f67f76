/** Which addresses keys may come from: who can change them on the way can mint tokens. */
import { shown } from '../../core/index.ts';

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** Whether it is an address of this machine, where TLS protects nothing. */
function isLocal({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && LOOPBACK.test(hostname);
}

/** Why keys may not come from there; undefined if they may: https only, on loopback http as well, and no credentials. */
export function unfit(address: string): string | undefined {
  if (!URL.canParse(address)) return 'not a URL';
  const url = new URL(address);
  if (url.username !== '' || url.password !== '') return 'a URL may not carry a user name or password';
  if (url.protocol === 'https:' || isLocal(url)) return undefined;
  return `"${url.protocol}//${url.host}" is not https: who can change the keys on the way can mint tokens`;
}

/** Whether what was found at `from` may lead to `to`: never from https to something weaker. */
export function mayLeadTo(from: URL, to: URL): boolean {
  return to.protocol === 'https:' || (isLocal(from) && isLocal(to));
}

/** Where a redirect leads (RFC 9110 §10.2.2). @throws Error if keys may not come from there, or by another scheme */
export function redirected(from: URL, location: string | undefined): URL {
  if (location === undefined || !URL.canParse(location, from.href)) {
    throw new Error(`a redirect leads nowhere: location is ${shown(location)}`);
  }
  const to = new URL(location, from);
  const why =
    to.protocol === from.protocol ? unfit(to.href) : `it leads from ${from.protocol} to ${to.protocol}`;
  if (why !== undefined) throw new Error(`a redirect that is not followed: ${why}`);
  return to;
}
