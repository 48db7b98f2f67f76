/** Who a session is for a pool: whom a server connection may go to without a reset. */
import { hash } from 'node:crypto';
import type { Facts } from '../facts.ts';
import type { Upstream } from '../session.ts';
import type { Circles } from '../upstream/pool/member.ts';

/**
 * Equal only for sessions of one person who comes as the same role with the same settings; two people with one role are
 * two. Unknown people are nobody's equal: `sessionId` stands for them. The values of `onCheckout` are not in it, because
 * they may differ by server connection: the pool compares them at the hand-over.
 */
export function fingerprintOf(facts: Partial<Facts>, upstream: Upstream, sessionId: string): string {
  const { identity, tenant } = facts;
  const who = identity ? [identity.issuer, identity.subject] : [sessionId];
  const { entry, database, role, settings, schemas } = upstream;
  const parts = [who, tenant ?? null, entry, database, role, Object.entries(settings), schemas];
  return hash('sha256', JSON.stringify(parts), 'base64url');
}

/**
 * The circles that a server connection may be kept in. Unknown people are alone; so is, among the tenants, whoever has none:
 * "no tenant" is nobody's company.
 */
export function circlesOf({ identity, tenant }: Partial<Facts>, sessionId: string): Circles {
  const session = JSON.stringify(['session', sessionId]);
  const subject = identity ? JSON.stringify(['subject', identity.issuer, identity.subject]) : session;
  return { session, subject, tenant: tenant === undefined ? subject : JSON.stringify(['tenant', tenant]) };
}
