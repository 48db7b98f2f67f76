/** Connections and failed logins: by address before anybody is asked for a token, by the rest as soon as it is known. */
import { GatewayError } from '../../core/index.ts';
import type { Events, Session, TokenRules, Upstream } from '../../core/index.ts';
import type { Counters } from './counters.ts';
import { takeAll } from './limiter.ts';
import type { Limiter, Meter } from './limiter.ts';
import type { Per } from './options.ts';
import { tokenLimit } from './policy.ts';
import { keyOf } from './whose.ts';

/** What a client is to blame for; not a limit, an outage, or a database that does not exist. */
const FAILURES: ReadonlySet<string> = new Set(['28P01', '28000']);

function metersOf(
  limiters: readonly Limiter[],
  per: readonly Per[],
  session: Session,
  upstream: Upstream | undefined,
): readonly Meter[] {
  return limiters.flatMap((limiter) => {
    const { policy } = limiter;
    if (!per.includes(policy.per) || policy.except?.has(session.client.address) === true) return [];
    const key = keyOf(policy.per, session, upstream);
    return key === undefined ? [] : [{ limiter, key, points: 1 }];
  });
}

/** One per config. */
export class Logins {
  readonly #counters: () => Counters;

  constructor(counters: () => Counters) {
    this.#counters = counters;
  }

  /** Lets nobody in who has failed too often, then counts one connection. @throws GatewayError */
  async admit(per: readonly Per[], session: Session, upstream?: Upstream): Promise<void> {
    const { failedLogins, connections } = this.#counters().limits;
    for (const { limiter, key } of metersOf(failedLogins, per, session, upstream)) {
      const room = await limiter.room(key);
      if (room.kind === 'no') throw limiter.refusal(room.ms);
    }
    await takeAll(metersOf(connections, per, session, upstream));
  }

  /** A token's own rate of connections, counted for its subject. @throws GatewayError */
  async admitToken(rate: NonNullable<TokenRules['rate']>, session: Session): Promise<void> {
    const { connections: text } = rate;
    if (text === undefined) return;
    const limiter = this.#counters().limiter(tokenLimit('connections', text, undefined));
    const key = `${text} ${keyOf('subject', session, undefined)}`;
    await takeAll([{ limiter, key, points: 1 }]);
  }

  /** A login is over. Failures count; a good one takes one back, so that many behind one address outweigh one that fails. */
  ended({ session, sqlstate }: Events['login']): void {
    if (sqlstate === undefined || FAILURES.has(sqlstate)) this.#count(session, sqlstate !== undefined);
  }

  /** A fresh token was shown on an open connection. A good one takes nothing back: it can be shown again and again. */
  renewed({ session, sqlstate }: Events['renewal']): void {
    if (sqlstate !== undefined && FAILURES.has(sqlstate)) this.#count(session, true);
  }

  #count(session: Session, failed: boolean): void {
    const per: readonly Per[] = session.facts.identity ? ['address', 'subject'] : ['address'];
    const { failedLogins } = this.#counters().limits;
    for (const { limiter, key } of metersOf(failedLogins, per, session, undefined)) {
      if (failed) limiter.fail(key);
      else limiter.charge(key, -1);
    }
  }
}

/** Refuses rates that nobody could keep. @throws GatewayError `invalid_authorization_specification` */
export function checkRates(rate: NonNullable<TokenRules['rate']>): void {
  try {
    for (const [what, text] of Object.entries(rate) as [string, unknown][]) {
      if (what !== 'statements' && what !== 'connections') throw new Error(`'${what}' has no rate`);
      tokenLimit(what, text as string, undefined);
    }
  } catch (cause) {
    throw new GatewayError(
      'invalid_authorization_specification',
      'the token carries a rate that cannot be kept',
      {
        cause,
      },
    );
  }
}
