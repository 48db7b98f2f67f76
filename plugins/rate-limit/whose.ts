/** Who is counted together: the key of a session for each kind of limit. */
import { parseNetwork } from '../../core/index.ts';
import type { Session, Upstream } from '../../core/index.ts';
import type { Per } from './options.ts';

/** What clients of a unix socket have for an address: whoever counted by it would let one of them lock out all. */
const UNIX = 'unix';

/** A whole IPv6 network of 64 bits is given to one customer (RFC 6177 §2): its addresses cost nothing. */
function addressKey(address: string): string | undefined {
  if (address === UNIX) return undefined;
  if (!address.includes(':')) return address;
  const [text = ''] = address.split('%');
  return parseNetwork(text).first.slice(0, 2).join(':');
}

/** Two issuers may know different people by one name. */
function subjectKey({ facts }: Session): string {
  if (!facts.identity) throw new Error('rateLimit: no plugin has stated who it is (identity)');
  return JSON.stringify([facts.identity.issuer, facts.identity.subject]);
}

function roleKey(upstream: Upstream | undefined): string {
  if (upstream?.role !== undefined) return upstream.role;
  throw new Error('rateLimit: for limits per role, list it below the plugin that maps roles');
}

/**
 * Equal for sessions that count together; undefined for those that are not counted, as they have no tenant, or no address.
 * @throws Error where nobody has said what it goes by
 */
export function keyOf(per: Per, session: Session, upstream: Upstream | undefined): string | undefined {
  switch (per) {
    case 'address':
      return addressKey(session.client.address);
    case 'subject':
      return subjectKey(session);
    case 'tenant':
      return session.facts.tenant;
    case 'role':
      return roleKey(upstream);
    case 'database':
      return upstream?.entry;
  }
}
