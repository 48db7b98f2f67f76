/** A fresh token on an open connection: it may extend the session's life, and must not make it another session. */
import { GatewayError, shown } from '../../core/index.ts';
import type { FactChecks, Identity, Session, TokenRules } from '../../core/index.ts';
import { Attempts } from './attempts.ts';
import type { Policy } from './policy.ts';
import { UNIFORM } from './refusal.ts';
import type { Verified } from './remembered.ts';
import { whyRevoked } from './revocation.ts';
import type { Revoker } from './revoker.ts';
import { widerRule } from './wider-rules.ts';

/** The session as this plugin has it. */
export type OwnSession = Session<'identity' | 'rules', 'identity' | 'rules'>;

/** What the client reads with every refusal of a fresh token. */
export const UNCHANGED = 'The session goes on with the token it has.';

function refuse(message: string, why: string): never {
  const more = { hint: UNCHANGED, cause: new Error(why) };
  throw new GatewayError('invalid_authorization_specification', message, more);
}

function checkHolder(after: Identity, before: Identity | undefined): void {
  if (after.issuer !== before?.issuer || after.subject !== before.subject) {
    const [other, own] = [after, before].map((one) => one && `${shown(one.subject)} of ${shown(one.issuer)}`);
    refuse('the token is for somebody else', `it is for ${other}, and the session for ${own ?? 'nobody'}`);
  }
  // Verified against this connection if it is there; one that is not would be good for whoever has it.
  if (before.claims['cnf'] !== undefined && after.claims['cnf'] === undefined) {
    refuse('the token is not bound to the client certificate', 'cnf was there and is not any more');
  }
  if (after.expiresAt < before.expiresAt) {
    const [other, own] = [after, before].map(({ expiresAt }) => expiresAt.toISOString());
    refuse(
      'the token expires before the one in use',
      `it is good until ${other}, the one in use until ${own}`,
    );
  }
}

function checkRules(after: TokenRules, before: TokenRules | undefined): void {
  const rule = before && widerRule(after, before);
  if (!before || rule === undefined) return;
  const [now, was] = [after[rule], before[rule]].map((value) => shown(JSON.stringify(value)));
  const why = `rule ${rule} is ${now}, and was ${was}`;
  refuse('the token allows more than the one the session began with', why);
}

/** What must hold for a token: not revoked, as late as this is asked; and at a renewal, that it widens nothing. */
export function renewalChecks(revoker: () => Revoker): FactChecks {
  return {
    identity(identity, session, renewed) {
      revoker().know(session, identity);
      const revocation = revoker().find(identity);
      if (revocation) {
        const message = renewed ? 'the token is not good' : `${UNIFORM} for user "${session.startup.user}"`;
        throw new GatewayError('invalid_password', message, { cause: new Error(whyRevoked(revocation)) });
      }
      if (renewed) checkHolder(identity, session.facts.identity);
    },
    rules(rules, session, renewed) {
      if (renewed) checkRules(rules, session.facts.rules);
    },
  };
}

/** The ends of sessions by their tokens. */
export class SessionLives {
  readonly #policy: Policy;
  readonly #attempts = new Attempts();
  readonly #ends = new WeakMap<object, { move(at: Date): void }>();

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  /** A token's content as sessions have it: with the end that the session gets, and the grace of its last transaction. */
  stated({ identity, rules }: Verified): Verified {
    const { graceMs = 0 } = this.#policy.expiry.how;
    const ownMs = this.#ownTimeOf(identity);
    const expiresAt = ownMs === undefined ? identity.expiresAt : new Date(Date.now() + ownMs);
    const graceUntil = new Date(expiresAt.getTime() + graceMs);
    return { identity: { ...identity, expiresAt, ...(graceMs > 0 && { graceUntil }) }, rules };
  }

  /** The session ends with its token, or when it has had its time. */
  begin(session: Pick<Session, 'endAt'>, identity: Identity): void {
    const { expired, overlong, how } = this.#policy.expiry;
    const error = this.#ownTimeOf(identity) === undefined ? expired : overlong;
    this.#ends.set(session, session.endAt(identity.expiresAt, error, how));
  }

  /** The time that sessions of an issuer get whose tokens they may outlive. */
  #ownTimeOf({ issuer }: Identity): number | undefined {
    return this.#policy.issuers.get(issuer)?.maxSessionMs;
  }

  /**
   * Puts the token that `verify` verifies in the place of the one in use, if every plugin's checks pass; else nothing changes.
   * @throws GatewayError that says why not; what `verify` throws
   */
  async renew(session: OwnSession, verify: () => Promise<Verified>): Promise<void> {
    this.#attempts.admit(session);
    try {
      await session.renew(inTime(session, verify).then((verified) => this.stated(verified)));
    } catch (error) {
      this.#attempts.refused(session, error);
      throw error;
    }
    this.#ends.get(session)?.move(session.facts.identity.expiresAt);
  }
}

async function inTime({ facts }: OwnSession, verify: () => Promise<Verified>): Promise<Verified> {
  const { identity, rules } = await verify();
  // What is left is the grace of its last transaction.
  if (facts.identity.expiresAt.getTime() <= Date.now()) {
    refuse('the session is over: its token has expired', 'too late');
  }
  return { identity, rules };
}
