/** Signs claims for one server connection: what `postern.adopt` of the database accepts, once seen by nobody else. */
import { createHash, createHmac } from 'node:crypto';
import type { Backend, SetByFunction } from '../../core/index.ts';

/** What is signed besides the claims: a value is good on this connection, for this role, until then. */
export interface Bound {
  /** Name of the database on the server. */
  readonly database: string;
  readonly backend: Pick<Backend, 'pid' | 'role'>;
  /** When the session is over at the latest. */
  readonly expiresAt: Date;
}

/** Names a key without telling it: the database may have several while one follows the other. */
export function keyId(key: string): string {
  return createHash('sha256').update('postern key\n').update(key).digest('hex').slice(0, 16);
}

/** The call that adopts the claims; the same for the same claims on the same connection. */
export function adoption(
  key: string,
  claims: object,
  { database, backend, expiresAt }: Bound,
): SetByFunction {
  const payload = JSON.stringify({
    key: keyId(key),
    database,
    role: backend.role,
    pid: backend.pid,
    exp: Math.floor(expiresAt.getTime() / 1000),
    claims,
  });
  // RFC 2104; the prefix keeps it apart from what the database itself signs with the same key.
  const signature = createHmac('sha256', key).update('adopt\n').update(payload).digest('hex');
  return { function: 'postern.adopt', arguments: [payload, signature] };
}
