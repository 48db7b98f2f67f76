/** The identity of a session for a pool, which decides about the use of a server connection without a reset. */
import { hash } from 'node:crypto';
import type { Facts, Identity } from '../contract/facts.ts';
import type { Upstream } from '../contract/session.ts';
import type { IsolationScopes } from '../upstream/pool/checkout-request.ts';

/** A fingerprint, and what it was made of. */
interface Made {
  readonly identity: Identity;
  readonly tenant: Facts['tenant'] | undefined;
  readonly upstream: Upstream;
  readonly fingerprint: string;
}

/** By the claims, which sessions of a token that was remembered share. */
const made = new WeakMap<object, Made>();

/** Whether a fingerprint is that of another session, whose policies pin no settings and no schemas. */
function isFor(one: Made, { identity, tenant }: Partial<Facts>, upstream: Upstream): boolean {
  return (
    one.identity.issuer === identity?.issuer &&
    one.identity.subject === identity.subject &&
    one.tenant === tenant &&
    one.upstream.entry === upstream.entry &&
    one.upstream.database === upstream.database &&
    one.upstream.role === upstream.role
  );
}

/** The fingerprint, made once for the sessions of one token whose policies pin nothing: see {@link fingerprintOf}. */
export function knownFingerprintOf(facts: Partial<Facts>, upstream: Upstream, sessionId: string): string {
  const { identity, tenant } = facts;
  const pins = upstream.schemas.length > 0 || Object.keys(upstream.settings).length > 0;
  if (!identity || pins) return fingerprintOf(facts, upstream, sessionId);
  const known = made.get(identity.claims);
  if (known && isFor(known, facts, upstream)) return known.fingerprint;
  const fingerprint = fingerprintOf(facts, upstream, sessionId);
  made.set(identity.claims, { identity, tenant, upstream, fingerprint });
  return fingerprint;
}

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
  // Unlike the others, which begin with a bracket.
  const session = `session ${sessionId}`;
  const subject = identity ? JSON.stringify(['subject', identity.issuer, identity.subject]) : session;
  return { session, subject, tenant: tenant === undefined ? subject : JSON.stringify(['tenant', tenant]) };
}
