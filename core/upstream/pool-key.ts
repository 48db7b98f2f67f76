/** The key that sessions must share to use one server connection. */
import { GatewayError } from '../contract/errors.ts';
import type { DatabaseName, RoleName } from '../contract/names.ts';
import type { Upstream } from '../contract/session.ts';
import type { Target } from '../contract/target.ts';

/** The properties that a connection's login and startup packet fix. */
export interface PoolKey {
  /** Equal for equal keys, different for different ones. */
  readonly text: string;
  readonly role: RoleName;
  readonly database: DatabaseName;
  /** False: for one session only. */
  readonly pooled: boolean;
  /** Which servers it may be on. */
  readonly target: Target;
}

const known = new WeakMap<Upstream, PoolKey>();
/** Sessions with equal keys share one object; one that is forgotten only costs memory. */
const interned = new Map<string, PoolKey>();
const MOST_INTERNED = 1_000;
let single = 0;

/**
 * The key of a session: role, database, pinned settings, and the servers that it may use. Hosts, TLS, kind of login and
 * credentials belong to the pool's entry. A replication connection cannot be reset, so each has a key of its own.
 * @param otherwise the target of a session that has none
 * @throws GatewayError `invalid_authorization_specification` without a role
 */
export function keyOf(upstream: Upstream, replicating: boolean, otherwise: Target = 'any'): PoolKey {
  const { role, database, settings, schemas, target = otherwise } = upstream;
  if (role === undefined) throw new GatewayError('invalid_authorization_specification', 'no role is mapped');
  if (replicating) return { text: `replication ${(single += 1)}`, role, database, target, pooled: false };
  const found = known.get(upstream);
  if (found) return found;
  const pins = Object.entries(settings).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify([role, database, pins, schemas, target]);
  const key = interned.get(text) ?? remembered({ text, role, database, target, pooled: true });
  known.set(upstream, key);
  return key;
}

function remembered(key: PoolKey): PoolKey {
  interned.set(key.text, key);
  const [oldest] = interned.keys();
  if (interned.size > MOST_INTERNED && oldest !== undefined) interned.delete(oldest);
  return key;
}
