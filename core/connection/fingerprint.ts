/** The identity of a session for a pool, which decides about the use of a server connection without a reset. */
import { hash } from 'node:crypto';
import type { Facts } from '../facts.ts';
import type { Upstream } from '../session.ts';
import type { IsolationScopes } from '../upstream/pool/pooled-server.ts';

/**
 * Equal only for sessions of one person with the same role and the same settings; two people with one role have two
 * fingerprints. Every session without an identity has its own, by `sessionId`. The values of `onCheckout` are not part of it,
 * because they may differ by server connection: the pool compares them when it prepares a connection.
 */
export function fingerprintOf(facts: Partial<Facts>, upstream: Upstream, sessionId: string): string {
  const { identity, tenant } = facts;
  const who = identity ? [identity.issuer, identity.subject] : [sessionId];
  const { entry, database, role, settings, schemas } = upstream;
  const parts = [who, tenant ?? null, entry, database, role, Object.entries(settings), schemas];
  return hash('sha256', JSON.stringify(parts), 'base64url');
}

/**
 * The groups of sessions that may share a server connection. A session without an identity is alone in its group; a session
 * without a tenant shares with its own subject only.
 */
export function isolationScopesOf({ identity, tenant }: Partial<Facts>, sessionId: string): IsolationScopes {
  const session = JSON.stringify(['session', sessionId]);
  const subject = identity ? JSON.stringify(['subject', identity.issuer, identity.subject]) : session;
  return { session, subject, tenant: tenant === undefined ? subject : JSON.stringify(['tenant', tenant]) };
}
