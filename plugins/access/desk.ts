/** Where access is asked for: by HTTP and by token exchange alike, each decision on one line of the log. */
import { randomUUID } from 'node:crypto';
import { GatewayError } from '../../core/index.ts';
import type { Events, GatewayHandle } from '../../core/index.ts';
import type { Caller } from './callers.ts';
import { connectionTo } from './connection-string.ts';
import type { Connection } from './connection-string.ts';
import { decide } from './decision.ts';
import type { Allowed, Asked } from './decision.ts';
import type { Grant, Grants } from './grants.ts';
import type { Idempotency } from './idempotency.ts';
import type { Policy } from './policy.ts';
import type { RequestRate } from './rate.ts';
import { Refused } from './refused.ts';

/** What a caller gets. */
export interface Granted extends Connection {
  readonly grant: Grant;
  readonly token: string;
  readonly rules: Allowed['rules'];
}

/** What outlives reloads, and is the same in all workers. */
export interface DeskState {
  readonly grants: Grants;
  readonly idempotency: Idempotency;
  readonly rate: RequestRate;
}

/** One per config and worker. */
export class Desk {
  readonly #policy: Policy;
  readonly #gateway: GatewayHandle;
  readonly #idempotency: Idempotency;
  readonly #rate: RequestRate;
  readonly grants: Grants;

  constructor(policy: Policy, gateway: GatewayHandle, { grants, idempotency, rate }: DeskState) {
    this.#policy = policy;
    this.#gateway = gateway;
    this.grants = grants;
    this.#idempotency = idempotency;
    this.#rate = rate;
  }

  /** Under one idempotency key the same caller gets the same answer. @throws Refused, which the log has */
  async ask(caller: Caller, asked: Asked, idempotencyKey?: string): Promise<Granted> {
    try {
      await this.#rate.take(caller.name);
      if (idempotencyKey === undefined) return await this.#grant(caller, asked);
      const once = { owner: caller.name, key: idempotencyKey, request: asked };
      const work = (): Promise<Granted> => this.#grant(caller, asked);
      return this.#stillGood(await this.#idempotency.once(once, work, ({ grant }) => grant.expiresAt));
    } catch (error) {
      // Whoever asks too often must not fill the log as well.
      if (error instanceof Refused && error.kind !== 'rate') {
        const { message, reason } = error;
        const why = reason === undefined ? message : `${message}: ${reason}`;
        this.#tell(caller, asked, { granted: false, why });
      }
      throw error;
    }
  }

  /**
   * The token is good no longer, and its sessions end; how many.
   * @throws GatewayError if it stays good; Error if it does not, and that is not kept for the next start
   */
  async revoke(grant: Grant, by?: Pick<Caller, 'issuer' | 'subject'>): Promise<number> {
    const revocations = this.#gateway.service('revocations');
    if (!revocations) throw new Error('no plugin revokes tokens');
    const { id, database, role, caller } = grant;
    const named = { issuer: caller.issuer, subject: caller.subject };
    const revoked = async (): Promise<void> => {
      await this.grants.revoked(grant);
      this.#gateway.log.info(
        { by: by && { issuer: by.issuer, subject: by.subject }, id, caller: named, database, role },
        'access revoked',
      );
    };
    try {
      const what = { tokenId: id, issuer: this.#policy.issuer.issuer };
      // No longer than the token could be used: or grants given back would fill the list for everybody.
      const ended = await revocations.revoke(what, by, new Date(grant.expiresAt));
      await revoked();
      return ended;
    } catch (error) {
      if (!(error instanceof GatewayError)) await revoked();
      throw error;
    }
  }

  /**
   * Tokens were revoked: those granted here are known to be, and whose tokens open nothing any more has nothing left of what
   * they were given either. Never throws.
   */
  revoked({ what, takenBack, by }: Events['revocation']): void {
    if (takenBack) return;
    for (const grant of this.grants.list()) {
      const { caller, issuedAt, id } = grant;
      const own = { id, issuer: this.#policy.issuer.issuer, subject: caller.name, issuedAt };
      const isOwn = isAbout(what, own);
      const isFallen = isOwn || grant.revokedAt !== undefined || 'tokenId' in what;
      if (!isOwn && (isFallen || !isAbout(what, { ...caller, issuedAt }))) continue;
      const done = isOwn ? this.grants.revoked(grant) : this.revoke(grant, by);
      done.catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : 'failed';
        this.#gateway.log.error({ id, reason }, 'revocation of access failed');
      });
    }
  }

  async #grant(caller: Caller, asked: Asked): Promise<Granted> {
    const { issuer, roleClaim, rulesClaim, connect, rules: policy } = this.#policy;
    const { role, durationMs, rules } = decide(policy, caller, asked);
    const { database, reason } = asked;
    const issuedAt = Math.floor(Date.now() / 1_000);
    const expiresAt = issuedAt + Math.floor(durationMs / 1_000);
    const id = randomUUID();
    const { name, subject } = caller;
    const grant: Grant = {
      id,
      caller: { issuer: caller.issuer, subject, name },
      database,
      role,
      reason,
      issuedAt: issuedAt * 1_000,
      expiresAt: expiresAt * 1_000,
    };
    const claims = {
      sub: name,
      jti: id,
      [roleClaim]: role,
      caller: { iss: caller.issuer, sub: subject },
      [rulesClaim]: rules,
    };
    const token = await issuer.sign(claims, issuedAt, expiresAt);
    await this.grants.add(grant);
    this.#tell(caller, { ...asked, role, durationMs }, { granted: true, id });
    return { grant, token, rules, ...connectionTo(connect, database) };
  }

  /** What was answered once must not be said again when it has become wrong. @throws Refused 410 */
  #stillGood(granted: Granted): Granted {
    if (this.grants.find(granted.grant.id)?.revokedAt === undefined) return granted;
    const why =
      'what was granted under this Idempotency-Key has been revoked: to ask once more, use another key';
    throw new Refused('conflict', why, { status: 410 });
  }

  /** Each decision: one line of the log, and one event for who writes it down elsewhere. */
  #tell(caller: Caller, asked: Asked, decision: Pick<Events['access'], 'granted' | 'id' | 'why'>): void {
    const { issuer, subject } = caller;
    const { granted, ...more } = decision;
    const { log } = this.#gateway;
    log.info({ issuer, subject, ...asked, ...more }, granted ? 'access granted' : 'access refused');
    this.#gateway.emit('access', { by: { issuer, subject }, ...asked, ...decision });
  }
}

/** Whether a revocation is about a token; for that of a caller nobody knows its `jti` any more. */
function isAbout(
  what: Events['revocation']['what'],
  token: {
    readonly id?: string;
    readonly issuer: string;
    readonly subject: string;
    readonly issuedAt: number;
  },
): boolean {
  if (what.issuer !== undefined && what.issuer !== token.issuer) return false;
  if ('tokenId' in what) return what.tokenId === token.id;
  return 'subject' in what ? what.subject === token.subject : token.issuedAt < what.before.getTime();
}
